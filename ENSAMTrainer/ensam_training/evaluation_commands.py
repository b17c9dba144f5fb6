"""The commands that measure: evaluate, clicks and make-cases."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ensam.command_line import seed
from ensam.errors import InputError
from ensam.files import make_folder, write_text
from tqdm import tqdm

if TYPE_CHECKING:
    from ensam_training.cases import CaseFile

_DATA = "a folder of images and labels in any known layout, of .npz, or a CSV"
_NAMES = "a text file: one case name a line"
# Written out, since their modules take seconds to import.
_METHODS = "ensam, ellipsoid, box, threshold, random-walker, growcut"
_CONDITIONS = "exact, loose-5, loose-10, loose-15, noise, inverted, thinned, cut"


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands of this file to the command line's parser."""
    run = commands.add_parser("evaluate", help="play the challenge's protocol, with baselines")
    run.add_argument("data", type=Path, help=_DATA)
    run.add_argument("-o", "--output", type=Path, required=True, help="tables and plot; resumes")
    run.add_argument("--cases", type=Path, help=f"{_NAMES}; all by default")
    run.add_argument("--checkpoint", type=Path, help="ENSAM's weights; those installed with it by default")
    run.add_argument("--methods", help=f"of {_METHODS}, with commas between them; all by default")
    run.add_argument("--command", dest="program", help="one more method, which takes --input and --output")
    run.add_argument(
        "--max-objects", type=int, help="of a case the largest; all of an .npz by default, else 6"
    )
    run.add_argument("--seed", type=seed, help="click as a hand does and not at the deepest voxel")
    run.add_argument("--jobs", type=int, default=1, help="cases at once (%(default)s)")
    run.set_defaults(run=_evaluate)
    run = commands.add_parser("clicks", help="measure what each click does, also on worse images and boxes")
    run.add_argument("data", type=Path, help=_DATA)
    run.add_argument("-o", "--output", type=Path, required=True, help="for clicks.csv and clicks.json")
    run.add_argument("--cases", type=Path, required=True, help=_NAMES)
    run.add_argument("--checkpoint", type=Path, help="ENSAM's weights; those installed with it by default")
    run.add_argument("--conditions", help=f"of {_CONDITIONS}, with commas between them; all by default")
    run.add_argument("--max-objects", type=int, default=3, help="the largest of a case (%(default)s)")
    run.add_argument(
        "--far-mm",
        type=float,
        default=20.0,
        help="a second measure of far: how many voxels changed farther from the click than that is in "
        "the column beyond of clicks.csv (%(default)s mm)",
    )
    run.add_argument("--seed", type=seed, default=0, help="of the noise (%(default)s)")
    run.add_argument("--pictures", type=int, default=0, help="of so many of the worst objects: failures.png")
    run.set_defaults(run=_clicks)
    run = commands.add_parser("make-cases", help="write labelled .npz cases in the challenge's form")
    run.add_argument("data", type=Path, help=_DATA)
    run.add_argument("-o", "--output", type=Path, required=True, help="the folder for CASE.npz")
    run.add_argument("--cases", type=Path, help=f"{_NAMES}; all by default")
    run.add_argument("--max-objects", type=int, default=6, help="the largest of a case (%(default)s)")
    run.set_defaults(run=_make_cases)


# The imports within the functions: training needs neither scikit-image nor matplotlib.


def _evaluate(options: argparse.Namespace) -> int:
    from ensam_training.evaluation_run import COMMAND, METHODS, Protocol, evaluate
    from ensam_training.report import (
        summarise,
        summary_markdown,
        summary_text,
        write_cases_csv,
        write_json,
        write_plot,
    )

    methods = METHODS if options.methods is None else _words(options.methods)
    for method in methods:
        if method not in METHODS:
            raise InputError(f"There is no method '{method}': choose from {', '.join(METHODS)}.")
    program = split_command(options.program or "")
    _at_least_one(options, "max_objects", "jobs")
    files = _files(options)
    protocol = Protocol(
        (*methods, COMMAND) if program else methods,
        options.checkpoint,
        program,
        options.max_objects,
        options.seed,
    )
    make_folder(options.output)
    scores, left_out = [], 0
    for outcome in evaluate(files, protocol, options.output, options.jobs):
        if outcome.problem:
            left_out += 1
            tqdm.write(f"'{outcome.case}' is left out: {outcome.problem}", file=sys.stderr)
        scores += outcome.scores
    if not scores:
        raise InputError(f"None of the cases in '{options.data}' can be used: mend them.")
    order = {name: index for index, name in enumerate(protocol.methods)}
    scores.sort(key=lambda score: (order[score.method], score.case, score.round))
    write_cases_csv(options.output / "cases.csv", scores)
    write_json(options.output / "evaluation.json", scores)
    write_plot(options.output / "evaluation.png", scores)
    write_text(options.output / "summary.md", summary_markdown(scores))
    print(summary_text(summarise(scores)))
    return 2 if left_out else 0


def split_command(command: str) -> tuple[str, ...]:
    """The words of a command line as the shell of this system has them. Raises InputError.

    On Windows a backslash is part of a path, and a single quote is no quote.
    """
    words = shlex.shlex(command, posix=True)
    words.whitespace_split, words.commenters = True, ""
    if sys.platform == "win32":
        words.escape, words.quotes = "", '"'
    try:
        return tuple(words)
    except ValueError as error:
        raise InputError(f"The --command '{command}' ends within quotes: close them.") from error


def _clicks(options: argparse.Namespace) -> int:
    from ensam.session import InteractiveSession

    from ensam_training.click_quality import CONDITIONS, ClickTrial, play_case
    from ensam_training.click_report import summarise, summary_text, write_csv, write_json

    conditions = tuple(CONDITIONS) if options.conditions is None else _words(options.conditions)
    for condition in conditions:
        if condition not in CONDITIONS:
            raise InputError(f"There is no condition '{condition}': choose from {', '.join(CONDITIONS)}.")
    _at_least_one(options, "max_objects")
    files = _files(options)
    make_folder(options.output)
    trial = ClickTrial(conditions, options.max_objects, options.far_mm, options.seed)
    session = InteractiveSession(options.checkpoint)
    steps, left_out = [], 0
    for file in tqdm(files, unit="case", desc="clicks", disable=None):
        try:
            steps += play_case(session, file, trial)
        except InputError as error:
            left_out += 1
            tqdm.write(f"'{file.name}' is left out: {error}", file=sys.stderr)
            continue
        write_csv(options.output / "clicks.csv", steps)
    if not steps:
        raise InputError("No object was large enough for any condition: choose other cases.")
    summaries = summarise(steps)
    write_json(options.output / "clicks.json", summaries)
    if options.pictures:
        from ensam_training.failures import draw_worst

        draw_worst(session, files, steps, options.pictures, options.output / "failures.png")
    print(summary_text(summaries))
    return 2 if left_out else 0


def _make_cases(options: argparse.Namespace) -> int:
    from ensam_training.challenge_cases import open_case, write_labelled_case

    _at_least_one(options, "max_objects")
    files = _files(options)
    make_folder(options.output)
    left_out = 0
    for file in files:
        try:
            made = open_case(file, options.max_objects)
        except InputError as error:
            left_out += 1
            print(f"'{file.name}' is left out: {error}", file=sys.stderr)
            continue
        write_labelled_case(options.output / f"{file.name}.npz", made)
        print(f"{file.name}: {made.count} objects, {made.modality}")
    return 2 if left_out else 0


def _words(text: str) -> tuple[str, ...]:
    """What stands between commas, once each: what is there twice would count twice."""
    return tuple(dict.fromkeys(text.split(",")))


def _at_least_one(options: argparse.Namespace, *names: str) -> None:
    for name in names:
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"Give --{name.replace('_', '-')} a number above 0.")


def _files(options: argparse.Namespace) -> list[CaseFile]:
    """The cases that are asked for. Raises InputError."""
    from ensam_training.challenge_cases import choose_cases
    from ensam_training.training_data import names_in

    return choose_cases(options.data, None if options.cases is None else names_in(options.cases))
