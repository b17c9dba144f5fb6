"""What is said about a segment's size is what a calliper would say, on any grid."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ensam.geometry import Grid
from ensam.masks import MaskCrop
from ensam.measures import Measures, change, fingerprint, measure
from fuzzing import inputs
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

fast = inputs(60)
SHAPE = (9, 9, 9)
crops = st.builds(
    MaskCrop,
    st.tuples(*[st.integers(1, 5)] * 3).flatmap(lambda shape: arrays(bool, shape)),
    st.tuples(*[st.integers(0, 4)] * 3),
)
matrices = st.builds(
    lambda spacing, angles, shear: np.block(
        [
            [
                Rotation.from_euler("xyz", angles).as_matrix()
                @ np.array([[1, shear, 0], [0, 1, shear], [0, 0, 1]])
                @ np.diag(spacing),
                np.array([[7.0], [-3.0], [2.0]]),
            ],
            [np.zeros((1, 3)), np.ones((1, 1))],
        ]
    ),
    st.tuples(*[st.floats(0.3, 4)] * 3),
    st.tuples(*[st.floats(-3, 3)] * 3),
    st.floats(-0.5, 0.5),
)


def grid_of(*spacing_xyz, shape=(200, 200, 200)):
    return Grid(shape, np.diag([*spacing_xyz, 1.0]))


def by_trying_all(crop, grid):
    """The longest diameter from every pair of outline points, slice by slice."""
    lengths = [0.0]
    for k in range(crop.mask.shape[0]):
        voxels = np.argwhere(crop.mask[k])
        if len(voxels):
            edges = np.array([(0, -0.5, 0), (0, 0.5, 0), (0, 0, -0.5), (0, 0, 0.5)])
            points = np.c_[np.full(len(voxels), k), voxels][:, None] + edges
            ras = grid.zyx_to_ras(points.reshape(-1, 3) + crop.offset)
            lengths.append(np.linalg.norm(ras[:, None] - ras, axis=2).max())
    return max(lengths)


def test_an_empty_mask_measures_nothing():
    nothing = MaskCrop(np.zeros((3, 0, 2), bool), (1, 2, 3))
    assert measure(nothing, grid_of(1, 1, 1)) == Measures(0, 0, 0, 0)


def test_a_single_voxel_is_as_long_as_its_edges():
    one = MaskCrop(np.ones((1, 1, 1), bool), (4, 5, 6))
    result = measure(one, grid_of(0.5, 2, 10))
    assert math.isclose(result.volume_ml, 0.01) and result.longest_slice == 4
    assert math.isclose(result.longest_mm, 2) and math.isclose(result.perpendicular_mm, 0.5)


def test_a_row_of_voxels_is_as_long_as_their_edges_together():
    row = MaskCrop(np.ones((1, 1, 12), bool), (0, 0, 0))
    result = measure(row, grid_of(0.8, 0.8, 5))
    assert math.isclose(result.longest_mm, 12 * 0.8) and math.isclose(result.perpendicular_mm, 0.8)


@pytest.mark.parametrize("radius", [2.5, 6, 15, 40])
def test_a_disc_has_its_diameter_in_both_directions_within_a_voxel(radius):
    y, x = np.indices((90, 90)) - 44.3
    disc = MaskCrop((y**2 + x**2 < radius**2)[None], (3, 0, 0))
    result = measure(disc, grid_of(0.5, 0.5, 5))
    assert abs(result.longest_mm - radius) < 0.5 and abs(result.perpendicular_mm - radius) < 0.5
    assert result.longest_slice == 3


@pytest.mark.parametrize("angle", [0, 20, 45, 77])
def test_an_ellipse_has_its_axes_whichever_way_it_lies_on_an_anisotropic_grid(angle):
    y, x = np.indices((100, 100))
    right, up = 0.5 * (x - 50), 0.8 * (y - 50)
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    ellipse = ((c * right + s * up) / 15) ** 2 + ((c * up - s * right) / 8) ** 2 < 1
    result = measure(MaskCrop(ellipse[None], (0, 0, 0)), grid_of(0.5, 0.8, 3))
    assert abs(result.longest_mm - 30) < 0.8 and abs(result.perpendicular_mm - 16) < 0.8


def test_a_box_has_its_diagonal_within_a_voxel_and_the_longest_line_across_it():
    box = MaskCrop(np.ones((4, 30, 40), bool), (5, 0, 0))
    result = measure(box, grid_of(1, 1, 7))
    assert abs(result.longest_mm - 50) < 1
    # At right angles to the diagonal, the line from corner to the long side: 30 * 50 / 40.
    assert abs(result.perpendicular_mm - 37.5) < 1
    assert math.isclose(result.volume_ml, 4 * 30 * 40 * 7 / 1000) and result.longest_slice == 5


def test_the_slice_is_the_one_where_the_segment_is_longest_not_largest():
    mask = np.zeros((3, 30, 30), bool)
    mask[0, 5:20, 5:20] = mask[2, 0, :28] = True
    assert measure(MaskCrop(mask, (10, 0, 0)), grid_of(1, 1, 1)).longest_slice == 12


def test_a_horseshoe_is_measured_over_its_hollow():
    mask = np.ones((1, 20, 21), bool)
    mask[0, 5:, 5:16] = False
    filled = MaskCrop(np.ones((1, 20, 21), bool), (0, 0, 0))
    hollow = measure(MaskCrop(mask, (0, 0, 0)), grid_of(1, 1, 1))
    assert hollow.longest_mm == measure(filled, grid_of(1, 1, 1)).longest_mm


@fast
@given(crops, matrices)
def test_the_longest_diameter_is_the_longest_of_all_pairs_on_any_grid(crop, matrix):
    grid = Grid(SHAPE, matrix)
    assert math.isclose(measure(crop, grid).longest_mm, by_trying_all(crop, grid), abs_tol=1e-6)


@fast
@given(crops, matrices)
def test_the_perpendicular_is_the_shorter_one_and_turning_the_patient_changes_neither(crop, matrix):
    grid = Grid(SHAPE, matrix)
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", (0.3, -1, 2)).as_matrix()
    result, turned = measure(crop, grid), measure(crop, Grid(SHAPE, turn @ matrix))
    assert 0 <= result.perpendicular_mm <= result.longest_mm + 1e-9
    assert (result.perpendicular_mm > 0) == crop.mask.any()
    assert math.isclose(result.longest_mm, turned.longest_mm, abs_tol=1e-6)
    assert math.isclose(result.perpendicular_mm, turned.perpendicular_mm, rel_tol=1e-5, abs_tol=1e-6)
    assert math.isclose(result.volume_ml, crop.mask.sum() * abs(np.linalg.det(matrix)) / 1000, abs_tol=1e-9)


@fast
@given(crops, crops)
def test_a_change_is_what_was_added_and_what_was_removed(before, after):
    grid = grid_of(1, 2, 5, shape=SHAPE)
    old, new = before.laid_out(SHAPE), after.laid_out(SHAPE)
    found = change(before, after, grid)
    assert np.array_equal(found.added.laid_out(SHAPE), new & ~old)
    assert np.array_equal(found.removed.laid_out(SHAPE), old & ~new)
    assert math.isclose(found.added_ml, (new & ~old).sum() / 100)
    assert math.isclose(found.removed_ml, (old & ~new).sum() / 100)


def test_masks_at_two_ends_of_a_large_volume_are_compared_in_their_crops():
    ones = np.ones((2, 2, 2), bool)
    near, far = MaskCrop(ones, (0, 0, 0)), MaskCrop(ones, (10**6, 10**6, 10**6))
    found = change(near, far, grid_of(1, 1, 1))
    assert found.added.mask.shape == found.removed.mask.shape == (2, 2, 2)
    assert near.without(near).trimmed().mask.size == 0


@fast
@given(crops, crops, st.tuples(*[st.integers(0, 2)] * 6))
def test_equal_voxels_have_equal_fingerprints_in_whatever_crop(one, other, padding):
    pairs = list(zip(padding[:3], padding[3:], strict=True))
    wide = MaskCrop(
        np.pad(one.mask, pairs), tuple(at - p for at, p in zip(one.offset, padding, strict=False))
    )
    assert fingerprint(wide) == fingerprint(one)
    same = np.array_equal(one.laid_out(SHAPE), other.laid_out(SHAPE))
    assert (fingerprint(one) == fingerprint(other)) == one.is_same(other) == same
    assert (fingerprint(one) == "") == (not one.mask.any())
