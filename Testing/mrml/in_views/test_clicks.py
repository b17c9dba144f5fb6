"""Points are clicked, dragged, snapped and deleted, and what the mouse did is taken back."""

from __future__ import annotations

import numpy as np
import pytest
from ENSAMSegmentLib.prompt_nodes import BACKGROUND, FOREGROUND

from ..views import ThreeDView
from .mouse import ASIDE, CENTRE, FIELD_MM, a_box, let_pass, place, right_handle, rows, voxels_of


def test_a_click_makes_a_prompt_where_the_mouse_is_and_the_mask_follows(a_logic, a_slice_view, a_session):
    at = (250, 300)
    a_logic.start_placing(FOREGROUND)
    a_slice_view.click(at)
    a_logic.wait()
    (point,) = a_logic.prompt_rows()
    assert point.kind == FOREGROUND
    np.testing.assert_allclose(point.position_ras, a_slice_view.ras_of(at), atol=1e-6)
    i, j, k = np.round((np.array(point.position_ras) - (0, -19, 51)) / (1.2, 1.0, 2.0)).astype(int)
    assert voxels_of(a_logic)[k, j, i]
    assert a_logic.placing == FOREGROUND  # the next click makes another one


def test_the_point_that_follows_the_mouse_is_no_prompt(a_logic, a_slice_view, a_session):
    a_logic.start_placing(FOREGROUND)
    for x in range(100, 300, 50):
        a_slice_view.move((x, 200))
        let_pass(a_logic)
    assert a_logic.prompt_rows() == () and not a_session.calls
    a_logic.stop_placing()
    a_slice_view.move(ASIDE)
    assert a_logic.prompt_rows() == ()


def test_a_right_click_ends_placing_without_a_prompt(a_logic, a_slice_view, a_session):
    a_logic.start_placing(FOREGROUND)
    a_slice_view.move((250, 300))
    a_slice_view.click((250, 300), "Right")
    assert a_logic.placing == ""
    let_pass(a_logic)
    assert a_logic.prompt_rows() == () and not a_session.calls


def test_a_point_that_is_dragged_runs_nothing_until_it_is_let_go(a_logic, a_slice_view, a_session):
    start, end = np.array((250, 250)), np.array((310, 320))  # beside the box's middle, which has a handle
    a_box(a_logic, a_slice_view)
    place(a_logic, a_slice_view, BACKGROUND, start)
    asked, before = len(a_session.calls), voxels_of(a_logic)

    a_slice_view.drag(start, end)
    let_pass(a_logic)
    np.testing.assert_allclose(rows(a_logic, BACKGROUND)[0].position_ras, a_slice_view.ras_of(end), atol=0.2)
    assert len(a_session.calls) == asked
    assert np.array_equal(voxels_of(a_logic), before)

    a_slice_view.release(end)
    a_logic.wait()
    assert len(a_session.calls) == asked + 1
    dragged = voxels_of(a_logic)
    a_logic.clear_prompts()
    a_box(a_logic, a_slice_view)
    place(a_logic, a_slice_view, BACKGROUND, end)
    assert np.array_equal(dragged, voxels_of(a_logic))


def test_the_delete_key_takes_a_point_and_its_effect_away(a_logic, a_slice_view):
    a_box(a_logic, a_slice_view)
    boxed = voxels_of(a_logic)
    place(a_logic, a_slice_view, BACKGROUND, (250, 250))
    assert not np.array_equal(voxels_of(a_logic), boxed)
    a_slice_view.move((250, 250))
    a_slice_view.key("Delete", (250, 250))
    a_logic.wait()
    assert not rows(a_logic, BACKGROUND)
    assert np.array_equal(voxels_of(a_logic), boxed)


def test_the_mask_follows_a_point_that_is_snapped_to_the_slice_by_its_key(a_logic, a_slice_view, a_session):
    place(a_logic, a_slice_view, FOREGROUND, (280, 280))
    asked = len(a_session.calls)
    a_slice_view.node.JumpSliceByOffsetting(*np.add(CENTRE, (0, 0, 0.4)))
    a_slice_view.move((280, 280))
    a_slice_view.key("s", (280, 280))
    assert rows(a_logic, FOREGROUND)[0].position_ras[2] == pytest.approx(CENTRE[2] + 0.4)
    let_pass(a_logic, 2.0)
    assert len(a_session.calls) == asked + 1


def test_a_click_in_the_3d_view_lies_on_the_surface(an_application, a_logic, a_slice_view):
    roi = a_box(a_logic, a_slice_view)
    a_logic.segmentation.CreateClosedSurfaceRepresentation()
    view = ThreeDView(an_application, CENTRE, FIELD_MM)
    at = view.display_of(np.add(CENTRE, (-2, 0, 1)))
    view.pixels()
    before = voxels_of(a_logic)
    a_logic.start_placing(BACKGROUND)
    view.click(at)
    a_logic.stop_placing()
    a_logic.wait()
    (point,) = rows(a_logic, BACKGROUND)
    np.testing.assert_allclose(view.display_of(point.position_ras), at, atol=1.5)
    # The stand-in's answer to a box is the ellipsoid in it.
    radius = np.linalg.norm(
        np.subtract(point.position_ras, roi.GetCenterWorld()) / np.divide(roi.GetSize(), 2)
    )
    assert radius == pytest.approx(1, abs=0.1)
    assert (before & ~voxels_of(a_logic)).any()
    view.close()


def test_undo_and_redo_take_back_what_the_mouse_did(a_logic, a_slice_view, a_session):
    def state():
        return [(row.kind, np.round(row.position_ras, 3).tolist()) for row in a_logic.prompt_rows()]

    states = [(state(), voxels_of(a_logic))]
    roi = a_box(a_logic, a_slice_view)
    states.append((state(), voxels_of(a_logic)))
    place(a_logic, a_slice_view, BACKGROUND, (280, 280))
    states.append((state(), voxels_of(a_logic)))
    start = np.array(right_handle(a_slice_view, roi))
    a_slice_view.drag(start, np.add(start, (40, 0)))
    a_slice_view.release(np.add(start, (40, 0)))
    a_logic.wait()
    states.append((state(), voxels_of(a_logic)))
    asked = len(a_session.calls)
    for turn, expected in ((a_logic.undo, states[-2::-1]), (a_logic.redo, states[1:])):
        for prompts, mask in expected:
            turn()
            a_logic.wait()
            assert state() == prompts
            assert np.array_equal(voxels_of(a_logic), mask)
    assert len(a_session.calls) == asked
