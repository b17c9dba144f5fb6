"""The trainer's short jobs, each in a process of its own: checking, copying, estimating."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from ENSAMSegmentLib.status import Status
from ENSAMSegmentLib.translation import tr as _

from .process import Process, last_words
from .words import task_texts


class Tasks:
    """One job at a time, with its output in `folder`/NAME.txt. What a stopped one has done stays, but for
    half of a recipe."""

    def __init__(self, folder: Path, python: Path, start: Callable[..., Process]) -> None:
        """start: starts a process, see `Process`."""
        self._folder, self._python, self._start = folder, python, start
        self._process: Process | None = None
        self._name = ""
        self._leaves: Path | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def begin(self, name: str, arguments: Sequence[str], leaves: Path | None = None) -> None:
        """Starts a job: "collect", "check", "estimate" or "export". leaves: a folder that is of no use if the
        job is stopped. Raises InputError."""
        log = self._folder / f"{name}.txt"
        log.unlink(missing_ok=True)
        self._process, self._name = self._start(self._python, arguments, log), name
        self._leaves = leaves

    def poll(self, wait_s: float) -> Status | None:
        """Waits a little; what came of the job once it has ended, None before."""
        self._process.wait(wait_s)
        code = self._process.exit_code
        if code is None:
            return None
        log, self._process = self._process.log, None
        words = last_words(log)
        if code != 0:
            return Status("error", words or _("It broke off: see '{log}'.").format(log=log))
        # What a check and an estimate found has places of its own.
        return Status("done", words if self._name in ("collect", "export") else _("Done."))

    def status(self) -> Status:
        """What the job does."""
        return Status("working", task_texts()[self._name])

    def stop(self) -> None:
        """Ends the job at once."""
        if self._process is not None:
            self._process.kill()
            self._process = None
            if self._leaves is not None:
                shutil.rmtree(self._leaves, ignore_errors=True)
