"""The keys of the segment editor. A module that installs them must not take them for something else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any


def keys_of(editor: Any) -> Iterator[tuple[str, Callable[[], None]]]:
    """Each key and what it does."""
    for first, modifier in ((1, ""), (11, "Shift+")):
        for at in range(10):
            yield f"{modifier}{(at + 1) % 10}", partial(_toggle, editor, first + at)
    yield "Esc", partial(editor.setActiveEffect, None)
    yield "Space", editor.toggle_last_effect
    yield from (
        ("Z", editor.undo),
        ("Ctrl+Z", editor.undo),
        ("Y", editor.redo),
        ("Ctrl+Shift+Z", editor.redo),
    )
    for before, after in (("Q", "W"), ("/", "*"), (",", "."), (">", "<")):
        yield before, editor.selectPreviousSegment
        yield after, editor.selectNextSegment
    yield "I", editor.toggleSourceVolumeIntensityMaskEnabled


def _toggle(editor: Any, index: int) -> None:
    effect = editor.effectByIndex(index)
    editor.setActiveEffect(None if effect is editor.activeEffect() else effect)
