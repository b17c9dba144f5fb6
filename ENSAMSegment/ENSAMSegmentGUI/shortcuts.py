"""Keys that work while the panel is in use, and at no other time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import qt
import slicer


class Shortcuts:
    """Keys of the main window.

    They take none of Slicer's menus, of the Segment Editor (0-9, Q, W, Z, Y, I, Space, Esc, , . < > / *) or
    of its effects (A and X in Draw). F and B browse a slice view that has the focus; while the panel is in
    use they place points, and the wheel and the arrow keys browse.
    """

    def __init__(self, actions: Mapping[str, Callable[[], None]]) -> None:
        self._actions = dict(actions)
        self._installed: list[tuple[qt.QShortcut, Callable[[], None]]] = []

    def install(self) -> None:
        """Turn the keys on. Without a main window there are none."""
        window = slicer.util.mainWindow()
        if window is None or self._installed:
            return
        for key, action in self._actions.items():
            shortcut = qt.QShortcut(qt.QKeySequence(key), window)
            # A key that is held would go on making segments.
            shortcut.autoRepeat = False
            shortcut.connect("activated()", action)
            self._installed.append((shortcut, action))

    def remove(self) -> None:
        """Turn the keys off."""
        for shortcut, action in self._installed:
            shortcut.disconnect("activated()", action)
            # It is deleted later, since this may be what its key asked for, and until then would take the key
            # from the next one. Without its parent PythonQt would delete it at once.
            shortcut.enabled = False
            shortcut.deleteLater()
        self._installed.clear()
