"""Segmentations and segments: how they are made and read. `segment_writer` writes to them."""

from __future__ import annotations

import itertools

import numpy as np
import slicer
import vtk
from ensam.errors import InputError
from ensam.masks import MaskCrop
from ensam.prompts import Vector

from .labelmaps import LABELMAP, labelmap_of, matrix_of_image, moved, voxels_of
from .translation import tr as _
from .volumes import grid_from_node, transform_between, transform_points


def add_segmentation(volume: slicer.vtkMRMLScalarVolumeNode, name: str) -> slicer.vtkMRMLSegmentationNode:
    """Add an empty segmentation to the volume's scene, on the volume's grid and under its transform."""
    node = volume.GetScene().AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    # The transform first: the reference geometry is given in the segmentation's own coordinates.
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    return node


def add_segment(
    segmentation: slicer.vtkMRMLSegmentationNode,
    name: str,
    color: tuple[float, float, float] | None = None,
) -> str:
    """Add an empty segment on a labelmap of its own.

    Slicer's `AddEmptySegment` puts a segment on the first one's labelmap. That labelmap spans both, so each
    write to a small segment far from its neighbour takes as long as to one that large.

    Args:
        segmentation: Where to add it.
        name: The name that is shown; others may have it too.
        color: Red, green and blue from 0 to 1; Slicer's next colour by default.

    Returns:
        The new segment's id.
    """
    segment = slicer.vtkSegment()
    segment.SetName(name)
    if color is not None:
        segment.SetColor(*color)
    # Slicer gives empty segments voxels of 1 mm, and saving brings all onto the finest grid there is.
    empty = reference_geometry(segmentation)
    empty.SetExtent(0, -1, 0, -1, 0, -1)
    empty.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    segment.AddRepresentation(LABELMAP, empty)
    for other_id in segmentation.GetSegmentation().GetSegmentIDs():
        labelmap = labelmap_of(segmentation.GetSegmentation().GetSegment(other_id))
        if labelmap is not None and labelmap.IsEmpty():
            labelmap.CopyDirections(empty)
            labelmap.SetSpacing(empty.GetSpacing())
            labelmap.SetOrigin(empty.GetOrigin())
    segment_id = segmentation.GetSegmentation().GenerateUniqueSegmentID("")
    segmentation.GetSegmentation().AddSegment(segment, segment_id)
    return segment_id


def read_segment(
    segmentation: slicer.vtkMRMLSegmentationNode, segment_id: str, volume: slicer.vtkMRMLScalarVolumeNode
) -> MaskCrop:
    """Read a segment on a volume's grid, resampled to the nearest voxel where the grids differ.

    Returns:
        The segment's mask, trimmed to its foreground. What lies outside the volume is left out.

    Raises:
        InputError: There is no such segment, or it is not kept as a labelmap.
        VolumeError: The volume has no image, or a warp between the two can't be inverted at the segment.
    """
    segment = get_segment(segmentation, segment_id)
    to_volume = transform_between(segmentation.GetParentTransformNode(), volume.GetParentTransformNode())
    grid = grid_from_node(volume)
    crop = moved(voxels_of(segment), matrix_of_image(labelmap_of(segment)), grid.ijk_to_ras, to_volume)
    return crop.within(grid.shape).trimmed()


def is_completed(segment: slicer.vtkSegment) -> bool:
    """Whether the user has marked the segment as completed in Slicer's list: then ENSAM leaves it alone."""
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    return logic.GetSegmentStatus(segment) == logic.Completed


def check_is_not_completed(segment: slicer.vtkSegment) -> None:
    """Raises InputError for a segment that the user has marked as completed."""
    if is_completed(segment):
        raise InputError(
            _(
                "'{segment}' is marked as completed, and stays as it is: to change it, click on its state "
                "in the list of segments."
            ).format(segment=segment.GetName())
        )


def lies_in_segment(
    position_ras: Vector,
    segmentation: slicer.vtkMRMLSegmentationNode,
    segment_id: str,
    volume: slicer.vtkMRMLScalarVolumeNode,
) -> bool:
    """Whether a point, in volume RAS mm, lies in a voxel of the segment. Raises as `read_segment`."""
    segment = get_segment(segmentation, segment_id)
    labelmap = labelmap_of(segment)
    if labelmap.IsEmpty():
        return False
    to_segment = transform_between(volume.GetParentTransformNode(), segmentation.GetParentTransformNode())
    (point,) = transform_points(to_segment, [position_ras])
    matrix = matrix_of_image(labelmap)
    ijk = np.rint(np.linalg.solve(matrix[:3, :3], point - matrix[:3, 3])).astype(int)
    extent = np.reshape(labelmap.GetExtent(), (3, 2))
    if (ijk < extent[:, 0]).any() or (ijk > extent[:, 1]).any():
        return False
    return labelmap.GetScalarComponentAsDouble(*ijk.tolist(), 0) == segment.GetLabelValue()


def is_kept_as_labelmap(segmentation: slicer.vtkMRMLSegmentationNode) -> bool:
    """Whether its segments can be edited; imported contours and surfaces must be converted first."""
    return segmentation.GetSegmentation().GetSourceRepresentationName() == LABELMAP


def ensure_reference_geometry(
    segmentation: slicer.vtkMRMLSegmentationNode, volume: slicer.vtkMRMLScalarVolumeNode
) -> None:
    """Put a segmentation that knows no grid yet on the volume's."""
    logic = slicer.vtkSlicerSegmentEditorLogic
    if not logic.GetReferenceImageGeometryStringFromSegmentation(segmentation.GetSegmentation()):
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)


def get_segment(segmentation: slicer.vtkMRMLSegmentationNode, segment_id: str) -> slicer.vtkSegment:
    """The segment, kept as a labelmap. Raises InputError where it isn't, or isn't there."""
    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    if segment is None:
        raise InputError(
            _("'{segmentation}' has no segment '{segment}': choose another one.").format(
                segmentation=segmentation.GetName(), segment=segment_id
            )
        )
    if not is_kept_as_labelmap(segmentation):
        raise InputError(
            _(
                "The segmentation '{segmentation}' is not kept as a binary labelmap: "
                "make that its source representation in the Segmentations module."
            ).format(segmentation=segmentation.GetName())
        )
    return segment


def reference_geometry(segmentation: slicer.vtkMRMLSegmentationNode) -> slicer.vtkOrientedImageData:
    """The grid that a segmentation says it is on, as an image without voxels."""
    image = slicer.vtkOrientedImageData()
    slicer.vtkSegmentationConverter.DeserializeImageGeometry(
        slicer.vtkSlicerSegmentEditorLogic.GetReferenceImageGeometryStringFromSegmentation(
            segmentation.GetSegmentation()
        ),
        image,
        False,
    )
    return image


def no_image() -> InputError:
    """What to say where an image is needed."""
    return InputError(_("There is no image to segment: load one and choose it as the source volume."))


def free_name(segmentation: slicer.vtkMRMLSegmentationNode, default: str) -> str:
    """The next name that no segment has. default: with a place for the number."""
    segments = segmentation.GetSegmentation()
    names = {segments.GetSegment(segment_id).GetName() for segment_id in segments.GetSegmentIDs()}
    numbers = itertools.count(len(names) + 1)
    return next(name for name in (default.format(number=n) for n in numbers) if name not in names)
