"""Tools that are changed half-way."""

from __future__ import annotations

import numpy as np
import slicer
from ENSAMSegmentLib.prompt_nodes import BACKGROUND, BOX, FOREGROUND

from .mouse import ASIDE, LOWER, UPPER, a_box, let_pass, name_segment, place, right_handle, rows, voxels_of


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
