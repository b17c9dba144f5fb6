"""The learning rate's factor over a run."""

from __future__ import annotations

from ensam_training.configuration import TrainingConfig

_HALVED_AT = (2 / 15, 5 / 15, 10 / 15)  # the paper's epochs 2, 5 and 10 of 15


def rate(config: TrainingConfig, step: int, progress: float) -> float:
    """The factor at a step (from 0) when a share `progress` (0..1) of the limit is spent."""
    progress = min(1.0, progress)
    if config.schedule == "halving":
        level = 0.5 ** sum(progress >= share for share in _HALVED_AT)
    else:
        level = 1 - progress
    return min(level, (step + 1) / max(1, config.warmup_steps))
