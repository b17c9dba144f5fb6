"""Voxels, millimetres and ITK's axes agree on every grid a scanner or a transform can make."""

import numpy as np
import pytest
import SimpleITK as sitk
from ensam.errors import VolumeError
from ensam.geometry import Grid
from ensam.prompts import Box
from fuzzing import inputs
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

fast = inputs(60)
coordinates = st.floats(-300, 300)
vectors = st.tuples(coordinates, coordinates, coordinates)
rotations = st.tuples(*[st.floats(-180, 180)] * 3).map(
    lambda angles: Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
)
fractions = st.tuples(*[st.floats(-0.5, 0.5)] * 3)
shapes = st.tuples(*[st.integers(2, 40)] * 3)


@st.composite
def unsheared_grids(draw):
    """Oblique, anisotropic grids, left-handed ones among them."""
    spacing = np.array(draw(st.tuples(*[st.floats(0.2, 8)] * 3)))
    mirror = np.array([draw(st.sampled_from((-1, 1))), 1, 1])
    matrix = np.eye(4)
    matrix[:3, :3] = draw(rotations) * (spacing * mirror)
    matrix[:3, 3] = draw(vectors)
    return Grid(draw(shapes), matrix)


@st.composite
def any_grids(draw):
    """Grids below a parent transform that may scale and shear."""
    parent = np.eye(4)
    parent[0, 1] = draw(st.floats(-0.5, 0.5))
    parent[1, 1] = draw(st.floats(0.5, 2))
    parent[:3, 3] = draw(vectors)
    return below(draw(unsheared_grids()), parent)


def below(grid, parent_to_ras):
    """A grid below a linear transform."""
    return Grid(grid.shape, parent_to_ras @ grid.ijk_to_ras)


def sheared_grid():
    matrix = np.eye(4)
    matrix[0, 1] = 0.3
    return Grid((4, 5, 6), matrix)


@fast
@given(any_grids(), st.lists(vectors, min_size=1, max_size=5))
def test_a_point_returns_from_voxels_to_where_it_was(grid, points):
    assert np.allclose(grid.zyx_to_ras(grid.ras_to_zyx(points)), points, atol=1e-6)


def test_voxel_coordinates_are_z_y_x_and_the_matrix_is_i_j_k():
    grid = Grid((4, 5, 6), np.array([[2, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]]))
    assert grid.ras_to_zyx((12, 26, 42)).tolist() == [3, 2, 1]
    assert grid.zyx_to_ras([[3, 2, 1], [0, 0, 0]]).tolist() == [[12, 26, 42], [10, 20, 30]]
    assert grid.spacing_zyx == (4, 3, 2)


@fast
@given(any_grids(), vectors, st.tuples(*[st.floats(0.5, 80)] * 3), rotations, fractions)
def test_the_bounds_of_an_oblique_box_hold_all_of_it_and_no_more(grid, center, size, axes, inside):
    box = Box(center, size, tuple(map(tuple, axes)))
    lower, upper = grid.box_bounds_zyx(box)
    somewhere = np.array(center) + (np.array(inside) * size) @ axes
    assert np.all(grid.ras_to_zyx(somewhere) >= lower - 1e-6)
    assert np.all(grid.ras_to_zyx(somewhere) <= upper + 1e-6)
    corners = grid.ras_to_zyx(box.corners_ras())
    assert np.array_equal(corners.min(axis=0), lower) and np.array_equal(corners.max(axis=0), upper)


def test_two_opposite_corners_would_miss_most_of_an_oblique_box():
    turn = Rotation.from_euler("z", 45, degrees=True).as_matrix()
    box = Box((0, 0, 0), (10, 10, 10), tuple(map(tuple, turn)))
    lower, upper = Grid((40, 40, 40), np.eye(4)).box_bounds_zyx(box)
    assert np.allclose(upper - lower, [10, 10 * np.sqrt(2), 10 * np.sqrt(2)])


@fast
@given(unsheared_grids())
def test_a_grid_survives_the_way_through_itk(grid):
    back = Grid.from_itk(grid.to_itk(np.zeros(grid.shape, np.uint8)))
    assert back.shape == grid.shape
    assert np.allclose(back.ijk_to_ras, grid.ijk_to_ras, atol=1e-9)


@fast
@given(unsheared_grids(), vectors)
def test_itk_agrees_on_where_a_voxel_is(grid, zyx):
    image = grid.to_itk(np.zeros(grid.shape, np.uint8))
    left, posterior, superior = image.TransformContinuousIndexToPhysicalPoint(zyx[::-1])
    assert np.allclose(grid.zyx_to_ras(zyx), (-left, -posterior, superior), atol=1e-6)


def test_the_array_of_an_itk_image_keeps_its_axes():
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    image = Grid(array.shape, np.eye(4)).to_itk(array)
    assert image.GetSize() == (4, 3, 2)
    assert np.array_equal(sitk.GetArrayFromImage(image), array)


def test_a_sheared_grid_is_known_and_survives_the_way_through_itk():
    grid = sheared_grid()
    assert grid.is_sheared and not Grid((4, 5, 6), np.eye(4)).is_sheared
    back = Grid.from_itk(grid.to_itk(np.zeros(grid.shape, np.uint8)))
    assert np.allclose(back.ijk_to_ras, grid.ijk_to_ras, atol=1e-9)


def test_an_array_of_another_shape_is_not_put_on_the_grid():
    with pytest.raises(ValueError, match="shape"):
        Grid((4, 5, 6), np.eye(4)).to_itk(np.zeros((6, 5, 4), np.uint8))


def test_the_volume_reaches_half_a_voxel_beyond_its_outer_centres():
    grid = Grid((4, 5, 6), np.eye(4))
    points = [[-0.5, 0, 0], [3.5, 4.5, 5.5], [-0.51, 0, 0], [0, 4.51, 0], [0, 0, 5.51], [0, 0, np.nan]]
    assert grid.contains_zyx(points).tolist() == [True, True, False, False, False, False]
    assert grid.contains_zyx((0, 0, 0))


def test_equal_grids_hash_alike_and_a_moved_grid_differs():
    grid, same = sheared_grid(), sheared_grid()
    moved = below(grid, np.array([[1, 0, 0, 1e-3], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    assert grid == same and hash(grid) == hash(same)
    assert grid != moved and grid != "grid"
    zeros = Grid((2, 2, 2), np.eye(4) * -0.0 + np.eye(4))
    assert zeros == Grid((2, 2, 2), np.eye(4)) and hash(zeros) == hash(Grid((2, 2, 2), np.eye(4)))


def test_the_matrix_of_a_grid_cannot_be_changed():
    matrix = np.eye(4)
    grid = Grid((4, 5, 6), matrix)
    matrix[0, 0] = 9
    assert grid.ijk_to_ras[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        grid.ijk_to_ras[0, 0] = 2


def test_micrometre_voxels_are_a_valid_grid():
    assert Grid((2, 2, 2), np.diag([1e-5, 1e-5, 1e-5, 1])).spacing_zyx == pytest.approx((1e-5,) * 3)


@pytest.mark.parametrize(
    "matrix",
    [
        np.diag([1, 1, np.nan, 1]),
        np.diag([1, np.inf, 1, 1]),
        np.diag([1, 0, 1, 1]),
        np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
        np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0.1, 1.0]]),
        np.eye(3),
    ],
    ids=["nan", "infinite", "flat", "parallel axes", "perspective", "3x3"],
)
def test_a_matrix_that_places_no_voxels_is_refused(matrix):
    with pytest.raises(VolumeError, match="position in space"):
        Grid((4, 5, 6), matrix)


@pytest.mark.parametrize("shape", [(4, 5), (4, 0, 6)])
def test_a_shape_without_voxels_is_refused(shape):
    with pytest.raises(VolumeError, match="no voxels"):
        Grid(shape, np.eye(4))


@pytest.mark.parametrize(
    ("place", "voxel"),
    [((-0.5, 1.4, 9.5), (0, 1, 9)), ((0.5, 1.5, 2.5), (1, 2, 3)), ((-3, 0.49, 99), (0, 0, 9))],
)
def test_each_place_lies_in_one_voxel_and_on_a_face_in_the_upper_one(place, voxel):
    assert Grid((4, 6, 10), np.eye(4)).voxel_at(np.array(place)) == voxel
