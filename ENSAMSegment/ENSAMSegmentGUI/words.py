"""What the panel writes: numbers and places as a radiologist reads them."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

if TYPE_CHECKING:
    from ensam.measures import Change, Measures

_MINUS = "\N{MINUS SIGN}"
_CUBED = "\N{SUPERSCRIPT THREE}"
_SMALL_MM = 20.0
_TIMES = "\N{MULTIPLICATION SIGN}"


def prompt_name(kind: str, index: int) -> str:
    """What a prompt is called in the table; points are counted from 1."""
    if kind == "box":
        return _("Box")
    if kind == "foreground":
        return _("Foreground {number}").format(number=index + 1)
    return _("Background {number}").format(number=index + 1)


def position_text(position_ras: Sequence[float]) -> str:
    """A position with the sides of the patient, as Slicer's status bar has it: "L 4.2, A 11.0, S 60.3"."""
    sides = zip(("R", "A", "S"), ("L", "P", "I"), position_ras, strict=True)
    return ", ".join(
        f"{positive if round(mm, 1) >= 0 else negative} {abs(mm):.1f}" for positive, negative, mm in sides
    )


def placing_text(kind: str) -> str:
    """What a click in a view does while a tool is on, and how to put the tool down; "" for none."""
    if kind == "box":
        return _("Click on two opposite corners of the box. D: stop.")
    if kind == "foreground":
        return _("Click on what belongs to the object. F or a right-click: stop.")
    if kind == "background":
        return _("Click on what doesn't belong to it. B or a right-click: stop.")
    return ""


def measure_text(name: str, measures: Measures | None, change: Change | None) -> str:
    """One line on the selected segment, "" before there is anything to measure. Its diameters are a link."""
    if measures is None:
        return ""
    size = _('{name}: {volume}, <a href="diameters">{longest} {times} {perpendicular} mm</a>').format(
        name=html.escape(name),
        volume=volume_text(measures.volume_ml),
        longest=_length(measures.longest_mm),
        times=_TIMES,
        perpendicular=_length(measures.perpendicular_mm),
    )
    if change is None:
        return size
    return _("{size}; last prompt +{added}, {minus}{removed}").format(
        size=size,
        added=volume_text(change.added_ml),
        minus=_MINUS,
        removed=volume_text(change.removed_ml),
    )


def volume_text(millilitres: float) -> str:
    """A volume; under a tenth of a millilitre it is told in cubic millimetres."""
    if millilitres >= 0.1 or millilitres == 0:
        return _("{volume} mL").format(volume=f"{millilitres:.1f}")
    return _("{volume} mm{cubed}").format(volume=f"{1000 * millilitres:.0f}", cubed=_CUBED)


def _length(mm: float) -> str:
    """Of a small lesion tenths count."""
    return f"{mm:.1f}" if mm < _SMALL_MM else f"{mm:.0f}"
