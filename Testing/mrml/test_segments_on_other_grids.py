"""Segments whose grid or transform is not the volume's."""

import numpy as np
from ensam.masks import MaskCrop
from ENSAMSegmentLib.segments import add_segmentation, read_segment

from .conftest import KIDNEY, LIVER, SHAPE, affine
from .nodes import add_transform, add_volume

# Each voxel of the straight volume is eight of this grid.
FINE = affine(scales=(0.4, 0.4, 1.5), origin=(-10.2, 4.8, 39.25))


def _dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_the_segmentation_may_lie_under_another_transform(an_mrml_scene, a_writer, a_volume_node):
    segmentation = add_segmentation(a_volume_node, "organs")
    segmentation.GetSegmentation().AddEmptySegment("liver")
    flip = add_transform(an_mrml_scene, affine((0, 0, 90), (1, 1, 1), (40, 50, 60)))
    segmentation.SetAndObserveTransformNodeID(flip.GetID())

    a_writer.write(segmentation, a_volume_node, {"liver": MaskCrop(LIVER, (0, 0, 0))})

    # The grids don't meet, so each voxel may be half a voxel off.
    crop = read_segment(segmentation, "liver", a_volume_node)
    assert _dice(crop.laid_out(SHAPE), LIVER) > 0.8


def test_a_segment_on_another_grid_reads_at_its_place(an_mrml_scene, a_writer, a_straight_volume_node):
    coarse = add_volume(
        an_mrml_scene,
        np.zeros((10, 15, 20), np.int16),
        affine(scales=(1.6, 1.6, 6.0), origin=(-9.6, 5.4, 41.5)),
    )
    segmentation = add_segmentation(coarse, "organs")
    segmentation.GetSegmentation().AddEmptySegment("liver")
    a_writer.write(segmentation, coarse, {"liver": MaskCrop(np.ones((2, 3, 4), bool), (1, 2, 3))})

    crop = read_segment(segmentation, "liver", a_straight_volume_node)

    assert crop.offset == (2, 4, 6)
    assert crop.mask.shape == (4, 6, 8)
    assert crop.mask.all()


def test_a_mask_written_to_another_grid_lands_at_its_place(an_mrml_scene, a_writer, a_straight_volume_node):
    fine = add_volume(an_mrml_scene, np.zeros((40, 60, 80), np.int16), FINE)
    segmentation = add_segmentation(fine, "organs")
    segmentation.GetSegmentation().AddEmptySegment("liver")

    a_writer.write(segmentation, a_straight_volume_node, {"liver": MaskCrop(LIVER, (0, 0, 0))})

    np.testing.assert_array_equal(
        read_segment(segmentation, "liver", a_straight_volume_node).laid_out(SHAPE), LIVER
    )
    assert read_segment(segmentation, "liver", fine).mask.sum() == 8 * LIVER.sum()


def test_a_second_mask_replaces_the_first_on_another_grid_too(
    an_mrml_scene, a_writer, a_straight_volume_node
):
    fine = add_volume(an_mrml_scene, np.zeros((40, 60, 80), np.int16), FINE)
    segmentation = add_segmentation(fine, "organs")
    segmentation.GetSegmentation().AddEmptySegment("liver")
    a_writer.write(segmentation, a_straight_volume_node, {"liver": MaskCrop(LIVER, (0, 0, 0))})

    a_writer.write(segmentation, a_straight_volume_node, {"liver": MaskCrop(KIDNEY, (0, 0, 0))})

    np.testing.assert_array_equal(
        read_segment(segmentation, "liver", a_straight_volume_node).laid_out(SHAPE), KIDNEY
    )


def test_the_intensity_range_holds_on_another_grid_too(
    an_mrml_scene, a_writer, a_segment_editor, a_straight_volume_node
):
    fine = add_volume(an_mrml_scene, np.zeros((40, 60, 80), np.int16), FINE)
    segmentation = add_segmentation(fine, "organs")
    segmentation.GetSegmentation().AddEmptySegment("liver")
    a_segment_editor.GetSegmentEditorNode().SetSourceVolumeIntensityMask(True)
    a_segment_editor.GetSegmentEditorNode().SetSourceVolumeIntensityMaskRange(0, 8 * 30 * 40 - 1)

    a_writer.write(segmentation, a_straight_volume_node, {"liver": MaskCrop(LIVER, (0, 0, 0))})

    # Intensities are interpolated on the finer grid, so half a slice about the range's end is open.
    written = read_segment(segmentation, "liver", a_straight_volume_node).laid_out(SHAPE)
    np.testing.assert_array_equal(written[:7], LIVER[:7])
    assert not written[9:].any()


def test_what_lies_outside_the_volume_is_not_read(an_mrml_scene, a_writer, a_straight_volume_node):
    larger = add_volume(
        an_mrml_scene, np.zeros((30, 40, 50), np.int16), affine(scales=(0.8, 0.8, 3.0), origin=(-14, 1, 25))
    )
    segmentation = add_segmentation(larger, "organs")
    segmentation.GetSegmentation().AddEmptySegment("liver")
    a_writer.write(segmentation, larger, {"liver": MaskCrop(np.ones((30, 40, 50), bool), (0, 0, 0))})

    crop = read_segment(segmentation, "liver", a_straight_volume_node)

    assert crop.offset == (0, 0, 0)
    assert crop.mask.shape == SHAPE
