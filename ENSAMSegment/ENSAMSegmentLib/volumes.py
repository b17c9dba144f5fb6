"""Volume nodes as ENSAM's volumes."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from ensam.errors import VolumeError
from ensam.geometry import Grid
from ensam.volume import Volume
from vtk.util.numpy_support import vtk_to_numpy


def volume_from_node(node: slicer.vtkMRMLScalarVolumeNode) -> Volume:
    """Read a volume node with its place in the world.

    Args:
        node: A scalar volume, at any orientation and under any linear transform.

    Returns:
        The volume: a copy of the voxels (z, y, x), the grid in world RAS millimetres, the node's name.

    Raises:
        VolumeError: The node has no voxels or several values in each, it lies under a non-linear transform,
            or `Volume` refuses its voxels.
    """
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None:
        raise VolumeError(f"The volume '{node.GetName()}' has no image: load it again or choose another one.")
    if image.GetNumberOfScalarComponents() != 1:
        raise VolumeError(
            f"The volume '{node.GetName()}' holds {image.GetNumberOfScalarComponents()} values in each voxel "
            "(colour, vectors or a time series): choose a volume with one value in each voxel."
        )
    grid = grid_from_node(node)
    array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(grid.shape)
    # The user may go on editing the node while a worker computes with the volume.
    return Volume(array.copy(), grid, node.GetName())


def grid_from_node(node: slicer.vtkMRMLScalarVolumeNode) -> Grid:
    """Give a volume node's grid in world RAS millimetres, parent transforms included.

    Raises:
        VolumeError: The volume lies under a non-linear transform.
    """
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    grid = Grid(tuple(reversed(node.GetImageData().GetDimensions())), array_from_matrix(matrix))
    parent = node.GetParentTransformNode()
    if parent is None:
        return grid
    if not parent.IsTransformToWorldLinear():
        raise VolumeError(
            f"The volume '{node.GetName()}' is warped by the non-linear transform '{parent.GetName()}': "
            "harden the transform on the volume or move the volume out of it."
        )
    parent.GetMatrixTransformToWorld(matrix)
    return grid.transformed(array_from_matrix(matrix))


def array_from_matrix(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    """Copy a VTK matrix into a float64 array (4, 4)."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def matrix_from_array(array: np.ndarray) -> vtk.vtkMatrix4x4:
    """Copy an array (4, 4) into a VTK matrix."""
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(np.asarray(array, dtype=float).ravel())
    return matrix
