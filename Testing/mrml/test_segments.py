"""Masks into segments and out of them, and what must stay as it was."""

from unittest.mock import Mock

import numpy as np
import pytest
import slicer
import slicer.util
from ensam.errors import InputError
from ensam.masks import MaskCrop
from ENSAMSegmentLib.segments import SegmentWriter, add_segmentation, read_segment

from .conftest import KIDNEY, LIVER, OBLIQUE, SHAPE, ball
from .nodes import add_segment_editor, add_volume


def _exported(segmentation, segment_id, volume):
    """The segment as Slicer itself exports it to the volume's grid."""
    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, volume).astype(bool)


@pytest.fixture
def a_segmentation(a_volume_node):
    node = add_segmentation(a_volume_node, "organs")
    node.GetSegmentation().AddEmptySegment("liver", "liver")
    return node


@pytest.fixture
def painted_neighbours(two_neighbours, a_writer, a_segment_editor, a_straight_volume_node):
    """Two organs that touch, on one labelmap, in a segmentation that the editor shows."""
    a_segment_editor.GetSegmentEditorNode().SetAndObserveSegmentationNode(two_neighbours)
    organs = {"liver": MaskCrop(LIVER, (0, 0, 0)), "kidney": MaskCrop(KIDNEY, (0, 0, 0))}
    a_writer.write(two_neighbours, a_straight_volume_node, organs)
    # As it is after saving, and after painting in Slicer.
    two_neighbours.GetSegmentation().CollapseBinaryLabelmaps()
    assert two_neighbours.GetSegmentation().GetNumberOfLayers() == 1
    return two_neighbours


def test_a_mask_lands_on_the_voxels_it_was_made_for(a_segmentation, a_writer, a_volume_node):
    a_writer.write(a_segmentation, a_volume_node, {"liver": MaskCrop(LIVER[2:16, 5:20, 6:22], (2, 5, 6))})

    np.testing.assert_array_equal(_exported(a_segmentation, "liver", a_volume_node), LIVER)


def test_a_segment_reads_back_as_it_was_written(a_segmentation, a_writer, a_volume_node):
    a_writer.write(a_segmentation, a_volume_node, {"liver": MaskCrop(LIVER, (0, 0, 0))})

    crop = read_segment(a_segmentation, "liver", a_volume_node)

    assert crop.mask.shape == (13, 13, 13)
    np.testing.assert_array_equal(crop.laid_out(SHAPE), LIVER)


def test_a_second_mask_replaces_the_first(a_segmentation, a_writer, a_volume_node):
    a_writer.write(a_segmentation, a_volume_node, {"liver": MaskCrop(LIVER, (0, 0, 0))})
    moved = ball((11, 20, 30), 4)

    a_writer.write(a_segmentation, a_volume_node, {"liver": MaskCrop(moved, (0, 0, 0))})

    np.testing.assert_array_equal(_exported(a_segmentation, "liver", a_volume_node), moved)


def test_an_empty_mask_clears_the_segment(a_segmentation, a_writer, a_volume_node):
    a_writer.write(a_segmentation, a_volume_node, {"liver": MaskCrop(LIVER, (0, 0, 0))})

    a_writer.write(a_segmentation, a_volume_node, {"liver": MaskCrop(np.zeros((4, 4, 4), bool), (3, 3, 3))})

    assert read_segment(a_segmentation, "liver", a_volume_node).mask.size == 0


def test_a_mask_reaches_the_volumes_last_voxels(a_segmentation, a_writer, a_volume_node):
    a_writer.write(a_segmentation, a_volume_node, {"liver": MaskCrop(np.ones((2, 30, 40), bool), (18, 0, 0))})

    assert _exported(a_segmentation, "liver", a_volume_node)[18:].all()


def test_the_neighbour_on_the_same_labelmap_keeps_its_voxels(
    painted_neighbours, a_writer, a_segment_editor, a_straight_volume_node
):
    a_segment_editor.GetSegmentEditorNode().SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)

    a_writer.write(
        painted_neighbours, a_straight_volume_node, {"liver": MaskCrop(ball((9, 13, 18), 9), (0, 0, 0))}
    )

    np.testing.assert_array_equal(_exported(painted_neighbours, "kidney", a_straight_volume_node), KIDNEY)
    np.testing.assert_array_equal(
        _exported(painted_neighbours, "liver", a_straight_volume_node), ball((9, 13, 18), 9)
    )


def test_the_neighbour_gives_way_only_where_the_overwrite_mode_says_so(
    painted_neighbours, a_writer, a_segment_editor, a_straight_volume_node
):
    everything = slicer.vtkMRMLSegmentEditorNode.OverwriteAllSegments
    a_segment_editor.GetSegmentEditorNode().SetOverwriteMode(everything)
    a_writer.keep_others = False
    grown = ball((9, 13, 18), 9)

    a_writer.write(painted_neighbours, a_straight_volume_node, {"liver": MaskCrop(grown, (0, 0, 0))})

    kidney = _exported(painted_neighbours, "kidney", a_straight_volume_node)
    np.testing.assert_array_equal(kidney, KIDNEY & ~grown)


def test_one_undo_restores_every_segment(
    painted_neighbours, a_writer, a_segment_editor, a_straight_volume_node
):
    a_writer.write(
        painted_neighbours, a_straight_volume_node, {"liver": MaskCrop(ball((9, 13, 18), 9), (0, 0, 0))}
    )

    a_segment_editor.Undo()

    np.testing.assert_array_equal(_exported(painted_neighbours, "liver", a_straight_volume_node), LIVER)
    np.testing.assert_array_equal(_exported(painted_neighbours, "kidney", a_straight_volume_node), KIDNEY)


def test_only_the_editable_area_changes(
    painted_neighbours, a_writer, a_segment_editor, a_straight_volume_node
):
    editor = a_segment_editor.GetSegmentEditorNode()
    editor.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
    editor.SetMaskSegmentID("kidney")
    editor.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)

    a_writer.write(
        painted_neighbours, a_straight_volume_node, {"liver": MaskCrop(ball((9, 13, 18), 9), (0, 0, 0))}
    )

    liver = _exported(painted_neighbours, "liver", a_straight_volume_node)
    np.testing.assert_array_equal(liver, LIVER | (KIDNEY & ball((9, 13, 18), 9)))


def test_only_voxels_in_the_intensity_range_change(
    painted_neighbours, a_writer, a_segment_editor, a_straight_volume_node
):
    editor = a_segment_editor.GetSegmentEditorNode()
    editor.SetSourceVolumeIntensityMask(True)
    editor.SetSourceVolumeIntensityMaskRange(0, 8 * 30 * 40 - 1)  # the slices 0 to 7
    small = np.ones((4, 2, 2), bool)

    a_writer.write(painted_neighbours, a_straight_volume_node, {"liver": MaskCrop(small, (6, 12, 14))})

    # Old voxels in the range are cleared wherever they lie, also far from the new mask.
    expected = LIVER.copy()
    expected[:8] = False
    expected[6:8, 12:14, 14:16] = True
    np.testing.assert_array_equal(_exported(painted_neighbours, "liver", a_straight_volume_node), expected)


def test_a_write_that_slicer_would_refuse_half_way_changes_nothing(
    an_mrml_scene, two_neighbours, a_straight_volume_node
):
    # The labels have another grid than the reference geometry: there Slicer can't apply its intensity mask.
    logic = add_segment_editor(an_mrml_scene)
    logic.GetSegmentEditorNode().SetAndObserveSegmentationNode(two_neighbours)
    writer = SegmentWriter(logic)
    writer.write(two_neighbours, a_straight_volume_node, {"liver": MaskCrop(LIVER, (0, 0, 0))})
    other = add_volume(an_mrml_scene, np.zeros(SHAPE, np.int16), OBLIQUE, "other")
    two_neighbours.SetReferenceImageGeometryParameterFromVolumeNode(other)
    logic.GetSegmentEditorNode().SetSourceVolumeIntensityMask(True)
    writer = SegmentWriter(logic, save_state := Mock())

    with pytest.raises(InputError, match="The segment 'liver' has another grid than its segmentation"):
        writer.write(two_neighbours, a_straight_volume_node, {"liver": MaskCrop(LIVER, (0, 0, 0))})

    save_state.assert_not_called()
    np.testing.assert_array_equal(_exported(two_neighbours, "liver", a_straight_volume_node), LIVER)


def test_a_segment_that_is_gone_is_refused(two_neighbours, a_writer, a_straight_volume_node):
    with pytest.raises(InputError, match="'organs' has no segment 'spleen'"):
        a_writer.write(two_neighbours, a_straight_volume_node, {"spleen": MaskCrop(LIVER, (0, 0, 0))})


def test_a_segmentation_of_surfaces_is_refused(an_mrml_scene, a_straight_volume_node):
    segmentation = an_mrml_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "surfaces")
    segmentation.GetSegmentation().SetSourceRepresentationName("Closed surface")
    segmentation.GetSegmentation().AddEmptySegment("liver")

    with pytest.raises(InputError, match="'surfaces' is not kept as a binary labelmap"):
        read_segment(segmentation, "liver", a_straight_volume_node)


def test_a_new_segmentation_has_the_volumes_grid_and_transform(a_volume_node):
    segmentation = add_segmentation(a_volume_node, "organs")

    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    assert segmentation.GetNodeReference(role) is a_volume_node
    assert segmentation.GetTransformNodeID() == a_volume_node.GetTransformNodeID()


def test_trimming_keeps_the_place_of_every_voxel():
    crop = MaskCrop(LIVER[1:, 2:, 3:], (1, 2, 3)).trimmed()

    assert crop.mask.shape == (13, 13, 13)
    np.testing.assert_array_equal(crop.laid_out(SHAPE), LIVER)
