"""Which clicks begin a lesion of their own."""

from __future__ import annotations

from ensam.prompts import Point, PromptSet


def new_lesions(known: PromptSet, muted: PromptSet, now: PromptSet) -> list[Point]:
    """The foreground points that were clicked beside the prompts of a segment that has some already.

    None for the first click of a segment, where points were moved or deleted, and for a muted point that
    counts again.
    """
    if known.is_empty or not set(known.points) <= set(now.points):
        return []
    before = {*known.points, *muted.points}
    return [point for point in now.points if point.foreground and point not in before]
