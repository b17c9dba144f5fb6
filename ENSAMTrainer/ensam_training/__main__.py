"""The training command line: python -m ensam_training, installed as ensam-train."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from ensam.errors import InputError
from ensam.network import NetworkConfig

from ensam_training.datasets import read_case
from ensam_training.training import TrainingConfig, train


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="ensam-train", description="Train ENSAM on one machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("train", help="train on a folder of cases")
    run.add_argument("data", type=Path, help="a folder of CASE/image.nii.gz and CASE/label.nii.gz")
    run.add_argument("-o", "--output", type=Path, required=True, help="state, best weights and logs; resumes")
    run.add_argument("--validation", type=Path, required=True, help="a text file: one case name a line")
    run.add_argument("--minutes", type=float, default=60.0)
    run.add_argument("--budget", type=int, nargs=2, default=(24, 48), help="smallest and largest window edge")
    run.add_argument("--start", type=Path, help="a state.pt whose weights and optimisers to go on from")
    run.add_argument("--paper", action="store_true", help="the paper's network, without dense prompt maps")
    run.add_argument("--threads", type=int, help="processor threads; all by default")
    try:
        return _train(parser.parse_args(arguments))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2


def _train(options: argparse.Namespace) -> int:
    if options.threads:
        torch.set_num_threads(options.threads)
    held_out = set(options.validation.read_text().split())
    folders = sorted(p for p in options.data.iterdir() if p.is_dir())
    cases = [read_case(folder) for folder in folders]
    training = [c for c in cases if c.name not in held_out]
    validation = [c for c in cases if c.name in held_out]
    config = TrainingConfig(
        minutes=options.minutes,
        budget=(options.budget[0] ** 3, options.budget[1] ** 3),
        validation_budget=options.budget[1] ** 3,
    )
    network = NetworkConfig.paper() if options.paper else NetworkConfig()
    train(network, config, training, validation, options.output, options.start)
    return 0


if __name__ == "__main__":
    sys.exit(main())
