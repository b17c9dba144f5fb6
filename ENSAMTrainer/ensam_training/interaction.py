"""A simulated user: draws a box round the object and clicks where the answer is most wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Click = tuple[tuple[int, int, int], bool]
_TOUCHING = np.ones((3, 3, 3), bool)  # 26-connected, as in the challenge


def bounds(mask: NDArray) -> tuple[NDArray, NDArray]:
    """First and one past the last voxel of a mask, (z, y, x) each. Raises ValueError if it is empty."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    if not found or found[0] is None:
        raise ValueError("the mask is empty")
    return np.array([s.start for s in found[0]]), np.array([s.stop for s in found[0]])


def simulate_box(mask: NDArray, rng: np.random.Generator, middle_slice: bool = False) -> NDArray:
    """Faces (2, 3) of a hand-drawn box in voxels: the mask's bounds, each off by -5 to 15 % of the extent.

    middle_slice: the challenge's box, in-plane as large as the object is in its middle slice alone.
    """
    lower, upper = bounds(mask)
    if middle_slice:
        middle = (lower[0] + upper[0]) // 2
        if mask[middle].any():
            plane_lower, plane_upper = bounds(mask[middle : middle + 1])
            lower[1:], upper[1:] = plane_lower[1:], plane_upper[1:]
    extent = upper - lower
    loosen = rng.uniform(-0.05, rng.choice([0.02, 0.08, 0.15]), (2, 3)) * extent
    faces = np.stack((lower - 0.5 - loosen[0], upper - 0.5 + loosen[1]))
    return np.clip(faces, -0.5, np.array(mask.shape) - 0.5)


def simulate_click(
    truth: NDArray, predicted: NDArray, rng: np.random.Generator | None = None, rank: int = 0
) -> Click | None:
    """The click of a user who corrects the largest error region: ((z, y, x), is it foreground).

    truth, predicted: bool (z, y, x). It lies at the region's deepest voxel, the first such in array order;
    with `rng` at a random one of at least half that depth. `rank` 1 takes the second largest region, and so
    on. None where there is no such region.
    """
    wrong = truth != predicted
    if not wrong.any():
        return None
    regions, _ = ndimage.label(wrong, _TOUCHING)
    sizes = np.bincount(regions.ravel())
    sizes[0] = 0
    if rank >= np.count_nonzero(sizes):
        return None
    chosen = int(np.argsort(-sizes, kind="stable")[rank])
    box = ndimage.find_objects(regions, chosen)[chosen - 1]
    # The region's box is padded, so that the volume's border counts as an edge of the region.
    depth = ndimage.distance_transform_edt(np.pad(regions[box] == chosen, 1))[1:-1, 1:-1, 1:-1]
    if rng is None:
        inner = np.unravel_index(int(depth.argmax()), depth.shape)
    else:
        candidates = np.argwhere(depth >= max(depth.max() / 2, 1))
        inner = candidates[rng.integers(len(candidates))]
    voxel = tuple(int(i + s.start) for i, s in zip(inner, box, strict=True))
    return voxel, bool(truth[voxel])
