"""The training command line: python -m ensam_training, installed as ensam-train."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from ensam.errors import InputError
from ensam.files import not_written
from ensam.network import NetworkConfig

from ensam_training.data_commands import add_commands
from ensam_training.datasets import read_case
from ensam_training.release import export_checkpoint
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
    run.set_defaults(run=_train)
    run = commands.add_parser("export", help="write a training state as a checkpoint with its card")
    run.add_argument("state", type=Path, help="a state.pt that train has written")
    run.add_argument("-o", "--output", type=Path, required=True, help="the .safetensors file")
    run.add_argument(
        "--card", type=Path, required=True, help="JSON: name, intended_use, licence, training_data"
    )
    run.add_argument("--edge", type=int, required=True, help="edge of the largest window, in voxels")
    run.add_argument("--metrics", type=Path, help="an evaluation.json for the card")
    run.set_defaults(run=_export)
    _add_evaluation(commands)
    add_commands(commands)
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2


def _add_evaluation(commands: argparse._SubParsersAction) -> None:
    run = commands.add_parser("evaluate", help="play the challenge's protocol on labelled .npz cases")
    run.add_argument("cases", type=Path, help="a folder of .npz with imgs, spacing, boxes and gts")
    run.add_argument("-o", "--output", type=Path, required=True, help="for evaluation.csv, .json, .png")
    run.add_argument("--checkpoint", type=Path, help="ENSAM's weights; those installed with it by default")
    run.add_argument(
        "--methods",
        default="ensam,ellipsoid,box,random-walker",
        help="which to compare, with commas between them (%(default)s)",
    )
    run.set_defaults(run=_evaluate)
    run = commands.add_parser("make-cases", help="write labelled .npz cases for evaluate")
    run.add_argument("data", type=Path, help="a folder of CASE/image.nii.gz and CASE/label.nii.gz")
    run.add_argument("-o", "--output", type=Path, required=True, help="the folder for CASE.npz")
    run.add_argument("--cases", type=Path, required=True, help="a text file: one case name a line")
    run.add_argument("--max-objects", type=int, default=6, help="the largest labels of a case (%(default)s)")
    run.set_defaults(run=_make_cases)


def _train(options: argparse.Namespace) -> int:
    if options.threads:
        torch.set_num_threads(options.threads)
    held_out = set(_names(options.validation))
    if not options.data.is_dir():
        raise InputError(f"There is no folder '{options.data}': check the path.")
    cases = [read_case(folder) for folder in sorted(options.data.iterdir()) if folder.is_dir()]
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


def _export(options: argparse.Namespace) -> int:
    export_checkpoint(options.state, options.card, options.edge**3, options.output, options.metrics)
    print(f"written to {options.output}")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    # Training needs neither scikit-image nor matplotlib.
    from ensam_training.baselines import BASELINES
    from ensam_training.challenge_cases import read_labelled_case
    from ensam_training.evaluation import ensam_predictor, one_by_one, play
    from ensam_training.report import summarise, summary_text, write_csv, write_json, write_plot

    known = {"ensam": ensam_predictor(options.checkpoint)}
    known |= {name: one_by_one(predict) for name, predict in BASELINES.items()}
    methods = options.methods.split(",")
    for method in methods:
        if method not in known:
            raise InputError(f"There is no method '{method}': choose from {', '.join(known)}.")
    paths = sorted(options.cases.glob("*.npz"))
    if not paths:
        raise InputError(f"There are no .npz cases in '{options.cases}': write some with make-cases.")
    cases = [read_labelled_case(path) for path in paths]
    _make_folder(options.output)
    scores = []
    for method in methods:
        print(f"{method}: {len(cases)} cases", file=sys.stderr, flush=True)
        scores += play(method, cases, known[method])
        write_csv(options.output / "evaluation.csv", scores)
    summaries = summarise(scores)
    write_json(options.output / "evaluation.json", summaries)
    write_plot(options.output / "evaluation.png", summaries)
    print(summary_text(summaries))
    return 0


def _make_cases(options: argparse.Namespace) -> int:
    from ensam_training.challenge_cases import make_challenge_case, write_labelled_case

    if options.max_objects < 1:
        raise InputError("A case needs an object: give --max-objects a number above 0.")
    _make_folder(options.output)
    for name in _names(options.cases):
        case = read_case(options.data / name)
        made = make_challenge_case(
            name, case.image, case.labels, case.spacing[::-1], case.is_ct, options.max_objects
        )
        write_labelled_case(options.output / f"{name}.npz", made)
        kind = "CT, soft tissue window" if case.is_ct else "0.5 to 99.5 percentile"
        print(f"{name}: {made.count} objects, {kind}")
    return 0


def _names(path: Path) -> list[str]:
    """The case names in a text file, one a line."""
    try:
        return path.read_text(encoding="utf-8").split()
    except OSError as error:
        raise InputError(f"The list of cases '{path}' can't be read: check that it exists.") from error


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_written(path, error.strerror) from error


if __name__ == "__main__":
    sys.exit(main())
