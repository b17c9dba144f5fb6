"""From a volume to what the network sees: the grey range and the window. `resampling` makes the image.

Training and inference both go through here, so that the network meets in use what it met in training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ensam.errors import InputError

# The paper's CT windows: width and level in Hounsfield units.
CT_WINDOWS = {
    "soft tissue": (400.0, 40.0),
    "lung": (1500.0, -160.0),
    "brain": (80.0, 40.0),
    "bone": (1800.0, 400.0),
}
LOWEST_HU = -3100.0  # a CT holds no lower values, but for padding
PADDING_SHARE = 0.01  # of the voxels: a value that fills less is none
PERCENTILES = (0.5, 99.5)  # the paper's clip for everything but CT
MARGIN_SHARE = 0.25  # of the prompts' extent, on every side
ROUNDING = 1e-6  # voxels by which positions may be off after a conversion
_STRIDE = 8  # voxels along one edge of a latent voxel
MARGIN_VOXELS = 8.0  # at least, so that a small object keeps its surroundings

IntensityChoice = Literal["auto", "percentile", "soft tissue", "lung", "brain", "bone"]


@dataclass(frozen=True)
class IntensityRange:
    """The grey values mapped to 0 and 1, and the reason in words for the user, which makes no other range."""

    lower: float
    upper: float
    reason: str = field(compare=False)


def looks_like_ct(array: NDArray) -> bool:
    """Whether the values are Hounsfield units: air near -1000 beside tissue, nothing far below but padding.

    Only a guess: files rarely carry their modality. What was guessed is said in IntensityRange.reason.
    """
    sample = array[:: max(1, array.shape[0] // 32), ::4, ::4]
    lowest = sample.min()
    if lowest < LOWEST_HU:
        # Scanners fill what lies outside their field of view with one such value.
        padding = sample == lowest
        if PADDING_SHARE <= padding.mean() < 1:
            sample = sample[~padding]
    low, high = float(sample.min()), float(sample.max())
    # A crop inside the body holds no air, but fat near -100 and soft tissue near 50 still give it away.
    middle = float(np.median(sample))
    # A volume masked with zeros is an MR whose intensities were centred, not CT.
    masked = float((sample == 0).mean()) > 0.2
    return LOWEST_HU <= low <= -100 and 100 <= high <= 35000 and -1100 <= middle <= 400 and not masked


def percentile_range(array: NDArray) -> IntensityRange:
    """The paper's clip of everything that is not CT: the 0.5 to 99.5 percentile of the whole volume."""
    lower, upper = (float(v) for v in np.percentile(array, PERCENTILES))
    if upper <= lower:  # fewer than one voxel in 200 differs: the object may be just those
        lower, upper = float(array.min()), float(array.max())
    return IntensityRange(lower, upper, f"grey values {lower:.4g} to {upper:.4g} (0.5 to 99.5 percentile)")


def ct_range(name: str, reason: str = "chosen by you") -> IntensityRange:
    width, level = CT_WINDOWS[name]
    return IntensityRange(level - width / 2, level + width / 2, f"CT window '{name}' ({reason})")


def automatic_ct_window(values: NDArray) -> str:
    """The CT window that suits the values inside the user's box.

    Air-filled: lung. Half of it denser than contrast-filled vessels: bone. Nothing but brain tissue and
    fluid, without the fat that surrounds every other organ: brain. Otherwise soft tissue.
    """
    low, middle, high = np.percentile(values, (5, 50, 95))
    if middle < -300:
        return "lung"
    if middle > 250:
        return "bone"
    if low > -10 and high < 85:
        return "brain"
    return "soft tissue"


def check_choice(choice: str) -> None:
    """Raises InputError for a choice of grey values that does not exist."""
    known = get_args(IntensityChoice)
    if choice not in known:
        raise InputError(f"There is no intensity window '{choice}': choose {', '.join(known)}.")


def intensity_range(
    array: NDArray,
    choice: IntensityChoice = "auto",
    values: NDArray | None = None,
    where: str = "in the box",
) -> IntensityRange:
    """The grey range for a volume (z, y, x). `values` are those that an automatic CT choice looks at, `where`
    they come from is told to the user.

    Raises InputError for a choice that does not exist.
    """
    check_choice(choice)
    if choice in CT_WINDOWS:
        return ct_range(choice)
    if choice == "percentile" or not looks_like_ct(array):
        return percentile_range(array)
    if values is None:
        return ct_range("soft tissue", "the values look like Hounsfield units, and there is no box")
    return ct_range(automatic_ct_window(values), f"chosen by the values {where}")


@dataclass(frozen=True)
class Window:
    """A part of the volume and the grid it is resampled to.

    lower, upper: first voxel and one past the last, (z, y, x); shape: voxels after resampling, never more
    than upper - lower.
    """

    lower: tuple[int, int, int]
    upper: tuple[int, int, int]
    shape: tuple[int, int, int]

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        return tuple(slice(a, b) for a, b in zip(self.lower, self.upper, strict=True))

    @property
    def size(self) -> tuple[int, int, int]:
        """Voxels of the volume that the window covers, (z, y, x)."""
        return tuple(b - a for a, b in zip(self.lower, self.upper, strict=True))

    @property
    def is_thinned(self) -> bool:
        return self.shape != self.size

    def from_volume(self, voxels: NDArray) -> NDArray:
        """Volume voxel coordinates (..., 3) -> window voxel coordinates, centres at integers."""
        scale = np.divide(self.shape, self.size)
        return (np.asarray(voxels, float) - self.lower + 0.5) * scale - 0.5


def fit_to_budget(size: Sequence[int], spacing: Sequence[float], budget: int) -> tuple[int, int, int]:
    """Voxels (z, y, x) of a grid for `size` voxels of `spacing` mm that holds at most `budget` (512 or more).

    The finest axes are thinned first, towards equal spacing; none is ever refined, nor thinned below eight
    voxels, the edge of one voxel of the latent.
    """
    extent = np.multiply(size, spacing)
    least = np.minimum(size, _STRIDE)

    def shape(step: float) -> tuple[int, int, int]:
        counts = np.floor(extent / np.maximum(spacing, step) + 1e-6).astype(int)
        return tuple(int(n) for n in np.clip(counts, least, size))

    low, high = 0.0, float(extent.max())
    if math.prod(shape(low)) <= budget:
        return shape(low)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if math.prod(shape(middle)) <= budget else (middle, high)
    return shape(high)


def place_window(
    lower: NDArray,
    upper: NDArray,
    volume_shape: Sequence[int],
    spacing: Sequence[float],
    budget: int,
) -> Window:
    """The window round prompts from lower to upper, voxels (z, y, x), with a margin, cut to the volume."""
    lower, upper = np.asarray(lower, float), np.asarray(upper, float)
    margin = default_margin(upper - lower)
    return cut_window(lower - margin, upper + margin, volume_shape, spacing, budget)


def default_margin(extent: NDArray) -> NDArray:
    """Voxels of surroundings on every side of prompts that reach over `extent` voxels."""
    return np.maximum(MARGIN_SHARE * extent, MARGIN_VOXELS)


def cut_window(
    lower: NDArray, upper: NDArray, volume_shape: Sequence[int], spacing: Sequence[float], budget: int
) -> Window:
    """The window of all voxels that lower..upper (voxel coordinates) reaches into, cut to the volume.

    It reaches a little further, and is thinned a little more, so that its axes are multiples of the stride:
    what the network would have to pad counts in the statistics of every normalisation.
    """
    first, length = place_cut(lower, upper, volume_shape)
    shape = _whole_strides(fit_to_budget(length, spacing, budget), length, budget)
    return Window(tuple(int(v) for v in first), tuple(int(v) for v in first + length), shape)


def place_cut(lower: NDArray, upper: NDArray, volume_shape: Sequence[int]) -> tuple[NDArray, NDArray]:
    """First voxel and length of the windows that `cut_window` makes for lower..upper, all (..., 3)."""
    # A hair's breadth of rounding must not move the window, or the features would be computed again.
    first = np.clip(np.floor(lower + 0.5 + ROUNDING), 0, np.subtract(volume_shape, 1)).astype(int)
    last = np.clip(np.ceil(upper + 0.5 - ROUNDING), first + 1, volume_shape).astype(int)
    length = np.minimum(last - first + (first - last) % _STRIDE, volume_shape)
    return np.clip(first - (length - (last - first)) // 2, 0, volume_shape - length), length


def _whole_strides(shape: Sequence[int], size: Sequence[int], budget: int) -> tuple[int, int, int]:
    """The shape (z, y, x) in multiples of the stride; axes of less than two strides stay.

    Axes that lose most by that get a stride more, as far as `size` and the budget allow.
    """
    whole = np.array([n if n < 2 * _STRIDE else n // _STRIDE * _STRIDE for n in shape])
    for axis in np.argsort(whole / shape, kind="stable"):
        more = whole + _STRIDE * (np.arange(3) == axis)
        if whole[axis] < shape[axis] and more[axis] <= size[axis] and math.prod(more.tolist()) <= budget:
            whole = more
    return tuple(int(n) for n in whole)
