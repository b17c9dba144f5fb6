"""What ENSAM sees of a volume node."""

import numpy as np
import pytest
import slicer
import vtk
from ensam.errors import VolumeError
from ENSAMSegmentLib.volumes import (
    grid_from_node,
    points_to_world,
    transform_between,
    transform_points,
    volume_from_node,
)

from .conftest import SHAPE, add_warp


def _world_position(node, ijk):
    ijk_to_ras = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(ijk_to_ras)
    to_world = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), None, to_world)
    return to_world.TransformPoint(ijk_to_ras.MultiplyPoint((*ijk, 1))[:3])


def _from_world(volume_node, points):
    return transform_points(transform_between(None, volume_node.GetParentTransformNode()), points)


VOXELS = np.array([(0, 0, 0), (19, 29, 39), (3, 2, 1), (0, 29, 7)])  # k, j, i


def test_a_volume_has_the_voxels_and_the_name_of_its_node(a_volume_node):
    volume = volume_from_node(a_volume_node)

    assert volume.name == "CT chest"
    assert volume.array.shape == SHAPE
    assert volume.array[3, 2, 1] == a_volume_node.GetImageData().GetScalarComponentAsDouble(1, 2, 3, 0)


def test_each_voxel_lies_where_slicer_shows_it(a_volume_node):
    grid = grid_from_node(a_volume_node)

    shown = points_to_world(a_volume_node, grid.zyx_to_ras(VOXELS))

    expected = [_world_position(a_volume_node, (i, j, k)) for k, j, i in VOXELS.tolist()]
    np.testing.assert_allclose(shown, expected, atol=1e-9)


def test_the_world_leads_back_to_the_voxels(a_volume_node):
    grid = grid_from_node(a_volume_node)
    shown = points_to_world(a_volume_node, grid.zyx_to_ras(VOXELS))

    np.testing.assert_allclose(grid.ras_to_zyx(_from_world(a_volume_node, shown)), VOXELS, atol=1e-9)


def test_a_warped_volume_has_the_grid_of_its_file(an_mrml_scene, a_straight_volume_node):
    before = grid_from_node(a_straight_volume_node)

    a_straight_volume_node.SetAndObserveTransformNodeID(add_warp(an_mrml_scene).GetID())

    assert volume_from_node(a_straight_volume_node).grid == before


def test_the_way_through_a_warp_leads_back(an_mrml_scene, a_straight_volume_node):
    points = grid_from_node(a_straight_volume_node).zyx_to_ras(VOXELS)
    a_straight_volume_node.SetAndObserveTransformNodeID(add_warp(an_mrml_scene).GetID())

    warped = points_to_world(a_straight_volume_node, points)

    expected = [_world_position(a_straight_volume_node, (i, j, k)) for k, j, i in VOXELS.tolist()]
    np.testing.assert_allclose(warped, expected, atol=1e-9)
    assert np.abs(warped - points).max() > 1
    np.testing.assert_allclose(_from_world(a_straight_volume_node, warped), points, atol=0.02)


def test_a_warp_that_folds_is_refused_where_it_folds(an_mrml_scene, a_straight_volume_node):
    folding = add_warp(an_mrml_scene, moved_by=60.0)
    a_straight_volume_node.SetAndObserveTransformNodeID(folding.GetID())
    # Where the moved landmark came to lie, many points of the volume meet.
    points = np.random.default_rng(0).uniform(-30, 100, (500, 3))

    with pytest.raises(VolumeError, match="can't be inverted"):
        _from_world(a_straight_volume_node, points)


def test_a_volume_stays_as_it_was_read(a_straight_volume_node):
    volume = volume_from_node(a_straight_volume_node)
    a_straight_volume_node.GetImageData().GetPointData().GetScalars().Fill(7)

    assert volume.array[0, 0, 2] == 2


def test_a_volume_without_an_image_is_refused(an_mrml_scene):
    node = an_mrml_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")

    with pytest.raises(VolumeError, match="'empty' has no image"):
        volume_from_node(node)


def test_a_colour_volume_is_refused(a_straight_volume_node):
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(4, 4, 4)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    a_straight_volume_node.SetAndObserveImageData(image)

    with pytest.raises(VolumeError, match="3 values in each voxel"):
        volume_from_node(a_straight_volume_node)
