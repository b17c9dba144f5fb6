"""Masks as Slicer's labelmaps, and from one grid to another."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from ensam.geometry import Grid
from ensam.masks import EMPTY, MaskCrop
from slicer.util import arrayFromVTKMatrix, vtkMatrixFromArray
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from .volumes import matrix_of, transform_points

LABELMAP = "Binary labelmap"
# A twentieth of a voxel at the far end of 512.
_SAME_GRID = 1e-4
_POINTS_PER_EDGE = 9


def labelmap_of(segment: slicer.vtkSegment) -> slicer.vtkOrientedImageData:
    """The labelmap that holds the segment, perhaps with others."""
    return segment.GetRepresentation(LABELMAP)


def voxels_of(segment: slicer.vtkSegment) -> MaskCrop:
    """The segment's voxels on its labelmap's grid, where offsets may be negative."""
    labelmap = labelmap_of(segment)
    if labelmap.IsEmpty():
        return EMPTY
    return MaskCrop(_array(labelmap) == segment.GetLabelValue(), _offset(labelmap)).trimmed()


def voxels_near(segment: slicer.vtkSegment, matrix: np.ndarray, near: MaskCrop) -> MaskCrop:
    """The segment's voxels on the grid of the matrix, at least as far as the other mask reaches."""
    labelmap = labelmap_of(segment)
    if labelmap.IsEmpty() or not near.mask.size:
        return EMPTY
    if not is_same_grid(matrix_of_image(labelmap), matrix):
        return moved(voxels_of(segment), matrix_of_image(labelmap), matrix, vtk.vtkGeneralTransform())
    # A labelmap may span the whole volume, and this is done for each of the other segments.
    labels = MaskCrop(_array(labelmap), _offset(labelmap)).cut_to(near)
    return MaskCrop(labels.mask == segment.GetLabelValue(), labels.offset)


def span_of(crop: MaskCrop, matrix: np.ndarray) -> np.ndarray:
    """From where to where the voxels of a crop reach along each axis of the space that the matrix leads to,
    (2, 3) in millimetres; without voxels from inf to -inf."""
    if not crop.mask.size:
        return np.array([[np.inf] * 3, [-np.inf] * 3])
    ends = [
        (at - 0.5, at + size - 0.5)
        for at, size in zip(reversed(crop.offset), reversed(crop.mask.shape), strict=True)
    ]
    corners = np.array(np.meshgrid(*ends)).reshape(3, -1).T @ matrix[:3, :3].T + matrix[:3, 3]
    return np.array([corners.min(axis=0), corners.max(axis=0)])


def span_of_labelmap(labelmap: slicer.vtkOrientedImageData) -> np.ndarray:
    """As `span_of`, of a whole labelmap."""
    whole = EMPTY if labelmap.IsEmpty() else MaskCrop(_array(labelmap), _offset(labelmap))
    return span_of(whole, matrix_of_image(labelmap))


def moved(
    crop: MaskCrop, matrix: np.ndarray, new_matrix: np.ndarray, transform: vtk.vtkGeneralTransform
) -> MaskCrop:
    """A mask on another grid, each voxel taken from the nearest one.

    Args:
        crop: The mask.
        matrix: From its (i, j, k, 1) to millimetres in its own space.
        new_matrix: From the new (i, j, k, 1) to millimetres in the new space.
        transform: From the mask's space to the new one; may be non-linear.
    """
    if not crop.mask.size:
        return EMPTY
    linear = matrix_of(transform)
    if linear is not None and is_same_grid(linear @ matrix, new_matrix):
        return crop
    reference = slicer.vtkOrientedImageData()
    reference.SetGeometryFromImageToWorldMatrix(vtkMatrixFromArray(new_matrix))
    reference.SetExtent(_moved_extent(crop, matrix, new_matrix, transform))
    resampled = slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        image_of(crop, matrix), reference, resampled, False, False, transform
    )
    return MaskCrop(_array(resampled).astype(bool), _offset(resampled))


def rewritten(
    segment: slicer.vtkSegment,
    mask: MaskCrop,
    grid: Grid,
    to_segment: vtk.vtkGeneralTransform,
    to_volume: vtk.vtkGeneralTransform,
) -> MaskCrop:
    """The segment's voxels on its labelmap's grid, after what a volume shows of it became the mask.

    What the volume doesn't show stays: voxels outside of it, and details between its voxels. A mask that is
    what the volume shows already changes nothing.

    Args:
        segment: Its labelmap must have voxels.
        mask: The new mask, on the volume's grid.
        grid: The volume's grid.
        to_segment: From the volume's space to the segment's; may be non-linear.
        to_volume: From the segment's space to the volume's.
    """
    labelmap, mask = labelmap_of(segment), mask.within(grid.shape).trimmed()
    matrix, linear = matrix_of_image(labelmap), matrix_of(to_segment)
    is_shown_whole = _is_within(labelmap, grid.shape)
    if is_shown_whole and linear is not None and is_same_grid(linear @ grid.ijk_to_ras, matrix):
        return mask
    voxels = voxels_of(segment)
    shown = moved(voxels, matrix, grid.ijk_to_ras, to_volume).within(grid.shape)
    changed = mask.without(shown).joined(shown.without(mask)).trimmed()
    if not changed.mask.size:
        return voxels
    if mask.mask.size:
        # Where the voxels don't meet, the last mask's surface reads up to a voxel off: without the voxels
        # around a change, crumbs of that surface would stay with every write.
        changed = changed.grown().within(grid.shape)
    else:
        # Whoever clears a segment wants the details that the volume doesn't show gone as well.
        changed = MaskCrop(np.ones_like(shown.mask), shown.offset)
    cleared = moved(changed, grid.ijk_to_ras, matrix, to_segment)
    filled = moved(mask.common(changed).trimmed(), grid.ijk_to_ras, matrix, to_segment)
    return voxels.without(cleared).joined(filled).trimmed()


def _is_within(labelmap: slicer.vtkOrientedImageData, shape: tuple[int, int, int]) -> bool:
    extent = labelmap.GetExtent()
    return min(extent[::2]) >= 0 and all(
        last < size for last, size in zip(extent[1::2], reversed(shape), strict=True)
    )


def _moved_extent(
    crop: MaskCrop, matrix: np.ndarray, new_matrix: np.ndarray, transform: vtk.vtkGeneralTransform
) -> list[int]:
    """Where the crop comes to lie: i, j and k, each from first to last."""
    count = 2 if matrix_of(transform) is not None else _POINTS_PER_EDGE
    edges = [
        np.linspace(at - 0.5, at + size - 0.5, count)
        for at, size in zip(reversed(crop.offset), reversed(crop.mask.shape), strict=True)
    ]
    points_ijk = np.array(np.meshgrid(*edges)).reshape(3, -1).T
    points = transform_points(transform, points_ijk @ matrix[:3, :3].T + matrix[:3, 3])
    new_ijk = np.linalg.solve(new_matrix[:3, :3], (points - new_matrix[:3, 3]).T).T
    low, high = new_ijk.min(axis=0), new_ijk.max(axis=0)
    # Between the points a warp may reach a little further.
    margin = np.ceil((high - low) / 20) + 1 if count > 2 else np.ones(3)
    first, last = np.floor(low - margin).astype(int), np.ceil(high + margin).astype(int)
    return [end for span in zip(first.tolist(), last.tolist(), strict=True) for end in span]


def image_of(crop: MaskCrop, matrix: np.ndarray) -> slicer.vtkOrientedImageData:
    """A mask as Slicer's image, on the grid of a matrix from (i, j, k, 1) to millimetres."""
    # An image without voxels is no modifier: an empty mask is given by one empty voxel.
    voxels = crop.mask.astype(np.uint8) if crop.mask.size else np.zeros((1, 1, 1), np.uint8)
    image = slicer.vtkOrientedImageData()
    image.SetGeometryFromImageToWorldMatrix(vtkMatrixFromArray(matrix))
    bounds = [
        (at, at + size - 1) for at, size in zip(reversed(crop.offset), reversed(voxels.shape), strict=True)
    ]
    image.SetExtent([end for span in bounds for end in span])
    image.GetPointData().SetScalars(numpy_to_vtk(voxels.ravel(), deep=True))
    return image


def matrix_of_image(image: slicer.vtkOrientedImageData) -> np.ndarray:
    """From an image's (i, j, k, 1) to millimetres, (4, 4)."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return arrayFromVTKMatrix(matrix)


def is_same_grid(matrix: np.ndarray, other: np.ndarray) -> bool:
    """Whether two such matrices place voxels alike."""
    # In voxels, so that the spacing doesn't matter.
    return np.allclose(np.linalg.solve(other, matrix), np.eye(4), rtol=0, atol=_SAME_GRID)


def _offset(image: slicer.vtkOrientedImageData) -> tuple[int, int, int]:
    return tuple(image.GetExtent()[4::-2])


def _array(image: slicer.vtkOrientedImageData) -> np.ndarray:
    extent = image.GetExtent()
    shape = tuple(extent[axis + 1] - extent[axis] + 1 for axis in (4, 2, 0))
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)
