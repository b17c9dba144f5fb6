"""What a training would take on this computer: a few of its steps, measured."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from ensam.benchmark import peak_mb
from ensam.checkpoint import Checkpoint
from ensam.device import synchronise
from ensam.files import write_text
from ensam.network import ENSAM

from ensam_training.cases import Case
from ensam_training.configuration import TrainingConfig
from ensam_training.distributed import Alone
from ensam_training.judging import scores
from ensam_training.sampling import WindowSampler
from ensam_training.trainer import Trainer

_STEPS = 4  # of windows like the training's, each after one of its shape that pays for the kernels


@dataclass(frozen=True)
class Estimate:
    """step_s: seconds a step, judging_s: of judging before and after, both measured on part of the work.
    peak_bytes: the most memory that the process took, None where the system doesn't tell; on a graphics card
    of its memory. objects: to train on."""

    step_s: float
    judging_s: float
    peak_bytes: int | None
    objects: int


def estimate(
    checkpoint: Checkpoint,
    config: TrainingConfig,
    training: Sequence[Case],
    judges: Sequence[Case],
    device: torch.device,
) -> Estimate:
    """Does a few steps of the training, one with a window as large as any, and judges one case.

    Raises InputError, and RuntimeError or MemoryError when memory runs out.
    """
    network = ENSAM(checkpoint.config)
    network.load_state_dict(checkpoint.state)
    trainer = Trainer(network, config, Alone(device))
    typical = WindowSampler(training, config.budget, config.seed, config.synthetic_share)
    largest = WindowSampler(training, (config.budget[1],) * 2, config.seed, config.synthetic_share)
    trainer.step([largest.window(0)])
    seconds = []
    for index in range(_STEPS):
        sample = typical.window(index)
        trainer.step([sample])
        started = time.perf_counter()
        trainer.step([sample])
        synchronise(device)
        seconds.append(time.perf_counter() - started)
    judging = 0.0
    if judges:
        started = time.perf_counter()
        scores(network.eval(), judges[:1], config.validation_budget)
        judging = 2 * len(judges) * (time.perf_counter() - started)
    peak = peak_mb(device)
    return Estimate(
        float(np.mean(seconds)),
        judging,
        None if peak is None else round(peak * 1e6),
        sum(len(case.objects) for case in training),
    )


def write_estimate(path: Path, value: Estimate) -> None:
    """As JSON, whole or not at all. Raises OutputError."""
    write_text(path, json.dumps(asdict(value)))
