"""The logic on a real scene, with a stand-in for the network."""

from __future__ import annotations

import time

import numpy as np
import pytest
import slicer
import vtk
from ensam.errors import InputError
from ENSAMSegmentLib.answers import bases
from ENSAMSegmentLib.logic import ENSAMSegmentLogic
from ENSAMSegmentLib.prompt_nodes import BACKGROUND, BOX, FOREGROUND
from ENSAMSegmentLib.segment_state import seen_tags

from .conftest import SHAPE, affine
from .nodes import add_transform
from .prompting import ALONG_X, CENTRE, click, draw_box, paint, prompts_of, slicer_nodes, visible, voxels_of

# The mask follows


def test_a_box_and_a_click_each_change_the_mask(a_logic):
    draw_box(a_logic)
    after_box = voxels_of(a_logic)
    click(a_logic, CENTRE, foreground=False)
    assert after_box.any()
    assert (after_box & ~voxels_of(a_logic)).any()
    assert a_logic.status.kind == "done"
    assert a_logic.last_change.removed_ml > 0 and a_logic.last_change.added_ml == 0


def test_a_moved_click_gives_the_mask_of_a_click_made_there(a_logic):
    draw_box(a_logic)
    click(a_logic, CENTRE + ALONG_X, foreground=False)
    expected = voxels_of(a_logic)
    a_logic.clear_prompts()
    draw_box(a_logic)
    click(a_logic, CENTRE, foreground=False)
    node = a_logic.start_placing(BACKGROUND)
    a_logic.stop_placing()
    node.SetNthControlPointPositionWorld(0, *(CENTRE + ALONG_X))
    a_logic.wait()
    assert np.array_equal(voxels_of(a_logic), expected)


def test_nothing_runs_while_a_prompt_is_dragged(a_logic, a_session):
    draw_box(a_logic)
    click(a_logic)
    asked = len(a_session.calls)
    node = a_logic.start_placing(FOREGROUND)
    a_logic.stop_placing()
    node.InvokeEvent(node.PointStartInteractionEvent)
    node.SetNthControlPointPositionWorld(0, *(CENTRE + ALONG_X))
    for _ in range(5):
        time.sleep(0.05)
        a_logic.poll()
    assert len(a_session.calls) == asked
    node.InvokeEvent(node.PointEndInteractionEvent)
    a_logic.wait()
    assert len(a_session.calls) == asked + 1


def test_a_flipped_point_changes_sides(a_logic):
    draw_box(a_logic)
    click(a_logic)
    (point,) = [row for row in a_logic.prompt_rows() if row.kind == FOREGROUND]
    a_logic.flip(point)
    a_logic.wait()
    assert [kind for kind, _, _ in prompts_of(a_logic)] == [BOX, BACKGROUND]
    assert a_logic.last_change.removed_ml > 0


def test_a_muted_prompt_counts_no_more_until_it_is_taken_back(a_logic):
    draw_box(a_logic)
    plain = voxels_of(a_logic)
    click(a_logic, foreground=False)
    clicked = voxels_of(a_logic)
    for muted, expected in ((True, plain), (False, clicked)):
        (point,) = [row for row in a_logic.prompt_rows() if row.kind == BACKGROUND]
        a_logic.set_muted(point, muted)
        a_logic.wait()
        assert np.array_equal(voxels_of(a_logic), expected)


def test_a_muted_box_counts_no_more(a_logic):
    click(a_logic)
    ball = voxels_of(a_logic)
    draw_box(a_logic)
    a_logic.set_muted(a_logic.prompt_rows()[0], True)
    a_logic.wait()
    assert np.array_equal(voxels_of(a_logic), ball)


def test_without_prompts_the_segment_is_empty_again(a_logic):
    draw_box(a_logic)
    a_logic.clear_prompts()
    a_logic.wait()
    assert not voxels_of(a_logic).any()


def test_a_transform_that_moves_all_changes_nothing(a_logic, a_session, an_mrml_scene):
    transform = an_mrml_scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    for node in (a_logic.volume, a_logic.segmentation):
        node.SetAndObserveTransformNodeID(transform.GetID())
    draw_box(a_logic)
    asked, mask = len(a_session.calls), voxels_of(a_logic)
    matrix = transform.GetMatrixTransformToParent()
    matrix.SetElement(0, 3, 12.0)
    transform.SetMatrixTransformToParent(matrix)
    a_logic.wait()
    assert len(a_session.calls) == asked
    assert np.array_equal(voxels_of(a_logic), mask)


def test_a_box_goes_along_with_a_turn_that_was_rounded(a_logic, an_mrml_scene):
    turn = affine((20.0, 10.0, 5.0)).round(4)
    transform = add_transform(an_mrml_scene, turn)
    a_logic.volume.SetAndObserveTransformNodeID(transform.GetID())
    a_logic.set_box(tuple(turn[:3, :3] @ CENTRE), (8.0, 8.0, 8.0))
    a_logic.wait()
    turn[0, 3] += 30
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(turn))
    box = a_logic._target.nodes.prompts().box
    np.testing.assert_allclose(box.size_mm, 8, atol=0.01)
    np.testing.assert_allclose(box.center_ras, CENTRE, atol=0.01)


def test_the_prompts_of_all_segments_follow_the_volume_under_another_transform(a_logic, an_mrml_scene):
    draw_box(a_logic)
    a_logic.add_segment("kidney")
    click(a_logic)
    transform = an_mrml_scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    for transform_id in (transform.GetID(), None):
        a_logic.volume.SetAndObserveTransformNodeID(transform_id)
        assert [node.GetTransformNodeID() for node in slicer_nodes(a_logic)] == [transform_id] * 2


def test_prompts_stay_in_the_world_when_another_image_is_chosen(a_logic, an_mrml_scene):
    """Two images of one patient, the second registered to the first by a transform."""
    first = a_logic.volume
    draw_box(a_logic)
    click(a_logic)
    before = prompts_of(a_logic)
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 2.0)
    transform = an_mrml_scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(matrix)
    second = slicer.vtkMRMLScalarVolumeNode()
    second.CopyContent(first)
    an_mrml_scene.AddNode(second)
    second.SetAndObserveTransformNodeID(transform.GetID())
    for volume in (second, first):
        a_logic.select(volume)
        a_logic.wait()
        assert prompts_of(a_logic) == before
        # With the image that they were made for they move along, with another one they don't.
        matrix.SetElement(1, 3, matrix.GetElement(1, 3) + 1.0)
        transform.SetMatrixTransformToParent(matrix)
        assert prompts_of(a_logic) == before
    first.SetAndObserveTransformNodeID(transform.GetID())
    assert prompts_of(a_logic) != before


def test_a_jump_to_a_prompt_centres_the_views_on_it(a_logic, an_mrml_scene):
    view = an_mrml_scene.AddNode(slicer.vtkMRMLSliceNode())
    view.SetFieldOfView(100, 100, 1)
    a_logic.add_point(CENTRE, True)
    a_logic.jump_to(a_logic.prompt_rows()[0])
    assert [view.GetSliceToRAS().GetElement(row, 3) for row in range(3)] == pytest.approx(CENTRE)


def test_with_updates_off_nothing_runs_until_it_is_asked_for(a_logic, a_session):
    a_logic.auto_update = False
    draw_box(a_logic)
    assert not a_session.calls
    a_logic.run()
    a_logic.wait()
    assert voxels_of(a_logic).any()


# What was there stays


def test_painted_voxels_stay_when_a_click_follows(a_logic):
    draw_box(a_logic)
    painted = voxels_of(a_logic)
    painted[1:3, 1:3, 1:3] = True
    painted[10, 15, 20] = False
    paint(a_logic, painted)
    click(a_logic, np.add(CENTRE, (12, 0, 0)))
    now = voxels_of(a_logic)
    assert now[1:3, 1:3, 1:3].all()
    assert not now[10, 15, 20]
    assert (now & ~painted).any()


def test_an_existing_mask_is_corrected_by_a_background_click_alone(a_logic):
    mask = np.zeros(SHAPE, bool)
    mask[5:15, 10:20, 10:30] = True
    paint(a_logic, mask)
    click(a_logic, CENTRE, foreground=False)
    now = voxels_of(a_logic)
    assert (mask & ~now).any() and not (now & ~mask).any()


def test_prompts_on_a_painted_mask_give_the_same_in_any_order(a_logic):
    mask = np.zeros(SHAPE, bool)
    mask[5:15, 10:20, 10:30] = True
    first, second = (tuple(CENTRE), False), (tuple(np.add(CENTRE, (12, 0, 0))), True)
    results = []
    for order in ((first, second), (second, first)):
        paint(a_logic, mask)
        for position, foreground in order:
            click(a_logic, position, foreground)
        results.append(voxels_of(a_logic))
        a_logic.clear_prompts()
        a_logic.wait()
        paint(a_logic, np.zeros(SHAPE, bool))
    assert np.array_equal(*results)


@pytest.mark.parametrize("mode", ["OverwriteAllSegments", "OverwriteVisibleSegments", "OverwriteNone"])
def test_a_touching_segment_keeps_every_voxel(a_logic, mode):
    draw_box(a_logic)
    liver, first = voxels_of(a_logic), a_logic.segment_id
    a_logic._editor.SetOverwriteMode(getattr(slicer.vtkMRMLSegmentEditorNode, mode))
    a_logic.add_segment("kidney")
    draw_box(a_logic, np.add(CENTRE, (8, 0, 0)))
    click(a_logic, np.add(CENTRE, (3, 0, 0)))
    assert voxels_of(a_logic).any()
    assert np.array_equal(voxels_of(a_logic, first), liver)


# Placing


def test_a_box_that_is_not_finished_does_not_replace_the_old_one(a_logic):
    draw_box(a_logic)
    before = prompts_of(a_logic)
    a_logic.start_placing(BOX)
    assert a_logic.placing == BOX
    a_logic.stop_placing()
    a_logic.wait()
    assert prompts_of(a_logic) == before
    assert len(slicer_nodes(a_logic)) == 1


def test_prompts_can_be_hidden_to_judge_the_mask_until_a_tool_is_begun(a_logic, a_session):
    draw_box(a_logic)
    click(a_logic)
    first, asked, mask = a_logic.segment_id, len(a_session.calls), voxels_of(a_logic)
    a_logic.shows_prompts = False
    assert visible(a_logic) == set()
    a_logic.wait()
    assert len(a_session.calls) == asked and np.array_equal(voxels_of(a_logic), mask)
    click(a_logic, CENTRE + ALONG_X, foreground=False)
    a_logic.undo()
    a_logic.add_segment("kidney")
    a_logic.select(segment_id=first)
    assert visible(a_logic) == set() and len(a_logic.prompt_rows()) == 2
    a_logic.start_placing(FOREGROUND)
    assert a_logic.shows_prompts
    assert {"liver box", "liver foreground"} <= visible(a_logic)
    a_logic.shows_prompts = False
    assert a_logic.placing == ""


def test_placing_ends_with_the_mode_of_the_scene(a_logic):
    a_logic.start_placing(FOREGROUND)
    assert a_logic.placing == FOREGROUND
    slicer.mrmlScene.GetSingletonNode("Singleton", "vtkMRMLInteractionNode").SwitchToViewTransformMode()
    assert a_logic.placing == ""


# Coming and going


def test_what_is_remembered_of_a_scene_ends_with_it_also_while_another_module_is_used(a_logic, an_mrml_scene):
    mask = np.zeros(SHAPE, bool)
    mask[5:15, 10:20, 10:30] = True
    paint(a_logic, mask)
    click(a_logic, CENTRE, foreground=False)
    assert len(bases) and seen_tags._tags
    a_logic.deactivate()
    an_mrml_scene.Clear(False)
    assert not len(bases) and not seen_tags._tags


def test_module_and_effect_go_on_from_the_same_edited_mask(a_logic, a_session, a_worker_of_it):
    mask = np.zeros(SHAPE, bool)
    mask[5:15, 10:20, 10:30] = True
    paint(a_logic, mask)
    click(a_logic, CENTRE, foreground=False)
    a_logic.deactivate()
    other = ENSAMSegmentLogic(a_logic._editor, worker=a_worker_of_it)
    other.remove(other.prompt_rows()[0])
    other.wait()
    assert np.array_equal(voxels_of(other), mask)
    other.cleanup()


def test_a_logic_that_is_put_away_shows_and_follows_nothing(a_logic, a_session):
    draw_box(a_logic)
    asked = len(a_session.calls)
    segmentation, segment_id = a_logic.segmentation, a_logic.segment_id
    a_logic.deactivate()
    from ENSAMSegmentLib.prompt_nodes import prompt_nodes

    (roi,) = prompt_nodes(segmentation)
    assert not roi.GetDisplayVisibility()
    roi.SetSize(5, 5, 5)
    assert a_logic.poll() is None and len(a_session.calls) == asked
    a_logic.activate()
    assert a_logic.segment_id == segment_id and roi.GetDisplayVisibility()
    assert a_logic.poll() is None and len(a_session.calls) == asked


def test_without_a_volume_the_user_is_told_what_to_do(an_mrml_scene, a_worker_of_it):
    logic = ENSAMSegmentLogic(worker=a_worker_of_it)
    assert "Load an image" in logic.status.text
    for action in (logic.add_segment, logic.run, lambda: logic.start_placing(BOX), logic.clear_prompts):
        with pytest.raises(InputError, match="image"):
            action()
    logic.cleanup()
