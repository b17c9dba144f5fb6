"""Tells a panel that the application has other colours, as when another style is chosen."""

from __future__ import annotations

from collections.abc import Callable

import qt
import slicer


class PaletteWatch:
    """Calls `changed()` when the widgets have the application's new palette."""

    def __init__(self, changed: Callable[[], None]) -> None:
        # The application tells of another palette before its widgets have it.
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._changed = changed
        self._timer.connect("timeout()", self._changed)
        slicer.app.connect("paletteChanged(QPalette)", self._on_palette)

    def cleanup(self) -> None:
        """For good."""
        slicer.app.disconnect("paletteChanged(QPalette)", self._on_palette)
        self._timer.stop()
        self._timer.disconnect("timeout()", self._changed)

    def _on_palette(self) -> None:
        self._timer.start(0)
