"""What can be had without a network: shapes that fill the box, a threshold, the random walker and GrowCut.

They get the prompts that ENSAM gets, and answer only objects that have a box. What costs time works in a
window of at most `WINDOW_BUDGET` voxels, so that an answer takes about a second an object at most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from ensam.challenge import ChallengeBox, ChallengeCase, Clicks
from ensam.preprocessing import IntensityRange, Window, place_window
from ensam.resampling import extract
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from skimage.segmentation import random_walker

Predictor = Callable[[ChallengeCase], NDArray[np.uint8]]
"""From a case to its labels 0..K, uint8 (z, y, x)."""

WINDOW_BUDGET = 48**3
# Values that did best of a few on nine or ten training cases of all kinds, none of them held out.
_SEED_SHARE = 0.7  # of the box, along each axis: the ellipsoid of foreground seeds at its centre
_BETA = 4000  # how strongly grey differences hold the walker up
_CLICK_RADIUS = 1.5  # of a click's ball of seeds, in voxels of the window's grid
_CLICK_MARGIN = 3.0  # voxels by which the box is grown beyond foreground clicks that lie outside of it
_GREY = IntensityRange(0, 255, "the challenge's grey values")
_TOLERANCE = 1e-3  # of the solver; a hundredth of it changed the mean Dice coefficient by 0.002
_FOREGROUND, _BACKGROUND = 1, 2
_CLICK_SHARE = 0.1  # of the box's histogram that a click's counts for in the threshold
_RIM = 0.25  # of the box's half length: how far round it the threshold looks for background
_GREY_BLUR = 4.0  # standard deviation in grey values with which a histogram's entries are spread
_STEP_COST = 0.5  # grey values that a step to the next voxel costs GrowCut, so that even regions are halved


def box_predictor(case: ChallengeCase) -> NDArray[np.uint8]:
    """Each object fills its box; where boxes overlap, the one whose centre is relatively nearest wins.

    Clicks are ignored.
    """
    return _nearest(case, lambda offsets: np.maximum(np.maximum(*offsets[:2]), offsets[2]))


def ellipsoid_predictor(case: ChallengeCase) -> NDArray[np.uint8]:
    """Each object is the ellipsoid that touches its box's faces, overlaps as in `box_predictor`.

    Clicks are ignored.
    """
    return _nearest(case, lambda offsets: np.sqrt(offsets[0] ** 2 + offsets[1] ** 2 + offsets[2] ** 2))


def threshold_predictor(case: ChallengeCase) -> NDArray[np.uint8]:
    """Each object is what has its grey values within its box, grown to hold its foreground clicks.

    Of all intervals of grey values it is the one that holds most of the object's histogram less the
    background's. The object's is that of an ellipsoid at the box's centre and, with little weight, of the
    voxels round each foreground click, the background's that of a rim round the box and of the voxels round
    background clicks. Where objects overlap, the one whose centre is relatively nearest wins.
    """
    labels = np.zeros(case.image.shape, np.uint8)
    nearest = np.full(case.image.shape, np.inf, np.float32)
    for index, box in enumerate(case.boxes or ()):
        clicks = _clicks_of(case, index)
        low, high = _best_interval(case.image, box, clicks)
        lower, upper = _grown(*_faces(box), clicks["fg"])
        inside = _voxels_within(lower, upper, case.image.shape)
        offsets = _offsets(np.ogrid[inside], lower, upper)
        distance = np.maximum(np.maximum(*offsets[:2]), offsets[2])
        grey = case.image[inside]
        nearer = (grey >= low) & (grey <= high) & (distance < nearest[inside])
        nearest[inside][nearer] = distance[nearer]
        labels[inside][nearer] = index + 1
    return labels


def random_walker_predictor(case: ChallengeCase) -> NDArray[np.uint8]:
    """Each object is where a random walker meets foreground first; the highest probability above 1/2 wins.

    Foreground seeds are an ellipsoid at the box's centre and a ball at each foreground click,
    background seeds all that is outside the box, grown to hold those clicks, and a ball at each background
    click. Clicks overrule the rest. It works in the window that ENSAM would choose, thinned to
    `WINDOW_BUDGET` voxels. It never fails: where it can't walk, the voxels that are no seeds go to the only
    kind of seed that there is, or to the background when the window is of one grey.
    """
    return _from_seeds(case, _walk)


def growcut_predictor(case: ChallengeCase) -> NDArray[np.uint8]:
    """Each object is what is nearer to its seeds than to the background's, in grey values along a path.

    It is GrowCut in the form of shortest paths (Zhu et al., "An effective interactive medical image
    segmentation method using fast GrowCut", 2014), as in 3D Slicer's "Grow from seeds": a path is as long as
    the sum of the grey differences along it. Seeds and window are those of `random_walker_predictor`.
    """
    return _from_seeds(case, _grow)


BASELINES: Mapping[str, Predictor] = {
    "ellipsoid": ellipsoid_predictor,
    "box": box_predictor,
    "threshold": threshold_predictor,
    "random-walker": random_walker_predictor,
    "growcut": growcut_predictor,
}


def _nearest(case: ChallengeCase, distance: Callable[[list[NDArray]], NDArray]) -> NDArray[np.uint8]:
    """Each voxel's nearest object by a distance that is 1 on the box's faces; beyond 1 it is background.

    distance: takes the offsets from the centre along z, y and x, in half lengths of the box.
    """
    labels = np.zeros(case.image.shape, np.uint8)
    nearest = np.ones(case.image.shape, np.float32)
    for number, box in enumerate(case.boxes or (), start=1):
        lower, upper = _faces(box)
        inside = _voxels_within(lower, upper, case.image.shape)
        found = distance(_offsets(np.ogrid[inside], lower, upper))
        nearer = found <= nearest[inside]
        nearest[inside][nearer] = found[nearer]
        labels[inside][nearer] = number
    return labels


_Solver = Callable[[NDArray[np.float32], NDArray[np.int32], NDArray], NDArray[np.float32]]
"""From image, seeds and relative spacing, all (z, y, x), to the probability of foreground in 0..1."""


def _from_seeds(case: ChallengeCase, solve: _Solver) -> NDArray[np.uint8]:
    """The labels (z, y, x) of a method that answers one object after the other from seeds."""
    labels = np.zeros(case.image.shape, np.uint8)
    highest = np.full(case.image.shape, 0.5, np.float32)
    for index, box in enumerate(case.boxes or ()):
        window, probability = _solve(case, box, _clicks_of(case, index), solve)
        better = probability > highest[window.slices]
        highest[window.slices][better] = probability[better]
        labels[window.slices][better] = index + 1
    return labels


def _solve(
    case: ChallengeCase, box: ChallengeBox, clicks: Clicks, solve: _Solver
) -> tuple[Window, NDArray[np.float32]]:
    """The object's window and its probability at each of the volume's voxels in it."""
    faces = _faces(box)
    outer = _grown(*faces, clicks["fg"])
    spacing_zyx = case.spacing[::-1]
    window = place_window(*outer, case.image.shape, spacing_zyx, WINDOW_BUDGET)
    image = extract(case.image, window, _GREY)[0, 0].numpy()
    seeds = _seeds(window, faces, outer, clicks)
    foreground, background = seeds == _FOREGROUND, seeds == _BACKGROUND
    if not background.any():
        solved = np.ones(seeds.shape, np.float32)
    elif not foreground.any() or seeds.all() or image.min() == image.max():
        solved = foreground.astype(np.float32)
    else:
        spacing = np.multiply(spacing_zyx, window.size) / window.shape
        # The walker compares grey differences a length with a fixed scale, so that the unit would matter.
        solved = solve(image, seeds, spacing / spacing.min())
    zoom = np.divide(window.size, window.shape)
    return window, ndimage.zoom(solved, zoom, order=1, mode="nearest", grid_mode=True)


def _seeds(
    window: Window, box: tuple[NDArray, NDArray], outer: tuple[NDArray, NDArray], clicks: Clicks
) -> NDArray[np.int32]:
    """Seeds (z, y, x) on the window's grid, 0 where the method decides."""
    grid = np.ogrid[tuple(slice(n) for n in window.shape)]
    beyond = _offsets(grid, *(window.from_volume(face) for face in outer))
    seeds = np.where(np.maximum(np.maximum(*beyond[:2]), beyond[2]) > 1, _BACKGROUND, 0).astype(np.int32)
    z, y, x = _offsets(grid, *(window.from_volume(face) for face in box))
    radius = np.sqrt(z**2 + y**2 + x**2)
    seeds[radius <= max(_SEED_SHARE, radius.min())] = _FOREGROUND
    for kind, label in (("bg", _BACKGROUND), ("fg", _FOREGROUND)):
        for click in clicks[kind]:
            centre = np.round(window.from_volume(click))
            squares = [(axis - middle) ** 2 for axis, middle in zip(grid, centre, strict=True)]
            seeds[squares[0] + squares[1] + squares[2] <= _CLICK_RADIUS**2] = label
    return seeds


def _walk(image: NDArray[np.float32], seeds: NDArray[np.int32], spacing: NDArray) -> NDArray[np.float32]:
    # Strong edges all but cut voxels off, whose probabilities the solver leaves inexact. Its warning is put
    # off by prob_tol, and both kinds' errors are evened out: exact probabilities add up to 1.
    foreground, background = random_walker(
        image, seeds, _BETA, "cg_j", _TOLERANCE, spacing=spacing, return_full_prob=True, prob_tol=np.inf
    )
    return np.clip((1 + foreground - background) / 2, 0, 1).astype(np.float32)


def _grow(image: NDArray[np.float32], seeds: NDArray[np.int32], spacing: NDArray) -> NDArray[np.float32]:
    numbers = np.arange(image.size).reshape(image.shape)
    ends, costs = [], []
    for axis, length in enumerate(spacing):
        sides = [[slice(None)] * 3 for _ in range(2)]
        sides[0][axis], sides[1][axis] = slice(None, -1), slice(1, None)
        here, there = (tuple(side) for side in sides)
        ends.append((numbers[here].ravel(), numbers[there].ravel()))
        costs.append(np.abs(image[there] - image[here]).ravel() + length * _STEP_COST / _GREY.upper)
    rows, columns = (np.concatenate(side) for side in zip(*ends, strict=True))
    graph = csr_array((np.concatenate(costs), (rows, columns)), shape=(image.size, image.size))
    foreground, background = (
        dijkstra(graph, directed=False, indices=np.flatnonzero(seeds == kind), min_only=True)
        for kind in (_FOREGROUND, _BACKGROUND)
    )
    return (background / (foreground + background)).reshape(image.shape).astype(np.float32)


def _best_interval(image: NDArray[np.uint8], box: ChallengeBox, clicks: Clicks) -> tuple[int, int]:
    """The first and the last grey value of the interval that `threshold_predictor` chooses."""
    lower, upper = _faces(box)
    margin = np.maximum(_RIM * (upper - lower) / 2, 1.5)
    region = _voxels_within(lower - margin, upper + margin, image.shape)
    grey = image[region]
    z, y, x = _offsets(np.ogrid[region], lower, upper)
    radius = np.sqrt(z**2 + y**2 + x**2)
    samples = {
        "fg": [grey[radius <= max(_SEED_SHARE, radius.min())]],
        "bg": [grey[np.maximum(np.maximum(z, y), x) > 1]],
    }
    for kind, of_kind in samples.items():
        for click in clicks[kind]:
            place = tuple(slice(max(0, i - 1), i + 2) for i in click)
            of_kind.append(image[place].ravel())
    found, against = (_histogram(samples[kind]) for kind in ("fg", "bg"))
    gain = ndimage.gaussian_filter1d(found - against, _GREY_BLUR, mode="constant")
    # The interval of the largest sum ends where the sum so far exceeds an earlier one the most.
    total = np.concatenate(([0.0], np.cumsum(gain)))
    earlier = np.minimum.accumulate(total)
    last = int(np.argmax(total - earlier))
    return int(np.argmin(total[: last + 1])), last - 1


def _histogram(samples: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """The share of each grey value, of the first sample and, by `_CLICK_SHARE` each, of the others."""
    shares = [np.bincount(sample, minlength=256) / max(sample.size, 1) for sample in samples]
    return np.average(shares, axis=0, weights=[1.0] + [_CLICK_SHARE] * (len(samples) - 1))


def _clicks_of(case: ChallengeCase, index: int) -> Clicks:
    return case.clicks[index] if case.clicks else {"fg": (), "bg": ()}


def _grown(lower: NDArray, upper: NDArray, clicks: Sequence[tuple[int, int, int]]) -> tuple[NDArray, NDArray]:
    """The faces of a box, moved out so that it holds the clicks with a margin."""
    for click in clicks:
        lower = np.minimum(lower, np.subtract(click, _CLICK_MARGIN))
        upper = np.maximum(upper, np.add(click, _CLICK_MARGIN))
    return lower, upper


def _voxels_within(lower: NDArray, upper: NDArray, shape: Sequence[int]) -> tuple[slice, slice, slice]:
    """The volume's voxels whose centres lie between two faces (z, y, x)."""
    return tuple(
        slice(max(0, int(np.ceil(low))), min(n, int(np.floor(high)) + 1))
        for low, high, n in zip(lower, upper, shape, strict=True)
    )


def _faces(box: ChallengeBox) -> tuple[NDArray, NDArray]:
    """The lower and upper faces (z, y, x) of a box in voxels, which holds its outermost voxels whole."""
    lower = np.array([box["z_min"], box["z_mid_y_min"], box["z_mid_x_min"]]) - 0.5
    upper = np.array([box["z_max"], box["z_mid_y_max"], box["z_mid_x_max"]]) + 0.5
    return lower, upper


def _offsets(grid: Sequence[NDArray], lower: NDArray, upper: NDArray) -> list[NDArray]:
    """The distance of an open grid's voxels from the box's centre along each axis, 1 on its faces."""
    return [
        np.abs(2 * axis - (low + high)) / (high - low)
        for axis, low, high in zip(grid, lower, upper, strict=True)
    ]
