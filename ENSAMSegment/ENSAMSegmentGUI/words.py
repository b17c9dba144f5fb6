"""What the panel writes: numbers and places as a radiologist reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

if TYPE_CHECKING:
    from ensam.measures import Change, Measures

_MINUS = "\N{MINUS SIGN}"
_CUBED = "\N{SUPERSCRIPT THREE}"
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


def measure_text(name: str, measures: Measures | None, change: Change | None) -> str:
    """One line on the selected segment, "" before there is anything to measure."""
    if measures is None:
        return ""
    size = _("{name}: {volume}, {longest} {times} {perpendicular} mm").format(
        name=name,
        volume=volume_text(measures.volume_ml),
        longest=f"{measures.longest_mm:.0f}",
        times=_TIMES,
        perpendicular=f"{measures.perpendicular_mm:.0f}",
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
