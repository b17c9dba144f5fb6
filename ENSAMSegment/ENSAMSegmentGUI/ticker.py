"""Calls the logic back while it has something to do."""

from __future__ import annotations

import math
from collections.abc import Callable

import qt

from .reporting import errors_shown

# Slicer's event loop holds Python's lock: a thread gets on only while Python itself waits. The logic waits
# this long for its worker in each call, short enough for the views to stay smooth.
WAIT_S = 0.02


class Ticker:
    """A timer: calls `poll(WAIT_S)` again after the seconds that the last call gave, till it gives None."""

    def __init__(self, poll: Callable[[float], float | None]) -> None:
        self._poll = poll
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", self._tick)

    def wake(self) -> None:
        """Something changed: ask the logic as soon as the event loop is free."""
        self._timer.start(0)

    def stop(self) -> None:
        """Ask no more until the next `wake`."""
        self._timer.stop()

    def cleanup(self) -> None:
        """For good."""
        self.stop()
        self._timer.disconnect("timeout()", self._tick)

    def _tick(self) -> None:
        delay_s = None
        with errors_shown():
            delay_s = self._poll(WAIT_S)
        # What the call itself changed has woken the timer: only its answer counts.
        if delay_s is None:
            self._timer.stop()
        else:
            self._timer.start(math.ceil(1000 * delay_s))
