"""`python stoppable.py FILE MODULE ARGUMENTS...` runs a Python module, as `-m` does, while the file is there.

For pip. Slicer's Python is started by a launcher, and who ends that leaves pip at work behind it. So pip is
interrupted from within, as by Ctrl+C: it takes away what it has downloaded in part. Once it unpacks packages
it is left to finish: half a package is worse than one too many.
"""

from __future__ import annotations

import _thread
import os
import runpy
import signal
import sys
import threading
import time
from typing import TextIO

_UNPACKING = "Installing collected packages"  # in pip's words
_LOOK_S = 0.2


class _Output:
    """Standard output, which tells whether pip has begun to unpack."""

    def __init__(self, stream: TextIO) -> None:
        self.lock = threading.Lock()
        self.is_unpacking = False
        self._stream = stream

    def write(self, text: str) -> int:
        with self.lock:
            self.is_unpacking |= _UNPACKING in text
        return self._stream.write(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def _interrupt_when_gone(file: str, output: _Output) -> None:
    while os.path.exists(file):
        time.sleep(_LOOK_S)
    with output.lock:
        if not output.is_unpacking:
            _thread.interrupt_main()


def main() -> None:
    """Run the module that the command line names, and interrupt it once the file is gone."""
    file, module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    folder = os.path.dirname(os.path.abspath(__file__))
    sys.path = [path for path in sys.path if path != folder]  # its modules aren't for others
    sys.stdout = output = _Output(sys.stdout)
    # A program that a shell starts in the background ignores Ctrl+C, and so would all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_interrupt_when_gone, args=(file, output), daemon=True).start()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
