"""Random changes of training windows: small objects that are called with an image and a generator.

Images are float32 (z, y, x) in 0..1, before and after; every choice comes from the generator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Change = Callable[[Image, np.random.Generator], Image]


@dataclass(frozen=True)
class Sometimes:
    """A change that is made with a probability."""

    change: Change
    probability: float

    def __call__(self, image: Image, rng: np.random.Generator) -> Image:
        return self.change(image, rng) if rng.random() < self.probability else image


@dataclass(frozen=True)
class OneOf:
    """One of several changes, each as often."""

    changes: tuple[Change, ...]

    def __call__(self, image: Image, rng: np.random.Generator) -> Image:
        return self.changes[rng.integers(len(self.changes))](image, rng)


@dataclass(frozen=True)
class FromMonai:
    """A transform of MONAI's by its name: RandBiasField, RandGaussianSmooth or RandHistogramShift (paper)."""

    name: str

    def __call__(self, image: Image, rng: np.random.Generator) -> Image:
        transform = _monai_transform(self.name)
        transform.set_random_state(seed=int(rng.integers(2**32)))
        return np.asarray(transform(image[None])[0], np.float32)


@cache
def _monai_transform(name: str) -> Any:
    # Here, since the import takes seconds that the command line's other commands need not wait for.
    from monai.transforms.intensity import array

    return getattr(array, name)(prob=1.0)


@dataclass(frozen=True)
class Noise:
    """White Gaussian noise of a deviation in a range."""

    deviation: tuple[float, float] = (0.01, 0.08)

    def __call__(self, image: Image, rng: np.random.Generator) -> Image:
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        return image + noise * np.float32(rng.uniform(*self.deviation))


@dataclass(frozen=True)
class Gamma:
    """image ** g, with a g of up to 1.6 and 1 / g as often."""

    def __call__(self, image: Image, rng: np.random.Generator) -> Image:
        return np.clip(image, 0, 1) ** np.float32(1.6 ** rng.uniform(-1, 1))


@dataclass(frozen=True)
class Inversion:
    """Bright becomes dark, as between T1 and T2."""

    def __call__(self, image: Image, rng: np.random.Generator) -> Image:
        return 1 - image


@dataclass(frozen=True)
class ThickSlices:
    """The means of slabs of 2 to 4 voxels along an axis, interpolated back to the grid: volumes of thick
    slices that somebody has resampled."""

    def __call__(self, image: Image, rng: np.random.Generator) -> Image:
        axis = int(rng.integers(3))
        count = image.shape[axis]
        slabs = max(2, round(count / rng.uniform(2, 4)))
        return np.moveaxis(np.tensordot(_through_slabs(count, slabs), image, (1, axis)), 0, axis)


def _through_slabs(count: int, slabs: int) -> NDArray[np.float32]:
    """(count, count): the mean over each of `slabs` equal parts, then linear interpolation between them."""
    edges = np.linspace(0, count, slabs + 1)
    voxels = np.arange(count)
    overlap = np.minimum(edges[1:, None], voxels + 1) - np.maximum(edges[:-1, None], voxels)
    means = np.clip(overlap, 0, None) * slabs / count
    place = (voxels + 0.5) * slabs / count - 0.5
    return np.clip(1 - np.abs(np.clip(place, 0, slabs - 1)[:, None] - np.arange(slabs)), 0, 1).astype(
        np.float32
    ) @ means.astype(np.float32)


@dataclass(frozen=True)
class Turn:
    """A permutation of the last three axes, then flips of some of them."""

    order: tuple[int, int, int]
    flips: tuple[int, ...]

    def __call__(self, array: NDArray) -> NDArray:
        lead = array.ndim - 3
        turned = array.transpose(*range(lead), *(lead + axis for axis in self.order))
        return np.flip(turned, [lead + axis for axis in self.flips])

    def move(self, voxels: NDArray, shape: Sequence[int]) -> NDArray:
        """Where voxel coordinates (..., 3) in a window of that shape come to lie."""
        moved = np.asarray(voxels, float)[..., list(self.order)]
        for axis in self.flips:
            moved[..., axis] = shape[self.order[axis]] - 1 - moved[..., axis]
        return moved


def random_turn(shape: Sequence[int], rng: np.random.Generator) -> Turn:
    """A turn of a window of a shape, with each flip as often as not.

    The axes come sorted by length, which keeps the shapes few; those of equal length in random order.
    """
    order, flipped = np.lexsort((rng.random(3), shape)), np.flatnonzero(rng.random(3) < 0.5)
    return Turn(tuple(int(axis) for axis in order), tuple(int(axis) for axis in flipped))


PAPER = Sometimes(
    OneOf(tuple(map(FromMonai, ("RandBiasField", "RandGaussianSmooth", "RandHistogramShift")))), 0.5
)
OURS = (
    Sometimes(Gamma(), 0.2),
    Sometimes(ThickSlices(), 0.1),
    Sometimes(Noise(), 0.2),
    Sometimes(Inversion(), 0.1),
)


@dataclass(frozen=True)
class Augmentation:
    """What is done to the grey values of real windows: the paper's changes, then, each seldom, ours."""

    changes: tuple[Change, ...] = (PAPER, *OURS)

    def change_intensity(self, image: Image, rng: np.random.Generator) -> Image:
        """The image after all changes, clipped to 0..1."""
        for change in self.changes:
            image = change(image, rng)
        return np.clip(image, 0, 1)
