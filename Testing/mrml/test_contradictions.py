"""Prompts that contradict each other: two clicks on one place, as foreground and as background."""

from __future__ import annotations

import numpy as np
import pytest
from ensam.errors import InputError
from ENSAMSegmentLib.prompt_nodes import BACKGROUND, BOX, FOREGROUND
from ENSAMSegmentLib.segments import add_segmentation

from .prompting import ALONG_X, CENTRE, click, draw_box, prompts_of, visible, voxels_of


def contradict(logic, position=CENTRE):
    """Click on one place with both signs; gives the row of the second."""
    logic.add_point(tuple(position), True)
    logic.wait()
    with pytest.raises(InputError, match="both foreground and background"):
        click(logic, position, foreground=False)
    assert logic.status.kind == "error"
    return next(row for row in logic.prompt_rows() if row.kind == BACKGROUND)


def click_that_waits(logic, session):
    """Draw a box, and click beside it: the session has the click and answers once its gate is open.

    Gives the box's voxels.
    """
    draw_box(logic)
    boxed, asked = voxels_of(logic), len(session.calls)
    session.gate.clear()
    logic.add_point(CENTRE + 2.5 * ALONG_X, True)
    while len(session.calls) == asked:
        logic.poll(0.01)
    return boxed


def test_a_click_whose_answer_they_kept_away_is_answered_when_they_are_mended(a_logic, a_session):
    boxed = click_that_waits(a_logic, a_session)
    a_logic.add_point(CENTRE + 2.5 * ALONG_X, False)
    a_session.gate.set()
    with pytest.raises(InputError, match="both foreground and background"):
        a_logic.wait()
    assert a_logic.offers_update
    a_logic.remove(a_logic.prompt_rows()[-1])
    a_logic.wait()
    assert (voxels_of(a_logic) & ~boxed).any() and not a_logic.offers_update


def test_a_prompt_that_was_unticked_and_ticked_again_at_once_is_answered(a_logic, a_session):
    """The answer under way was dropped for prompts that then came back."""
    boxed = click_that_waits(a_logic, a_session)
    a_logic.set_muted(a_logic.prompt_rows()[-1], True)
    a_session.gate.set()
    assert a_logic._updates._askings[0].job.wait(5.0)
    a_logic.poll()
    a_logic.set_muted(a_logic.prompt_rows()[-1], False)
    a_logic.wait()
    assert (voxels_of(a_logic) & ~boxed).any() and a_logic.status.kind == "done"


@pytest.mark.parametrize("lesions", [False, True])
def test_they_are_told_of_no_longer_than_they_last(a_logic, a_session, lesions):
    a_logic.lesion_mode = lesions
    draw_box(a_logic)
    wrong = contradict(a_logic)
    asked = len(a_session.calls)
    a_logic.remove(wrong)
    a_logic.wait()
    assert a_logic.status.kind == "ready" and "mask follows" in a_logic.status.text
    assert len(a_session.calls) == asked and not a_logic.offers_update


def test_they_are_shown_and_can_be_mended_when_their_segment_is_selected_again(a_logic):
    draw_box(a_logic)
    first, boxed = a_logic.segment_id, voxels_of(a_logic)
    contradict(a_logic, CENTRE + 2.5 * ALONG_X)
    a_logic.add_segment("kidney")
    a_logic.select(segment_id=first)
    assert a_logic.status.kind == "error"
    assert visible(a_logic) == {"liver box", "liver foreground", "liver background"}
    a_logic.remove(next(row for row in a_logic.prompt_rows() if row.kind == FOREGROUND))
    a_logic.wait()
    assert [kind for kind, _, _ in prompts_of(a_logic)] == [BOX, BACKGROUND]
    assert (boxed >= voxels_of(a_logic)).all() and a_logic.status.kind == "done"


@pytest.fixture
def a_contradiction_beside(a_logic):
    """The liver's prompts contradict each other; the kidney, selected, is new."""
    draw_box(a_logic)
    contradict(a_logic)
    a_logic.add_segment("kidney")
    a_logic.wait()
    return a_logic


def test_others_share_out_the_voxels_without_their_segment_which_is_named(a_contradiction_beside):
    logic = a_contradiction_beside
    liver, _kidney = logic._target.segment_ids
    mask = voxels_of(logic, liver)
    logic.together = True
    with pytest.raises(InputError, match="There is no answer for liver: select it"):
        click(logic, CENTRE + 2.5 * ALONG_X)
    assert voxels_of(logic).any() and np.array_equal(voxels_of(logic, liver), mask)
    logic.together = False
    click(logic, CENTRE + 2 * ALONG_X)
    assert logic.status.kind == "done"  # not told again where they aren't asked for


def test_lesions_are_opened_beside_them(a_contradiction_beside):
    logic = a_contradiction_beside
    logic.lesion_mode = True
    click(logic, CENTRE + 2 * ALONG_X)
    click(logic, CENTRE - 2.5 * ALONG_X)
    assert len(logic._target.segment_ids) == 3 and logic.status.kind == "done"


def test_prompts_are_not_saved_without_theirs(a_contradiction_beside, tmp_path):
    click(a_contradiction_beside, CENTRE + 2 * ALONG_X)
    with pytest.raises(InputError, match="The prompts of liver can't be read: select it"):
        a_contradiction_beside.save_prompts(tmp_path / "prompts.json")


def test_of_a_file_the_others_are_answered(a_logic, tmp_path):
    draw_box(a_logic)
    for step in (-2, 2):
        a_logic.add_segment(f"lesion {step}")
        click(a_logic, CENTRE + step * ALONG_X)
    a_logic.save_prompts(tmp_path / "prompts.json")
    a_logic.select(segmentation=add_segmentation(a_logic.volume, "again"))
    a_logic.load_prompts(tmp_path / "prompts.json")
    first, second, third = a_logic._target.segment_ids
    a_logic.auto_update = False
    a_logic.select(segment_id=first)
    for foreground in (True, False):
        a_logic.add_point(CENTRE, foreground)
    with pytest.raises(InputError, match="both foreground and background"):
        a_logic.wait()
    a_logic.select(segment_id=second)
    a_logic.auto_update = True
    assert a_logic.offers_update
    a_logic.run()
    with pytest.raises(InputError, match="There is no answer for liver: select it"):
        a_logic.wait()
    assert [voxels_of(a_logic, s).any() for s in (first, second, third)] == [False, True, True]
    assert a_logic.offers_update
