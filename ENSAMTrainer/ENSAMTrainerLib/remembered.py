"""What was read of files, kept until they change: a panel asks for it at every turn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

Read = TypeVar("Read")


class Remembered(Generic[Read]):
    """One value and the files or folders that it was read from."""

    def __init__(self) -> None:
        self._stamps: dict[Path, int | None] | None = None
        self._value: Read | None = None

    def of(self, read: Callable[[], Read], *paths: Path) -> Read:
        """What `read` gives; it is called again for other paths, or when one of them has changed since.

        A folder changes when something in it comes, goes or is renamed.
        """
        stamps = {path: _stamp(path) for path in paths}
        if stamps != self._stamps:
            self._value, self._stamps = read(), stamps
        return self._value

    def forget(self) -> None:
        """Read again the next time: file systems tell changes of one moment not apart."""
        self._stamps = None


def _stamp(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
