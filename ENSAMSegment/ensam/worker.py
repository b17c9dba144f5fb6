"""One thread that segments, so that whoever asks need not wait.

Nothing here imports torch before the first job runs: the panel works before torch is installed.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent import futures
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from ensam.errors import Cancelled, InputError
from ensam.masks import MaskCrop
from ensam.preprocessing import IntensityChoice
from ensam.prompts import PromptSet
from ensam.volume import Volume

if TYPE_CHECKING:
    from ensam.planning import Preview
    from ensam.segmentation import Segmentation
    from ensam.session import InteractiveSession


@dataclass(frozen=True)
class Settings:
    """What decides which network answers, and where: checkpoint is a path, "" the shipped one."""

    checkpoint: str = ""
    device: str = "auto"
    intensity: IntensityChoice = "auto"


@dataclass(frozen=True, eq=False)
class Request:
    """One object, or several that share out the voxels: prompts and previous masks in the same order."""

    volume: Volume
    prompts: tuple[PromptSet, ...]
    previous: tuple[MaskCrop | None, ...]
    settings: Settings


def open_session(settings: Settings) -> InteractiveSession:
    """A session of its own for these settings. Raises CheckpointError and InputError."""
    try:
        from ensam.session import InteractiveSession
    except ImportError as error:
        raise InputError(
            f"The package '{error.name}' is missing: install PyTorch and safetensors, in Slicer by the "
            "button in ENSAM's panel."
        ) from error

    return InteractiveSession(settings.checkpoint or None, settings.device)


class Job:
    """A request on its way. Its fields are written by the worker and may be read at any time."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.opens_session = False  # the network is being loaded, which takes longer than an answer
        self.preview: Preview | None = None
        self.expected_s: float | None = None  # of the encoder, as it took for other windows; None: not known
        self.started: float | None = None  # time.monotonic() when the network began
        self.stopped = threading.Event()
        self._future: futures.Future[tuple[Segmentation, ...]] = futures.Future()

    def cancel(self) -> None:
        """Nobody waits for it any more: it is given up at the next occasion."""
        self.stopped.set()
        self._future.cancel()

    def wait(self, seconds: float) -> bool:
        """Whether it is done within so many seconds. Meanwhile the worker has Python to itself."""
        if not self._future.done():  # a cancelled one would be waited for in vain
            futures.wait([self._future], seconds)
        return self._future.done()

    @property
    def error(self) -> BaseException | None:
        """What went wrong in a job that is done; Cancelled for one that never had its turn."""
        return Cancelled() if self._future.cancelled() else self._future.exception()

    @property
    def results(self) -> tuple[Segmentation, ...]:
        """The answers in the order of the request's prompts. Raises what went wrong."""
        if self._future.cancelled():
            raise Cancelled
        return self._future.result()


class _Opened(threading.local):
    """The session of a worker's thread and what it was opened for. It goes with its thread, even if that was
    still opening it when the worker was closed."""

    key: Hashable = None
    session: InteractiveSession | None = None


class Worker:
    """Runs jobs one after the other, in one thread for good: a GPU's plans are kept by thread."""

    def __init__(self, open_session: Callable[[Settings], InteractiveSession] = open_session) -> None:
        self._open_session = open_session
        self._executor: futures.ThreadPoolExecutor | None = None
        self._opened = _Opened()
        # Seconds that the encoder took for a voxel of its window, by device: the estimate for the next.
        self.encode_rates: dict[str, float] = {}

    def submit(self, request: Request) -> Job:
        if self._executor is None:
            self._executor = futures.ThreadPoolExecutor(1, thread_name_prefix="ENSAM")
        job = Job(request)
        job._future = self._executor.submit(self._run, job)
        return job

    def forget(self) -> None:
        """Give back what is kept of images, after the jobs that are on their way."""
        if self._executor is not None:
            self._executor.submit(lambda: self._opened.session and self._opened.session.forget())

    def close(self) -> None:
        """Ends the thread after the job that runs now, and with it goes the memory."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
        self._executor = None

    def _run(self, job: Job) -> tuple[Segmentation, ...]:
        if job.stopped.is_set():
            raise Cancelled
        request = job.request
        key = self._key(request.settings)
        job.opens_session = key != self._opened.key
        session = self._session(key, request.settings)
        session.set_volume(request.volume)
        try:
            job.preview = session.preview_all(request.prompts, request.previous)
            if job.preview.runs_encoder and job.preview.device in self.encode_rates:
                job.expected_s = self.encode_rates[job.preview.device] * prod(job.preview.window_voxels)
            job.started = time.monotonic()
            results = session.segment_all(
                request.prompts, request.previous, job.stopped.is_set, clicks_exclude=True
            )
        finally:
            # The network stays loaded; the image is the asker's.
            session.set_volume(None)
        self._learn(job.preview, results)
        return results

    @staticmethod
    def _key(settings: Settings) -> Hashable:
        """What a session was opened for: another file may have come under the same path meanwhile."""
        stamp = None
        if settings.checkpoint:
            with suppress(OSError):  # whoever opens it tells what is wrong
                found = os.stat(settings.checkpoint)
                stamp = found.st_mtime_ns, found.st_size
        return settings.checkpoint, stamp, settings.device

    def _session(self, key: Hashable, settings: Settings) -> InteractiveSession:
        opened = self._opened
        if opened.key != key:
            # The old one's memory must be free before the new one's is taken.
            opened.key = opened.session = None
            opened.session = self._open_session(settings)
            opened.key = key
        opened.session.intensity = settings.intensity
        return opened.session

    def _learn(self, preview: Preview, results: Sequence[Segmentation]) -> None:
        seconds = max((r.timings.encode_s for r in results), default=0.0)
        # What ended on another device, or with a smaller window, tells nothing of the one that was foreseen.
        if seconds and not any(r.warnings for r in results):
            self.encode_rates[preview.device] = seconds / prod(preview.window_voxels)
