"""Volume nodes as ENSAM's volumes, and the way between a volume and the world.

ENSAM works in *volume RAS*: the RAS of the volume's own voxels, as its file has it, without the transforms
above the node. So a transform that moves the volume with its prompts and its segmentation changes nothing,
and a warped volume needs no resampling.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import slicer
import vtk
from ensam.errors import VolumeError
from ensam.geometry import Grid
from ensam.volume import Volume
from slicer.util import arrayFromVTKMatrix
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from .scene_nodes import nodes_of_class
from .translation import tr as _

# What an inverse that is found step by step may miss; VTK stops at a hundredth of this.
_INVERSE_TOLERANCE_MM = 0.1


def volume_from_node(node: slicer.vtkMRMLScalarVolumeNode) -> Volume:
    """Read a volume node as it is stored.

    Args:
        node: A scalar volume, at any orientation and under any transform.

    Returns:
        The volume: a copy of the voxels (z, y, x), the grid in volume RAS millimetres, the node's name.

    Raises:
        VolumeError: The node has no voxels or several values in each, or `Volume` refuses its voxels.
    """
    grid = grid_from_node(node)
    image = node.GetImageData()
    if image.GetNumberOfScalarComponents() != 1:
        raise VolumeError(
            _(
                "The volume '{volume}' holds {count} values in each voxel "
                "(colour, vectors or a time series): choose a volume with one value in each voxel."
            ).format(volume=node.GetName(), count=image.GetNumberOfScalarComponents())
        )
    array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(grid.shape)
    # The user may go on editing the node while a worker computes with the volume.
    return Volume(array.copy(), grid, node.GetName())


def shown_volumes(scene: slicer.vtkMRMLScene) -> tuple[slicer.vtkMRMLScalarVolumeNode, ...]:
    """The images in the slice views of the scene's layout, view by view, the one behind first; some may be
    there twice."""
    views = nodes_of_class(scene, "vtkMRMLSliceNode")
    shown = [
        slicer.vtkMRMLSliceLogic.GetSliceCompositeNode(view) for view in views if view.IsMappedInLayout()
    ]
    ids = [each for view in shown for each in (view.GetBackgroundVolumeID(), view.GetForegroundVolumeID())]
    nodes = (scene.GetNodeByID(each) for each in ids if each)
    return tuple(node for node in nodes if node is not None and node.IsA("vtkMRMLScalarVolumeNode"))


def is_in_views(volume: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Whether the slice views show this image, or none at all: what the user clicks on may be another one."""
    shown = shown_volumes(volume.GetScene())
    return not shown or volume in shown


def grid_from_node(node: slicer.vtkMRMLScalarVolumeNode) -> Grid:
    """Give a volume node's grid in volume RAS millimetres. Raises VolumeError when it has no voxels."""
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None:
        raise VolumeError(
            _("The volume '{volume}' has no image: load it again or choose another one.").format(
                volume=node.GetName()
            )
        )
    return _grid(tuple(reversed(image.GetDimensions())), ijk_to_ras(node).tobytes())


def ijk_to_ras(node: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """Give a volume node's matrix from (i, j, k, 1) to volume RAS millimetres, 4x4."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return arrayFromVTKMatrix(matrix)


@lru_cache(maxsize=8)
def _grid(shape: tuple[int, int, int], matrix: bytes) -> Grid:
    # A click asks for the same grid six times, and each is checked and inverted.
    return Grid(shape, np.frombuffer(matrix).reshape(4, 4))


def points_to_world(volume: slicer.vtkMRMLScalarVolumeNode, points_ras: np.ndarray) -> np.ndarray:
    """Give points in volume RAS millimetres, (N, 3), in world RAS. Raises as `transform_points`."""
    return transform_points(transform_between(volume.GetParentTransformNode(), None), points_ras)


def transform_between(
    source: slicer.vtkMRMLTransformNode | None, target: slicer.vtkMRMLTransformNode | None
) -> vtk.vtkGeneralTransform:
    """Give the transform from the space below one node to the space below another; None is the world."""
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(source, target, transform)
    return transform


def matrix_of(transform: vtk.vtkGeneralTransform) -> np.ndarray | None:
    """Give a linear transform as a 4x4 array, a non-linear one as None."""
    linear = vtk.vtkTransform()
    if not slicer.vtkMRMLTransformNode.IsGeneralTransformLinear(transform, linear):
        return None
    return arrayFromVTKMatrix(linear.GetMatrix())


def transform_points(transform: vtk.vtkGeneralTransform, points: np.ndarray) -> np.ndarray:
    """Transform points (N, 3) in millimetres, into float64.

    Raises:
        VolumeError: The transform is non-linear and the way there and back ends elsewhere: it folds at one of
            the points, or has no inverse there.
    """
    points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
    matrix = matrix_of(transform)
    if matrix is not None:
        return points @ matrix[:3, :3].T + matrix[:3, 3]
    transformed = _transform_each(transform, points)
    missed = np.abs(_transform_each(transform.GetInverse(), transformed) - points)
    # Written so that NaN counts as a miss.
    if not (missed <= _INVERSE_TOLERANCE_MM).all():
        raise VolumeError(
            _(
                "A non-linear transform can't be inverted where it is needed: "
                "move the prompts away from that place, or harden the transform on the volume."
            )
        )
    return transformed


def _transform_each(transform: vtk.vtkAbstractTransform, points: np.ndarray) -> np.ndarray:
    given, transformed = vtk.vtkPoints(), vtk.vtkPoints()
    given.SetData(numpy_to_vtk(np.ascontiguousarray(points), deep=True))
    transformed.SetDataTypeToDouble()
    transform.TransformPoints(given, transformed)
    return vtk_to_numpy(transformed.GetData()).reshape(-1, 3).copy()
