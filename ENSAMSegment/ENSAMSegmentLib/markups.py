"""Markups nodes as ENSAM's prompts.

The whole of each node is read anew each time: Markups events don't tell reliably which point changed.
"""

from __future__ import annotations

import numpy as np
import slicer
from ensam.prompts import Box, Point, PromptSet

from .volumes import array_from_matrix


def prompts_from_nodes(
    box: slicer.vtkMRMLMarkupsROINode | None = None,
    foreground: slicer.vtkMRMLMarkupsFiducialNode | None = None,
    background: slicer.vtkMRMLMarkupsFiducialNode | None = None,
) -> PromptSet:
    """Read the prompts of one segment.

    Args:
        box: The region of interest around the object. One that is not placed yet counts as none.
        foreground: Points on the object. Points that are not placed yet are left out.
        background: Points beside the object, likewise.

    Returns:
        The prompts in world RAS millimetres, parent transforms included.

    Raises:
        PromptError: The box is empty, or one position is marked both foreground and background.
    """
    points = (*_points_from_node(foreground, True), *_points_from_node(background, False))
    return PromptSet(None if box is None else _box_from_node(box), points)


def _box_from_node(node: slicer.vtkMRMLMarkupsROINode) -> Box | None:
    if node.GetNumberOfDefinedControlPoints() == 0:
        return None
    object_to_world = array_from_matrix(node.GetObjectToWorldMatrix())
    # A scaling parent transform is in the matrix and in the world size: it must count once.
    axes = object_to_world[:3, :3] / np.linalg.norm(object_to_world[:3, :3], axis=0)
    size = [0.0, 0.0, 0.0]
    node.GetSizeWorld(size)
    return Box(
        center_ras=tuple(object_to_world[:3, 3].tolist()),
        size_mm=tuple(size),
        axes_ras=tuple(tuple(axis) for axis in axes.T.tolist()),
    )


def _points_from_node(node: slicer.vtkMRMLMarkupsFiducialNode | None, foreground: bool) -> tuple[Point, ...]:
    if node is None:
        return ()
    return tuple(
        Point(tuple(node.GetNthControlPointPositionWorld(index)), foreground)
        for index in range(node.GetNumberOfControlPoints())
        if node.GetNthControlPointPositionStatus(index) == slicer.vtkMRMLMarkupsNode.PositionDefined
    )
