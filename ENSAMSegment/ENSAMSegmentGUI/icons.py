"""The signs of the prompts, in the colours that the prompts have in the views."""

from __future__ import annotations

import qt

_COLORS = {
    "box": (230, 170, 30),
    "foreground": (40, 170, 70),
    "background": (220, 60, 60),
    "segment": (60, 130, 210),
}
_SIZE = 48  # drawn larger than shown, so that it is sharp on dense screens


def sign_icon(kind: str) -> qt.QIcon:
    """An outline for a box, a plus or a minus for a point, a plus on a square for a segment."""
    pixmap = qt.QPixmap(_SIZE, _SIZE)
    pixmap.fill(qt.QColor(0, 0, 0, 0))
    painter = qt.QPainter(pixmap)
    painter.setRenderHint(qt.QPainter.Antialiasing)
    color = qt.QColor(*_COLORS[kind])
    if kind == "box":
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
