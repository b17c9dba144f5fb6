"""What a checkpoint says of itself, read without torch."""

from __future__ import annotations

import json
from pathlib import Path

from ensam.checkpoint_store import STARTER
from ensam.errors import CheckpointError
from ensam.files import read_text

from .translation import tr as _


def card_text(checkpoint: str = "") -> str:
    """The card beside a checkpoint, in a few lines; "" is the shipped one. Raises CheckpointError."""
    path = Path(checkpoint) if checkpoint else STARTER
    if not path.is_file():
        raise CheckpointError(
            _("There is no checkpoint '{name}': choose another file.").format(name=path.name)
        )
    try:
        card = json.loads(read_text(path.with_suffix(".json")))
        data = card["training_data"]
        count = sum(entry["cases"] for entry in data)
        lines = [
            path.name,
            _("Licence of the weights: {licence}").format(licence=card["licence"]),
            _("Trained on: {count} cases of {datasets} datasets").format(count=count, datasets=len(data)),
            _("Intended use: {use}").format(use=card["intended_use"]),
        ]
    except FileNotFoundError:
        text = _("This checkpoint has no card: nothing is known about how it was made.")
        return f"{path.name}\n{text}"
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise CheckpointError(
            _("The card of '{name}' is damaged: get it again.").format(name=path.name)
        ) from error
    return "\n".join(lines)
