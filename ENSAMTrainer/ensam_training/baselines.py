"""What can be had without a network: shapes that fill the box, and the random walker.

They get the prompts that ENSAM gets, and answer only objects that have a box.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from ensam.challenge import ChallengeBox, ChallengeCase, Clicks
from ensam.preprocessing import IntensityRange, Window, place_window
from ensam.resampling import extract
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import random_walker

Predictor = Callable[[ChallengeCase], NDArray[np.uint8]]
"""From a case to its labels 0..K, uint8 (z, y, x)."""

WALKER_BUDGET = 48**3
# The two values of 12 that did best on ten training cases of all kinds, none of them held out.
_SEED_SHARE = 0.7  # of the box, along each axis: the ellipsoid of foreground seeds at its centre
_BETA = 4000  # how strongly grey differences hold the walker up
_CLICK_RADIUS = 1.5  # of a click's ball of seeds, in voxels of the walker's grid
_CLICK_MARGIN = 3.0  # voxels by which the box is grown beyond foreground clicks that lie outside of it
_GREY = IntensityRange(0, 255, "the challenge's grey values")
_TOLERANCE = 1e-3  # of the solver; a hundredth of it changed the mean Dice coefficient by 0.002
_FOREGROUND, _BACKGROUND = 1, 2


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


def random_walker_predictor(case: ChallengeCase) -> NDArray[np.uint8]:
    """Each object is where a random walker meets foreground first; the highest probability above 1/2 wins.

    Foreground seeds are an ellipsoid at the box's centre and a ball at each foreground click,
    background seeds all that is outside the box, grown to hold those clicks, and a ball at each background
    click. Clicks overrule the rest. It works in the window that ENSAM would choose, thinned to
    `WALKER_BUDGET` voxels. It never fails: where it can't walk, the voxels that are no seeds go to the only
    kind of seed that there is, or to the background when the window is of one grey.
    """
    labels = np.zeros(case.image.shape, np.uint8)
    highest = np.full(case.image.shape, 0.5, np.float32)
    for index, box in enumerate(case.boxes or ()):
        of_object = case.clicks[index] if case.clicks else {"fg": (), "bg": ()}
        window, probability = _walk(case, box, of_object)
        better = probability > highest[window.slices]
        highest[window.slices][better] = probability[better]
        labels[window.slices][better] = index + 1
    return labels


BASELINES: Mapping[str, Predictor] = {
    "ellipsoid": ellipsoid_predictor,
    "box": box_predictor,
    "random-walker": random_walker_predictor,
}


def _nearest(case: ChallengeCase, distance: Callable[[list[NDArray]], NDArray]) -> NDArray[np.uint8]:
    """Each voxel's nearest object by a distance that is 1 on the box's faces; beyond 1 it is background.

    distance: takes the offsets from the centre along z, y and x, in half lengths of the box.
    """
    labels = np.zeros(case.image.shape, np.uint8)
    nearest = np.ones(case.image.shape, np.float32)
    for number, box in enumerate(case.boxes or (), start=1):
        lower, upper = _faces(box)
        inside = tuple(slice(int(low + 0.5), int(high + 0.5)) for low, high in zip(lower, upper, strict=True))
        found = distance(_offsets(np.ogrid[inside], lower, upper))
        nearer = found <= nearest[inside]
        nearest[inside][nearer] = found[nearer]
        labels[inside][nearer] = number
    return labels


def _walk(case: ChallengeCase, box: ChallengeBox, clicks: Clicks) -> tuple[Window, NDArray[np.float32]]:
    """The walker's window and the object's probability at each of the volume's voxels in it."""
    lower, upper = _faces(box)
    outer_lower, outer_upper = lower, upper
    for click in clicks["fg"]:
        outer_lower = np.minimum(outer_lower, np.subtract(click, _CLICK_MARGIN))
        outer_upper = np.maximum(outer_upper, np.add(click, _CLICK_MARGIN))
    spacing_zyx = case.spacing[::-1]
    window = place_window(outer_lower, outer_upper, case.image.shape, spacing_zyx, WALKER_BUDGET)
    image = extract(case.image, window, _GREY)[0, 0].numpy()
    seeds = _seeds(window, (lower, upper), (outer_lower, outer_upper), clicks)
    solved = _solve(image, seeds, np.multiply(spacing_zyx, window.size) / window.shape)
    zoom = np.divide(window.size, window.shape)
    return window, ndimage.zoom(solved, zoom, order=1, mode="nearest", grid_mode=True)


def _seeds(
    window: Window, box: tuple[NDArray, NDArray], outer: tuple[NDArray, NDArray], clicks: Clicks
) -> NDArray[np.int32]:
    """Seeds (z, y, x) on the window's grid, 0 where the walker decides."""
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


def _solve(image: NDArray[np.float32], seeds: NDArray[np.int32], spacing: NDArray) -> NDArray[np.float32]:
    """The probability (z, y, x) of foreground."""
    foreground, background = seeds == _FOREGROUND, seeds == _BACKGROUND
    if not background.any():
        return np.ones(seeds.shape, np.float32)
    if not foreground.any() or seeds.all() or image.min() == image.max():
        return foreground.astype(np.float32)
    # The walker compares grey differences a length with a fixed scale, so that the unit would matter.
    relative = spacing / spacing.min()
    # Strong edges all but cut voxels off, whose probabilities the solver leaves inexact. Its warning is put
    # off by prob_tol, and both kinds' errors are evened out: exact probabilities add up to 1.
    foreground, background = random_walker(
        image, seeds, _BETA, "cg_j", _TOLERANCE, spacing=relative, return_full_prob=True, prob_tol=np.inf
    )
    return np.clip((1 + foreground - background) / 2, 0, 1).astype(np.float32)


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
