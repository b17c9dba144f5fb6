"""The logic on a real scene, with a stand-in for the network."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import slicer
import vtk
from ensam.errors import InputError
from ensam.measures import measure
from ensam.planning import Preview
from ensam.prompts import Box, PromptSet, SegmentPrompts, read_prompts, write_prompts
from ENSAMSegmentLib import updates
from ENSAMSegmentLib.answers import bases
from ENSAMSegmentLib.logic import ENSAMSegmentLogic
from ENSAMSegmentLib.prompt_nodes import BACKGROUND, BOX, FOREGROUND
from ENSAMSegmentLib.segment_state import seen_tags
from ENSAMSegmentLib.segments import lies_in_segment
from ENSAMSegmentLib.volumes import grid_from_node, points_to_world

from .conftest import SHAPE
from .nodes import load_segmentation, save
from .prompting import (
    ALONG_X,
    CENTRE,
    click,
    draw_box,
    paint,
    prompts_of,
    started,
    voxels_of,
)

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


def test_a_jump_to_the_diameters_shows_the_slice_where_the_segment_is_longest(a_logic, an_mrml_scene):
    view = an_mrml_scene.AddNode(slicer.vtkMRMLSliceNode())
    view.SetFieldOfView(100, 100, 1)
    transform = an_mrml_scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.GetMatrixTransformToParent().SetElement(0, 3, 5.0)
    for node in (a_logic.volume, a_logic.segmentation):
        node.SetAndObserveTransformNodeID(transform.GetID())
    a_logic.jump_to_diameters()  # of an empty segment nothing is shown
    mask = np.zeros(SHAPE, bool)
    mask[3, 5:7, 8:10] = mask[4, 5, 3:16] = True
    paint(a_logic, mask)
    a_logic.jump_to_diameters()
    (expected,) = points_to_world(
        a_logic.volume, grid_from_node(a_logic.volume).zyx_to_ras(np.array((4.0, 5.0, 9.0)))
    )
    assert [view.GetSliceToRAS().GetElement(row, 3) for row in range(3)] == pytest.approx(expected)


def test_measures_are_taken_once_for_each_mask(a_logic, monkeypatch):
    taken = []
    monkeypatch.setattr(updates, "measure", lambda *given: taken.append(1) or measure(*given))
    paint(a_logic, np.ones(SHAPE, bool))
    first, segments = a_logic.segment_id, a_logic.segmentation.GetSegmentation()
    a_logic.changed = lambda: a_logic.measures
    a_logic.add_segment("kidney")
    a_logic.select(segment_id=first)
    taken.clear()
    assert a_logic.measures is a_logic.measures
    for name in ("left kidney", "right kidney"):
        segments.GetSegment(a_logic._target.segment_ids[1]).SetName(name)
    assert len(taken) <= 1


def test_measures_are_those_of_the_image_and_the_place_that_are_shown(a_logic, an_mrml_scene):
    paint(a_logic, np.ones(SHAPE, bool))
    whole = a_logic.measures.volume_ml
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 15.0)
    transform = an_mrml_scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(matrix)
    a_logic.segmentation.SetAndObserveTransformNodeID(transform.GetID())
    aside = a_logic.measures.volume_ml
    assert aside < whole
    matrix.SetElement(0, 3, 30.0)
    transform.SetMatrixTransformToParent(matrix)
    assert a_logic.measures.volume_ml < aside
    a_logic.segmentation.SetAndObserveTransformNodeID(None)
    slicer.util.updateVolumeFromArray(a_logic.volume, np.zeros((4, 5, 6), np.int16))
    assert a_logic.measures.volume_ml < whole
    a_logic.jump_to_diameters()


def test_a_new_name_or_colour_is_no_other_mask(a_logic):
    draw_box(a_logic)
    measures, segment = (
        a_logic.measures,
        a_logic.segmentation.GetSegmentation().GetSegment(a_logic.segment_id),
    )
    segment.SetName("left liver")
    segment.SetColor(0.1, 0.2, 0.3)
    assert measures is not None and a_logic.measures is measures
    paint(a_logic, np.ones(SHAPE, bool))
    assert a_logic.measures.volume_ml == pytest.approx(
        np.prod(SHAPE) * np.prod(a_logic.volume.GetSpacing()) / 1000
    )
    assert a_logic.last_change is None


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


# One undo stack


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


# Prompts belong to a segment


def visible(logic):
    return {node.GetName() for node in slicer_nodes(logic) if node.GetDisplayVisibility()}


def slicer_nodes(logic):
    from ENSAMSegmentLib.prompt_nodes import prompt_nodes

    return prompt_nodes(logic.segmentation)


def test_another_segment_shows_its_own_prompts_and_runs_nothing(a_logic, a_session):
    draw_box(a_logic)
    first = a_logic.segment_id
    a_logic.add_segment("kidney")
    assert prompts_of(a_logic) == []
    click(a_logic)
    assert visible(a_logic) == {"kidney foreground"}
    asked = len(a_session.calls)
    a_logic.select(segment_id=first)
    a_logic.wait()
    assert [kind for kind, _, _ in prompts_of(a_logic)] == [BOX]
    assert visible(a_logic) == {"liver box"}
    assert len(a_session.calls) == asked


def test_prompts_survive_a_segmentation_file(a_logic, a_session, an_mrml_scene, tmp_path):
    draw_box(a_logic)
    click(a_logic, foreground=False)
    before, mask = prompts_of(a_logic), voxels_of(a_logic)
    save(a_logic.segmentation, tmp_path / "organs.seg.nrrd")
    asked = len(a_session.calls)
    loaded = load_segmentation(an_mrml_scene, tmp_path / "organs.seg.nrrd")
    a_logic.select(segmentation=loaded, segment_id=loaded.GetSegmentation().GetNthSegmentID(0))
    a_logic.wait()
    assert prompts_of(a_logic) == before
    assert len(a_session.calls) == asked
    # The mask is known to be theirs: the next click does not take it for painted by hand.
    click(a_logic, np.add(CENTRE, (12, 0, 0)))
    assert a_session.calls[-1][1] is None
    assert (voxels_of(a_logic) & ~mask).any()


def test_prompts_travel_as_json_and_run_only_when_asked(a_logic, a_session, tmp_path):
    draw_box(a_logic)
    click(a_logic, foreground=False)
    mask = voxels_of(a_logic)
    a_logic.save_prompts(tmp_path / "prompts.json")
    (saved,) = read_prompts(tmp_path / "prompts.json")
    assert saved.name == "liver" and len(saved.prompts.points) == 1
    a_logic.clear_prompts()
    a_logic.wait()
    asked = len(a_session.calls)
    a_logic.load_prompts(tmp_path / "prompts.json")
    a_logic.wait()
    assert len(a_session.calls) == asked
    a_logic.run()
    a_logic.wait()
    assert np.array_equal(voxels_of(a_logic), mask)


def test_all_segments_of_a_file_are_answered_at_once_and_each_alone(a_logic, a_session, tmp_path):
    draw_box(a_logic)
    a_logic.add_segment("kidney")
    click(a_logic, CENTRE - 2.5 * ALONG_X)
    a_logic.save_prompts(tmp_path / "prompts.json")
    masks = [voxels_of(a_logic, segment_id) for segment_id in a_logic._target.segment_ids]
    for segment_id in a_logic._target.segment_ids:
        a_logic.select(segment_id=segment_id)
        a_logic.clear_prompts()
        a_logic.wait()
    assert not any(voxels_of(a_logic, segment_id).any() for segment_id in a_logic._target.segment_ids)
    a_logic.load_prompts(tmp_path / "prompts.json")
    asked = len(a_session.calls)
    # A change of one of them is answered for that one alone; the button stays.
    a_logic.add_point(CENTRE, False)
    a_logic.wait()
    assert len(a_session.calls) == asked + 1 and a_logic.offers_update
    a_logic.remove(a_logic.prompt_rows()[-1])
    a_logic.wait()
    a_logic.run()
    a_logic.wait()
    found = [voxels_of(a_logic, segment_id) for segment_id in a_logic._target.segment_ids]
    assert all(np.array_equal(own, before) for own, before in zip(found, masks, strict=True))
    assert not a_logic.offers_update
    a_logic.run()
    a_logic.wait()
    assert len(a_session.calls) == asked + 5  # the answered ones are not asked for again


@pytest.fixture
def three_segments_in_a_file(a_logic, tmp_path):
    """A box of each of three segments, the second's outside of the image; their masks are empty."""
    first = a_logic.segment_id
    prompts = [PromptSet(Box((24.0 + x, -4.0, 70.0), (8.0, 8.0, 8.0))) for x in (0.0, 900.0, 15.0)]
    path = tmp_path / "three.json"
    names = ("liver", "kidney", "spleen")
    write_prompts(path, [SegmentPrompts(name, own) for name, own in zip(names, prompts, strict=True)])
    a_logic.load_prompts(path)
    assert a_logic._target.segment_ids[0] == first and len(a_logic._target.segment_ids) == 3
    return a_logic


def run_all(logic):
    """As the panel does: errors become the status."""
    logic._managed(logic.run)
    while logic._updates.is_running:
        logic.poll(0.05)


def test_of_several_segments_of_a_file_those_that_failed_are_named(three_segments_in_a_file):
    logic = three_segments_in_a_file
    liver, kidney, spleen = logic._target.segment_ids
    run_all(logic)
    assert [voxels_of(logic, s).any() for s in (liver, kidney, spleen)] == [True, False, True]
    assert logic.status.kind == "error" and "no answer for kidney" in logic.status.text
    assert logic.offers_update
    logic.select(segment_id=kidney)
    run_all(logic)
    assert "lies outside" in logic.status.text
    logic.clear_prompts()
    logic.wait()
    assert not logic.offers_update


def test_what_was_cancelled_of_a_file_is_asked_for_again(three_segments_in_a_file, a_session):
    logic = three_segments_in_a_file
    liver, kidney, spleen = logic._target.segment_ids
    a_session.gate.clear()
    logic._managed(logic.run)
    logic.cancel()
    a_session.gate.set()
    assert logic.offers_update and not voxels_of(logic, liver).any()
    run_all(logic)
    assert [voxels_of(logic, s).any() for s in (liver, kidney, spleen)] == [True, False, True]


def test_a_completed_segment_of_a_file_is_passed_over(three_segments_in_a_file):
    logic = three_segments_in_a_file
    liver, kidney, spleen = logic._target.segment_ids
    for segment_id in (kidney, spleen):
        set_status(logic, segment_id, "Completed")
    assert logic.segment_id == spleen
    run_all(logic)
    assert [voxels_of(logic, s).any() for s in (liver, kidney, spleen)] == [True, False, False]
    logic.select(segment_id=liver)
    assert not logic.offers_update


def test_segments_that_could_not_be_segmented_from_a_file_are_not_saved(a_logic, tmp_path):
    path = tmp_path / "prompts.json"
    with pytest.raises(InputError, match="no prompts to save"):
        a_logic.save_prompts(path)
    click(a_logic)
    a_logic.add_segment("kidney")
    a_logic.add_segment("spleen")
    mask = np.zeros(SHAPE, bool)
    mask[2:4, 2:4, 2:4] = True
    paint(a_logic, mask)
    click(a_logic, CENTRE, foreground=False)
    a_logic.save_prompts(path)
    assert [one.name for one in read_prompts(path)] == ["liver"]


def test_prompts_need_an_image_to_be_loaded_for(a_logic, tmp_path):
    click(a_logic)
    a_logic.save_prompts(tmp_path / "prompts.json")
    a_logic._editor.SetAndObserveSourceVolumeNode(None)
    with pytest.raises(InputError, match="choose it as the source volume"):
        a_logic.load_prompts(tmp_path / "prompts.json")


def test_prompts_of_two_segments_of_one_name_are_not_saved_where_they_could_not_be_told_apart(
    a_logic, tmp_path
):
    draw_box(a_logic)
    a_logic.add_segment("liver")
    click(a_logic, np.add(CENTRE, (16, 0, 0)))
    with pytest.raises(InputError, match="Two segments are called 'liver'"):
        a_logic.save_prompts(tmp_path / "prompts.json")
    assert not (tmp_path / "prompts.json").exists()


def test_damaged_prompts_of_a_segment_are_reported(a_logic):
    from ENSAMSegmentLib.segment_state import PROMPTS_TAG

    segment_id = a_logic.add_segment("kidney")
    a_logic.segmentation.GetSegmentation().GetSegment(segment_id).SetTag(PROMPTS_TAG, "no base64!")
    a_logic.select(segment_id="liver")
    a_logic.select(segment_id=segment_id)
    assert a_logic.status.kind == "error" and "damaged" in a_logic.status.text


# Nothing blocks, nothing stale is written


def test_the_newest_prompts_win(a_logic, a_session):
    a_session.gate.clear()
    a_logic.set_box(CENTRE, (20.0, 16.0, 20.0))
    while not a_session.calls:
        a_logic.poll(0.01)
    assert a_logic.status.kind == "working"
    for step in range(3):
        a_logic.add_point(tuple(CENTRE + ALONG_X * step / 3), False)
    a_session.gate.set()
    a_logic.wait()
    assert len(a_session.calls[-1][0].points) == 3
    assert a_logic._editor_logic.CanUndo()
    a_logic.undo()
    assert not voxels_of(a_logic).any()  # one write, and not one for each prompt


def test_a_segment_that_was_left_still_gets_its_answer(a_logic, a_session):
    a_session.gate.clear()
    first = a_logic.segment_id
    a_logic.set_box(CENTRE, (20.0, 16.0, 20.0))
    a_logic.poll()  # the prompt is seen, and its pause not over
    a_logic.add_segment("kidney")
    a_logic.add_point(tuple(np.add(CENTRE, (15, 0, 0))), True)
    a_session.gate.set()
    a_logic.wait()
    assert voxels_of(a_logic, first).any() and voxels_of(a_logic).any()
    assert name_of(a_logic) == "kidney"


def test_cancel_leaves_the_segment_as_it_was(a_logic, a_session):
    started(a_logic, a_session)
    a_logic.cancel()
    a_session.gate.set()
    a_logic.wait()
    assert not voxels_of(a_logic).any()
    assert a_logic.status.kind == "ready"
    assert a_logic.poll() is None


@pytest.fixture
def what_is_offered(a_logic):
    """Whether an update was offered each time that the panel was told to show what there is."""
    offered = []
    a_logic.changed = lambda: offered.append(a_logic.offers_update)
    return offered


def test_what_was_cancelled_can_be_asked_for_again(a_logic, a_session, what_is_offered):
    started(a_logic, a_session)
    assert what_is_offered[-1] is a_logic.offers_update is False
    a_logic.cancel()
    assert what_is_offered[-1] is a_logic.offers_update is True
    a_session.gate.set()
    a_logic.run()
    a_logic.wait()
    assert voxels_of(a_logic).any()
    assert what_is_offered[-1] is a_logic.offers_update is False


@pytest.mark.parametrize(
    "error", [InputError("There is too little free memory."), ZeroDivisionError("a defect")]
)
def test_what_failed_can_be_asked_for_again(a_logic, a_session, what_is_offered, error):
    a_session.error = error
    with pytest.raises(type(error)):
        draw_box(a_logic)
    assert what_is_offered[-1] is a_logic.offers_update is True
    a_session.error = None
    a_logic.run()
    a_logic.wait()
    assert voxels_of(a_logic).any()
    assert what_is_offered[-1] is a_logic.offers_update is False


def test_after_undo_nothing_is_left_to_ask_for(a_logic, a_session):
    draw_box(a_logic)
    click(a_logic)
    a_session.error = InputError("There is too little free memory.")
    with pytest.raises(InputError):
        click(a_logic, CENTRE + ALONG_X)
    assert a_logic.offers_update
    a_logic.undo()
    assert not a_logic.offers_update


def test_what_could_not_even_be_asked_can_be_asked_for_again(a_logic):
    image = a_logic.volume.GetImageData()
    a_logic.volume.SetAndObserveImageData(None)
    with pytest.raises(InputError, match="no image"):
        draw_box(a_logic)
    a_logic.volume.SetAndObserveImageData(image)
    assert a_logic.offers_update


@pytest.mark.parametrize(
    ("name", "choice"),
    [
        ("intensity", "lung"),
        ("device", "cpu"),
        ("checkpoint", "other"),
        ("together", True),
        ("keep_others", False),
    ],
)
def test_another_choice_offers_an_update_where_there_are_prompts(a_logic, name, choice):
    told = []
    a_logic.changed = lambda: told.append(a_logic.offers_update)
    before = getattr(a_logic, name)
    setattr(a_logic, name, choice)
    assert told == [False]
    draw_box(a_logic)
    assert not a_logic.offers_update
    setattr(a_logic, name, before)
    assert told[-1] and a_logic.offers_update
    setattr(a_logic, name, choice)
    assert not a_logic.offers_update
    setattr(a_logic, name, before)
    a_logic.run()
    a_logic.wait()
    assert not a_logic.offers_update


def test_another_image_is_asked_about_on_demand(a_logic, a_session, an_mrml_scene):
    """The next time point, and another sequence: what is there is kept until the user wants it anew."""
    draw_box(a_logic)
    first, asked, shown = a_logic.volume, len(a_session.calls), []
    assert not a_logic.offers_update
    a_logic.changed = lambda: shown.append(a_logic.offers_update)
    voxels = slicer.util.arrayFromVolume(first) + 1
    slicer.util.updateVolumeFromArray(first, voxels)  # as a sequence does with its next frame
    a_logic.wait()
    assert len(a_session.calls) == asked and shown[-1] and a_logic.offers_update
    a_logic.run()
    a_logic.wait()
    assert len(a_session.calls) == asked + 1 and not a_logic.offers_update
    second = slicer.vtkMRMLScalarVolumeNode()
    second.CopyContent(first)
    an_mrml_scene.AddNode(second)
    a_logic.select(second)
    a_logic.wait()
    assert a_logic.offers_update and "another image" in a_logic.status.text
    a_session.gate.clear()
    a_logic.run()
    a_logic.cancel()
    a_session.gate.set()
    a_logic.select(first)
    assert not a_logic.offers_update and "mask follows" in a_logic.status.text
    a_logic.select(second)
    assert a_logic.offers_update


def test_the_grey_values_that_were_seen_are_told_behind_the_answer(a_logic):
    draw_box(a_logic)
    assert a_logic.status.text == "Done."
    assert a_logic.status.detail == "Seen with grey values 0 to 1."
    assert a_logic.status.technical.endswith("on cpu, about 300 MB of memory.")


def test_edges_that_are_coarser_than_the_image_are_told(a_logic, a_session):
    preview = Preview((32, 32, 32), (3.0, 7.5, 7.5), True, 300 << 20, "cpu")
    a_session.preview_all = lambda *ignored: preview
    draw_box(a_logic)
    assert a_logic.status.detail.endswith(
        "Seen with grey values 0 to 1, coarsely for its size: in voxels of 7.5 x 7.5 x 3 mm."
    )


def test_an_answer_that_found_nothing_says_so(a_logic, a_session):
    segmented = a_session._segmentation
    a_session._segmentation = lambda mask: replace(segmented(mask), found=False)
    draw_box(a_logic)
    assert a_logic.status.text.startswith("Done. Nothing stands out there: draw the box closer")


def test_the_image_and_its_features_are_given_back(a_logic, a_session, an_mrml_scene):
    draw_box(a_logic)
    assert a_session.volume is None and a_session.seen is not None
    an_mrml_scene.Clear(False)
    a_logic._worker._executor.submit(lambda: None).result(5)
    assert a_session.seen is None
    assert a_logic._updates._written is None and a_logic._updates._measured == (None, None)


def test_an_answer_for_a_closed_scene_is_dropped(a_logic, a_session, an_mrml_scene):
    started(a_logic, a_session)
    an_mrml_scene.Clear(False)
    a_session.gate.set()
    a_logic.wait()
    assert a_logic.volume is None and a_logic.segment_id == ""
    assert a_logic.prompt_rows() == ()


@pytest.mark.parametrize("lost", ["volume", "segmentation", "segment"])
def test_an_answer_for_a_deleted_node_is_dropped(a_logic, a_session, an_mrml_scene, lost):
    segmentation = a_logic.segmentation
    started(a_logic, a_session)
    if lost == "segment":
        segmentation.GetSegmentation().RemoveSegment(a_logic.segment_id)
    else:
        an_mrml_scene.RemoveNode(a_logic.volume if lost == "volume" else segmentation)
    a_session.gate.set()
    a_logic.wait()
    assert a_logic.poll() is None
    if lost == "volume":
        segment = segmentation.GetSegmentation().GetNthSegment(0)
        assert segment.GetRepresentation("Binary labelmap").IsEmpty()


def test_a_changed_image_is_segmented_anew(a_logic, a_session):
    started(a_logic, a_session)
    a_logic.volume.GetImageData().GetPointData().GetScalars().Fill(3)
    a_logic.volume.GetImageData().GetPointData().GetScalars().SetValue(0, 9)
    a_logic.volume.GetImageData().Modified()
    a_session.gate.set()
    a_logic.wait()
    assert a_session.seen.array.max() == 9
    assert voxels_of(a_logic).any()


def test_a_mask_painted_meanwhile_is_not_lost(a_logic, a_session):
    started(a_logic, a_session)
    painted = np.zeros(SHAPE, bool)
    painted[1:3, 1:3, 1:3] = True
    paint(a_logic, painted)
    a_session.gate.set()
    a_logic.wait()
    assert voxels_of(a_logic)[1:3, 1:3, 1:3].all()


def test_what_went_wrong_is_said_and_nothing_is_lost(a_logic, a_session):
    draw_box(a_logic)
    before = voxels_of(a_logic)
    a_session.error = InputError("The box lies outside 'CT chest': move it onto the image.")
    a_logic.add_point(CENTRE, False)
    with pytest.raises(InputError, match="move it onto the image"):
        a_logic.wait()
    assert a_logic.status.kind == "error"
    assert np.array_equal(voxels_of(a_logic), before)
    assert len(a_logic.prompt_rows()) == 2


def test_an_unforeseen_failure_reaches_user_and_developer(a_logic, a_session):
    a_session.error = ZeroDivisionError("of the network")
    a_logic.set_box(CENTRE, (20.0, 16.0, 20.0))
    with pytest.raises(ZeroDivisionError):
        a_logic.wait()
    assert "of the network" in a_logic.status.text
    a_session.error = None
    click(a_logic)
    assert a_logic.status.kind == "done"


# Several objects


def name_of(logic):
    return logic._target.segment(logic.segment_id).GetName()


def names_of(logic):
    return [logic._target.segment(segment_id).GetName() for segment_id in logic._target.segment_ids]


def test_in_lesion_mode_each_box_is_a_segment_of_its_own(a_logic):
    a_logic.lesion_mode = True
    for step in range(3):
        roi = a_logic.start_placing(BOX)
        roi.SetCenterWorld(*np.add(CENTRE, (12 * step - 12, 0, 0)))
        roi.SetSize(8, 8, 8)
        a_logic.stop_placing()
        a_logic.wait()
    names = names_of(a_logic)
    assert names == ["liver", "Lesion 2", "Lesion 3"]
    counts = [voxels_of(a_logic, s).sum() for s in a_logic._target.segment_ids]
    assert min(counts) > 0


def test_a_new_segment_gets_a_name_that_no_other_has(a_logic):
    a_logic.lesion_mode = True
    second = a_logic.add_segment()
    a_logic.add_segment()
    a_logic.segmentation.GetSegmentation().RemoveSegment(second)
    a_logic.add_segment()
    a_logic.add_segment()
    names = names_of(a_logic)
    assert names == ["liver", "Lesion 3", "Lesion 4", "Lesion 5"]


def test_in_lesion_mode_a_click_in_a_box_belongs_to_it_and_one_outside_begins_a_lesion(a_logic):
    a_logic.lesion_mode = True
    draw_box(a_logic, size=(8.0, 8.0, 8.0))
    a_logic.start_placing(FOREGROUND)
    click(a_logic)
    assert len(a_logic._target.segment_ids) == 1
    click(a_logic, np.add(CENTRE, (15, 0, 0)))
    assert len(a_logic._target.segment_ids) == 2
    assert a_logic.placing == FOREGROUND
    assert [kind for kind, _, _ in prompts_of(a_logic)] == [FOREGROUND]
    click(a_logic, np.add(CENTRE, (1, 0, 0)))
    assert name_of(a_logic) == "liver"
    assert [kind for kind, _, _ in prompts_of(a_logic)] == [BOX, FOREGROUND, FOREGROUND]


def test_in_lesion_mode_a_click_in_a_lesions_mask_belongs_to_it(a_logic):
    """Of lesions that have no boxes."""
    a_logic.lesion_mode = True
    click(a_logic)
    click(a_logic, np.add(CENTRE, (15, 0, 0)))
    first, second = a_logic._target.segment_ids
    assert a_logic.segment_id == second
    click(a_logic, np.add(CENTRE, (16, 0, 0)))
    assert a_logic.segment_id == second and len(a_logic.prompt_rows()) == 2
    click(a_logic, np.add(CENTRE, (1, 0, 0)))
    assert a_logic.segment_id == first and len(a_logic.prompt_rows()) == 2
    assert len(a_logic._target.segment_ids) == 2


def test_in_lesion_mode_lesions_can_begin_within_an_organ(a_logic):
    """One that was made by other means, and one that is completed."""
    organ = a_logic.segment_id
    paint(a_logic, np.ones(SHAPE, bool))
    a_logic.keep_others = False
    a_logic.add_segment("Lesion")
    a_logic.lesion_mode = True
    click(a_logic)
    click(a_logic, np.add(CENTRE, (15, 0, 0)))
    assert len(a_logic._target.segment_ids) == 3 and not a_logic._target.nodes_of(organ).nodes
    finished = a_logic.segment_id
    set_status(a_logic, finished, "Completed")
    a_logic.select(segment_id=a_logic._target.segment_ids[1])
    click(a_logic, np.add(CENTRE, (16, 0, 0)))
    assert len(a_logic._target.segment_ids) == 4


def test_a_point_lies_in_a_segment_where_its_mask_is(a_logic, an_mrml_scene):
    """Also where the segmentation lies elsewhere in the world than the image."""
    transform = an_mrml_scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = transform.GetMatrixTransformToParent()
    matrix.SetElement(0, 3, 3.3)
    transform.SetMatrixTransformToParent(matrix)
    draw_box(a_logic)
    a_logic.segmentation.SetAndObserveTransformNodeID(transform.GetID())
    grid, mask = grid_from_node(a_logic.volume), voxels_of(a_logic)
    where = a_logic.segmentation, a_logic.segment_id, a_logic.volume
    asked = np.argwhere(np.ones(SHAPE, bool))[::37]
    found = [lies_in_segment(grid.zyx_to_ras(voxel), *where) for voxel in asked]
    assert found == [bool(mask[tuple(voxel)]) for voxel in asked] and any(found)
    assert not lies_in_segment((1e6, 0, 0), *where)
    a_logic.add_segment("empty")
    assert not lies_in_segment(CENTRE, a_logic.segmentation, a_logic.segment_id, a_logic.volume)


def test_segments_that_share_out_the_voxels_are_answered_together(a_logic, a_session):
    draw_box(a_logic)
    first = a_logic.segment_id
    a_logic.add_segment("kidney")
    a_logic.together = True
    draw_box(a_logic, np.add(CENTRE, (8, 0, 0)))
    both = voxels_of(a_logic), voxels_of(a_logic, first)
    assert both[0].any() and both[1].any() and not (both[0] & both[1]).any()
    a_logic.undo()
    assert not voxels_of(a_logic).any()


def test_a_segment_that_is_marked_as_completed_stays_as_it_is(a_logic, a_session):
    """Neither its own prompts change it nor its neighbours', whatever may be overwritten."""
    draw_box(a_logic)
    first, mask, asked = a_logic.segment_id, voxels_of(a_logic), len(a_session.calls)
    set_status(a_logic, first, "Completed")
    with pytest.raises(InputError, match="'liver' is marked as completed, and stays as it is"):
        click(a_logic, CENTRE - 2 * ALONG_X)
    assert len(a_session.calls) == asked and np.array_equal(voxels_of(a_logic), mask)
    assert [kind for kind, _, _ in prompts_of(a_logic)] == [BOX, FOREGROUND]
    a_logic.keep_others = False
    for a_logic.together, aside in ((False, 6), (True, -6)):
        a_logic.add_segment()
        draw_box(a_logic, np.add(CENTRE, (aside, 0, 0)))
        assert voxels_of(a_logic).any() and not (voxels_of(a_logic) & mask).any()
        assert np.array_equal(voxels_of(a_logic, first), mask)
    set_status(a_logic, first, "InProgress")
    a_logic.select(segment_id=first)
    a_logic.run()
    a_logic.wait()
    assert not np.array_equal(voxels_of(a_logic), mask)


def set_status(logic, segment_id, name):
    segments = slicer.vtkSlicerSegmentationsModuleLogic
    segments.SetSegmentStatus(logic._target.segment(segment_id), getattr(segments, name))


def test_the_names_of_the_prompts_follow_their_segments(a_logic):
    draw_box(a_logic)
    click(a_logic)
    a_logic.segmentation.GetSegmentation().GetSegment(a_logic.segment_id).SetName("left liver")
    assert {node.GetName() for node in slicer_nodes(a_logic)} == {"left liver box", "left liver foreground"}


def test_a_box_that_becomes_another_lesions_is_called_after_it(a_logic):
    a_logic.lesion_mode = True
    draw_box(a_logic)
    roi = a_logic.start_placing(BOX)
    roi.SetCenterWorld(*np.add(CENTRE, (12, 0, 0)))
    roi.SetSize(8, 8, 8)
    a_logic.stop_placing()
    a_logic.wait()
    assert roi.GetName() == "Lesion 2 box"


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
