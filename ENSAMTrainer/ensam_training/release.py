"""From a training state to a checkpoint to ship: averaged weights in half precision and a card."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from ensam import __version__
from ensam.checkpoint import save_checkpoint
from ensam.errors import InputError
from ensam.network import ENSAM, NetworkConfig, renormalise_


def export_checkpoint(
    state: Path, card: Path, voxel_budget: int, output: Path, metrics: Path | None = None
) -> None:
    """Writes `output` (.safetensors) and its card.

    state: a state.pt of the training, whose averaged weights count, or a best.pt; card: JSON with what only
    people know (name, intended_use, licence, training_data); metrics: the JSON summary of an evaluation, put
    into the card as it is.
    Raises InputError.
    """
    for path in (state, card, *([] if metrics is None else [metrics])):
        if not path.is_file():
            raise InputError(f"There is no file '{path}': check the path.")
    saved = torch.load(state, weights_only=True)
    network = ENSAM(NetworkConfig.from_dict(saved["architecture"]))
    network.load_state_dict({**saved["network"], **saved.get("average", {})})
    renormalise_(network)
    full: dict[str, Any] = json.loads(card.read_text(encoding="utf-8"))
    full["training"] = {
        "steps": saved["step"],
        "hours": round(saved["total_seconds"] / 3600, 2),
    }
    full["metrics"] = {} if metrics is None else json.loads(metrics.read_text(encoding="utf-8"))
    full["date"] = datetime.now(UTC).date().isoformat()
    full["code_version"] = __version__
    save_checkpoint(output, network, voxel_budget, full)
