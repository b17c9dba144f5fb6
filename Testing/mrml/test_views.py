"""What a user does with the mouse in Slicer's views, and what they see there."""

from __future__ import annotations

import time

import numpy as np
import pytest
import slicer
from ensam.worker import Worker
from ENSAMSegmentLib import updates
from ENSAMSegmentLib.logic import ENSAMSegmentLogic
from ENSAMSegmentLib.prompt_nodes import BACKGROUND, BOX, FOREGROUND
from ENSAMSegmentLib.segments import read_segment

from .nodes import add_volume
from .rendering import RenderingError, check_rendering
from .slicer_core_scene import create_scene
from .stub_session import StubSession
from .views import SliceView, ThreeDView
from .way_of_a_click import Strip

SHAPE = (20, 30, 40)
CENTRE = (24.0, -4.0, 70.0)  # of the volume, in the world
FIELD_MM = 60.0
LOWER, UPPER = (170, 190), (390, 370)  # corners of a box round the centre, in pixels
ASIDE = (4, 4)
GREY = 50


@pytest.fixture(scope="module", autouse=True)
def _off_screen_rendering():
    try:
        check_rendering()
    except RenderingError as error:
        pytest.skip(str(error))


@pytest.fixture
def an_application():
    with create_scene() as application:
        yield application


@pytest.fixture
def a_session():
    return StubSession()


@pytest.fixture
def a_logic(an_application, a_session):
    voxels = np.full(SHAPE, GREY, np.int16)
    voxels[0, 0, 0] = GREY + 1  # an image with a single value is refused
    ijk_to_ras = np.array([[1.2, 0, 0, 0], [0, 1.0, 0, -19], [0, 0, 2.0, 51], [0, 0, 0, 1.0]])
    volume = add_volume(an_application.GetMRMLScene(), voxels, ijk_to_ras, "CT chest")
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevelMinMax(0, 255)
    worker = Worker(lambda _settings: a_session)
    logic = ENSAMSegmentLogic(worker=worker)
    logic.select(volume)
    name_segment(logic, "liver")
    yield logic
    logic.cleanup()
    worker.close()


@pytest.fixture
def a_slice_view(an_application, a_logic):
    view = SliceView(an_application, "Axial", a_logic.volume, CENTRE, FIELD_MM)
    yield view
    view.close()


def name_segment(logic, name):
    segment_id = logic.add_segment(name)
    # Blue, so that it is never taken for a prompt.
    logic.segmentation.GetSegmentation().GetSegment(segment_id).SetColor(0.2, 0.3, 1.0)


def voxels_of(logic):
    return read_segment(logic.segmentation, logic.segment_id, logic.volume).laid_out(SHAPE)


def rows(logic, kind):
    return [row for row in logic.prompt_rows() if row.kind == kind]


def let_pass(logic, seconds=2.5 * updates.DEBOUNCE_S):
    """The GUI's timer, for some time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        logic.poll(0.01)
        time.sleep(0.01)


def place(logic, view, kind, *positions):
    logic.start_placing(kind)
    for at in positions:
        view.click(at)
    logic.stop_placing()
    view.move(ASIDE)
    logic.wait()


def a_box(logic, view):
    place(logic, view, BOX, LOWER, UPPER)
    return logic._target.nodes.find(BOX)


def right_handle(view, roi):
    """Of the face at the patient's right, in the middle of the box's edge."""
    return view.display_of(np.add(roi.GetCenterWorld(), (roi.GetSize()[0] / 2, 0, 0)))


# Clicks


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


# The box


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


# Undo


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


# What is seen


def colors_near(view, at, reach=14):
    """The colours (N, RGB) round a display position."""
    x, y = (round(float(p)) for p in at)
    return view.pixels()[y - reach : y + reach + 1, x - reach : x + reach + 1].reshape(-1, 3).astype(int)


def greenish(colors):
    return ((colors[:, 1] > colors[:, 0] + 60) & (colors[:, 1] > colors[:, 2] + 60)).sum()


def reddish(colors):
    return ((colors[:, 0] > colors[:, 1] + 60) & (colors[:, 0] > colors[:, 2] + 60)).sum()


def light_grey(colors):
    return ((np.ptp(colors, axis=1) < 12) & (colors[:, 0] > 3 * GREY)).sum()


def settled(logic, view):
    """Once the tint is gone and the mouse is away."""
    view.move(ASIDE)
    let_pass(logic, updates.TINT_S + 0.1)


def test_foreground_background_and_muted_points_look_different(a_logic, a_slice_view):
    on, off, muted = (100, 280), (200, 280), (300, 280)
    a_logic.auto_update = False
    place(a_logic, a_slice_view, FOREGROUND, on, muted)
    place(a_logic, a_slice_view, BACKGROUND, off)
    a_logic.set_muted(rows(a_logic, FOREGROUND)[1], True)
    counts = [
        [count(colors_near(a_slice_view, at)) > 20 for count in (greenish, reddish, light_grey)]
        for at in (on, off, muted)
    ]
    assert counts == [[True, False, False], [False, True, False], [False, False, True]]
    # Plus and minus, for those who can't tell the colours.
    column = a_slice_view.pixels()[:, :, 1].astype(int)
    height = {
        at: np.ptp(np.flatnonzero(column[at[1] - 14 : at[1] + 15, at[0]] > 2 * GREY)) for at in (on, muted)
    }
    assert min(height.values()) > 12
    rows_of_minus = a_slice_view.pixels()[off[1] - 14 : off[1] + 15, off[0], 0] > 3 * GREY
    assert 2 <= rows_of_minus.sum() < 10


@pytest.mark.parametrize("kind", [FOREGROUND, BACKGROUND])
def test_the_point_under_the_mouse_keeps_its_hue(a_logic, a_slice_view, kind):
    a_logic.start_placing(kind)
    a_slice_view.move((280, 280))
    colors = colors_near(a_slice_view, (280, 280))
    assert (greenish(colors) > 20) == (kind == FOREGROUND)
    assert (reddish(colors) > 20) == (kind == BACKGROUND)


def test_only_the_prompts_of_the_selected_segment_are_shown(a_logic, a_slice_view):
    at = (100, 280)
    a_logic.auto_update = False
    place(a_logic, a_slice_view, FOREGROUND, at)
    first = a_logic.segment_id
    assert greenish(colors_near(a_slice_view, at)) > 20
    name_segment(a_logic, "kidney")
    assert greenish(colors_near(a_slice_view, at)) == 0
    a_logic.select(segment_id=first)
    assert greenish(colors_near(a_slice_view, at)) > 20
    a_logic.deactivate()
    assert greenish(colors_near(a_slice_view, at)) == 0


def test_a_finished_box_is_drawn_as_a_frame_that_leaves_its_inside_to_be_seen(a_logic, a_slice_view):
    a_logic.auto_update = False
    a_box(a_logic, a_slice_view)
    pixels = a_slice_view.pixels().astype(int)
    yellow = (pixels[..., 0] > 180) & (pixels[..., 1] > 130) & (pixels[..., 2] < 120)
    assert yellow[LOWER[1] - 3 : UPPER[1] + 4, LOWER[0] - 3 : LOWER[0] + 4].any(axis=1).mean() > 0.7
    inside = pixels[LOWER[1] + 15 : UPPER[1] - 14, LOWER[0] + 15 : UPPER[0] - 14]
    assert (np.abs(inside - GREY).max(axis=2) < 4).mean() > 0.97


def test_the_last_change_is_tinted_for_a_moment(a_logic, a_slice_view):
    at = np.array((280, 280))
    beside = np.add(at, (25, 12))  # within the click's ball, clear of its sign
    a_box(a_logic, a_slice_view)
    settled(a_logic, a_slice_view)
    plain = colors_near(a_slice_view, beside, 3).mean(axis=0)
    place(a_logic, a_slice_view, BACKGROUND, at)
    removed = colors_near(a_slice_view, beside, 3).mean(axis=0)
    assert removed[0] > removed[1:].max() + 30
    settled(a_logic, a_slice_view)
    gone = colors_near(a_slice_view, beside, 3).mean(axis=0)
    assert np.ptp(gone) < 3 and abs(gone[0] - GREY) < 3

    a_logic.remove(rows(a_logic, BACKGROUND)[0])
    a_logic.wait()
    added = colors_near(a_slice_view, beside, 3).mean(axis=0)
    assert added[1] > plain[1] + 30
    settled(a_logic, a_slice_view)
    np.testing.assert_allclose(colors_near(a_slice_view, beside, 3).mean(axis=0), plain, atol=2)
    names = [n.GetName() for n in slicer.mrmlScene.GetNodesByClass("vtkMRMLSegmentationNode")]
    assert names == [a_logic.segmentation.GetName()]


# Tools that are changed half-way


def test_clicks_go_to_the_segment_that_is_selected(a_logic, a_slice_view):
    first = a_logic.segment_id
    name_segment(a_logic, "spleen")
    a_logic.start_placing(FOREGROUND)
    a_slice_view.click((250, 300))
    a_logic.select(segment_id=first)
    assert a_logic.placing == FOREGROUND
    a_slice_view.click((300, 300))
    a_logic.stop_placing()
    a_slice_view.move(ASIDE)
    a_logic.wait()
    (point,) = a_logic.prompt_rows()
    np.testing.assert_allclose(point.position_ras, a_slice_view.ras_of((300, 300)), atol=1e-6)


def test_a_box_for_another_segment_is_drawn_anew(a_logic, a_slice_view):
    a_logic.start_placing(BOX)
    a_slice_view.move((200, 200))
    name_segment(a_logic, "spleen")
    for at in (LOWER, UPPER):
        a_slice_view.click(at)
    a_slice_view.move(ASIDE)
    let_pass(a_logic)
    assert a_logic.placing == "" and not rows(a_logic, BOX)
    assert not slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsROINode")


def test_another_tool_gives_a_half_drawn_box_up(a_logic, a_slice_view):
    a_logic.start_placing(BOX)
    a_slice_view.click(LOWER)
    a_logic.start_placing(FOREGROUND)
    a_slice_view.click((300, 300))
    a_logic.wait()
    assert [row.kind for row in a_logic.prompt_rows()] == [FOREGROUND]
    assert not slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLMarkupsROINode")


def test_another_tool_at_once_keeps_the_box_that_was_drawn(a_logic, a_slice_view, a_session):
    a_logic.start_placing(BOX)
    a_slice_view.click(LOWER)
    a_slice_view.click(UPPER)
    a_logic.start_placing(FOREGROUND)
    a_logic.wait()
    assert rows(a_logic, BOX) and len(a_session.calls) == 1 and a_logic.placing == FOREGROUND


def test_a_half_drawn_box_does_not_replace_the_one_that_is_there(a_logic, a_slice_view):
    a_box(a_logic, a_slice_view)
    before = rows(a_logic, BOX)
    a_logic.start_placing(BOX)
    a_slice_view.click((300, 300))
    a_slice_view.move((340, 340))
    slicer.modules.markups.logic().AddNewMarkupsNode("vtkMRMLMarkupsLineNode")  # takes the clicks
    let_pass(a_logic)
    assert rows(a_logic, BOX) == before


def test_an_answer_that_comes_while_a_handle_is_dragged_is_not_lost(a_logic, a_slice_view, a_session):
    roi = a_box(a_logic, a_slice_view)
    boxed = voxels_of(a_logic)
    a_session.gate.clear()
    a_logic.start_placing(BACKGROUND)
    a_slice_view.click((280, 240))
    a_logic.stop_placing()
    a_slice_view.move(ASIDE)
    let_pass(a_logic)
    start = right_handle(a_slice_view, roi)
    end = np.add(start, (40, 0))
    a_slice_view.drag(start, end)
    a_session.gate.set()
    let_pass(a_logic)
    a_slice_view.press(end, "Right")  # Slicer takes the drag back
    a_slice_view.release(end, "Right")
    a_slice_view.release(end)
    a_slice_view.move(ASIDE)
    let_pass(a_logic, 1.5)
    a_logic.wait()
    assert a_logic.status.kind == "done" and not np.array_equal(voxels_of(a_logic), boxed)


def test_undo_leaves_no_point_where_the_mouse_was(a_logic, a_slice_view):
    a_logic.start_placing(FOREGROUND)
    a_slice_view.click((250, 300))
    a_logic.wait()
    a_slice_view.move((252, 302))
    a_logic.undo()
    a_logic.poll()
    assert a_logic.placing == FOREGROUND
    a_logic.stop_placing()
    node = a_logic._target.nodes.find(FOREGROUND)
    assert node.GetNumberOfControlPoints() == 0


def test_another_markup_is_placed_as_before(a_logic, a_slice_view):
    interaction = slicer.mrmlScene.GetSingletonNode("Singleton", "vtkMRMLInteractionNode")
    assert not interaction.GetPlaceModePersistence()
    heard = []
    a_logic.changed = lambda: heard.append(a_logic.placing)
    a_logic.start_placing(FOREGROUND)
    assert interaction.GetPlaceModePersistence()
    slicer.modules.markups.logic().AddNewMarkupsNode("vtkMRMLMarkupsLineNode")
    assert heard[-1] == "" and not interaction.GetPlaceModePersistence()


def test_a_tool_brings_back_what_slicers_own_eye_has_hidden(a_logic, a_slice_view):
    place(a_logic, a_slice_view, FOREGROUND, (250, 300))
    node = a_logic._target.nodes.find(FOREGROUND)
    node.SetDisplayVisibility(False)
    a_logic.start_placing(FOREGROUND)
    assert node.GetDisplayVisibility()


# With the starter weights


def test_the_starter_weights_follow_a_box_a_click_and_a_drag_on_the_sample_case(an_application):
    strip = Strip(an_application)
    logic, view = strip.logic, strip.view

    def dice():
        return 2 * (strip.mask() & strip.truth).sum() / (strip.mask().sum() + strip.truth.sum())

    strip.draw_box()
    logic.wait()
    boxed = strip.mask()
    assert dice() > 0.6
    first, foreground = strip.wrong_place()
    second, _ = strip.wrong_place(foreground, away_from=first)
    kind = FOREGROUND if foreground else BACKGROUND
    logic.start_placing(kind)
    view.click(first)
    logic.stop_placing()
    logic.wait()
    clicked = strip.mask()
    assert not np.array_equal(clicked, boxed)
    view.drag(first, second)
    let_pass(logic)
    assert np.array_equal(strip.mask(), clicked)
    view.release(second)
    logic.wait()
    z, y, x = np.round(strip.grid.ras_to_zyx(np.array(rows(logic, kind)[0].position_ras))).astype(int)
    assert strip.mask()[z, y, x] == foreground
    assert not np.array_equal(strip.mask(), clicked)
    logic.undo()
    assert np.array_equal(strip.mask(), clicked)
    logic.undo()
    assert np.array_equal(strip.mask(), boxed)
    assert not rows(logic, kind)
    logic.redo()
    assert np.array_equal(strip.mask(), clicked)
    view.close()
    logic.cleanup()
