"""The box that a user has drawn with two clicks in a slice view.

Slicer lays a drawn box along the axes of the space that its node is in. Where the slice isn't parallel to
those, because the view is turned or a transform turns the volume, the two corners span a slab that is as thin
as the angle is small.
"""

from __future__ import annotations

import itertools

import numpy as np
import slicer
from ensam.prompts import Box
from slicer.util import arrayFromVTKMatrix

from .scene_nodes import nodes_of_class
from .volumes import transform_between, transform_points

_IN_SLICE_MM = 0.01  # Slicer rounds a box's centre to single precision


def box_in_slice(node: slicer.vtkMRMLMarkupsROINode) -> Box | None:
    """The box, in the world, that was drawn in an oblique slice: along the slice, as deep as it is wide.

    Its depth is its shorter side, as Slicer has it in slices along the axes. None for a box that was drawn in
    such a slice or in a 3D view, and is what it should be.

    Raises:
        VolumeError: A warp above the node can't be inverted at the box.
    """
    own_size = np.array(node.GetSize())
    if np.count_nonzero(own_size == own_size.min()) > 1:
        return None  # Slicer has given it its depth
    corners = np.array(list(itertools.product((-0.5, 0.5), repeat=3))) * own_size
    to_node = arrayFromVTKMatrix(node.GetObjectToNodeMatrix())
    to_world = transform_between(node.GetParentTransformNode(), None)
    world = transform_points(to_world, corners @ to_node[:3, :3].T + to_node[:3, 3])
    best, box = _IN_SLICE_MM, None
    for view in nodes_of_class(node.GetScene(), "vtkMRMLSliceNode"):
        slice_to_world = arrayFromVTKMatrix(view.GetSliceToRAS())
        axes = slice_to_world[:3, :3]  # in columns, the normal last
        in_slice = (world - slice_to_world[:3, 3]) @ axes
        for corner in range(4):  # two of the opposite ones were clicked on
            clicked = in_slice[[corner, -1 - corner]]
            width, height, _depth = np.abs(clicked[1] - clicked[0])
            missed = np.abs(clicked[:, 2]).max()
            if missed < best and min(width, height) > _IN_SLICE_MM:
                # Slicer's handles expect right-handed axes.
                directions = axes * (1, 1, np.linalg.det(axes))
                center = slice_to_world[:3, 3] + axes @ clicked.mean(axis=0)
                size = (width, height, min(width, height))
                best, box = missed, Box(tuple(center), size, tuple(map(tuple, directions.T)))
    return box
