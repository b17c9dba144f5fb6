"""The training library's commands in processes of their own, so that Slicer stays free whatever they do."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ensam
import ensam_training
from ensam.errors import InputError
from ENSAMSegmentLib.translation import tr as _

_TAIL_BYTES = 4096
_NICE = 5  # the views come first


class Process:
    """`python -m ensam_training ARGUMENTS`, whose output goes to a file.

    It goes on when Slicer is closed. Raises InputError when it can't be started.
    """

    def __init__(self, python: Path, arguments: Sequence[str], log: Path) -> None:
        self.log = log
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    [str(python), "-m", "ensam_training", *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=_environment(),
                    **_apart(),
                )
        except OSError as error:
            raise InputError(
                _("The training could not be started ({reason}): check the free disk space.").format(
                    reason=error.strerror
                )
            ) from error
        if hasattr(os, "setpriority"):
            # Of the group: Slicer's Python is started by a launcher.
            nice = max(_NICE, os.getpriority(os.PRIO_PROCESS, 0))  # less is not for users to ask
            os.setpriority(os.PRIO_PGRP, self._process.pid, nice)

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def wait(self, seconds: float) -> bool:
        """Whether it ended within some seconds."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End it at once with all that it has started; for what loses nothing by it."""
        _kill_family(self._process.pid)
        self._process.kill()
        self._process.wait()


def last_words(log: Path) -> str:
    """The last line of a log that says something, "" if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    # A progress bar writes over its own line.
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines()]
    return next((line for line in reversed(lines) if line), "")


def _environment() -> dict[str, str]:
    """This process's, with the two libraries where the other Python finds them."""
    folders = [str(Path(module.__file__).resolve().parents[1]) for module in (ensam, ensam_training)]
    earlier = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([*dict.fromkeys(folders), *([earlier] if earlier else [])])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def _kill_family(pid: int) -> None:
    """Ends a process that was started `_apart`, and its children. What has ended by itself is left alone."""
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        return
    command = ["taskkill", "/T", "/F", "/PID", str(pid)]
    with contextlib.suppress(OSError):
        subprocess.run(command, capture_output=True, creationflags=subprocess.CREATE_NO_WINDOW, check=False)


def _apart() -> dict[str, Any]:
    """What keeps a process running when its parent is closed."""
    if sys.platform != "win32":
        return {"start_new_session": True}
    flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    return {"creationflags": flags | subprocess.BELOW_NORMAL_PRIORITY_CLASS}
