"""What segments that have voxels in common keep when one of them is written."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from ensam.masks import MaskCrop
from ENSAMSegmentLib.segments import add_segment, add_segmentation, read_segment

from .conftest import GROWN, LIVER, SHAPE, ball
from .nodes import exported

BODY = np.zeros(SHAPE, bool)
BODY[:, 8:20, 4:30] = True


@pytest.fixture
def a_liver_in_a_body(a_writer, a_segment_editor, a_straight_volume_node):
    """A liver that overlaps a body and a copy of itself, as other programs save them."""
    node = add_segmentation(a_straight_volume_node, "organs")
    for name in ("liver", "body", "copy"):
        node.GetSegmentation().AddEmptySegment(name, name)
    editor = a_segment_editor.GetSegmentEditorNode()
    editor.SetAndObserveSegmentationNode(node)
    editor.SetOverwriteMode(editor.OverwriteNone)
    masks = {"liver": LIVER, "body": BODY, "copy": LIVER}
    for name, mask in masks.items():
        a_writer.write(node, a_straight_volume_node, {name: MaskCrop(mask, (0, 0, 0))})
    editor.SetOverwriteMode(editor.OverwriteAllSegments)
    return node


def test_a_segment_keeps_the_voxels_that_it_has_in_common_with_others(
    a_liver_in_a_body, a_writer, a_straight_volume_node
):
    smaller = ball((8, 12, 14), 5)

    held_back = a_writer.write(
        a_liver_in_a_body, a_straight_volume_node, {"liver": MaskCrop(smaller, (0, 0, 0))}
    )

    assert held_back == 0
    for name, voxels in (("liver", smaller), ("body", BODY), ("copy", LIVER)):
        np.testing.assert_array_equal(exported(a_liver_in_a_body, name, a_straight_volume_node), voxels)


def test_a_segment_gains_no_voxel_of_those_that_it_overlaps_and_says_what_share(
    a_liver_in_a_body, a_writer, a_straight_volume_node
):
    masks = {"liver": MaskCrop(GROWN, (0, 0, 0))}
    held_back = a_writer.write(a_liver_in_a_body, a_straight_volume_node, masks)

    assert held_back == (GROWN & BODY & ~LIVER).sum() / GROWN.sum() > 0
    for name, voxels in (("liver", GROWN & (LIVER | ~BODY)), ("body", BODY), ("copy", LIVER)):
        np.testing.assert_array_equal(exported(a_liver_in_a_body, name, a_straight_volume_node), voxels)


def test_a_later_mask_that_is_there_already_wins_over_what_an_earlier_one_overwrites(
    a_writer, a_segment_editor, a_straight_volume_node
):
    node = add_segmentation(a_straight_volume_node, "organs")
    editor = a_segment_editor.GetSegmentEditorNode()
    editor.SetAndObserveSegmentationNode(node)
    editor.SetOverwriteMode(editor.OverwriteAllSegments)
    a_writer.keep_others = False
    first, second = add_segment(node, "first"), add_segment(node, "second")
    later = MaskCrop(np.ones((4, 4, 4), bool), (5, 5, 8))
    for length in (4, 8):
        masks = {first: MaskCrop(np.ones((4, 4, length), bool), (5, 5, 2)), second: later}
        a_writer.write(node, a_straight_volume_node, masks)
    assert read_segment(node, second, a_straight_volume_node).count == later.count


def test_a_completed_segment_loses_no_voxel_where_others_are_overwritten(
    a_liver_in_a_body, a_writer, a_straight_volume_node
):
    """Nor one that the written segment has in common with it."""
    a_writer.keep_others = False
    segments = slicer.vtkSlicerSegmentationsModuleLogic
    segments.SetSegmentStatus(a_liver_in_a_body.GetSegmentation().GetSegment("copy"), segments.Completed)

    masks = {"liver": MaskCrop(GROWN, (0, 0, 0))}
    held_back = a_writer.write(a_liver_in_a_body, a_straight_volume_node, masks)

    assert held_back == (GROWN & LIVER).sum() / GROWN.sum()
    new = GROWN & ~LIVER
    for name, voxels in (("liver", new), ("body", BODY & ~new), ("copy", LIVER)):
        np.testing.assert_array_equal(exported(a_liver_in_a_body, name, a_straight_volume_node), voxels)


def test_of_two_masks_that_meet_both_keep_what_both_had(a_liver_in_a_body, a_writer, a_straight_volume_node):
    moved = ball((8, 12, 18), 6)
    masks = {"liver": MaskCrop(LIVER, (0, 0, 0)), "copy": MaskCrop(moved, (0, 0, 0))}

    held_back = a_writer.write(a_liver_in_a_body, a_straight_volume_node, masks)

    assert held_back == (moved & BODY & ~LIVER).sum() / (LIVER.sum() + moved.sum()) > 0
    for name, voxels in (("liver", LIVER), ("body", BODY), ("copy", moved & (LIVER | ~BODY))):
        np.testing.assert_array_equal(exported(a_liver_in_a_body, name, a_straight_volume_node), voxels)
