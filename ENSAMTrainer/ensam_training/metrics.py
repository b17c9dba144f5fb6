"""How well an answer agrees with the truth: the Dice coefficient and the normalised surface Dice."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_CODES = 2 ** np.arange(8).reshape(2, 2, 2)
_FULL = 255


def dice(truth: NDArray[np.bool_], answer: NDArray[np.bool_]) -> float:
    """The Dice coefficient of two masks of one shape: 1 if both are empty, 0 if only one is.

    Raises ValueError for different shapes.
    """
    _check(truth, answer)
    total = np.count_nonzero(truth) + np.count_nonzero(answer)
    return float(2 * np.count_nonzero(truth & answer) / total) if total else 1.0


def surface_dice(
    truth: NDArray[np.bool_],
    answer: NDArray[np.bool_],
    spacing_zyx: tuple[float, float, float],
    tolerance_mm: float = 2.0,
) -> float:
    """The share of both surfaces, by area, that lies within `tolerance_mm` of the other one.

    truth, answer: masks (z, y, x) of one shape; spacing_zyx in mm. 1 if both are empty, 0 if only one is.

    It gives the number of DeepMind's surface-distance, which the challenge uses: a surface element sits at
    each corner where eight voxels meet that don't all agree, has the area of the marching cubes triangles
    there, and is as far from the other surface as from its nearest such corner. The largest difference was
    6e-16 on 2000 pairs of random masks and 7e-10 on 44 objects (Testing/compare_surface_dice.py). Two masks
    without a voxel score 1 here and not a number there.

    Raises ValueError for different shapes.
    """
    _check(truth, answer)
    box = ndimage.find_objects((truth | answer).astype(np.uint8))
    if not box:
        return 1.0
    areas = _areas(tuple(float(length) for length in spacing_zyx))
    codes = [_corner_codes(mask[box[0]]) for mask in (truth, answer)]
    surfaces = [(code != 0) & (code != _FULL) for code in codes]
    if not (surfaces[0].any() and surfaces[1].any()):
        return 0.0
    within = total = 0.0
    for code, surface, other in zip(codes, surfaces, reversed(surfaces), strict=True):
        distance = ndimage.distance_transform_edt(~other, sampling=spacing_zyx)
        element = areas[code[surface]]
        within += element[distance[surface] <= tolerance_mm].sum()
        total += element.sum()
    return float(within / total)


def _check(truth: NDArray, answer: NDArray) -> None:
    if truth.shape != answer.shape:
        raise ValueError(f"The truth has the shape {truth.shape} and the answer {answer.shape}.")


def _corner_codes(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """At each corner of the voxels, one longer than `mask` along each axis, which of the eight are set."""
    padded = np.pad(mask, 1).astype(np.uint8)
    codes = np.zeros(np.add(mask.shape, 1), np.uint8)
    depth, height, width = codes.shape
    for (z, y, x), weight in np.ndenumerate(_CODES):
        codes += np.uint8(weight) * padded[z : z + depth, y : y + height, x : x + width]
    return codes


@lru_cache(maxsize=64)
def _areas(spacing_zyx: tuple[float, float, float]) -> NDArray[np.float64]:
    """The surface's area in mm² at a corner with each of the 256 codes."""
    from skimage.measure import marching_cubes, mesh_surface_area

    areas = np.zeros(256)
    for code in range(1, _FULL):
        cube = (code & _CODES) > 0
        # A surface has one area, whichever side is inside; marching cubes alone would close one side's gaps.
        cube = ~cube if cube.sum() > 4 else cube
        grey = cube.astype(np.float32)
        vertices, faces, _, _ = marching_cubes(grey, 0.5, spacing=spacing_zyx, method="lorensen")
        areas[code] = mesh_surface_area(vertices, faces)
    return areas
