"""What a checkpoint says of itself, read without torch."""

from __future__ import annotations

import json
from pathlib import Path

from ensam.errors import CheckpointError

_SHIPPED = Path(__file__).parent.parent / "Resources" / "Models" / "ensam-starter.safetensors"


def card_text(checkpoint: str = "") -> str:
    """The card beside a checkpoint, in a few lines; "" is the shipped one. Raises CheckpointError."""
    path = Path(checkpoint) if checkpoint else _SHIPPED
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint '{path.name}': choose another file.")
    try:
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        data = ", ".join(f"{entry['dataset']} ({entry['cases']})" for entry in card["training_data"])
        lines = [
            path.name,
            f"Licence of the weights: {card['licence']}",
            f"Trained on: {data}",
            f"Intended use: {card['intended_use']}",
        ]
    except FileNotFoundError:
        return f"{path.name}\nThis checkpoint has no card: nothing is known about how it was made."
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"The card of '{path.name}' is damaged: get it again.") from error
    return "\n".join(lines)
