"""finetune, estimate and recipe on the command line."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ensam.command_line import seed
from ensam.errors import InputError

if TYPE_CHECKING:
    from ensam.checkpoint import Checkpoint

    from ensam_training.cases import Case
    from ensam_training.configuration import TrainingConfig
    from ensam_training.finetuning import FinetuningData

_CHECKPOINT = "the .safetensors to start from, or 'starter'"
NOT_BETTER = 3  # exit code: all went well, but there is no better checkpoint, and none was written


def add_commands(commands: argparse._SubParsersAction) -> None:
    run = commands.add_parser(
        "finetune",
        help="go on from a checkpoint on a few cases; exit code 3 and no new checkpoint if it isn't better",
    )
    _add_training(run)
    run.add_argument("-o", "--output", type=Path, required=True, help="the .safetensors to write")
    run.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="keep what is trained here, so that the same command goes on after an interruption; without it "
        "only the result is kept",
    )
    run.add_argument("--name", help="of the result, for its card")
    run.add_argument("--licence", help="of the result, as you state it; the base's may bind you")
    run.add_argument("--workers", type=int, help="processes that prepare windows")
    run.set_defaults(run=_finetune)

    run = commands.add_parser("estimate", help="measure on this computer what finetune would take")
    _add_training(run)
    run.add_argument("-o", "--output", type=Path, required=True, metavar="JSON")
    run.set_defaults(run=_estimate, state=None)

    run = commands.add_parser("recipe", help="copy all that finetune needs on another machine into a folder")
    run.add_argument("checkpoint", type=Path, help=_CHECKPOINT)
    run.add_argument("data", type=Path, help="a folder of cases")
    run.add_argument(
        "--validation-share", type=float, default=0.25, help="held out, by patient (%(default)s)"
    )
    _add_limit(run)
    run.add_argument("--edge", type=int, default=0, help="of the largest window, in voxels")
    run.add_argument("--name", default="own", help="of the result (%(default)s)")
    run.add_argument("--licence", default="", help="of the result, as you state it")
    run.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="a new or an empty one")
    run.set_defaults(run=_recipe)


def _add_training(run: argparse.ArgumentParser) -> None:
    run.add_argument("checkpoint", type=Path, help=_CHECKPOINT)
    run.add_argument("data", type=Path, help="a cache that prepare has written, or files in any known layout")
    run.add_argument("--cases", type=Path, help="a text file: names of the cases to use; else all")
    who = run.add_mutually_exclusive_group()
    who.add_argument("--validation", type=Path, help="a text file: who is held out to choose the weights")
    who.add_argument(
        "--validation-share", type=float, default=0.25, help="held out instead, by patient (%(default)s)"
    )
    run.add_argument("--test", type=Path, help="a text file: who judges; by default the validation")
    _add_limit(run)
    run.add_argument("--edge", type=int, help="of the largest window, in voxels; the checkpoint's by default")
    run.add_argument("--cache", type=Path, metavar="DIR", help="where cases that are no cache are prepared")
    run.add_argument("--muon-lr", type=float, help="learning rate of Muon")
    run.add_argument("--rest-lr", type=float, help="learning rate of AdamW beside Muon")
    run.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    run.add_argument("--threads", type=int, help="processor threads; all by default")
    run.add_argument("--seed", type=seed, default=0)


def _add_limit(run: argparse.ArgumentParser) -> None:
    limit = run.add_mutually_exclusive_group()
    limit.add_argument("--minutes", type=float, default=10.0, help="of stepping at most (%(default)s)")
    limit.add_argument("--epochs", type=float, help="instead: a step for each object counts as one")


def _finetune(options: argparse.Namespace) -> int:
    from ensam_training.run_folder import Progress, Reporter, RunFolder

    if options.output.suffix != ".safetensors":
        raise InputError(f"'{options.output}' must end in .safetensors.")
    if options.state is None:
        return _train_and_judge(options, None)
    if (over := RunFolder(options.state).outcome) is not None and not over.stopped:
        raise InputError(f"The training in '{options.state}' is over: give another folder for a new one.")
    if RunFolder(options.state).is_taken():
        raise InputError(f"A training runs in '{options.state}' already: wait for it, or stop it.")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's background processes ignore it
    with Reporter(options.state) as reporter:
        reporter.say(Progress("prepare"))
        try:
            return _train_and_judge(options, reporter)
        except KeyboardInterrupt:
            if not reporter.stop_file.exists():
                raise
            reporter.end_early()
            return NOT_BETTER
        except InputError as error:
            reporter.say(Progress("failed", message=str(error)))
            raise


def _train_and_judge(options: argparse.Namespace, reporter: object | None) -> int:
    from ensam.device import choose_device

    from ensam_training.finetuning import finetune
    from ensam_training.training import RunOptions
    from ensam_training.training_data import describe

    card = {"name": options.name or options.output.stem, "licence": options.licence or "not stated"}
    if options.licence is None:
        _say("Warning: no licence is stated: give --licence before you share the result.", sys.stderr)
    with ExitStack() as stack:
        start, checkpoint, data = _open(options, stack)
        _say(describe(data.training, data.test))
        outcome = finetune(
            checkpoint,
            start,
            data,
            _config(options, checkpoint, data),
            options.output,
            card,
            RunOptions(workers=options.workers, log_every=10),
            choose_device(options.device),
            reporter,
            say=_say,
        )
    took = f"{outcome.steps} steps in {outcome.minutes:.1f} minutes"
    if not outcome.written and not outcome.comparisons:
        _say(f"Nothing was learned in {took}: nothing is written, the base stays.")
        return NOT_BETTER
    if not outcome.written:
        _say(f"Not better after {took} (mean Dice {outcome.gain:+.3f}): nothing is written, the base stays.")
        return NOT_BETTER
    _say(f"Written to {options.output} after {took}, mean Dice {outcome.gain:+.3f}.")
    return 0


def _say(text: str, file: TextIO | None = None) -> None:
    """To a log that may lie on a full disk: what is said there is not worth the training."""
    with contextlib.suppress(OSError):
        print(text, file=file)


def _estimate(options: argparse.Namespace) -> int:
    from ensam.device import choose_device, is_out_of_memory

    from ensam_training.estimating import estimate, write_estimate

    with ExitStack() as stack:
        _, checkpoint, data = _open(options, stack)
        config = _config(options, checkpoint, data)
        try:
            value = estimate(checkpoint, config, data.training, data.test, choose_device(options.device))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            edge = round(config.budget[1] ** (1 / 3))
            raise InputError(
                f"Windows of {edge}^3 voxels do not fit into memory: choose a smaller edge."
            ) from error
    write_estimate(options.output, value)
    print(f"{value.step_s:.2f} s a step, {value.judging_s:.0f} s of judging, {value.objects} objects")
    return 0


def _recipe(options: argparse.Namespace) -> int:
    from ensam_training.recipe import Recipe, write_recipe

    minutes, epochs = options.minutes, options.epochs
    recipe = Recipe(
        "",
        options.data,
        Path(),
        Path(),
        options.name,
        minutes if epochs is None else epochs,
        "minutes" if epochs is None else "epochs",
        options.edge,
        held_out=options.validation_share,
        licence=options.licence,
    )
    write_recipe(recipe, _start(options), options.output)
    print(f"Written: README.txt in '{options.output}' says how to run it.")
    return 0


def _start(options: argparse.Namespace) -> Path:
    from ensam.checkpoint_store import STARTER

    return STARTER if str(options.checkpoint) == "starter" else options.checkpoint


def _open(options: argparse.Namespace, stack: ExitStack) -> tuple[Path, Checkpoint, FinetuningData]:
    """The checkpoint's place, the checkpoint and who is trained on."""
    import torch
    from ensam.checkpoint import load_checkpoint
    from ensam.files import not_written

    from ensam_training.cache import close_arrays

    if options.threads:
        torch.set_num_threads(options.threads)
    start = _start(options)
    checkpoint = load_checkpoint(start)
    cache = options.cache
    try:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        if cache is None:
            # On Windows a step that failed may hold a file open, and it is its error that must be told.
            temporary = tempfile.TemporaryDirectory(
                prefix=".cases-", dir=options.output.parent, ignore_cleanup_errors=True
            )
            cache = Path(stack.enter_context(temporary))
            stack.callback(close_arrays)
    except OSError as error:
        raise not_written(options.output, error.strerror) from error
    return start, checkpoint, _data(options, cache)


def _config(options: argparse.Namespace, checkpoint: Checkpoint, data: FinetuningData) -> TrainingConfig:
    from ensam_training.configuration import Limit
    from ensam_training.finetuning import default_config

    rates = {name: getattr(options, name) for name in ("muon_lr", "rest_lr")}
    given = {name: value for name, value in rates.items() if value is not None}
    if options.edge is not None and not 24 <= options.edge <= 256:
        raise InputError(f"A window's edge of {options.edge} voxels is of no use: give 24 to 256.")
    limit = Limit(options.minutes)
    if options.epochs is not None:
        objects = sum(len(case.objects) for case in data.training)
        limit = Limit(max(1, round(options.epochs * objects)) if options.epochs > 0 else 0, "steps")
    return default_config(checkpoint, limit, options.edge, seed=options.seed, **given)


def _data(options: argparse.Namespace, folder: Path) -> FinetuningData:
    from ensam_training.beginning import beginning
    from ensam_training.finetuning import divide, divide_as_begun, held_out
    from ensam_training.training_data import names_in, open_named

    chosen, validation, test = (
        names_in(path) if path is not None else []
        for path in (options.cases, options.validation, options.test)
    )
    wanted = [*chosen, *validation, *test] if chosen else []
    cases = open_named(options.data, wanted, folder, _say)
    missing = {*validation, *test} - {case.name for case in cases}
    if missing:
        raise InputError(f"'{options.data}' has no usable case '{min(missing)}': see what check says of it.")
    noted = {} if options.state is None else beginning(options.state)
    goes_on = "trained_on" in noted
    if goes_on:
        cases = _known(cases, noted)
    judges = [case for case in cases if case.name in test]
    others = [case for case in cases if case.name not in test]
    if validation:
        training = [case for case in others if case.name not in validation]
        return held_out(training, [case for case in others if case.name in validation], judges)
    if goes_on:
        return divide_as_begun(others, noted, judges)
    return divide(others, options.validation_share, options.seed, judges)


def _known(cases: list[Case], noted: Mapping[str, Any]) -> list[Case]:
    """The cases without the objects that have come since a training was begun: nobody has chosen whether they
    are trained on or held out."""
    from ensam_training.beginning import SIDES
    from ensam_training.finetuning import with_objects

    known = with_objects(cases, [one for side in SIDES for one in noted.get(side, ())])
    new = sum(len(case.objects) for case in cases) - sum(len(case.objects) for case in known)
    if new:
        _say(f"{new} objects that have come since this training was begun wait for another one.")
    return known
