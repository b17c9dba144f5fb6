"""What ENSAM sees of a volume node."""

import numpy as np
import pytest
import slicer
import vtk
from ensam.errors import VolumeError
from ENSAMSegmentLib.volumes import volume_from_node

from .conftest import SHAPE


def _world_position(node, ijk):
    ijk_to_ras = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(ijk_to_ras)
    to_world = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), None, to_world)
    return to_world.TransformPoint(ijk_to_ras.MultiplyPoint((*ijk, 1))[:3])


def test_a_volume_has_the_voxels_and_the_name_of_its_node(a_volume_node):
    volume = volume_from_node(a_volume_node)

    assert volume.name == "CT chest"
    assert volume.array.shape == SHAPE
    assert volume.array[3, 2, 1] == a_volume_node.GetImageData().GetScalarComponentAsDouble(1, 2, 3, 0)


def test_each_voxel_lies_where_slicer_shows_it(a_volume_node):
    grid = volume_from_node(a_volume_node).grid

    for k, j, i in [(0, 0, 0), (19, 29, 39), (3, 2, 1), (0, 29, 7)]:
        expected = _world_position(a_volume_node, (i, j, k))
        np.testing.assert_allclose(grid.zyx_to_ras(np.array([[k, j, i]]))[0], expected, atol=1e-9)


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


def test_a_warped_volume_is_refused(an_mrml_scene, a_straight_volume_node):
    warp = an_mrml_scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "breathing")
    warp.SetAndObserveTransformToParent(vtk.vtkThinPlateSplineTransform())
    a_straight_volume_node.SetAndObserveTransformNodeID(warp.GetID())

    with pytest.raises(VolumeError, match="'CT chest' is warped by the non-linear transform 'breathing'"):
        volume_from_node(a_straight_volume_node)
