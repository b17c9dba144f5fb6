"""Markups nodes as ENSAM's prompts, in volume RAS.

The whole of each node is read anew each time: Markups events don't tell reliably which point changed.
A prompt whose control point isn't selected is muted: it stays in the scene and isn't used.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import slicer
import vtk
from ensam.errors import InputError
from ensam.prompts import IDENTITY_AXES, Box, Point, PromptSet
from slicer.util import arrayFromVTKMatrix, vtkMatrixFromArray

from .translation import tr as _
from .volumes import (
    grid_from_node,
    matrix_of,
    transform_between,
    transform_points,
)

_RIGHT_ANGLE = 1e-4  # largest cosine, as in `Box`: matrices come rounded
# A warp may bulge a box's face outwards, so more than the corners must be followed.
_POINTS_PER_EDGE = 11


def prompts_from_nodes(
    volume: slicer.vtkMRMLScalarVolumeNode,
    box: slicer.vtkMRMLMarkupsROINode | None = None,
    foreground: slicer.vtkMRMLMarkupsFiducialNode | None = None,
    background: slicer.vtkMRMLMarkupsFiducialNode | None = None,
    muted: bool = False,
) -> PromptSet:
    """Read the prompts of one segment that count, or those that are muted.

    Args:
        volume: The volume that the prompts are for.
        box: The region of interest around the object. One that is not placed yet counts as none.
        foreground: Points on the object. Points that are not placed yet are left out.
        background: Points beside the object, likewise.
        muted: Whether to read the muted prompts, and only those.

    Returns:
        The prompts in volume RAS millimetres. A box stays the same box, oriented as it is, where the
        transforms turn, move or stretch it along its edges; elsewhere it is the smallest box along the
        volume's own axes that holds it. A box under the volume's own transform is taken as it is stored.

    Raises:
        PromptError: The box is empty, or one position is marked both foreground and background.
        VolumeError: The volume has no image, or a warp can't be inverted at a prompt.
    """
    points = (*_points(volume, foreground, True, muted), *_points(volume, background, False, muted))
    wanted = box is not None and _is_placed(box) and _is_muted(box, 0) == muted
    return PromptSet(_box(volume, box) if wanted else None, points)


def moved_prompts(
    prompts: PromptSet, transform: vtk.vtkGeneralTransform, volume: slicer.vtkMRMLScalarVolumeNode
) -> PromptSet:
    """The prompts after a transform into a volume's RAS, a box as `prompts_from_nodes` reads it.

    Raises:
        VolumeError: The volume has no image, or a warp can't be inverted at a prompt.
    """
    box = prompts.box
    if box is not None:
        box = _transformed_box(box, transform) or _box_around(box, transform, _axes_of(volume))
    positions = transform_points(transform, np.array([point.position_ras for point in prompts.points]))
    points = zip(positions.tolist(), prompts.points, strict=True)
    return PromptSet(box, tuple(replace(point, position_ras=tuple(position)) for position, point in points))


def set_box(node: slicer.vtkMRMLMarkupsROINode, volume: slicer.vtkMRMLScalarVolumeNode, box: Box) -> None:
    """Place a region of interest so that `prompts_from_nodes` reads the box from it.

    Where a transform between the volume and the node bends the box, it is the smallest upright box of the
    world that holds it.

    Args:
        node: The region of interest; under the volume's own transform it can take any box.
        volume: The volume that the box is for.
        box: The box in volume RAS millimetres.

    Raises:
        InputError: The node lies under a transform of its own that would bend the box.
        VolumeError: A warp can't be inverted at the box.
    """
    parent = node.GetParentTransformNode()
    if parent is not volume.GetParentTransformNode():
        to_world = transform_between(volume.GetParentTransformNode(), None)
        box = _transformed_box(box, to_world) or _box_around(box, to_world, np.array(IDENTITY_AXES))
        name = node.GetName()
        box = _transformed_box(box, transform_between(None, parent))
        if box is None:
            raise InputError(
                _(
                    "The transform '{transform}' would bend the box: move '{box}' out of that transform "
                    "or put it under the volume's."
                ).format(transform=parent.GetName(), box=name)
            )
    _place_box(node, box)


def set_box_world(node: slicer.vtkMRMLMarkupsROINode, box: Box) -> None:
    """Place a region of interest as a box of the world, in RAS millimetres.

    A node under a transform that would bend the box is taken out of it.
    """
    own = _transformed_box(box, transform_between(None, node.GetParentTransformNode()))
    if own is None:
        node.SetAndObserveTransformNodeID(None)
    _place_box(node, own or box)


def _place_box(node: slicer.vtkMRMLMarkupsROINode, box: Box) -> None:
    """Give a region of interest this box of the space that it is in."""
    object_to_node = np.eye(4)
    object_to_node[:3, :3] = np.array(box.axes_ras).T
    object_to_node[:3, 3] = box.center_ras
    # Slicer's handles expect right-handed axes; a box is the same with an axis turned round.
    if np.linalg.det(object_to_node[:3, :3]) < 0:
        object_to_node[:3, 2] *= -1
    # The place last, and not within StartModify: Slicer rounds the centre to single precision on the way.
    node.SetSize(*box.size_mm)
    node.SetAndObserveObjectToNodeMatrix(vtkMatrixFromArray(object_to_node))


def _is_placed(roi: slicer.vtkMRMLMarkupsROINode) -> bool:
    # While the first corner is set and the second follows the cursor, the box has a size but is none yet.
    return roi.GetNumberOfDefinedControlPoints() >= max(1, roi.GetRequiredNumberOfControlPoints())


def _is_muted(node: slicer.vtkMRMLMarkupsNode, index: int) -> bool:
    return not node.GetNthControlPointSelected(index)


def _box(volume: slicer.vtkMRMLScalarVolumeNode, node: slicer.vtkMRMLMarkupsROINode) -> Box:
    if node.GetParentTransformNode() is volume.GetParentTransformNode():
        return _box_from_matrix(node.GetObjectToNodeMatrix(), node.GetSize())
    # What Slicer draws: under a transform that bends the box it shows a straight one in its place.
    size = [0.0, 0.0, 0.0]
    node.GetSizeWorld(size)
    drawn = _box_from_matrix(node.GetObjectToWorldMatrix(), size)
    to_volume = transform_between(None, volume.GetParentTransformNode())
    return _transformed_box(drawn, to_volume) or _box_around(drawn, to_volume, _axes_of(volume))


def _box_from_matrix(object_to_space: vtk.vtkMatrix4x4, size_mm: tuple[float, float, float]) -> Box:
    matrix = arrayFromVTKMatrix(object_to_space)
    # A scaling transform is in the matrix and in the size: it must count once.
    axes = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    return Box(tuple(matrix[:3, 3].tolist()), tuple(size_mm), tuple(map(tuple, axes.T.tolist())))


def _transformed_box(box: Box, transform: vtk.vtkGeneralTransform) -> Box | None:
    """The box after the transform, or None when that is no box any more."""
    matrix = matrix_of(transform)
    if matrix is None:
        return None
    edges = np.array(box.axes_ras) @ matrix[:3, :3].T
    stretch = np.linalg.norm(edges, axis=1)
    axes = edges / stretch[:, None]
    if np.abs(axes @ axes.T - np.eye(3)).max() > _RIGHT_ANGLE:
        return None
    center = matrix[:3, :3] @ np.array(box.center_ras) + matrix[:3, 3]
    return Box(
        tuple(center.tolist()),
        tuple((stretch * box.size_mm).tolist()),
        tuple(map(tuple, axes.tolist())),
    )


def _box_around(box: Box, transform: vtk.vtkGeneralTransform, axes: np.ndarray) -> Box:
    """The smallest box along the axes (3, 3), in rows, that holds the transformed box."""
    steps = np.linspace(-0.5, 0.5, 2 if matrix_of(transform) is not None else _POINTS_PER_EDGE)
    lattice = np.array(np.meshgrid(steps, steps, steps)).reshape(3, -1).T
    lattice = lattice[np.abs(lattice).max(axis=1) == 0.5]
    points = np.array(box.center_ras) + (lattice * box.size_mm) @ np.array(box.axes_ras)
    along = transform_points(transform, points) @ axes.T
    upright = Box.from_bounds_ras(along.min(axis=0), along.max(axis=0))
    center = np.array(upright.center_ras) @ axes
    return replace(upright, center_ras=tuple(center.tolist()), axes_ras=tuple(map(tuple, axes.tolist())))


def _axes_of(volume: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """The directions of i, j and k in rows, or R, A and S where those are not at right angles."""
    columns = grid_from_node(volume).ijk_to_ras[:3, :3]
    axes = (columns / np.linalg.norm(columns, axis=0)).T
    is_box = np.abs(axes @ axes.T - np.eye(3)).max() <= _RIGHT_ANGLE
    return axes if is_box else np.array(IDENTITY_AXES)


def _points(
    volume: slicer.vtkMRMLScalarVolumeNode,
    node: slicer.vtkMRMLMarkupsFiducialNode | None,
    foreground: bool,
    muted: bool,
) -> tuple[Point, ...]:
    if node is None:
        return ()
    positions = [
        node.GetNthControlPointPosition(index)
        for index in range(node.GetNumberOfControlPoints())
        if node.GetNthControlPointPositionStatus(index) == slicer.vtkMRMLMarkupsNode.PositionDefined
        and _is_muted(node, index) == muted
    ]
    if not positions:
        return ()
    to_volume = transform_between(node.GetParentTransformNode(), volume.GetParentTransformNode())
    return tuple(
        Point(tuple(position), foreground)
        for position in transform_points(to_volume, np.array(positions)).tolist()
    )
