"""The signs of the prompts, in the colours that the prompts have in the views."""

from __future__ import annotations

import qt
from ENSAMSegmentLib.prompt_style import COLORS

_BLUE = (0.23, 0.5, 0.82)
_SIZE = 48  # drawn larger than shown, so that it is sharp on dense screens


def sign_icon(kind: str, color: qt.QColor | None = None) -> qt.QIcon:
    """An outline for a box, a plus or a minus for a point, a plus on a square for a segment.

    And in the given colour, that of the text beside it, an eye for prompts that are "shown", crossed out for
    "hidden" ones.
    """
    pixmap = qt.QPixmap(_SIZE, _SIZE)
    pixmap.fill(qt.QColor(0, 0, 0, 0))
    painter = qt.QPainter(pixmap)
    painter.setRenderHint(qt.QPainter.Antialiasing)
    if color is None:
        color = qt.QColor(*(round(255 * part) for part in COLORS.get(kind, _BLUE)))
    if kind in ("shown", "hidden"):
        painter.setPen(qt.QPen(color, 4))
        painter.drawEllipse(4, 12, 40, 24)
        painter.setBrush(qt.QBrush(color))
        painter.drawEllipse(18, 18, 12, 12)
        if kind == "hidden":
            painter.drawLine(8, 42, 40, 6)
    elif kind == "box":
        painter.setPen(qt.QPen(color, 5))
        painter.drawRect(8, 10, 32, 28)
    else:
        painter.setPen(qt.QPen(color, 1))
        painter.setBrush(qt.QBrush(color))
        if kind == "segment":
            painter.drawRoundedRect(5, 5, 38, 38, 8, 8)
        else:
            painter.drawEllipse(5, 5, 38, 38)
        painter.setPen(qt.QPen(qt.QColor(255, 255, 255), 5))
        painter.drawLine(14, 24, 34, 24)
        if kind != "background":
            painter.drawLine(24, 14, 24, 34)
    painter.end()
    return qt.QIcon(pixmap)
