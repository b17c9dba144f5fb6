"""The same work on many items, on as many processes as the machine has processors."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import SimpleITK as sitk
from ensam.errors import InputError
from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")
_WATCH_SECONDS = 1.0
_GRACE_SECONDS = 5.0  # enough to hand over the windows of a step that is begun
_MOST_ON_WINDOWS = 61  # processes that Python can wait for there
_WORTH_A_PROCESS = 8  # items; starting a process costs about as much as reading a few volumes


def processors() -> int:
    """The processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # not on Windows and macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def serve_parent(_worker: int) -> None:
    """Called in a worker process of torch: signals that end its parent politely leave it time for that.

    Ctrl+C and a cluster's SIGTERM reach all processes of a run, which ends between two steps. To torch a
    worker that dies of a signal is an error; one that leaves by itself, once the windows of the step are
    handed over, is not. It has to leave: at the end of a run that failed its parent waits for it.
    """
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: threading.Timer(_GRACE_SECONDS, os._exit, (0,)).start())


def end_with_parent() -> None:
    """Called in a worker process: it ends when its parent is killed. torch's workers would stay for ever,
    waiting to hand over a window that nobody takes."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        # On Windows a process keeps the number of a parent that is gone; elsewhere other workers may hold
        # open what tells of its end.
        while parent.is_alive() and os.getppid() == parent.pid:
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run_all(
    function: Callable[[Item], Result], items: Sequence[Item], what: str, workers: int | None = None
) -> Iterator[tuple[Item, Result]]:
    """Each item with its result, in the order in which they are done, with a progress bar named `what`.

    By default there is a process for each processor, but none for fewer than eight items; with one worker
    all is done in this process. Errors of `function` are raised here. Raises `InputError` as well when a
    process was killed, and for fewer than one worker.
    """
    if workers is None:
        workers = max(1, min(processors(), len(items) // _WORTH_A_PROCESS))
    if workers < 1:
        raise InputError(f"There can't be {workers} workers: use 1 or more.")
    if sys.platform == "win32":
        workers = min(workers, _MOST_ON_WINDOWS)
    with tqdm(total=len(items), desc=what, unit="case", disable=None) as bar:
        if workers == 1:
            for item in items:
                yield item, function(item)
                bar.update()
            return
        # A process that is forked while torch's threads run may hang, and Windows can't fork.
        context = multiprocessing.get_context("spawn")
        executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)
        try:
            futures = {executor.submit(function, item): item for item in items}
            for future in as_completed(futures):
                yield futures.pop(future), future.result()
                bar.update()
        except BrokenProcessPool as error:
            raise InputError(
                "A worker process was stopped, most likely for lack of memory: let fewer run at once."
            ) from error
        finally:
            executor.shutdown(cancel_futures=True)


def _begin() -> None:
    end_with_parent()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
