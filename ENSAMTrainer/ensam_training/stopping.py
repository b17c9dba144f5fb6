"""Ending a run between two steps when the user or the machine asks for it, so that nothing is lost."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Self


class StopRequest:
    """Inside `with`, Ctrl+C and SIGTERM only raise a flag; the second Ctrl+C interrupts as always.

    Signals reach the main thread alone; elsewhere the flag stays down. file: one whose appearance asks as
    well, since a process without a terminal can't be sent a signal on every system.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._signalled, self._file = False, file
        self._earlier: dict[int, signal.Handlers] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._earlier[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

    @property
    def made(self) -> bool:
        return self._signalled or (self._file is not None and os.path.exists(self._file))

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._signalled:
            raise KeyboardInterrupt
        self._signalled = True
