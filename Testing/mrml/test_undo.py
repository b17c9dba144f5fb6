"""One undo stack for mask and prompts."""

from __future__ import annotations

import numpy as np
import pytest
from ensam.errors import InputError
from ENSAMSegmentLib.prompt_nodes import BOX, FOREGROUND

from .conftest import SHAPE
from .prompting import (
    ALONG_X,
    CENTRE,
    click,
    draw_box,
    paint,
    prompts_of,
    voxels_of,
)


def test_with_updates_off_undo_leaves_the_prompts_that_were_not_asked_for_yet(a_logic):
    a_logic.auto_update = False
    draw_box(a_logic)
    a_logic.run()
    a_logic.wait()
    for step in range(3):
        click(a_logic, CENTRE - (2 + step / 4) * ALONG_X)
    a_logic.undo()
    a_logic.wait()
    assert not voxels_of(a_logic).any()
    assert [kind for kind, _, _ in prompts_of(a_logic)] == [FOREGROUND] * 3
    a_logic.redo()
    a_logic.wait()
    assert [kind for kind, _, _ in prompts_of(a_logic)] == [BOX, *[FOREGROUND] * 3]
    before = voxels_of(a_logic)
    a_logic.run()
    a_logic.wait()
    assert not np.array_equal(voxels_of(a_logic), before)


def test_with_updates_off_undo_leaves_a_box_that_was_not_asked_for_yet(a_logic):
    a_logic.auto_update = False
    click(a_logic)
    a_logic.run()
    a_logic.wait()
    draw_box(a_logic)
    a_logic.undo()
    a_logic.wait()
    assert [kind for kind, _, _ in prompts_of(a_logic)] == [BOX] and a_logic.offers_update


def test_an_undo_that_was_not_seen_takes_the_prompts_along_all_the_same(a_logic):
    """With updates off too: the user was in another module."""
    a_logic.auto_update = False
    draw_box(a_logic)
    a_logic.run()
    a_logic.wait()
    click(a_logic, CENTRE - 2 * ALONG_X)
    a_logic.run()
    a_logic.wait()
    a_logic.deactivate()
    a_logic.undo()
    a_logic.activate()
    assert [kind for kind, _, _ in prompts_of(a_logic)] == [BOX]


def test_undo_and_redo_take_mask_and_prompts_together(a_logic, a_session):
    states = [(prompts_of(a_logic), voxels_of(a_logic))]
    for step in (
        lambda: draw_box(a_logic),
        lambda: click(a_logic),
        lambda: click(a_logic, CENTRE + ALONG_X, foreground=False),
        lambda: paint(a_logic, np.ones(SHAPE, bool)),
    ):
        step()
        states.append((prompts_of(a_logic), voxels_of(a_logic)))
    asked = len(a_session.calls)
    for turn, expected in ((a_logic.undo, states[-2::-1]), (a_logic.redo, states[1:])):
        for prompts, mask in expected:
            turn()
            a_logic.wait()
            assert prompts_of(a_logic) == prompts
            assert np.array_equal(voxels_of(a_logic), mask)
    assert len(a_session.calls) == asked


def test_after_undo_the_next_click_goes_on_from_there(a_logic):
    draw_box(a_logic)
    boxed = voxels_of(a_logic)
    click(a_logic, foreground=False)
    a_logic.undo()
    a_logic.wait()
    click(a_logic, np.add(CENTRE, (12, 0, 0)))
    assert (boxed <= voxels_of(a_logic)).all()


def test_muting_is_taken_back_too(a_logic):
    draw_box(a_logic)
    click(a_logic, foreground=False)
    before = prompts_of(a_logic)
    a_logic.set_muted(a_logic.prompt_rows()[1], True)
    a_logic.wait()
    muted = prompts_of(a_logic)
    a_logic.undo()
    assert prompts_of(a_logic) == before
    a_logic.redo()
    assert prompts_of(a_logic) == muted


def test_after_undo_nothing_is_left_to_ask_for(a_logic, a_session):
    draw_box(a_logic)
    click(a_logic)
    a_session.error = InputError("There is too little free memory.")
    with pytest.raises(InputError):
        click(a_logic, CENTRE + ALONG_X)
    assert a_logic.offers_update
    a_logic.undo()
    assert not a_logic.offers_update
