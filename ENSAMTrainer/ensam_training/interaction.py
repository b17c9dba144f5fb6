"""A simulated user: draws a box round the object and clicks where the answer is most wrong.

All in voxels, as in the challenge: the spacing moves neither boxes nor clicks.
"""

from __future__ import annotations

import cc3d
import edt
import numpy as np
from numpy.typing import NDArray

Click = tuple[tuple[int, int, int], bool]


def bounds(mask: NDArray) -> tuple[NDArray, NDArray]:
    """First and one past the last voxel of a mask, (z, y, x) each. Raises ValueError if it is empty."""
    z = np.flatnonzero(mask.any((1, 2)))
    if not len(z):
        raise ValueError("the mask is empty")
    plane = mask[z[0] : z[-1] + 1].any(0)
    y, x = np.flatnonzero(plane.any(1)), np.flatnonzero(plane.any(0))
    return np.array([z[0], y[0], x[0]]), np.array([z[-1], y[-1], x[-1]]) + 1


def simulate_box(mask: NDArray, rng: np.random.Generator, middle_slice: bool = False) -> NDArray:
    """Faces (2, 3) of a hand-drawn box in voxels: the mask's bounds, each off by -5 to 15 % of the extent.

    middle_slice: the challenge's box, in-plane as large as the object is in its middle slice alone: the
    middle one of those slices that hold it.
    """
    lower, upper = bounds(mask)
    if middle_slice:
        slices = np.flatnonzero(mask.any((1, 2)))
        middle = slices[len(slices) // 2]
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

    truth, predicted: bool (z, y, x). Regions are 26-connected, as in the challenge; of equally large ones the
    one with the first voxel in array order counts as larger. The click lies at the voxel farthest from the
    region's edge, where the volume's border is an edge as well, at the first such one in array order; with
    `rng` at a random one of at least half that depth. `rank` 1 takes the second largest region, and so on.
    None where there is no such region.
    """
    wrong = truth != predicted
    if not wrong.any():
        return None
    where, corner = box_of(wrong)
    # Numbered in array order, which decides between regions of equal size. Padded, since cc3d 4.1.1 refuses
    # thin arrays: it reserves a number for every eighth voxel, and [1, 0, 1] needs two.
    regions = cc3d.connected_components(np.pad(wrong[where], 1), connectivity=26)[1:-1, 1:-1, 1:-1]
    sizes = np.bincount(regions.ravel())[1:]
    if rank >= len(sizes):
        return None
    region = regions == np.argsort(-sizes, kind="stable")[rank] + 1
    inside, inner_corner = box_of(region)
    # Squares of distances in voxels are whole numbers, so that equally deep voxels are exactly equal.
    depth = edt.edtsq(region[inside].view(np.uint8), black_border=True)
    if rng is None:
        flat = int(depth.argmax())
    else:
        flat = int(rng.choice(np.flatnonzero(4 * depth >= max(depth.max(), 4))))
    voxel = tuple(int(i) for i in np.unravel_index(flat, depth.shape) + corner + inner_corner)
    return voxel, bool(truth[voxel])


def box_of(mask: NDArray) -> tuple[tuple[slice, slice, slice], NDArray]:
    """The bounding box of a mask, and its first voxel (z, y, x). Raises ValueError if it is empty."""
    lower, upper = bounds(mask)
    return tuple(slice(int(a), int(b)) for a, b in zip(lower, upper, strict=True)), lower
