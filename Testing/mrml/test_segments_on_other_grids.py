"""Segments whose grid or transform is not the volume's."""

import numpy as np
import pytest
from ensam.masks import MaskCrop
from ENSAMSegmentLib.labelmaps import matrix_of_image, voxels_of
from ENSAMSegmentLib.segments import add_segmentation, read_segment

from .conftest import KIDNEY, LIVER, SHAPE, STRAIGHT, add_warp, affine, ball
from .nodes import add_transform, add_volume

# Each voxel of the straight volume is eight of this grid.
FINE = affine(scales=(0.4, 0.4, 1.5), origin=(-10.2, 4.8, 39.25))
TURNED = affine((20, -35, 50), (0.8, 0.8, 3.0), (-10, 5, 40))
# Each with its shape; but for the last two they reach beyond the straight volume.
GRIDS = {
    "cropped volume": ((30, 40, 50), affine(scales=(0.8, 0.8, 3.0), origin=(-14, 1, 25))),
    "finer": ((46, 66, 86), affine(scales=(0.4, 0.4, 1.5), origin=(-11.4, 3.6, 34.75))),
    "coarser": ((14, 19, 24), affine(scales=(1.6, 1.6, 6.0), origin=(-12.8, 2.2, 29.5))),
    "turned": ((30, 40, 50), TURNED),
    "left-handed": ((40, 40, 40), affine((10, 5, -15), (-0.9, 0.9, 1.6), (24, 0, 45))),
    "the volume's": (SHAPE, STRAIGHT),
    "a part of the volume's": ((9, 12, 15), affine(scales=(0.8, 0.8, 3.0), origin=(-6, 13, 52))),
}


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


@pytest.mark.parametrize("grid", ["finer", "coarser"])
def test_the_share_that_others_keep_is_the_same_on_another_grid(
    an_mrml_scene, a_writer, a_segment_editor, a_straight_volume_node, grid
):
    segmentation = _painted(an_mrml_scene, a_writer, np.zeros(GRIDS[grid][0], bool), GRIDS[grid][1])
    segmentation.GetSegmentation().AddEmptySegment("kidney")
    a_segment_editor.GetSegmentEditorNode().SetAndObserveSegmentationNode(segmentation)
    a_writer.write(segmentation, a_straight_volume_node, {"kidney": MaskCrop(KIDNEY, (0, 0, 0))})
    mask = ball((9, 13, 22), 7)

    held_back = a_writer.write(segmentation, a_straight_volume_node, {"liver": MaskCrop(mask, (0, 0, 0))})

    assert held_back == pytest.approx((mask & KIDNEY).sum() / mask.sum(), abs=0.1)


@pytest.fixture(params=GRIDS)
def a_painted_segmentation(request, an_mrml_scene, a_writer, a_segment_editor):
    """A segment of single voxels, blocks and thin lines all over a grid of its own."""
    shape, matrix = GRIDS[request.param]
    rng = np.random.default_rng(3)
    painted = rng.random(shape) < 0.1
    painted[2:7, 3:9, 4:12] = True
    painted[shape[0] // 2, shape[1] // 2] = True
    return _painted(an_mrml_scene, a_writer, painted, matrix)


def _painted(scene, writer, voxels, matrix):
    """A segmentation with the voxels on the matrix's grid as its segment "liver"."""
    own = add_volume(scene, np.zeros(voxels.shape, np.int16), matrix, "of the segmentation")
    segmentation = add_segmentation(own, "organs")
    segmentation.GetSegmentation().AddEmptySegment("liver")
    writer.write(segmentation, own, {"liver": MaskCrop(voxels, (0, 0, 0))})
    return segmentation


def _own_voxels(segmentation):
    """The voxels of the segment "liver" on its labelmap's own grid, wherever they lie."""
    crop = voxels_of(segmentation.GetSegmentation().GetSegment("liver"))
    return {tuple(voxel) for voxel in (np.argwhere(crop.mask) + crop.offset).tolist()}


@pytest.mark.parametrize("placed", ["in the world", "under a transform", "under a warp"])
def test_writing_what_was_read_changes_no_voxel(
    a_painted_segmentation, an_mrml_scene, a_writer, a_straight_volume_node, placed
):
    if placed == "under a transform":
        turn = add_transform(an_mrml_scene, affine((0, 10, 30), (1, 1, 1), (4, -3, 2)))
        a_painted_segmentation.SetAndObserveTransformNodeID(turn.GetID())
    elif placed == "under a warp":
        a_painted_segmentation.SetAndObserveTransformNodeID(add_warp(an_mrml_scene).GetID())
    before = _own_voxels(a_painted_segmentation)
    read = read_segment(a_painted_segmentation, "liver", a_straight_volume_node)
    assert read.mask.any()

    a_writer.write(a_painted_segmentation, a_straight_volume_node, {"liver": read})

    assert _own_voxels(a_painted_segmentation) == before


def test_an_empty_mask_clears_all_within_the_volume_and_nothing_else(
    a_painted_segmentation, a_writer, a_straight_volume_node
):
    before = _own_voxels(a_painted_segmentation)
    labelmap = (
        a_painted_segmentation.GetSegmentation().GetSegment("liver").GetRepresentation("Binary labelmap")
    )
    ijk_to_ras = matrix_of_image(labelmap)
    empty = MaskCrop(np.zeros((0, 0, 0), bool), (0, 0, 0))

    a_writer.write(a_painted_segmentation, a_straight_volume_node, {"liver": empty})

    def is_within(voxel):
        ras_1 = ijk_to_ras @ (*reversed(voxel), 1)
        ijk = (np.linalg.inv(STRAIGHT) @ ras_1)[:3]
        return bool((ijk > -0.5).all() and (ijk < np.array(SHAPE[::-1]) - 0.5).all())

    assert _own_voxels(a_painted_segmentation) == {voxel for voxel in before if not is_within(voxel)}


def test_a_mask_replaces_what_lies_within_a_cropped_volume_and_nothing_else(
    an_mrml_scene, a_writer, a_straight_volume_node
):
    whole = np.zeros((30, 40, 50), bool)
    whole[3:28, 8:30, 2:46] = True
    segmentation = _painted(an_mrml_scene, a_writer, whole, GRIDS["cropped volume"][1])

    a_writer.write(segmentation, a_straight_volume_node, {"liver": MaskCrop(LIVER, (0, 0, 0))})

    expected = whole.copy()
    expected[5:25, 5:35, 5:45] = LIVER
    assert _own_voxels(segmentation) == {tuple(voxel) for voxel in np.argwhere(expected).tolist()}


def test_details_finer_than_the_volume_stay_where_nothing_changes(
    an_mrml_scene, a_writer, a_straight_volume_node
):
    vessels = np.zeros((40, 60, 80), bool)
    vessels[20, 2:8, 11] = vessels[10:30, 51, 71] = True
    segmentation = _painted(an_mrml_scene, a_writer, vessels, FINE)
    mask = read_segment(segmentation, "liver", a_straight_volume_node).joined(MaskCrop(LIVER, (0, 0, 0)))

    a_writer.write(segmentation, a_straight_volume_node, {"liver": mask})

    expected = vessels | LIVER.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    assert _own_voxels(segmentation) == {tuple(voxel) for voxel in np.argwhere(expected).tolist()}


@pytest.mark.parametrize("grid", GRIDS)
def test_earlier_masks_leave_no_crumbs(an_mrml_scene, a_writer, a_straight_volume_node, grid):
    shape, matrix = GRIDS[grid]
    nothing = np.zeros(shape, bool)
    written_once, written_again = (_painted(an_mrml_scene, a_writer, nothing, matrix) for _ in range(2))
    mask, larger = (MaskCrop(ball((9, 13, 18), radius), (0, 0, 0)) for radius in (6, 8))
    a_writer.write(written_once, a_straight_volume_node, {"liver": mask})

    for one in (larger, mask, larger, mask):
        a_writer.write(written_again, a_straight_volume_node, {"liver": one})

    assert _own_voxels(written_again) == _own_voxels(written_once)


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
