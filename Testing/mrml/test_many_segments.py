"""What one segment costs must not grow with the number of others, and nothing comes out otherwise for it."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from ensam.masks import MaskCrop
from ensam.prompts import Point
from ENSAMSegmentLib import prompt_nodes, segment_writer
from ENSAMSegmentLib.labelmaps import LABELMAP, image_of, labelmap_of
from ENSAMSegmentLib.segments import add_segment, add_segmentation, read_segment

from .conftest import SHAPE
from .prompting import ALONG_X, CENTRE, click, draw_box, voxels_of
from .test_segments_on_other_grids import GRIDS


@pytest.fixture
def searches(monkeypatch):
    """Grows with each search of the scene for prompts."""
    found, real = [], prompt_nodes.prompt_nodes
    monkeypatch.setattr(
        prompt_nodes, "prompt_nodes", lambda segmentation: found.append(1) or real(segmentation)
    )
    return found


@pytest.mark.parametrize(
    "step",
    [
        lambda logic: logic._selected.usable_prompts(),
        lambda logic: logic._target.owner_of(Point((0.0, 0.0, 0.0), True)),
        lambda logic: (logic.run(), logic.wait()),
    ],
    ids=["prompts of all", "the owner of a click", "all together"],
)
def test_the_scene_is_searched_no_more_often_where_there_are_more_segments(a_logic, searches, step):
    a_logic.together = True
    counts = []
    for _more in range(2):
        for _segment in range(2):
            a_logic.add_segment()
            draw_box(a_logic, CENTRE + ALONG_X * np.random.default_rng(len(counts)).uniform(-1, 1))
        searches.clear()
        step(a_logic)
        counts.append(len(searches))
    assert counts[0] == counts[1] > 0


def test_prompts_are_seen_that_the_same_object_made_and_not_those_that_are_gone(a_logic, an_mrml_scene):
    nodes = a_logic._target.nodes
    assert nodes.nodes == ()
    nodes.add_point(CENTRE, True)
    (node,) = nodes.nodes
    an_mrml_scene.RemoveNode(node)
    assert nodes.nodes == () and nodes.prompts().is_empty


def test_lesions_far_from_each_other_are_not_compared(
    a_writer, a_segment_editor, a_straight_volume_node, monkeypatch
):
    node = add_segmentation(a_straight_volume_node, "lesions")
    a_segment_editor.GetSegmentEditorNode().SetAndObserveSegmentationNode(node)
    lesion, rest = np.ones((2, 2, 2), bool), {}
    for k in range(4):
        rest[add_segment(node, f"lesion {k}")] = MaskCrop(lesion, (4 * k, 5, 6))
    a_writer.write(node, a_straight_volume_node, rest)
    compared, near = [], segment_writer.voxels_near
    monkeypatch.setattr(segment_writer, "voxels_near", lambda *given: compared.append(1) or near(*given))
    first, *_others = rest
    a_writer.write(node, a_straight_volume_node, {first: MaskCrop(lesion, (1, 5, 6))})
    assert not compared
    a_writer.write(node, a_straight_volume_node, {first: MaskCrop(lesion, (3, 5, 6))})
    assert compared


@pytest.mark.parametrize("grid", GRIDS)
def test_a_segment_on_another_grid_is_kept_apart_as_if_each_were_compared_with_each(
    an_mrml_scene, a_writer, a_segment_editor, a_straight_volume_node, monkeypatch, grid
):
    masks = []
    for spans in (segment_writer._spans, _everywhere):
        monkeypatch.setattr(segment_writer, "_spans", spans)
        node = add_segmentation(a_straight_volume_node, "organs")
        a_segment_editor.GetSegmentEditorNode().SetAndObserveSegmentationNode(node)
        kidney = slicer.vtkSegment()
        shape, matrix = GRIDS[grid]
        kidney.AddRepresentation(
            LABELMAP, image_of(MaskCrop(np.ones(np.array(shape) // 2, bool), (1, 2, 3)), matrix)
        )
        node.GetSegmentation().AddSegment(kidney, "kidney")
        liver = add_segment(node, "liver")
        a_writer.write(node, a_straight_volume_node, {liver: MaskCrop(np.ones(SHAPE, bool), (0, 0, 0))})
        masks.append(read_segment(node, liver, a_straight_volume_node).laid_out(SHAPE))
    assert 0 < masks[0].sum() < masks[0].size
    np.testing.assert_array_equal(*masks)


def _everywhere(_segmentation, segment_ids, _wanted):
    return np.array([[[-np.inf] * 3, [np.inf] * 3]] * len(segment_ids)).reshape(-1, 2, 3)


def test_what_is_there_already_is_not_written_again(a_logic):
    a_logic.together = True
    draw_box(a_logic, CENTRE - ALONG_X, (8.0, 8.0, 8.0))
    first = a_logic.segment_id
    labelmap = labelmap_of(a_logic._target.segment(first))
    written = labelmap.GetMTime()
    a_logic.add_segment()
    click(a_logic, CENTRE + ALONG_X)
    assert voxels_of(a_logic).any() and labelmap.GetMTime() == written
    before = voxels_of(a_logic, first)
    a_logic.undo()
    assert np.array_equal(voxels_of(a_logic, first), before)
