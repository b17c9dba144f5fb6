"""The trainings of a folder: the newest one started, watched, stopped, resumed and judged."""

from __future__ import annotations

import contextlib
import filecmp
import json
import re
import shutil
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Literal

from ensam.errors import InputError
from ensam.files import not_written, write_text
from ensam_training.recipe import Recipe, read_arguments, save_arguments
from ensam_training.run_folder import OUTCOME, STATE, STOP, Outcome, Progress, RunFolder, write_outcome
from ENSAMSegmentLib.status import Status
from ENSAMSegmentLib.translation import tr as _

from .process import Process, last_words
from .remembered import Remembered
from .words import working

LOG, _ARGUMENTS, _INSTALLED = "log.txt", "arguments.json", "installed.json"
_WRONG_INPUT = 2
_ENDED_WELL = (0, 3)  # 3: without a better checkpoint
_ROOM = 12  # times the checkpoint, which is in half precision: weights, momenta and average in full, twice
_IS_RUN = re.compile(r"\d{4}-\d\d-\d\d-\d{6}")  # what else lies there is nobody's run
State = Literal["none", "running", "stopping", "stopped", "failed", "done"]


def _progress_of(run: RunFolder) -> Progress | None:
    """What it said last, None where that is damaged: the state may be whole all the same."""
    try:
        return run.progress
    except InputError:
        return None


class Runs:
    """Each training has a folder of its own in `folder`, named by the time it was started; the newest is the
    one that is shown. It may have been started by another Slicer, and may still run."""

    def __init__(self, folder: Path, python: Path, start: Callable[..., Process]) -> None:
        """start: starts a process, see `Process`."""
        self._folder, self._python, self._start = folder, python, start
        self._outcomes: Remembered[Outcome | None] = Remembered()
        self._process: Process | None = None
        self._asked_to_stop = False

    # The run that is shown

    @property
    def current(self) -> RunFolder | None:
        """The newest run, None if there is none."""
        try:
            folders = sorted(p for p in self._folder.iterdir() if _IS_RUN.match(p.name) and p.is_dir())
        except OSError:  # not there yet, or on a drive that is gone
            return None
        return RunFolder(folders[-1]) if folders else None

    @property
    def state(self) -> State:
        """How the newest run stands."""
        run = self.current
        if run is None:
            return "none"
        if self._is_running(run):
            # One that was asked before it began may have taken the question for a killed one's.
            return "stopping" if self._asked_to_stop and (run.path / STOP).is_file() else "running"
        outcome = self._outcome_of(run)
        if outcome is None or (outcome.stopped and self._could_not_go_on(run)):
            return "failed"
        return "stopped" if outcome.stopped else "done"

    @property
    def outcome(self) -> Outcome | None:
        """What the newest run came to, None while it isn't over."""
        run = self.current
        return None if run is None or self._is_running(run) else self._outcome_of(run)

    @property
    def result(self) -> Path | None:
        """The newest run's checkpoint, None if it made none."""
        run = self.current
        found = (
            [] if run is None else [p for p in run.path.glob("*.safetensors") if not p.name.startswith(".")]
        )
        return found[0] if found else None

    @property
    def can_resume(self) -> bool:
        """Whether the newest run ended before its end and has a state to go on from."""
        run = self.current
        kept = run is not None and (run.has_state or run.has_best) and (run.path / _ARGUMENTS).is_file()
        return kept and self.state in ("stopped", "failed")

    # What is done to it

    def new_folder(self, suffix: str = "") -> Path:
        """Where the next run will be."""
        name, newest = f"{datetime.now():%Y-%m-%d-%H%M%S}{suffix}", self.current
        if newest is not None and newest.path.name >= name:  # the clock was set back
            name = f"{newest.path.name}-2{suffix}"
        return self._folder / name

    def start(self, recipe: Recipe, base: Path) -> None:
        """Starts a training of the checkpoint `base` in recipe.state. Raises InputError."""
        before = self.current
        try:
            recipe.state.mkdir(parents=True)
            needed, free = _ROOM * base.stat().st_size, shutil.disk_usage(recipe.state).free
            if free < needed:
                recipe.state.rmdir()
                text = _("A training needs {needed} MB of disk, and '{folder}' has {free} MB: make room.")
                raise InputError(
                    text.format(needed=needed >> 20, free=free >> 20, folder=recipe.state.parent)
                )
        except OSError as error:
            raise not_written(recipe.state, error.strerror) from error
        try:
            save_arguments(recipe.state / _ARGUMENTS, recipe.finetuning())
            self._launch(recipe.state)
        except InputError:
            # It would hide the one before, with its result.
            shutil.rmtree(recipe.state, ignore_errors=True)
            raise
        self._forget_states({recipe.state, *([before.path] if before else [])})

    def resume(self) -> None:
        """Goes on with the newest run. Raises InputError."""
        if not self.can_resume:
            raise InputError(_("There is no training to go on with: start one."))
        self._launch(self.current.path)

    def stop(self) -> None:
        """Asks the run to end between two steps; its best weights are judged and kept. Raises OutputError.

        While it only prepares, it ends at once.
        """
        if self.state == "running":
            self.current.ask_to_stop()
            self._asked_to_stop = True

    def adopt(self, result: Path) -> None:
        """Takes a checkpoint from elsewhere, with what lies beside it of its training, as the newest run.

        Raises OutputError.
        """
        folder = self.new_folder("-imported")
        beside = folder.with_name(f".{folder.name}")
        try:
            beside.mkdir(parents=True)
            for path in (result, result.with_suffix(".json"), result.parent / OUTCOME):
                if path.is_file():
                    shutil.copyfile(path, beside / path.name)
            for side in ("before", "after"):
                if (result.parent / side).is_dir():
                    shutil.copytree(result.parent / side, beside / side)
            if not (beside / OUTCOME).is_file():
                write_outcome(beside / OUTCOME, Outcome((), 0, 0.0, written=True))
            beside.rename(folder)
        except OSError as error:
            raise not_written(folder, error.strerror) from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def wait(self, seconds: float) -> None:
        """Gives the run's process time to get on."""
        if self._process is not None:
            self._process.wait(seconds)

    # What it says

    def status(self) -> Status:
        """How the newest run stands, in a sentence."""
        state, run = self.state, self.current
        if state == "none":
            return Status("ready", _("Collect some cases, then press 'Train'."))
        if state in ("running", "stopping"):
            return working(run.progress, state == "stopping")
        if state == "stopped":
            if not self.can_resume:
                return Status("done", _("Stopped. What was best so far is judged below."))
            return Status("done", _("Stopped. What was best so far is judged below; 'Resume' goes on."))
        if state == "done":
            return Status("done", _("The training is over."))
        return Status("error", self._why_it_failed(run))

    def _why_it_failed(self, run: RunFolder) -> str:
        try:
            _outcome = run.outcome
        except InputError as error:
            return str(error)
        progress, code = _progress_of(run), self._exit_code(run)
        if progress is not None and progress.phase == "failed":
            return progress.message
        words = last_words(run.path / LOG)
        if code == _WRONG_INPUT and words:
            return words
        step = 0 if progress is None else progress.step
        if code is not None and code < 0:
            text = _("The training was ended from outside at step {step}, most likely for lack of memory.")
        elif code is None:
            text = _("The training was cut off at step {step}: the computer or the process was switched off.")
        else:
            text = _("The training broke off at step {step}: {words}")
        text = text.format(step=step, words=words)
        if run.has_state:
            return " ".join([text, _("'Resume' goes on from the last saved step.")])
        if run.has_best:
            return " ".join([text, _("The best weights so far are kept: 'Resume' goes on to better them.")])
        return " ".join([text, _("Nothing was saved yet: start it again.")])

    # What became of the results

    def note_installed(self, path: Path, previous: str) -> None:
        """Remembers where a result was installed, and which checkpoint it replaced. Raises OutputError."""
        self._write_installed([*self._read_installed(), (path, previous)])

    def forget_installed(self, path: Path) -> None:
        """A result was taken back. Raises OutputError."""
        self._write_installed([one for one in self._read_installed() if one[0] != path])

    def installed(self) -> Path | None:
        """Where the newest run's result is installed, None if nowhere.

        An earlier result of the same run, which was resumed since, doesn't count.
        """
        result = self.result
        paths = [path for path, _previous in self._read_installed()] if result is not None else []
        return next((path for path in reversed(paths) if _are_same(result, path)), None)

    def last_installed(self) -> tuple[Path, str] | None:
        """Of all results that are installed the last, of whatever run, and which checkpoint it replaced."""
        return next(reversed(self._read_installed()), None)

    def _read_installed(self) -> list[tuple[Path, str]]:
        """All results that were installed and are still there, in that order."""
        try:
            noted = json.loads((self._folder / _INSTALLED).read_text(encoding="utf-8"))
            found = [(Path(one["path"]), str(one["previous"])) for one in noted]
        except (OSError, ValueError, KeyError, TypeError):
            return []  # the list in ENSAMSegment has them all the same
        return [one for one in found if one[0].is_file()]

    def _write_installed(self, noted: list[tuple[Path, str]]) -> None:
        document = [{"path": str(path), "previous": previous} for path, previous in noted]
        write_text(self._folder / _INSTALLED, json.dumps(document))

    def _launch(self, folder: Path) -> None:
        arguments = _where_it_is(folder, read_arguments(folder / _ARGUMENTS))
        RunFolder(folder).forget_stop()
        self._process = self._start(self._python, arguments, folder / LOG)
        self._asked_to_stop = False

    def _forget_states(self, kept: set[Path]) -> None:
        """Of older trainings, which nothing here goes on with: a state is seven times its checkpoint."""
        with contextlib.suppress(OSError):
            for path in self._folder.glob(f"*/{STATE}"):
                run = RunFolder(path.parent)
                if path.parent not in kept and _IS_RUN.match(path.parent.name) and not run.is_alive:
                    path.unlink()

    def _outcome_of(self, run: RunFolder) -> Outcome | None:
        """What it came to, None if nothing or nothing that can be read, which `status` says."""
        try:
            return self._outcomes.of(lambda: run.outcome, run.path / OUTCOME)
        except InputError:
            return None

    def _could_not_go_on(self, run: RunFolder) -> bool:
        """Whether a stopped run was resumed and ended before it began: what it came to is that of before."""
        if self._exit_code(run) not in (None, *_ENDED_WELL):
            return True
        progress = _progress_of(run)
        return progress is not None and progress.phase in ("prepare", "before", "failed")

    def _exit_code(self, run: RunFolder) -> int | None:
        """Of the run's process; None while that runs, and of one that another Slicer started."""
        return self._process.exit_code if self._is_own(run) else None

    def _is_running(self, run: RunFolder) -> bool:
        return self._process.exit_code is None if self._is_own(run) else run.is_alive

    def _is_own(self, run: RunFolder) -> bool:
        return self._process is not None and self._process.log.parent == run.path


def _where_it_is(folder: Path, arguments: list[str]) -> list[str]:
    """A run's arguments, although its folder was moved with the cases and the cache since it was begun."""
    state = next((Path(after) for one, after in pairwise(arguments) if one == "--state"), folder)
    old, new = (f"{path.parent.parent.as_posix()}/" for path in (state, folder))
    return [new + one.removeprefix(old) if one.startswith(old) else one for one in arguments]


def _are_same(one: Path, other: Path) -> bool:
    try:
        return filecmp.cmp(one, other, shallow=False)  # it remembers what it has compared
    except OSError:
        return False
