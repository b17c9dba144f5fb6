"""Lesions, segments that share out the voxels, and those that are completed."""

from __future__ import annotations

import numpy as np
import pytest
from ensam.errors import InputError
from ENSAMSegmentLib.prompt_nodes import BOX, FOREGROUND
from ENSAMSegmentLib.segments import lies_in_segment
from ENSAMSegmentLib.volumes import grid_from_node

from .conftest import SHAPE
from .prompting import (
    ALONG_X,
    CENTRE,
    click,
    draw_box,
    name_of,
    paint,
    prompts_of,
    set_status,
    slicer_nodes,
    voxels_of,
)


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


@pytest.mark.parametrize("auto_update", [True, False])
def test_a_completed_segment_that_was_clicked_on_goes_on_when_it_is_opened_again(a_logic, auto_update):
    draw_box(a_logic)
    mask, segment_id = voxels_of(a_logic), a_logic.segment_id
    set_status(a_logic, segment_id, "Completed")
    with pytest.raises(InputError, match="click on its state in the list of segments"):
        click(a_logic, CENTRE, foreground=False)
    a_logic.auto_update = auto_update
    set_status(a_logic, segment_id, "InProgress")
    a_logic.wait()  # no word of what no longer holds
    assert np.array_equal(voxels_of(a_logic), mask) is not auto_update
    assert a_logic.offers_update is not auto_update


def test_so_it_does_where_other_grey_values_were_chosen(a_logic, a_session):
    draw_box(a_logic)
    set_status(a_logic, a_logic.segment_id, "Completed")
    a_logic.intensity = "ct"
    with pytest.raises(InputError, match="is marked as completed"):
        a_logic.run()
    asked = len(a_session.calls)
    set_status(a_logic, a_logic.segment_id, "InProgress")
    a_logic.wait()
    assert len(a_session.calls) == asked + 1
    assert a_logic.status.text == "Done."


def test_so_it_does_where_segments_share_out_the_voxels(a_logic):
    draw_box(a_logic)
    first = a_logic.segment_id
    a_logic.add_segment("kidney")
    draw_box(a_logic, np.add(CENTRE, (0, 8, 0)), (6.0, 6.0, 6.0))
    a_logic.select(segment_id=first)
    mask = voxels_of(a_logic)
    set_status(a_logic, first, "Completed")
    a_logic.together = True
    a_logic.run()
    a_logic.wait()  # the other one has its answer, and this one asks for none
    assert a_logic.status.kind == "done"
    with pytest.raises(InputError, match="'liver' is marked as completed"):
        click(a_logic, CENTRE, foreground=False)
    assert np.array_equal(voxels_of(a_logic), mask)
    set_status(a_logic, first, "InProgress")
    a_logic.wait()
    assert not np.array_equal(voxels_of(a_logic), mask) and a_logic.status.kind == "done"


def test_a_refused_click_that_is_taken_away_again_is_nothing_to_go_on_with(a_logic, a_session):
    draw_box(a_logic)
    set_status(a_logic, a_logic.segment_id, "Completed")
    with pytest.raises(InputError, match="'liver' is marked as completed"):
        click(a_logic, CENTRE, foreground=False)
    a_logic.remove(a_logic.prompt_rows()[-1])
    a_logic.wait()
    assert a_logic.status.text == "Change any prompt, and the mask follows."
    asked = len(a_session.calls)
    set_status(a_logic, a_logic.segment_id, "InProgress")
    a_logic.wait()
    assert len(a_session.calls) == asked


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
