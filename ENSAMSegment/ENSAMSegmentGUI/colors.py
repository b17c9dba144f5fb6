"""The colours of what should stand out, to be read on a light window and on a dark one."""

from __future__ import annotations

import qt

Color = tuple[str, str]  # on a light window, and on a dark one

# On Slicer's windows each has the contrast that WCAG asks for, 4.5; no single colour has it on both.
GOOD: Color = ("#1b6e32", "#81c784")
DOUBTFUL: Color = ("#8a5a00", "#ffb74d")
BAD: Color = ("#c62828", "#ef9a9a")

_MIDDLE = 128  # of a lightness from 0 to 255


def color_in(widget: qt.QWidget, color: Color) -> str:
    """The one of the two that can be read in this widget, as "#rrggbb".

    Ask a widget that has no style sheet: with one of its own it doesn't follow the application's palette.
    """
    on_light, on_dark = color
    return on_dark if widget.palette.color(qt.QPalette.Window).lightness() < _MIDDLE else on_light


def style(widget: qt.QWidget, color: Color) -> str:
    """A style sheet for a sentence that should stand out in this widget, see `color_in`."""
    return f"color: {color_in(widget, color)}; font-weight: bold;"
