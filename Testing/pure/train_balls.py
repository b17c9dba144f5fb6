"""Trains a tiny network for three steps in float32: what test_distributed runs in one and in two processes.

torchrun --nproc-per-node 2 -m pure.train_balls FOLDER
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import torch
from ensam.network import NetworkConfig
from ensam_training import rounds
from ensam_training import training as training_module
from ensam_training.configuration import Limit, TrainingConfig
from ensam_training.distributed import team

from .tiny_network import TINY, BallWindows

CONFIG = TrainingConfig(
    limit=Limit(3, "steps"), budget=(16**3, 16**3), accumulate=4, deep_weight=0.3, warmup_steps=1
)


def train_balls(folder: Path, steps: int = 3) -> None:
    torch.set_num_threads(1)
    with (
        mock.patch.object(training_module, "WindowSampler", BallWindows),
        mock.patch.object(rounds, "precision", lambda device, shape: nullcontext()),
    ):
        training_module.train(
            NetworkConfig(**TINY),
            CONFIG,
            [],
            [],
            folder,
            options=training_module.RunOptions(workers=0, log_every=1, stop_at=steps),
            team=team("cpu"),
        )


if __name__ == "__main__":
    train_balls(Path(sys.argv[1]))
