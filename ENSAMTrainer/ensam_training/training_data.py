"""The cases of a run: from a cache, or from files that are checked and cached first, and who is held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ensam.errors import InputError
from ensam.files import read_text

from ensam_training.cache import Cache, prepare
from ensam_training.cases import Case, CaseFile
from ensam_training.coreset import split
from ensam_training.discovery import find_cases


@dataclass(frozen=True)
class HeldOut:
    """Who is held out: the cases named in a text file, one a line, or a share of all patients by seed.

    Without either nobody is.
    """

    names: Path | None = None
    share: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class TrainingData:
    """Where the cases are, who is held out and who is trained on: the cases named in a text file, or all that
    are left. Small, so that another process can be given it."""

    cache: Path
    held_out: HeldOut
    chosen: Path | None = None

    def cases(self) -> tuple[list[Case], list[Case]]:
        """Training and validation cases, memory-mapped. Raises InputError."""
        cases = Cache(self.cache).cases()
        training, validation = self._divided(cases)
        if self.chosen is not None:
            names = _names_of(self.chosen, cases)
            training = [case for case in training if case.name in names]
            if not training:
                raise InputError(f"'{self.chosen}' names no case that isn't held out: name some to train on.")
        return training, validation

    def _divided(self, cases: list[Case]) -> tuple[list[Case], list[Case]]:
        if self.held_out.names is not None:
            names = _names_of(self.held_out.names, cases)
            return [c for c in cases if c.name not in names], [c for c in cases if c.name in names]
        if self.held_out.share is not None:
            return split(cases, self.held_out.share, self.held_out.seed)
        return cases, []


def open_data(
    data: Path,
    held_out: HeldOut,
    folder: Path,
    say: Callable[[str], None],
    prepare_it: bool,
    chosen: Path | None,
) -> TrainingData:
    """data: a cache, which is used as it is, or files in any known layout, which are cached in `folder`.

    Cases that can't be used are named. Without `prepare_it` another process does that. Raises InputError.
    """
    if Cache.is_one(data):
        return TrainingData(data, held_out, chosen)
    if prepare_it:
        _prepared(data, find_cases(data), folder, say)
    return TrainingData(folder, held_out, chosen)


def open_named(data: Path, names: Sequence[str], folder: Path, say: Callable[[str], None]) -> list[Case]:
    """The named cases of a cache or of files, of which no others are read; all without names.

    Raises InputError, also for a name that is no usable case.
    """
    if Cache.is_one(data):
        cases = Cache(data).cases()
    else:
        files = [file for file in find_cases(data) if not names or file.name in names]
        cases = _prepared(data, files, folder, say).cases()
    unknown = set(names) - {case.name for case in cases}
    if unknown:
        raise InputError(f"'{data}' has no usable case '{min(unknown)}': see what check says of it.")
    return [case for case in cases if not names or case.name in names]


def _prepared(data: Path, files: Sequence[CaseFile], folder: Path, say: Callable[[str], None]) -> Cache:
    cache = prepare(files, folder)
    for check in cache.report.checks:
        if check.reason:
            say(f"{check.file.name} is left out: {check.reason}")
    if not cache.report.usable:
        raise InputError(f"No case of '{data}' can be used: mend what is said of them above.")
    return cache


def names_in(path: Path) -> list[str]:
    """The case names in a text file, one a line, in which they may have spaces. Raises InputError."""
    try:
        text = read_text(path)
    except OSError as error:
        raise InputError(f"The list of cases '{path}' can't be read: check that it exists.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"The list of cases '{path}' is no text in UTF-8: save it as UTF-8.") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _names_of(path: Path, cases: Sequence[Case]) -> set[str]:
    """The names in a text file, which must be names of these cases. Raises InputError."""
    names = set(names_in(path))
    unknown = names - {case.name for case in cases}
    if unknown:
        raise InputError(
            f"'{path}' names {len(unknown)} that are no usable cases, such as '{min(unknown)}': take them "
            "out, or see what check says of them."
        )
    return names


def describe(training: Sequence[Case], validation: Sequence[Case]) -> str:
    """One line: how many cases, patients, objects and datasets are trained on and held out."""
    objects = sum(len(case.objects) for case in training)
    datasets = len({case.dataset for case in training})
    return (
        f"{_count(training)} with {objects} objects of {datasets} datasets to train on, "
        f"{_count(validation)} held out"
    )


def _count(cases: Sequence[Case]) -> str:
    return f"{len(cases)} cases of {len({case.group for case in cases})} patients"
