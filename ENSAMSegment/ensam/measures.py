"""How large a segment is, and what an answer changed about it: in mL and mm, from the mask and its grid."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull

from ensam.geometry import Grid
from ensam.masks import MaskCrop

# In so many directions the slices are gauged, in more those that are left, before the few that may still hold
# the longest diameter are measured.
DIRECTIONS = (4, 16, 64)
_EQUAL = 1 - 1e-9  # lengths this close differ by rounding alone
# The middles of a voxel's four edges in its slice, (y, x).
_EDGES = np.array([(-0.5, 0.0), (0.5, 0.0), (0.0, -0.5), (0.0, 0.5)])


@dataclass(frozen=True)
class Measures:
    """A segment's volume in mL and its two diameters in mm, as RECIST and WHO ask for them.

    longest_mm: the longest straight line between two points of the outline within one slice; a slice is one
    k, (y, x) in arrays. perpendicular_mm: the longest line at right angles to it within the outline of the
    same slice. longest_slice: that slice, k in the volume; the first of equals. All are 0 for an empty mask.

    The outline runs through the middles of the voxels' outer edges, where it is drawn between a voxel inside
    and one outside. A single voxel is as long as its edge and a row of n voxels as long as n edges. Between
    corners a round lesion would come out about a voxel too long, between centres everything too short.
    Hollows count as filled: a calliper reaches over them.
    """

    volume_ml: float
    longest_mm: float
    perpendicular_mm: float
    longest_slice: int


@dataclass(frozen=True, eq=False)
class Change:
    """What one mask has more and less than the one before it, as masks and in mL."""

    added: MaskCrop
    removed: MaskCrop
    added_ml: float
    removed_ml: float


def measure(mask: MaskCrop, grid: Grid) -> Measures:
    """The size of a mask on `grid`, which may be oblique, anisotropic or sheared."""
    mask = mask.trimmed()
    if not mask.mask.size:
        return Measures(0.0, 0.0, 0.0, 0)
    # Lengths within a slice need no more than the plane's two steps, (y, x) voxels to mm.
    plane = np.linalg.qr(grid.ijk_to_ras[:3, [1, 0]])[1].T
    longest, perpendicular, at = 0.0, 0.0, 0
    for index, ends in _promising_slices(mask.mask, plane):
        length, across = _diameters(ends, plane)
        if longest < length * _EQUAL:
            longest, perpendicular, at = length, across, index
    return Measures(millilitres(mask, grid), longest, perpendicular, mask.offset[0] + at)


def change(before: MaskCrop, after: MaskCrop, grid: Grid) -> Change:
    """From one mask to the next on the same grid."""
    added, removed = after.without(before).trimmed(), before.without(after).trimmed()
    return Change(added, removed, millilitres(added, grid), millilitres(removed, grid))


def fingerprint(mask: MaskCrop) -> str:
    """A short hash of the voxels, hexadecimal; the same for the same voxels in whatever crop, "" for none."""
    mask = mask.trimmed()
    if not mask.mask.size:
        return ""
    digest = hashlib.blake2b(repr((mask.offset, mask.mask.shape)).encode(), digest_size=8)
    digest.update(np.packbits(mask.mask).data)
    return digest.hexdigest()


def millilitres(mask: MaskCrop, grid: Grid) -> float:
    """The volume of a mask's voxels."""
    voxel_mm3 = abs(float(np.linalg.det(grid.ijk_to_ras[:3, :3])))
    return mask.count * voxel_mm3 / 1000


def _promising_slices(mask: np.ndarray, plane: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """The slices that may hold the longest diameter: index and the ends of its rows, (N, 2) voxels (y, x).

    The width in a direction is never more than the diameter, and in the nearest of many hardly less.
    """
    k, y = np.nonzero(mask.any(axis=2))
    rows = mask[k, y]
    first, last = rows.argmax(axis=1), rows.shape[1] - 1 - rows[:, ::-1].argmax(axis=1)
    ends = np.stack((y, first), axis=1), np.stack((y, last), axis=1)
    for directions in DIRECTIONS:
        kept = _of_slices_that_may_be_longest(k, ends, plane, directions)
        k, ends = k[kept], tuple(side[kept] for side in ends)
    promising = {}
    slices, starts = np.unique(k, return_index=True)
    for index, *sides in zip(slices, *(np.split(side, starts[1:]) for side in ends), strict=True):
        own = np.concatenate(sides)
        # Of slices with the same ends, a painted cylinder's, the first one speaks for all.
        promising.setdefault(own.tobytes(), (int(index), own))
    return list(promising.values())


def _of_slices_that_may_be_longest(
    k: np.ndarray, ends: tuple[np.ndarray, np.ndarray], plane: np.ndarray, directions: int
) -> np.ndarray:
    """Which rows are of slices whose widths in so many directions allow them the longest diameter.

    k: the slice of each row, ascending; ends: the voxels (y, x) at a row's ends, (N, 2) each.
    """
    _, starts, counts = np.unique(k, return_index=True, return_counts=True)
    y, first, last = (
        np.ascontiguousarray(side, float) for side in (ends[0][:, 0], ends[0][:, 1], ends[1][:, 1])
    )
    angles = np.arange(directions) * math.pi / directions
    widest = np.zeros(len(starts))
    # One direction after the other: tables of all rows in all of them would not fit the processor's cache.
    for step_y, step_x in (plane @ (np.cos(angles), np.sin(angles))).T:  # of one voxel, along the direction
        near, far = (first, last) if step_x >= 0 else (last, first)
        low = np.minimum.reduceat(step_y * y + step_x * near, starts)
        high = np.maximum.reduceat(step_y * y + step_x * far, starts)
        np.maximum(widest, high - low + max(abs(step_y), abs(step_x)), out=widest)
    promising = widest >= widest.max() * math.cos(math.pi / (2 * directions)) * _EQUAL
    return np.repeat(promising, counts)


def _diameters(ends: np.ndarray, plane: np.ndarray) -> tuple[float, float]:
    """The longest line between two outline points of a slice, and the longest at right angles to it, in mm.

    ends: voxels (N, 2) that hold the ends of every row.
    """
    points = (ends[:, None] + _EDGES).reshape(-1, 2)
    # The hull is taken in voxels, where no spacing makes it flat.
    hull = points[ConvexHull(points).vertices] @ plane
    lengths = np.linalg.norm(hull[:, None] - hull, axis=2)
    longest = float(lengths.max())
    # Of lines of equal length the one with the longer perpendicular, so that rounding doesn't decide.
    pairs = np.argwhere(np.triu(lengths) >= longest * _EQUAL)
    return longest, max(_longest_across(hull, a, b) for a, b in pairs)


def _longest_across(hull: np.ndarray, a: int, b: int) -> float:
    """The longest line within a convex polygon (N, 2) at right angles to the one from vertex a to b > a."""
    along = (hull[b] - hull[a]) / np.linalg.norm(hull[b] - hull[a])
    t, side = hull @ along, hull @ (-along[1], along[0])
    there = np.arange(a, b + 1)
    back = np.r_[np.arange(a, -1, -1), np.arange(len(hull) - 1, b - 1, -1)]
    # Between corners of the polygon the length is linear: the longest line starts from one of them.
    heights = [np.interp(t, t[chain], side[chain]) for chain in (there, back)]
    return float(np.abs(heights[0] - heights[1]).max())
