"""finetune on the command line."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from ensam.errors import InputError

NOT_BETTER = 3  # exit code: all went well, but there is no better checkpoint, and none was written


def add_commands(commands: argparse._SubParsersAction) -> None:
    run = commands.add_parser(
        "finetune",
        help="go on from a checkpoint on a few cases; exit code 3 and no new checkpoint if it isn't better",
    )
    run.add_argument("checkpoint", type=Path, help="the .safetensors to start from, or 'starter'")
    run.add_argument("data", type=Path, help="a cache that prepare has written, or files in any known layout")
    run.add_argument("-o", "--output", type=Path, required=True, help="the .safetensors to write")
    run.add_argument("--cases", type=Path, help="a text file: names of the cases to use; else all")
    who = run.add_mutually_exclusive_group()
    who.add_argument("--validation", type=Path, help="a text file: who is held out to choose the weights")
    who.add_argument(
        "--validation-share", type=float, default=0.25, help="held out instead, by patient (%(default)s)"
    )
    run.add_argument("--test", type=Path, help="a text file: who judges; by default the validation")
    run.add_argument("--minutes", type=float, default=10.0, help="of stepping at most (%(default)s)")
    run.add_argument("--name", help="of the result, for its card")
    run.add_argument("--licence", help="of the result, as you state it; the base's may bind you")
    run.add_argument("--muon-lr", type=float, help="learning rate of Muon")
    run.add_argument("--rest-lr", type=float, help="learning rate of AdamW beside Muon")
    run.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    run.add_argument("--workers", type=int, help="processes that prepare windows")
    run.add_argument("--threads", type=int, help="processor threads; all by default")
    run.add_argument("--seed", type=int, default=0)
    run.set_defaults(run=_finetune)


def _finetune(options: argparse.Namespace) -> int:
    import torch
    from ensam.checkpoint import STARTER, load_checkpoint
    from ensam.device import choose_device
    from ensam.files import not_written

    from ensam_training.configuration import Limit
    from ensam_training.finetuning import default_config, finetune
    from ensam_training.training import RunOptions

    if options.output.suffix != ".safetensors":
        raise InputError(f"'{options.output}' must end in .safetensors.")
    if options.threads:
        torch.set_num_threads(options.threads)
    start = STARTER if str(options.checkpoint) == "starter" else options.checkpoint
    checkpoint = load_checkpoint(start)
    rates = {name: getattr(options, name) for name in ("muon_lr", "rest_lr")}
    given = {name: value for name, value in rates.items() if value is not None}
    config = default_config(checkpoint, Limit(options.minutes), seed=options.seed, **given)
    card = {"name": options.name or options.output.stem, "licence": options.licence or "not stated"}
    if options.licence is None:
        print("Warning: no licence is stated: give --licence before you share the result.", file=sys.stderr)
    try:
        options.output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_written(options.output, error.strerror) from error
    with tempfile.TemporaryDirectory(prefix=".cases-", dir=options.output.parent) as folder:
        outcome = finetune(
            checkpoint,
            start,
            _data(options, Path(folder)),
            config,
            options.output,
            card,
            RunOptions(workers=options.workers, log_every=10),
            choose_device(options.device),
        )
    took = f"{outcome.steps} steps in {outcome.minutes:.1f} minutes"
    if not outcome.written:
        print(f"Not better after {took} (mean Dice {outcome.gain:+.3f}): nothing is written, the base stays.")
        return NOT_BETTER
    print(f"Written to {options.output} after {took}, mean Dice {outcome.gain:+.3f}.")
    return 0


def _data(options: argparse.Namespace, folder: Path) -> object:
    from ensam_training.finetuning import divide, held_out
    from ensam_training.training_data import names_in, open_named

    chosen, validation, test = (
        names_in(path) if path is not None else []
        for path in (options.cases, options.validation, options.test)
    )
    wanted = [*chosen, *validation, *test] if chosen else []
    cases = open_named(options.data, wanted, folder, print)
    missing = {*validation, *test} - {case.name for case in cases}
    if missing:
        raise InputError(f"'{options.data}' has no usable case '{min(missing)}': see what check says of it.")
    judges = [case for case in cases if case.name in test]
    others = [case for case in cases if case.name not in test]
    if not validation:
        return divide(others, options.validation_share, options.seed, judges)
    training = [case for case in others if case.name not in validation]
    return held_out(training, [case for case in others if case.name in validation], judges)
