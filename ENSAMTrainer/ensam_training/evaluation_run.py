"""Many methods on many cases: what is done is kept, so that a run that was stopped goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import torch
from ensam.checkpoint import load_checkpoint
from ensam.errors import InputError
from ensam.files import write_text

from ensam_training.baselines import BASELINES, Predictor
from ensam_training.cases import CaseFile
from ensam_training.challenge_cases import open_case
from ensam_training.evaluation import CLICK_ROUNDS, Score, command_predictor, ensam_predictor, play
from ensam_training.pool import processors, run_all
from ensam_training.report import read_csv, write_csv

ENSAM = "ensam"
COMMAND = "command"
METHODS = (ENSAM, *BASELINES)


@dataclass(frozen=True)
class Protocol:
    """What is asked of every case.

    methods: names from `METHODS`, and `COMMAND` for `command`, see `command_predictor`; checkpoint: ENSAM's
    weights, those installed with it by default; max_objects: see `open_case`; seed: see `play`.
    """

    methods: tuple[str, ...] = METHODS
    checkpoint: Path | None = None
    command: tuple[str, ...] = ()
    max_objects: int | None = None
    seed: int | None = None

    def settings(self) -> dict[str, object]:
        """What scores of one folder must have in common, for JSON. Raises CheckpointError."""
        return {
            "checkpoint": load_checkpoint(self.checkpoint).digest if ENSAM in self.methods else None,
            "command": list(self.command) or None,
            "max_objects": self.max_objects,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Outcome:
    """What became of a case: its scores by all methods, or the problem that left it out."""

    case: str
    scores: tuple[Score, ...] = ()
    problem: str = ""


def evaluate(files: Sequence[CaseFile], protocol: Protocol, folder: Path, jobs: int = 1) -> Iterator[Outcome]:
    """Play all cases, one after the other or `jobs` at once, and yield each when it is done.

    `folder` keeps the scores in evaluation.csv, rewritten after each case, and what they depend on in
    settings.json; methods that are done with a case aren't asked again unless its files' sizes or times
    changed. Raises InputError when the folder holds scores that were made with other settings, and as
    `run_all` does.
    """
    kept = _resume(files, protocol, folder)
    tasks, finished = [], []
    for file in files:
        own = kept.get(file.name, {})
        missing = tuple(method for method in protocol.methods if method not in own)
        if missing:
            tasks.append((file, replace(protocol, methods=missing)))
        else:
            finished.append(file.name)
    for name in finished:
        yield _outcome(name, kept, protocol)
    # Several at once share the processors out; one keeps the threads that it has.
    threads = None if jobs == 1 else max(1, processors() // jobs)
    for _, outcome in run_all(partial(_play_case, threads), tasks, "evaluate", jobs):
        if outcome.problem:
            yield outcome
            continue
        own = kept.setdefault(outcome.case, {})
        for method in protocol.methods:
            found = [score for score in outcome.scores if score.method == method]
            if found:
                own[method] = found
        _write(kept, folder)
        yield _outcome(outcome.case, kept, protocol)


def _outcome(name: str, kept: dict[str, dict[str, list[Score]]], protocol: Protocol) -> Outcome:
    return Outcome(name, tuple(score for method in protocol.methods for score in kept[name][method]))


def _write(kept: dict[str, dict[str, list[Score]]], folder: Path) -> None:
    write_csv(folder / "evaluation.csv", [s for case in kept.values() for of in case.values() for s in of])


def _resume(files: Sequence[CaseFile], protocol: Protocol, folder: Path) -> dict[str, dict[str, list[Score]]]:
    """The whole scores in a folder by case and method, without those of cases that have changed since; the
    folder is marked with the settings and with what the cases are now."""
    settings, path, table = protocol.settings(), folder / "settings.json", folder / "evaluation.csv"
    stamps = {file.name: file.stamp() for file in files}
    if not table.is_file():
        _write_settings(path, settings | {"cases": stamps})
        return {}
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        earlier_stamps = earlier["cases"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"'{folder}' holds scores of another program: choose another folder.") from error
    changed = [
        name.replace("_", " ") for name, value in settings.items() if _differ(name, value, earlier.get(name))
    ]
    if changed:
        raise InputError(
            f"'{folder}' holds scores made with another {' and '.join(changed)}: choose another folder."
        )
    found: dict[str, dict[str, list[Score]]] = {}
    for score in read_csv(table):
        found.setdefault(score.case, {}).setdefault(score.method, []).append(score)
    stamps = earlier_stamps | stamps
    kept = {
        case: {method: scores for method, scores in own.items() if len(scores) == CLICK_ROUNDS + 1}
        for case, own in found.items()
        if stamps.get(case) == earlier_stamps.get(case)
    }
    _write(kept, folder)  # before the cases' new stamps, which would make the old scores look like theirs
    merged = earlier | {name: value for name, value in settings.items() if value is not None}
    _write_settings(path, merged | {"cases": stamps})
    return kept


def _write_settings(path: Path, settings: dict[str, object]) -> None:
    write_text(path, json.dumps(settings, indent=2) + "\n")


def _differ(name: str, value: object, earlier: object) -> bool:
    # Where only one of both asked ENSAM, or a command, there is nothing to compare.
    comparable = name not in ("checkpoint", "command") or None not in (value, earlier)
    return comparable and value != earlier


def _play_case(threads: int | None, task: tuple[CaseFile, Protocol]) -> Outcome:
    """One case by all methods of the protocol; its data's problem is told and stops nobody else."""
    if threads is not None:
        torch.set_num_threads(threads)
    file, protocol = task
    try:
        labelled = open_case(file, protocol.max_objects)
    except InputError as error:
        return Outcome(file.name, problem=str(error))
    scores = []
    for method in protocol.methods:
        predict = _predictor(method, protocol.checkpoint, protocol.command)
        scores += play(method, labelled, predict, protocol.seed)
    return Outcome(file.name, tuple(scores))


@lru_cache(maxsize=8)
def _predictor(method: str, checkpoint: Path | None, command: tuple[str, ...]) -> Predictor:
    """Kept, since ENSAM's weights and its cache serve all cases of a process."""
    if method == ENSAM:
        return ensam_predictor(checkpoint)
    return command_predictor(command) if method == COMMAND else BASELINES[method]
