"""From a training state to a checkpoint to ship: averaged weights in half precision and a card."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ensam import __version__
from ensam.checkpoint import save_checkpoint
from ensam.errors import InputError
from ensam.files import read_text
from ensam.network import ENSAM, NetworkConfig, renormalise_

from ensam_training.state import load_state

_OF_PEOPLE = ("name", "intended_use", "licence", "training_data")


def export_checkpoint(
    state: Path, card: Path, voxel_budget: int, output: Path, metrics: Path | None = None
) -> None:
    """Writes `output` (.safetensors) and its card.

    state: a state.pt of the training, whose averaged weights count, or a best.pt; card: JSON with what only
    people know: name, intended_use, licence, and training_data, a list with the number of cases of each
    dataset; metrics: the JSON summary of an evaluation, put into the card as it is.
    Raises InputError.
    """
    full = _card(card)
    measured = {} if metrics is None else {"metrics": _json(metrics)}
    saved = load_state(state)
    network = ENSAM(NetworkConfig.from_dict(saved["architecture"]))
    network.load_state_dict({**saved["network"], **saved.get("average", {})})
    renormalise_(network)
    full["training"] = {
        "steps": saved["step"],
        "hours": round(saved["total_seconds"] / 3600, 2),
    }
    full |= measured
    full["date"] = datetime.now(UTC).date().isoformat()
    full["code_version"] = __version__
    save_checkpoint(output, network, voxel_budget, full)


def _card(path: Path) -> dict[str, Any]:
    card = _json(path)
    data = card.get("training_data")
    if not set(_OF_PEOPLE) <= card.keys() or not isinstance(data, list) or not all(map(_has_cases, data)):
        raise InputError(
            f"The card '{path.name}' must have {', '.join(_OF_PEOPLE)}, the last a list with the number of "
            "cases of each dataset: write it like ENSAMTrainer/Resources/starter-card.json."
        )
    return card


def _has_cases(dataset: Any) -> bool:
    return isinstance(dataset, dict) and isinstance(dataset.get("cases"), int)


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(read_text(path))
    except FileNotFoundError as error:
        raise InputError(f"There is no file '{path}': check the path.") from error
    except (OSError, ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise InputError(f"'{path.name}' holds no JSON object: check the file.")
    return values
