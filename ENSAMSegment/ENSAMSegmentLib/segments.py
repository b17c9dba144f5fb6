"""Masks into segments and out of them. Nothing else of ENSAM writes to a segmentation."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from ensam.errors import InputError
from ensam.masks import MaskCrop
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from .volumes import grid_from_node, matrix_from_array

_LABELMAP = "Binary labelmap"


def add_segmentation(volume: slicer.vtkMRMLScalarVolumeNode, name: str) -> slicer.vtkMRMLSegmentationNode:
    """Add an empty segmentation to the volume's scene, on the volume's grid and under its transform."""
    node = volume.GetScene().AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    # The transform first: the reference geometry is given in the segmentation's own coordinates.
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    return node


def read_segment(
    segmentation: slicer.vtkMRMLSegmentationNode, segment_id: str, volume: slicer.vtkMRMLScalarVolumeNode
) -> MaskCrop:
    """Read a segment on a volume's grid, resampled to the nearest voxel where the grids differ.

    Returns:
        The segment's mask, trimmed to its foreground. What lies outside the volume is left out.

    Raises:
        InputError: There is no such segment, or it is not kept as a labelmap.
        VolumeError: The volume lies under a non-linear transform.
    """
    segment = _segment(segmentation, segment_id)
    labelmap = segment.GetRepresentation(_LABELMAP)
    if labelmap.IsEmpty():
        return MaskCrop(np.zeros((0, 0, 0), bool), (0, 0, 0))
    value = segment.GetLabelValue()
    grid = _image_on_grid(volume, segmentation)
    if not slicer.vtkOrientedImageDataResample.DoGeometriesMatch(labelmap, grid):
        labelmap, value = _resampled(_thresholded(labelmap, value), grid), 1
    start = labelmap.GetExtent()[4::-2]
    inside = tuple(
        slice(max(0, -at), max(0, size - at))
        for at, size in zip(start, _shape(grid.GetExtent()), strict=True)
    )
    mask = _array(labelmap)[inside] == value
    return MaskCrop(mask, tuple(max(0, at) for at in start)).trimmed()


class SegmentWriter:
    """Writes masks through Slicer's segment editor logic, so as painting does.

    Overwrite mode, editable area, intensity mask and the undo stack are those of the logic and of its
    parameter node; another segment changes only where the overwrite mode says so.

    Example::

        writer = SegmentWriter(editor_logic)
        writer.write(segmentation, segment_id, volume, result.mask, result.offset)
        editor_logic.Undo()  # takes the whole write back
    """

    def __init__(self, logic: slicer.vtkSlicerSegmentEditorLogic) -> None:
        """Take the logic to write through; its segment editor node must be set."""
        self._logic = logic
        self._errors: list[str] = []
        # Without it the logic returns in silence where it can't write.
        logic.SetVerbose(True)
        logic.AddObserver(vtk.vtkCommand.ErrorEvent, self._on_error)

    def write(
        self,
        segmentation: slicer.vtkMRMLSegmentationNode,
        segment_id: str,
        volume: slicer.vtkMRMLScalarVolumeNode,
        mask: np.ndarray,
        offset: tuple[int, int, int],
    ) -> None:
        """Make the segment be the mask, in one undo state. It becomes the editor's selected segment.

        Args:
            segmentation: The segmentation that has the segment.
            segment_id: Which segment.
            volume: The volume on whose grid the mask lies; also the editor's source volume if it has none.
            mask: bool (z, y, x), a crop of the volume's grid; outside of it the segment is cleared.
            offset: Where the mask's first voxel lies in the volume, (z, y, x).

        Raises:
            InputError: There is no such segment, it is not kept as a labelmap, or Slicer could not write it.
            VolumeError: The volume lies under a non-linear transform.
        """
        old = _segment(segmentation, segment_id).GetRepresentation(_LABELMAP)
        self._select(segmentation, segment_id, volume)
        modifier = _image_on_grid(volume, segmentation, MaskCrop(mask, offset).trimmed())
        target = self._reference_geometry() if old.IsEmpty() else old
        if not slicer.vtkOrientedImageDataResample.DoGeometriesMatch(modifier, target):
            modifier = _resampled(modifier, target)
        if self._is_masked() and not old.IsEmpty():
            # Where editing is restricted the logic clears old voxels only within the modifier's extent.
            slicer.vtkOrientedImageDataResample.PadImageToContainImage(modifier, old, modifier)
        self._errors.clear()
        self._logic.SaveStateForUndo()
        self._logic.ModifySegmentByLabelmap(
            segmentation, segment_id, modifier, self._logic.ModificationModeSet, True, False
        )
        if self._errors:
            name = segmentation.GetSegmentation().GetSegment(segment_id).GetName()
            raise InputError(f"Slicer could not write the segment '{name}': {self._errors[0]}.")

    def _select(
        self,
        segmentation: slicer.vtkMRMLSegmentationNode,
        segment_id: str,
        volume: slicer.vtkMRMLScalarVolumeNode,
    ) -> None:
        editor = self._logic.GetSegmentEditorNode()
        editor.SetAndObserveSegmentationNode(segmentation)
        editor.SetSelectedSegmentID(segment_id)
        # The intensity mask's range belongs to the volume that the user chose with it.
        if editor.GetSourceVolumeNode() is None:
            editor.SetAndObserveSourceVolumeNode(volume)

    def _reference_geometry(self) -> slicer.vtkOrientedImageData:
        image = slicer.vtkOrientedImageData()
        slicer.vtkSegmentationConverter.DeserializeImageGeometry(
            self._logic.GetReferenceImageGeometryString(), image, False
        )
        return image

    def _is_masked(self) -> bool:
        editor = self._logic.GetSegmentEditorNode()
        everywhere = slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere
        return editor.GetMaskMode() != everywhere or editor.GetSourceVolumeIntensityMask()

    @vtk.calldata_type(vtk.VTK_STRING)
    def _on_error(self, _logic: slicer.vtkSlicerSegmentEditorLogic, _event: str, message: str) -> None:
        # VTK puts the class, the object's address and the method before what it has to say.
        self._errors.append(message.strip().rpartition(": ")[2])


def _segment(segmentation: slicer.vtkMRMLSegmentationNode, segment_id: str) -> slicer.vtkSegment:
    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    if segment is None:
        raise InputError(f"'{segmentation.GetName()}' has no segment '{segment_id}': choose another one.")
    if segmentation.GetSegmentation().GetSourceRepresentationName() != _LABELMAP:
        raise InputError(
            f"The segmentation '{segmentation.GetName()}' is not kept as a binary labelmap: "
            "make that its source representation in the Segmentations module."
        )
    return segment


def _image_on_grid(
    volume: slicer.vtkMRMLScalarVolumeNode,
    segmentation: slicer.vtkMRMLSegmentationNode,
    crop: MaskCrop | None = None,
) -> slicer.vtkOrientedImageData:
    """Give the volume's grid in the segmentation's coordinates, with the crop's voxels or with none."""
    parent = segmentation.GetParentTransformNode()
    if parent is not None and not parent.IsTransformToWorldLinear():
        raise InputError(
            f"The segmentation '{segmentation.GetName()}' is warped by the non-linear transform "
            f"'{parent.GetName()}': harden the transform on it or move it out of it."
        )
    world_to_segmentation = vtk.vtkMatrix4x4()
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(None, parent, world_to_segmentation)
    grid = grid_from_node(volume)
    matrix = matrix_from_array(grid.ijk_to_ras)
    vtk.vtkMatrix4x4.Multiply4x4(world_to_segmentation, matrix, matrix)
    image = slicer.vtkOrientedImageData()
    image.SetGeometryFromImageToWorldMatrix(matrix)
    if crop is None:
        image.SetExtent([end for size in reversed(grid.shape) for end in (0, size - 1)])
        return image
    # An image without voxels is no modifier: an empty mask is given by one empty voxel.
    voxels = crop.mask.astype(np.uint8) if crop.mask.size else np.zeros((1, 1, 1), np.uint8)
    bounds = [
        (at, at + size - 1) for at, size in zip(reversed(crop.offset), reversed(voxels.shape), strict=True)
    ]
    image.SetExtent([end for span in bounds for end in span])
    image.GetPointData().SetScalars(numpy_to_vtk(voxels.ravel(), deep=True))
    return image


def _resampled(
    mask: slicer.vtkOrientedImageData, grid: slicer.vtkOrientedImageData
) -> slicer.vtkOrientedImageData:
    resampled = slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        mask, grid, resampled, False, True
    )
    return resampled


def _thresholded(labelmap: slicer.vtkOrientedImageData, value: int) -> slicer.vtkOrientedImageData:
    mask = slicer.vtkOrientedImageData()
    mask.DeepCopy(labelmap)
    voxels = (_array(labelmap) == value).astype(np.uint8)
    mask.GetPointData().SetScalars(numpy_to_vtk(voxels.ravel(), deep=True))
    return mask


def _shape(extent: tuple[int, ...]) -> tuple[int, int, int]:
    return tuple(extent[axis + 1] - extent[axis] + 1 for axis in (4, 2, 0))


def _array(image: slicer.vtkOrientedImageData) -> np.ndarray:
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(_shape(image.GetExtent()))
