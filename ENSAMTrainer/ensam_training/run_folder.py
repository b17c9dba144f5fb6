"""What a training process leaves in its folder for whoever watches it from another process.

The files are progress.json (what it is at), outcome.json (what it came to), alive (touched every two
seconds), stop (made by the watcher: end, between two steps with the best so far), and before, after: folders
of the judged masks. Nothing is loaded here but the standard library and numpy: the watcher is an application
that can't be expected to have torch.
"""

from __future__ import annotations

import _thread
import contextlib
import json
import math
import os
import signal
import threading
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from ensam.errors import InputError, OutputError
from ensam.files import not_written, replacing, write_text
from ensam.masks import MaskCrop

PROGRESS, OUTCOME, ALIVE, STOP = "progress.json", "outcome.json", "alive", "stop"
STATE, BEST = "state.pt", "best.pt"
_ALIVE_SECONDS = 2.0
_WATCH_SECONDS = 2.5 * _ALIVE_SECONDS
_DEAD_SECONDS = 15.0  # without a sign of life
_CLOCKS_DIFFER = 300.0  # seconds that a drive's may be ahead; beyond that this one's was set back
_WRITE_SECONDS = 0.5
Told = TypeVar("Told")


@dataclass(frozen=True)
class Progress:
    """What a run is at.

    phase: "prepare", "before" and "after" (judging), "train", then "done", "stopped" or "failed".
    share: of the training, 0..1. seconds_left: of the training, None while it isn't known.
    dice: of the held-out objects at the last look, the mean over box and clicks. message: what the user must
    know, such as why it failed.
    """

    phase: str
    share: float = 0.0
    step: int = 0
    seconds_left: float | None = None
    dice: float | None = None
    message: str = ""

    @property
    def is_over(self) -> bool:
        return self.phase in ("done", "stopped", "failed")


@dataclass(frozen=True)
class Comparison:
    """The Dice of one held-out object after the box and after each click, before and after training."""

    case: str
    label: int
    before: tuple[float, ...]
    after: tuple[float, ...]


@dataclass(frozen=True)
class Outcome:
    """What fine-tuning came to. written: whether there is a new checkpoint; stopped: the user ended it early;
    warning: what makes the judgement worth less than it looks, or ""."""

    comparisons: tuple[Comparison, ...]
    steps: int
    minutes: float
    written: bool
    stopped: bool = False
    warning: str = ""

    @property
    def gain(self) -> float:
        """By how much the Dice rose, in the mean over objects, box and clicks."""
        if not self.comparisons:
            return 0.0
        return float(np.mean([np.subtract(c.after, c.before) for c in self.comparisons]))


class RunFolder:
    """The watcher's side of a run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @property
    def progress(self) -> Progress | None:
        """What the run said last, None if nothing."""
        return _read(self.path / PROGRESS, _to_progress)

    @property
    def outcome(self) -> Outcome | None:
        """What it came to, None as long as it isn't over."""
        return _read(self.path / OUTCOME, _to_outcome)

    @property
    def is_alive(self) -> bool:
        """Whether a process is at work, of whatever parent."""
        try:
            age = time.time() - (self.path / ALIVE).stat().st_mtime
        except OSError:
            return False
        return -_CLOCKS_DIFFER < age < _DEAD_SECONDS

    def is_taken(self) -> bool:
        """For a process that begins here: whether another one is at work, whatever the clocks say.

        One that was killed leaves its sign of life, which is watched for some seconds, and maybe a request to
        stop, which was not for the next one and goes. Raises OutputError.
        """
        alive, stop = self.path / ALIVE, self.path / STOP
        seen, asked = _changed(alive), _changed(stop)
        if seen is None:
            return False
        time.sleep(_WATCH_SECONDS)
        if _changed(alive) not in (seen, None):
            return True
        if asked is not None and asked < seen + _DEAD_SECONDS and _changed(stop) == asked:
            self.forget_stop()
        return False

    @property
    def has_state(self) -> bool:
        """Whether there is a state to go on from."""
        return (self.path / STATE).is_file()

    @property
    def has_best(self) -> bool:
        """Whether weights are kept that did better than the base; they are never lost by going on."""
        return (self.path / BEST).is_file()

    def ask_to_stop(self) -> None:
        """The run ends between two steps, judges its best weights and keeps its state. Raises OutputError.

        While it only prepares, it ends at once.
        """
        write_text(self.path / STOP, "")

    def forget_stop(self) -> None:
        """Asks the next process no more: one that was killed leaves the question. Raises OutputError."""
        try:
            (self.path / STOP).unlink(missing_ok=True)
        except OSError as error:
            raise not_written(self.path / STOP, error.strerror) from error

    def masks(self, case: str, label: int) -> tuple[MaskCrop, MaskCrop] | None:
        """The judged masks of an object, before and after, on the case's grid. None if there are none."""
        found = [_read_mask(self.path / side / _name(case, label)) for side in ("before", "after")]
        return None if None in found else (found[0], found[1])


def _interrupt() -> None:
    """A KeyboardInterrupt for the main thread."""
    if hasattr(signal, "pthread_kill"):  # wakes it where it waits, too
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    else:
        _thread.interrupt_main()


def _changed(path: Path) -> float | None:
    """When a file was written, None if it isn't there."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None


class Reporter:
    """The run's side: says what it is at, and that it is alive. A full disk doesn't end a training."""

    def __init__(self, path: Path) -> None:
        """Raises OutputError when the folder can't be made."""
        self.path = Path(path)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._written, self._phase = 0.0, ""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"The folder '{path}' can't be used: choose one that you may write to and that has room."
            ) from error

    def __enter__(self) -> Self:
        self._try((self.path / ALIVE).touch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        # Not at the beginning: whoever started this process may have asked already.
        for name in (STOP, ALIVE):
            self._try((self.path / name).unlink)

    @property
    def stop_file(self) -> Path:
        return self.path / STOP

    def say(self, progress: Progress, always: bool = True) -> None:
        """Tells the watcher; without `always` only if it has been a while."""
        self._phase = progress.phase
        if always or time.monotonic() - self._written > _WRITE_SECONDS:
            self._written = time.monotonic()
            self._try(lambda: write_text(self.path / PROGRESS, json.dumps(asdict(progress))))

    def forget_outcome(self) -> None:
        """What an attempt that was stopped came to is known no more: this one goes on from it."""
        self._try(lambda: (self.path / OUTCOME).unlink(missing_ok=True))

    def finish(self, outcome: Outcome) -> None:
        """The last word. Raises OutputError: without it nobody would know."""
        write_outcome(self.path / OUTCOME, outcome)
        self.say(Progress("stopped" if outcome.stopped else "done", 1.0, outcome.steps))

    def end_early(self) -> None:
        """It was asked to stop before it trained: what an attempt before came to still holds."""
        if RunFolder(self.path).outcome is None:
            self.finish(Outcome((), 0, 0.0, False, stopped=True))
        else:
            self.say(Progress("stopped"))

    def keep_mask(self, side: str, case: str, label: int, mask: MaskCrop) -> None:
        """Keeps a judged mask to look at; side: "before" or "after"."""
        self._try(lambda: _write_mask(self.path / side / _name(case, label), mask))

    def _live(self) -> None:
        while not self._ended.wait(_ALIVE_SECONDS):
            self._try((self.path / ALIVE).touch)
            if self._phase in ("prepare", "before") and os.path.exists(self.stop_file):
                self._phase = ""
                _interrupt()  # nothing is lost yet; later on it is StopRequest that asks, between steps

    def _try(self, write: Callable[[], object]) -> None:
        # What the watcher sees is old where this fails; a full disk is said where the state can't be saved.
        with contextlib.suppress(OSError, OutputError):
            write()


def write_outcome(path: Path, outcome: Outcome) -> None:
    """Whole or not at all. Raises OutputError."""
    write_text(path, json.dumps(asdict(outcome)))


def _name(case: str, label: int) -> str:
    return f"{case}.{label}.npz"


def _write_mask(path: Path, mask: MaskCrop) -> None:
    path.parent.mkdir(exist_ok=True)
    trimmed = mask.trimmed()
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, mask=trimmed.mask, offset=np.array(trimmed.offset))


def _read_mask(path: Path) -> MaskCrop | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            mask, offset = stored["mask"], stored["offset"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    return MaskCrop(mask.astype(bool), tuple(int(v) for v in offset))


def _read(path: Path, convert: Callable[[Any], Told]) -> Told | None:
    """A file of one's own making, or None where there is none yet. Raises InputError when it is damaged."""
    try:
        return convert(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"'{path}' is damaged: start the training again.") from error


def _to_progress(values: Any) -> Progress:
    left, dice = (None if values[key] is None else _number(values[key]) for key in ("seconds_left", "dice"))
    return Progress(
        _is(str, values["phase"]),
        _number(values["share"]),
        _is(int, values["step"]),
        left,
        dice,
        _is(str, values["message"]),
    )


def _to_outcome(values: Any) -> Outcome:
    return Outcome(
        tuple(map(_to_comparison, _is(list, values["comparisons"]))),
        _is(int, values["steps"]),
        _number(values["minutes"]),
        _is(bool, values["written"]),
        _is(bool, values["stopped"]),
        _is(str, values["warning"]),
    )


def _to_comparison(values: Any) -> Comparison:
    before, after = (tuple(map(_number, _is(list, values[side]))) for side in ("before", "after"))
    if len(before) != len(after) or not before:
        raise ValueError("not as many before as after")
    return Comparison(_is(str, values["case"]), _is(int, values["label"]), before, after)


def _is(kind: type[Told], value: Any) -> Told:
    if type(value) is not kind:
        raise TypeError(f"not of type {kind}")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise TypeError("no number")
    return float(value)
