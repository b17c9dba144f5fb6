"""The logic beside all else that users do in Slicer."""

from __future__ import annotations

import time

import numpy as np
import pytest
import slicer
from ENSAMSegmentLib.prompt_nodes import BACKGROUND, BOX, FOREGROUND, prompt_nodes, segment_of
from ENSAMSegmentLib.segments import add_segmentation
from ENSAMSegmentLib.updates import DEBOUNCE_S

from .conftest import SHAPE
from .nodes import add_points, add_transform
from .prompting import (
    CENTRE,
    click,
    draw_box,
    paint,
    prompts_of,
    voxels_of,
)


def test_what_was_undone_meanwhile_is_noticed_on_return(a_logic):
    draw_box(a_logic)
    boxed = prompts_of(a_logic), voxels_of(a_logic)
    click(a_logic, np.add(CENTRE, (12, 0, 0)))
    a_logic.deactivate()
    a_logic.undo()
    a_logic.activate()
    assert prompts_of(a_logic) == boxed[0]
    assert np.array_equal(voxels_of(a_logic), boxed[1])


@pytest.mark.parametrize("asked_for", [True, False])
def test_an_answer_that_leaving_cut_off_is_asked_for_again_on_return(a_logic, a_session, asked_for):
    """The network was at it, or had not been asked yet."""
    draw_box(a_logic)
    before, asked = voxels_of(a_logic), len(a_session.calls)
    a_session.gate.clear()
    a_logic.add_point(tuple(np.add(CENTRE, (12, 0, 0))), True)
    while asked_for and len(a_session.calls) == asked:
        a_logic.poll(0.01)
    a_logic.deactivate()
    a_session.gate.set()
    assert a_logic.poll() is None
    a_logic.activate()
    a_logic.wait()
    after, asked = voxels_of(a_logic), len(a_session.calls)
    assert (after & ~before).any() and a_logic.status.kind == "done"
    a_logic.deactivate()
    a_logic.activate()
    a_logic.wait()
    assert len(a_session.calls) == asked


@pytest.mark.parametrize("what", ["the prompts", "the image"])
def test_an_answer_that_leaving_cut_off_is_not_asked_for_again_where(a_logic, a_session, an_mrml_scene, what):
    """... is another by then."""
    draw_box(a_logic)
    a_session.gate.clear()
    a_logic.add_point(tuple(np.add(CENTRE, (12, 0, 0))), True)
    a_logic.run()
    point = a_logic._target.nodes.find(FOREGROUND)
    a_logic.deactivate()
    a_session.gate.set()
    if what == "the prompts":
        point.SetNthControlPointPositionWorld(0, *CENTRE)
    else:
        other = slicer.vtkMRMLScalarVolumeNode()
        other.CopyContent(a_logic._editor.GetSourceVolumeNode())
        a_logic._editor.SetAndObserveSourceVolumeNode(an_mrml_scene.AddNode(other))
    asked = len(a_session.calls)
    a_logic.activate()
    a_logic.wait()
    assert len(a_session.calls) == asked and a_logic.offers_update


def test_a_prompt_that_was_not_asked_for_is_offered_on_return_and_not_run(a_logic, a_session):
    draw_box(a_logic)
    a_logic.auto_update = False
    a_logic.add_point(tuple(np.add(CENTRE, (12, 0, 0))), True)
    a_logic.deactivate()
    a_logic.auto_update = True
    asked = len(a_session.calls)
    a_logic.activate()
    a_logic.wait()
    assert len(a_session.calls) == asked
    assert a_logic.offers_update and "Update now" in a_logic.status.text
    before = voxels_of(a_logic)
    a_logic.run()
    a_logic.wait()
    assert (voxels_of(a_logic) & ~before).any() and not a_logic.offers_update


def test_a_mask_stays_when_its_prompts_are_tidied_away(a_logic, an_mrml_scene):
    draw_box(a_logic)
    click(a_logic)
    mask, first = voxels_of(a_logic), a_logic.segment_id
    for node in prompt_nodes(a_logic.segmentation):
        an_mrml_scene.RemoveNode(node)
    a_logic.wait()
    a_logic.add_segment("kidney")
    a_logic.wait()
    assert np.array_equal(voxels_of(a_logic, first), mask)
    a_logic.select(segment_id=first)
    assert prompts_of(a_logic) == []


def test_a_mask_stays_when_its_prompts_are_tidied_away_and_another_segment_is_chosen_at_once(
    a_logic, an_mrml_scene
):
    draw_box(a_logic)
    mask, first = voxels_of(a_logic), a_logic.segment_id
    for node in prompt_nodes(a_logic.segmentation):
        an_mrml_scene.RemoveNode(node)
    a_logic.add_segment("kidney")
    a_logic.wait()
    assert np.array_equal(voxels_of(a_logic, first), mask)


def test_prompts_that_are_tidied_away_in_another_module_stay_away(a_logic, a_session, an_mrml_scene):
    draw_box(a_logic)
    click(a_logic)
    mask, first, segmentation = voxels_of(a_logic), a_logic.segment_id, a_logic.segmentation
    a_logic.add_segment("kidney")
    click(a_logic, np.add(CENTRE, (15, 0, 0)))
    a_logic.deactivate()
    for node in prompt_nodes(segmentation):
        an_mrml_scene.RemoveNode(node)
    asked = len(a_session.calls)
    a_logic.activate()
    assert prompts_of(a_logic) == []
    a_logic.select(segment_id=first)
    a_logic.wait()
    assert prompts_of(a_logic) == [] and np.array_equal(voxels_of(a_logic), mask)
    assert len(a_session.calls) == asked and not a_logic.offers_update


@pytest.mark.parametrize("in_another_module", [False, True])
def test_a_deleted_segmentation_takes_its_prompts_out_of_the_scene(a_logic, an_mrml_scene, in_another_module):
    first = a_logic.segmentation
    a_logic.select(segmentation=add_segmentation(a_logic.volume, "other"))
    a_logic.add_segment()
    draw_box(a_logic)
    others = prompt_nodes(a_logic.segmentation)
    a_logic.select(segmentation=first, segment_id=first.GetSegmentation().GetNthSegmentID(0))
    draw_box(a_logic)
    users = add_points(an_mrml_scene, [CENTRE])
    if in_another_module:
        a_logic.deactivate()
    before = an_mrml_scene.GetNumberOfNodesByClass("vtkMRMLDisplayNode")
    an_mrml_scene.RemoveNode(first)
    a_logic.activate()
    left = an_mrml_scene.GetNodesByClass("vtkMRMLMarkupsNode")
    left.UnRegister(None)
    assert {left.GetItemAsObject(at) for at in range(left.GetNumberOfItems())} == {*others, users}
    assert an_mrml_scene.GetNumberOfNodesByClass("vtkMRMLDisplayNode") < before


def test_the_prompts_of_a_deleted_segment_serve_undo(a_logic):
    draw_box(a_logic)
    prompts = prompts_of(a_logic)
    first = a_logic.segment_id
    a_logic._editor_logic.SaveStateForUndo()
    a_logic.segmentation.GetSegmentation().RemoveSegment(first)
    a_logic.deactivate()
    a_logic.activate()
    a_logic.undo()
    a_logic.select(segment_id=first)
    assert prompts_of(a_logic) == prompts


def test_measures_are_those_of_the_segment_that_is_selected_as_it_is_now(a_logic):
    draw_box(a_logic)
    after_box = a_logic.measures
    assert after_box.volume_ml > 0 and a_logic.last_change is not None
    first = a_logic.segment_id
    a_logic.add_segment("kidney")
    assert a_logic.measures is None and a_logic.last_change is None  # it is empty
    a_logic.select(segment_id=first)
    assert a_logic.measures == after_box
    a_logic.auto_update = False
    paint_elsewhere(a_logic)
    voxel_ml = np.prod(a_logic.volume.GetSpacing()) / 1000
    assert a_logic.measures.volume_ml == pytest.approx(np.count_nonzero(voxels_of(a_logic)) * voxel_ml)
    assert a_logic.measures != after_box and a_logic.last_change is None


def paint_elsewhere(logic):
    painted = np.zeros(SHAPE, bool)
    painted[1:3, 1:3, 1:3] = True
    paint(logic, painted)


def test_prompts_go_under_the_transform_that_the_volume_comes_under(a_logic, an_mrml_scene):
    draw_box(a_logic)
    before, mask = a_logic._selected.prompts(), voxels_of(a_logic)
    move = np.eye(4)
    move[:3, 3] = (30, -20, 10)
    transform = add_transform(an_mrml_scene, move)
    for node in (a_logic.volume, a_logic.segmentation):
        node.SetAndObserveTransformNodeID(transform.GetID())
    a_logic.wait()
    assert np.allclose(a_logic._selected.prompts().box.corners_ras(), before.box.corners_ras(), atol=1e-3)
    assert np.array_equal(voxels_of(a_logic), mask)


def test_prompts_of_a_hardened_volume_stay_where_they_are(a_logic, an_mrml_scene):
    move = np.eye(4)
    move[:3, 3] = (30, -20, 10)
    transform = add_transform(an_mrml_scene, move)
    for node in (a_logic.volume, a_logic.segmentation):
        node.SetAndObserveTransformNodeID(transform.GetID())
    draw_box(a_logic, np.add(CENTRE, (30, -20, 10)))
    mask = voxels_of(a_logic)
    for node in (a_logic.segmentation, a_logic.volume):
        node.HardenTransform()
    a_logic.wait()
    (row,) = a_logic.prompt_rows()
    assert np.allclose(row.position_ras, np.add(CENTRE, (30, -20, 10)), atol=1e-3)
    assert np.array_equal(voxels_of(a_logic), mask)


def test_a_box_of_which_one_corner_was_placed_leaves_nothing(a_logic, an_mrml_scene):
    draft = a_logic.start_placing(BOX)
    draft.AddControlPointWorld(list(CENTRE))
    first = a_logic.segment_id
    a_logic.add_segment("kidney")
    a_logic.select(segment_id=first)
    assert prompt_nodes(a_logic.segmentation) == ()


def test_a_point_that_counts_again_is_no_new_lesion(a_logic):
    draw_box(a_logic, size=(8.0, 8.0, 8.0))
    click(a_logic, np.add(CENTRE, (15, 0, 0)))
    a_logic.lesion_mode = True
    for muted in (True, False):
        (point,) = [row for row in a_logic.prompt_rows() if row.kind == FOREGROUND]
        a_logic.set_muted(point, muted)
        a_logic.wait()
    assert len(a_logic._target.segment_ids) == 1


def test_two_clicks_at_once_are_two_lesions(a_logic):
    a_logic.lesion_mode = True
    draw_box(a_logic, size=(8.0, 8.0, 8.0))
    for step in (-15, 15):
        a_logic.add_point(tuple(np.add(CENTRE, (step, 0, 0))), True)
    a_logic.wait()
    assert len(a_logic._target.segment_ids) == 3
    assert all(voxels_of(a_logic, segment_id).any() for segment_id in a_logic._target.segment_ids)


def test_a_segment_that_cannot_be_asked_for_does_not_stop_the_others(a_logic):
    a_logic.auto_update = False
    a_logic.add_point(CENTRE, False)
    a_logic.wait()
    a_logic.auto_update = a_logic.together = True
    a_logic.add_segment("kidney")
    draw_box(a_logic)
    assert a_logic.status.kind == "done" and voxels_of(a_logic).any()


@pytest.mark.parametrize("kind", [FOREGROUND, BACKGROUND])
def test_a_volume_that_is_not_needed_is_given_back(a_logic, kind):
    draw_box(a_logic)
    a_logic.deactivate()
    assert a_logic._updates.answers._volume is None
    slicer.mrmlScene.Clear(False)


@pytest.mark.parametrize("is_changed", [False, True])
def test_what_was_found_out_about_a_volume_holds_on_return_as_long_as_its_voxels_do(
    a_logic, a_session, is_changed
):
    draw_box(a_logic)
    volume, first = a_logic.volume, a_session.seen
    expected = (first.fingerprint, first.percentiles, first.is_ct)
    a_logic.deactivate()  # to paint for a moment
    if is_changed:
        slicer.util.updateVolumeFromArray(volume, slicer.util.arrayFromVolume(volume) + 1)
    a_logic.activate()
    click(a_logic)
    assert a_session.seen is not first
    assert bool(a_session.seen.findings) is not is_changed
    found = (a_session.seen.fingerprint, a_session.seen.percentiles, a_session.seen.is_ct)
    assert (found == expected) is not is_changed


def test_the_user_learns_that_another_segment_kept_the_voxels(a_logic):
    paint(a_logic, np.ones(SHAPE, bool))  # a body
    a_logic.add_segment("organ")
    draw_box(a_logic)
    assert not voxels_of(a_logic).any()
    assert "Other segments kept 100 %" in a_logic.status.text
    a_logic.keep_others = False
    click(a_logic)
    assert voxels_of(a_logic).any() and a_logic.status.text == "Done."


def test_nothing_runs_while_a_scene_is_read(a_logic, a_session, an_mrml_scene):
    a_logic.add_point(CENTRE, True)
    a_logic.run()
    a_logic.wait()
    asked = len(a_session.calls)
    a_logic.add_point(tuple(np.add(CENTRE, (12, 0, 0))), True)
    an_mrml_scene.StartState(an_mrml_scene.ImportState)
    for _ in range(5):
        a_logic.poll(0.05)
        time.sleep(DEBOUNCE_S / 4)
    assert len(a_session.calls) == asked
    an_mrml_scene.EndState(an_mrml_scene.ImportState)
    a_logic.wait()
    assert len(a_session.calls) == asked + 1


def test_a_new_segment_is_taken_back_alone(a_logic):
    draw_box(a_logic)
    mask, prompts, first = voxels_of(a_logic), prompts_of(a_logic), a_logic.segment_id
    a_logic.add_segment("next")
    a_logic.undo()
    assert list(a_logic.segmentation.GetSegmentation().GetSegmentIDs()) == [first]
    a_logic.select(segment_id=first)
    assert np.array_equal(voxels_of(a_logic), mask) and prompts_of(a_logic) == prompts
    a_logic.undo()
    assert not voxels_of(a_logic).any()


# Slicer lets the next clicks go to each new node of markups


def test_a_point_that_changes_sides_leaves_the_tool_as_it_is(a_logic):
    node = a_logic.start_placing(FOREGROUND)
    click(a_logic)
    a_logic.flip(next(row for row in a_logic.prompt_rows() if row.kind == FOREGROUND))
    assert a_logic.placing == FOREGROUND and _place_node() == ("vtkMRMLMarkupsFiducialNode", node.GetID())


def test_prompts_of_other_segments_leave_the_tool_as_it_is(a_logic, an_mrml_scene):
    click(a_logic)
    first = a_logic.segment_id
    a_logic.add_segment("second")
    for left in prompt_nodes(a_logic.segmentation):
        an_mrml_scene.RemoveNode(left)  # as in a file that was saved without them
    a_logic.together = True
    node = a_logic.start_placing(FOREGROUND)
    click(a_logic, np.add(CENTRE, (12, 0, 0)))
    assert first in {segment_of(other) for other in prompt_nodes(a_logic.segmentation)}
    assert a_logic.placing == FOREGROUND and _place_node()[1] == node.GetID()


@pytest.mark.parametrize("ends", ["stop_placing", "deactivate"])
def test_slicers_place_button_places_again_what_it_placed_before(a_logic, an_mrml_scene, ends):
    curve = an_mrml_scene.AddNewNodeByClass("vtkMRMLMarkupsCurveNode")
    assert _place_node() == ("vtkMRMLMarkupsCurveNode", curve.GetID())
    a_logic.start_placing(FOREGROUND)
    a_logic.start_placing(BACKGROUND)
    getattr(a_logic, ends)()
    assert _place_node() == ("vtkMRMLMarkupsCurveNode", curve.GetID())


def test_a_node_that_is_gone_is_not_placed_again(a_logic, an_mrml_scene):
    curve = an_mrml_scene.AddNewNodeByClass("vtkMRMLMarkupsCurveNode")
    a_logic.start_placing(FOREGROUND)
    an_mrml_scene.RemoveNode(curve)
    a_logic.deactivate()
    assert _place_node() == ("vtkMRMLMarkupsCurveNode", "")


def _place_node():
    selection = slicer.mrmlScene.GetSingletonNode("Singleton", "vtkMRMLSelectionNode")
    return selection.GetActivePlaceNodeClassName(), selection.GetActivePlaceNodeID() or ""


def test_the_user_learns_that_the_editable_area_limits_the_mask(a_logic):
    draw_box(a_logic)
    assert "editable area" not in a_logic.status.text
    a_logic._editor.SourceVolumeIntensityMaskOn()
    a_logic._editor.SetSourceVolumeIntensityMaskRange(-10, 2000)
    click(a_logic)
    assert "Only the editable area was written" in a_logic.status.text


def test_no_view_is_drawn_while_segments_are_written(a_logic, monkeypatch):
    drawn = []
    monkeypatch.setattr(slicer, "app", object(), raising=False)
    monkeypatch.setattr(
        slicer.util, "RenderBlocker", lambda: _Blocker(drawn, lambda: voxels_of(a_logic).any())
    )
    draw_box(a_logic)
    assert drawn == [("paused", False), ("goes on", True)]


class _Blocker:
    """Notes when drawing stops and goes on, and what there is to see then."""

    def __init__(self, notes, seen):
        self.notes, self.seen = notes, seen

    def __enter__(self):
        self.notes.append(("paused", bool(self.seen())))

    def __exit__(self, *_ignored):
        self.notes.append(("goes on", bool(self.seen())))
