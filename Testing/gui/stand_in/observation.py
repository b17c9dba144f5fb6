"""Observers of MRML that end with the Qt object they belong to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakMethod, WeakSet

import shiboken6
from PySide6.QtCore import QObject

_all: WeakSet[Observations] = WeakSet()


class Observations:
    """What one Qt object observes.

    The methods are held weakly: Python's garbage collector must not find Qt objects in cycles with VTK ones.
    """

    def __init__(self) -> None:
        self._kept: list[tuple[Any, int]] = []
        _all.add(self)

    def add(self, target: Any, event: Any, method: Callable[[], None]) -> None:
        held = WeakMethod(method)

        def called(*_: Any) -> None:
            alive = held()
            if alive is not None and _is_usable(alive.__self__):
                alive()

        self._kept.append((target, target.AddObserver(event, called)))

    def clear(self) -> None:
        for target, tag in self._kept:
            target.RemoveObserver(tag)
        self._kept.clear()


def end_all() -> None:
    for each in list(_all):
        each.clear()


def _is_usable(owner: Any) -> bool:
    return not isinstance(owner, QObject) or shiboken6.isValid(owner)
