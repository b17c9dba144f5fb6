"""What the panel writes of cases and comparisons, and in which colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ENSAMSegmentGUI.colors import BAD, DOUBTFUL, GOOD, Color
from slicer.i18n import tr as _

if TYPE_CHECKING:
    from ENSAMTrainerLib.values import CaseRow

_ARROW = "\N{RIGHTWARDS ARROW}"


def state_color(state: str) -> Color | None:
    """None where there is nothing to say."""
    return {"good": GOOD, "warned": DOUBTFUL, "refused": BAD}.get(state)


def state_text(case: CaseRow) -> str:
    """What the check came to, with its remark."""
    states = {
        "unchecked": _("Not checked yet"),
        "good": _("Good"),
        "warned": _("Usable"),
        "refused": _("Can't be used"),
    }
    if not case.remark:
        return states[case.state]
    return _("{state}: {remark}").format(state=states[case.state], remark=case.remark)


def case_text(case: CaseRow) -> str:
    """All that is known of a case."""
    if not case.added:
        return _("{name}: {remark}").format(name=case.name, remark=case.remark)
    return _("{name}, from {source}, added {date}, {prompts} prompts. {state}").format(
        name=case.name, source=case.source, date=case.added, prompts=case.prompts, state=state_text(case)
    )


def cases_text(cases: Sequence[CaseRow]) -> str:
    """One line on the collection, or what to do first."""
    if not cases:
        return _(
            "No cases yet. Add what you have corrected: it is copied into a folder on this computer, and "
            "nothing leaves it."
        )
    refused = sum(case.state == "refused" for case in cases)
    unchecked = sum(case.state == "unchecked" for case in cases)
    if unchecked:
        return _("{count} cases, {unchecked} not checked yet.").format(count=len(cases), unchecked=unchecked)
    if refused:
        return _("{count} cases, {refused} can't be used.").format(count=len(cases), refused=refused)
    return _("{count} cases, all can be used.").format(count=len(cases))


def dice_text(before: float, after: float) -> str:
    """As in "0.665 -> 0.716", with an arrow."""
    return f"{before:.3f} {_ARROW} {after:.3f}"


def dice_color(before: float, after: float) -> Color | None:
    """None where both read the same."""
    if f"{before:.3f}" == f"{after:.3f}":
        return None
    return GOOD if after > before else BAD
