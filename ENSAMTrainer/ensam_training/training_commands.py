"""train, ablate and export on the command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ensam.command_line import seed
from ensam.errors import InputError

if TYPE_CHECKING:
    from ensam_training.configuration import Limit, TrainingConfig
    from ensam_training.training_data import TrainingData

_DATA = "a cache that prepare has written, or files in any known layout, which are cached in the output"

# Written out, since their module takes seconds to import.
_VARIANTS = (
    "base, liere-adam, absolute-adam, standard-attention, dense-prompts, millimetres; "
    "of the rates adam-0.0003, adam-0.001, adam-0.003, muon-0.003, muon-0.01, muon-0.03"
)


def add_commands(commands: argparse._SubParsersAction) -> None:
    run = commands.add_parser("train", help="train on a folder of cases")
    _add_data(run)
    _add_training(run, default_minutes=60)
    run.add_argument("-o", "--output", type=Path, required=True, help="state, best weights and logs; resumes")
    run.add_argument("--start", type=Path, help="a state.pt, best.pt or .safetensors to go on from")
    run.add_argument(
        "--paper",
        action="store_true",
        help="the paper's network, without dense prompt maps and deep supervision",
    )
    run.add_argument("--optimiser", choices=("muon", "adam"), default="muon")
    _add_rates(run)
    run.add_argument(
        "--schedule", choices=("linear", "halving"), default="linear", help="halving: the paper's"
    )
    run.add_argument(
        "--accumulate",
        type=int,
        default=1,
        help="windows a step, a multiple of the processes; the paper's is 4 (%(default)s)",
    )
    run.add_argument("--validate-every", type=float, help="in the limit's unit; a tenth of it by default")
    run.add_argument("--profile", action="store_true", help="exact times of the parts of a step on a GPU")
    run.set_defaults(run=_train)

    run = commands.add_parser(
        "ablate", help="train the paper's variants and ours at equal cost; table and plot"
    )
    _add_data(run, must_hold_out=True)
    _add_training(run, default_minutes=20)
    run.add_argument(
        "-o", "--output", type=Path, required=True, help="a folder a variant, table, plot; resumes"
    )
    run.add_argument(
        "--suite", choices=("ablations", "rates"), default="ablations", help="rates: learning rates"
    )
    run.add_argument(
        "--only", nargs="+", metavar="VARIANT", help=f"of {_VARIANTS}; all of the suite by default"
    )
    _add_rates(run)
    run.add_argument("--jobs", type=int, default=1, help="variants at the same time (%(default)s)")
    run.set_defaults(run=_ablate)

    run = commands.add_parser("export", help="write a training state as a checkpoint with its card")
    run.add_argument("state", type=Path, help="a state.pt or best.pt that train has written")
    run.add_argument("-o", "--output", type=Path, required=True, help="the .safetensors file")
    run.add_argument(
        "--card", type=Path, required=True, help="JSON like ENSAMTrainer/Resources/starter-card.json"
    )
    run.add_argument("--edge", type=int, required=True, help="edge of the largest window, in voxels")
    run.add_argument("--metrics", type=Path, help="an evaluation.json for the card")
    run.set_defaults(run=_export)


def _add_data(run: argparse.ArgumentParser, must_hold_out: bool = False) -> None:
    run.add_argument("data", type=Path, help=_DATA)
    run.add_argument("--cases", type=Path, help="who is trained on, as coreset writes them; else all others")
    who = run.add_mutually_exclusive_group(required=must_hold_out)
    who.add_argument("--validation", type=Path, help="who is held out: a text file, one case name a line")
    who.add_argument("--validation-share", type=float, help="hold out this share of all patients instead")


def _add_training(run: argparse.ArgumentParser, default_minutes: float) -> None:
    limit = run.add_mutually_exclusive_group()
    limit.add_argument("--minutes", type=float, help=f"of stepping, by the clock ({default_minutes:g})")
    limit.add_argument("--cpu-minutes", type=float, help="of stepping, in processor time")
    limit.add_argument("--steps", type=int)
    run.set_defaults(default_minutes=default_minutes)
    run.add_argument("--budget", type=int, nargs=2, default=(24, 48), help="smallest and largest window edge")
    run.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    run.add_argument(
        "--workers", type=int, help="processes that prepare windows; by the machine's by default"
    )
    run.add_argument("--threads", type=int, help="processor threads; all by default")
    run.add_argument("--seed", type=seed, default=0)


def _add_rates(run: argparse.ArgumentParser) -> None:
    run.add_argument("--muon-lr", type=float, default=0.01, help="of Muon (%(default)s)")
    run.add_argument("--rest-lr", type=float, default=3e-3, help="of AdamW beside Muon (%(default)s)")
    run.add_argument("--adam-lr", type=float, default=1e-3, help="of AdamW for all (%(default)s)")


def _train(options: argparse.Namespace) -> int:
    import torch
    from ensam.network import NetworkConfig

    from ensam_training.configuration import DEEP_WEIGHT
    from ensam_training.coreset import divided_patients
    from ensam_training.distributed import team
    from ensam_training.training import RunOptions, train
    from ensam_training.training_data import describe

    if options.threads:
        torch.set_num_threads(options.threads)
    network = NetworkConfig.paper() if options.paper else NetworkConfig()
    deep_weight = 0.0 if options.paper else DEEP_WEIGHT
    config = _config(options, optimiser=options.optimiser, schedule=options.schedule, deep_weight=deep_weight)
    together = team(options.device)
    data = _data(options, prepare=together.rank == 0)
    together.wait()  # the others find the cache ready
    training, validation = data.cases()
    if together.rank == 0:
        print(describe(training, validation))
        if warning := divided_patients(training, validation):
            print(f"Warning: {warning}")
    run_options = RunOptions(workers=options.workers, exact_times=options.profile)
    train(network, config, training, validation, options.output, options.start, run_options, together)
    best = options.output / "best.pt"
    if together.rank == 0 and best.is_file():  # not when it was stopped before the first validation
        print(f"The best weights are in {best}: ensam-train export makes a checkpoint.")
    return 0


def _ablate(options: argparse.Namespace) -> int:
    from ensam.device import choose_device

    from ensam_training.ablations import ablate, chosen, table

    variants = chosen(options.suite, options.only)
    config = _config(options, validate_every=_limit(options).amount / 4)
    device, data = choose_device(options.device), _data(options)
    jobs, threads, workers = options.jobs, options.threads, options.workers
    results = ablate(variants, config, data, options.output, jobs, threads, workers, device)
    if results:
        print(table(results), end="")
    return 0


def _export(options: argparse.Namespace) -> int:
    from ensam.checkpoint import LARGEST_EDGE, LEAST_EDGE

    from ensam_training.release import export_checkpoint

    if not LEAST_EDGE <= options.edge <= LARGEST_EDGE:
        raise InputError(
            f"A window's edge of {options.edge} voxels is of no use: give {LEAST_EDGE} to {LARGEST_EDGE}."
        )
    export_checkpoint(options.state, options.card, options.edge**3, options.output, options.metrics)
    print(f"written to {options.output}")
    return 0


def _data(options: argparse.Namespace, prepare: bool = True) -> TrainingData:
    from ensam_training.training_data import HeldOut, open_data

    held_out = HeldOut(options.validation, options.validation_share, options.seed)
    return open_data(options.data, held_out, options.output / "cache", print, prepare, options.cases)


def _limit(options: argparse.Namespace) -> Limit:
    from ensam_training.configuration import Limit

    if options.steps is not None:
        return Limit(options.steps, "steps")
    if options.cpu_minutes is not None:
        return Limit(options.cpu_minutes, "cpu-minutes")
    return Limit(options.default_minutes if options.minutes is None else options.minutes)


def _config(options: argparse.Namespace, **more: object) -> TrainingConfig:
    from ensam_training.configuration import TrainingConfig

    low, high = (edge**3 for edge in options.budget)
    given = {
        name: getattr(options, name)
        for name in ("muon_lr", "adam_lr", "rest_lr", "accumulate", "validate_every", "seed")
        if hasattr(options, name)
    }
    values = {"limit": _limit(options), "budget": (low, high), "validation_budget": high, **given, **more}
    return TrainingConfig(**values)
