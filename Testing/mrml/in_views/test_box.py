"""A box is drawn with two clicks, resized and moved by its handles."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk
from ENSAMSegmentLib.prompt_nodes import BOX, FOREGROUND
from ENSAMSegmentLib.volumes import points_to_world

from ..conftest import add_warp, affine
from ..nodes import add_transform
from ..views import SliceView
from .mouse import (
    ASIDE,
    CENTRE,
    FIELD_MM,
    LOWER,
    UPPER,
    a_box,
    let_pass,
    place,
    right_handle,
    rows,
    voxels_of,
)


def test_two_clicks_draw_a_box_and_one_alone_is_none(a_logic, a_slice_view, a_session):
    a_logic.start_placing(BOX)
    a_slice_view.click(LOWER)
    a_slice_view.move(np.add(LOWER, 60))
    let_pass(a_logic)
    assert not a_session.calls
    a_slice_view.click(UPPER)
    assert a_logic.placing == ""
    a_logic.wait()
    assert len(a_session.calls) == 1
    (box,) = [prompts.box for prompts, _ in a_session.calls]
    corners = np.array([a_slice_view.ras_of(LOWER), a_slice_view.ras_of(UPPER)])
    np.testing.assert_allclose(box.corners_ras().min(axis=0)[:2], corners.min(axis=0)[:2], atol=1e-4)
    np.testing.assert_allclose(box.corners_ras().max(axis=0)[:2], corners.max(axis=0)[:2], atol=1e-4)
    assert voxels_of(a_logic).any()


def test_a_new_box_counts_instead_of_the_old_one_once_it_is_finished(a_logic, a_slice_view, a_session):
    a_box(a_logic, a_slice_view)
    old, mask, asked = rows(a_logic, BOX), voxels_of(a_logic), len(a_session.calls)
    a_logic.start_placing(BOX)
    a_slice_view.click((100, 200))
    a_slice_view.move((200, 260))
    let_pass(a_logic)
    assert rows(a_logic, BOX) == old
    assert len(a_session.calls) == asked
    a_slice_view.click((240, 320))
    a_logic.wait()
    assert len(rows(a_logic, BOX)) == 1 and rows(a_logic, BOX) != old
    assert len(a_session.calls) == asked + 1
    assert not np.array_equal(voxels_of(a_logic), mask)


def give_up(logic, view, how):
    view.move((200, 500))
    if how == "right click":
        view.click((210, 510), "Right")
    else:
        logic.stop_placing()
    view.move(ASIDE)


@pytest.mark.parametrize("clicks", [0, 1])
@pytest.mark.parametrize("how", ["right click", "another mode"])
def test_a_box_that_is_given_up_leaves_the_old_one(a_logic, a_slice_view, a_session, clicks, how):
    a_box(a_logic, a_slice_view)
    old, mask, asked = rows(a_logic, BOX), voxels_of(a_logic), len(a_session.calls)
    a_logic.start_placing(BOX)
    for at in ((100, 400),)[:clicks]:
        a_slice_view.click(at)
    give_up(a_logic, a_slice_view, how)
    let_pass(a_logic)
    assert a_logic.placing == ""
    assert rows(a_logic, BOX) == old
    assert len(a_session.calls) == asked
    assert np.array_equal(voxels_of(a_logic), mask)


@pytest.mark.parametrize("how", ["right click", "another mode"])
def test_a_first_box_that_is_given_up_leaves_nothing(a_logic, a_slice_view, a_session, how):
    a_logic.start_placing(BOX)
    a_slice_view.click((100, 400))
    give_up(a_logic, a_slice_view, how)
    let_pass(a_logic)
    assert a_logic.prompt_rows() == () and not a_session.calls


def test_a_handle_resizes_the_box(a_logic, a_slice_view, a_session):
    roi = a_box(a_logic, a_slice_view)
    size, center, mask, asked = (
        roi.GetSize(),
        roi.GetCenterWorld(),
        voxels_of(a_logic),
        len(a_session.calls),
    )
    start = np.array(right_handle(a_slice_view, roi))
    end = np.add(start, (40, 0))
    a_slice_view.drag(start, end)
    let_pass(a_logic)
    assert len(a_session.calls) == asked
    a_slice_view.release(end)
    a_logic.wait()
    smaller = 40 * FIELD_MM / a_slice_view.size
    np.testing.assert_allclose(roi.GetSize(), np.subtract(size, (smaller, 0, 0)), atol=0.2)
    np.testing.assert_allclose(roi.GetCenterWorld(), np.subtract(center, (smaller / 2, 0, 0)), atol=0.1)
    assert len(a_session.calls) == asked + 1
    assert voxels_of(a_logic).sum() < mask.sum()


def test_scaling_with_alt_asks_once_when_the_handle_is_let_go(a_logic, a_slice_view, a_session):
    roi = a_box(a_logic, a_slice_view)
    size, center, asked = roi.GetSize(), roi.GetCenterWorld(), len(a_session.calls)
    a_logic.is_pressed = lambda: a_slice_view.is_pressed
    start = np.array(right_handle(a_slice_view, roi))
    with a_slice_view.alt():
        a_slice_view.press(start)
        for step in (10, 20, 30):
            a_slice_view.move(np.add(start, (step, 0)))
            let_pass(a_logic)
        assert len(a_session.calls) == asked
        a_slice_view.release(np.add(start, (30, 0)))
    a_logic.wait()
    assert roi.GetSize()[0] < size[0]
    np.testing.assert_allclose(roi.GetCenterWorld(), center, atol=1e-3)  # the other side moved, too
    assert len(a_session.calls) == asked + 1


def test_its_middle_moves_the_box(a_logic, a_slice_view, a_session):
    roi = a_box(a_logic, a_slice_view)
    size, center, asked = roi.GetSize(), np.array(roi.GetCenterWorld()), len(a_session.calls)
    start = np.array(a_slice_view.display_of(center))
    a_slice_view.drag(start, np.add(start, (30, 20)))
    let_pass(a_logic)
    assert len(a_session.calls) == asked
    a_slice_view.release(np.add(start, (30, 20)))
    a_logic.wait()
    np.testing.assert_allclose(roi.GetCenterWorld(), a_slice_view.ras_of(np.add(start, (30, 20))), atol=0.1)
    np.testing.assert_allclose(roi.GetSize(), size)
    assert len(a_session.calls) == asked + 1


@pytest.mark.parametrize("how", ["Escape", "right button"])
def test_after_a_resize_that_was_cancelled_the_mask_follows_as_before(a_logic, a_slice_view, a_session, how):
    roi = a_box(a_logic, a_slice_view)
    place(a_logic, a_slice_view, FOREGROUND, (220, 260))
    size, asked = roi.GetSize(), len(a_session.calls)
    start = np.array(right_handle(a_slice_view, roi))
    a_slice_view.drag(start, np.add(start, (40, 0)))
    if how == "Escape":
        a_slice_view.key("Escape", np.add(start, (40, 0)))
    else:
        a_slice_view.press(np.add(start, (40, 0)), "Right")
        a_slice_view.release(np.add(start, (40, 0)), "Right")
    a_slice_view.release(np.add(start, (40, 0)))
    assert roi.GetSize() == size
    let_pass(a_logic)
    a_logic.set_muted(rows(a_logic, FOREGROUND)[0], True)
    let_pass(a_logic, 2.0)
    assert len(a_session.calls) == asked + 1


SHEAR = np.array(((1.0, 0.4, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)))
ABOVE_THE_VOLUME = {
    "a turned volume": affine((20, 0, 0)),
    "a little turned volume": affine((1, 0, 0)),
    "a scaled and turned volume": affine((20, 10, 5), (1.3, 1.0, 0.8)),
    "a sheared volume": affine((20, 10, 5)) @ SHEAR,
    "a warped volume": None,
}


@pytest.fixture(params=["a turned view", *ABOVE_THE_VOLUME])
def an_oblique_view(request, an_application, a_logic, an_mrml_scene):
    """A slice view that isn't parallel to the axes of the space that prompts are in."""
    center = CENTRE
    if request.param != "a turned view":
        matrix = ABOVE_THE_VOLUME[request.param]
        above = add_warp(an_mrml_scene) if matrix is None else add_transform(an_mrml_scene, matrix)
        a_logic.volume.SetAndObserveTransformNodeID(above.GetID())
        center = points_to_world(a_logic.volume, np.array([CENTRE]))[0]
    view = SliceView(an_application, "Axial", a_logic.volume, center, FIELD_MM)
    if request.param == "a turned view":
        turned = vtk.vtkTransform()
        turned.SetMatrix(view.node.GetSliceToRAS())
        turned.RotateX(25)
        turned.RotateY(15)
        view.node.GetSliceToRAS().DeepCopy(turned.GetMatrix())
        view.node.UpdateMatrices()
    yield view
    view.close()


def test_a_box_in_an_oblique_slice_is_what_was_drawn_and_as_deep_as_it_is_wide(a_logic, an_oblique_view):
    roi = a_box(a_logic, an_oblique_view)
    width, height = np.abs(np.subtract(UPPER, LOWER)) * FIELD_MM / an_oblique_view.size
    size = [0.0, 0.0, 0.0]
    roi.GetSizeWorld(size)
    np.testing.assert_allclose(size, (width, height, min(width, height)), rtol=1e-3)
    corners = [an_oblique_view.ras_of(at) for at in (LOWER, UPPER)]
    np.testing.assert_allclose(roi.GetCenterWorld(), np.mean(corners, axis=0), atol=1e-2)
    to_world = slicer.util.arrayFromVTKMatrix(roi.GetObjectToWorldMatrix())[:3, :3]
    normal = slicer.util.arrayFromVTKMatrix(an_oblique_view.node.GetSliceToRAS())[:3, 2]
    np.testing.assert_allclose(np.abs(to_world.T @ normal), (0, 0, 1), atol=1e-6)
    assert np.linalg.det(to_world) > 0
    assert voxels_of(a_logic).sum() > 1000


def test_a_box_in_a_straight_slice_stays_as_it_is_whatever_other_views_show(
    an_application, a_logic, a_slice_view
):
    lower, upper = (210, 210), (350, 350)
    middle = np.mean([a_slice_view.ras_of(lower), a_slice_view.ras_of(upper)], axis=0)
    other = SliceView(an_application, "Coronal", a_logic.volume, middle, FIELD_MM)
    turned = vtk.vtkTransform()
    turned.SetMatrix(other.node.GetSliceToRAS())
    turned.RotateX(45)  # through two edges of a cube
    other.node.GetSliceToRAS().DeepCopy(turned.GetMatrix())
    other.node.UpdateMatrices()
    place(a_logic, a_slice_view, BOX, lower, upper)
    roi = a_logic._target.nodes.find(BOX)
    np.testing.assert_allclose(roi.GetSize(), 3 * [140 * FIELD_MM / a_slice_view.size], rtol=1e-4)
    np.testing.assert_allclose(
        slicer.util.arrayFromVTKMatrix(roi.GetObjectToWorldMatrix())[:3, :3], np.eye(3), atol=1e-6
    )
    other.close()
