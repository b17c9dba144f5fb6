"""Random fields and what a scanner does to an image: blur, bias, noise. Arrays are float32 (z, y, x).

Fields and blurs are products with small matrices along each axis, ten times faster than filtering noise.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


def smooth_field(shape: tuple[int, ...], size: float, rng: np.random.Generator) -> Field:
    """Random field of mean 0 and deviation 1: cubic B-splines on random knots `size` voxels apart."""
    bases = [_splines(n, max(1.0, round(float(size), 1))) for n in shape]
    knots = rng.standard_normal([basis.shape[1] for basis in bases], dtype=np.float32)
    field = along_axes(knots, bases)
    part = field[::2, ::2, ::2]  # is enough to tell mean and deviation
    field -= part.mean()
    field /= part.std() + np.float32(1e-6)
    return field


def along_axes(array: Field, matrices: list[Field]) -> Field:
    """The product of matrix i (outputs, inputs) with axis i, for each axis."""
    for axis in range(3):  # tensordot appends the new axis, so that after three rounds all are in place
        array = np.tensordot(array, matrices[axis], (0, 1))
    return array


def blur(image: Field, sigmas: NDArray) -> Field:
    """Gaussian blur of a deviation an axis, in voxels: a scanner's point spread and its slice profile."""
    return along_axes(
        image, [_gaussian(n, round(float(s), 1)) for n, s in zip(image.shape, sigmas, strict=True)]
    )


def add_noise(image: Field, rng: np.random.Generator) -> Field:
    """Noise of one of four kinds: white, as from interpolated images, Rician (MR) or speckle (ultrasound)."""
    deviation = np.float32(rng.uniform(0, 0.08))
    kind = rng.choice(("white", "interpolated", "rician", "speckle"), p=(0.45, 0.2, 0.2, 0.15))
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    if kind == "white":
        return image + deviation * noise
    if kind == "interpolated":
        coarse = blur(noise, rng.uniform(0.4, 1.0, 3))
        return image + deviation * coarse / coarse.std()
    if kind == "rician":
        return np.hypot(
            image + deviation * noise, deviation * rng.standard_normal(image.shape, dtype=np.float32)
        )
    grains = blur(noise, rng.uniform(0.4, 1.2, 3))
    return image * (1 + 4 * deviation * grains / grains.std())


@lru_cache(maxsize=512)
def _splines(count: int, size: float) -> Field:
    """(count, knots): the weight of each cubic B-spline at each voxel."""
    knots = np.arange(int(np.ceil(count / size)) + 3)
    distance = np.abs(np.arange(count)[:, None] / size + 1 - knots)
    near = 2 / 3 - distance**2 + distance**3 / 2
    return np.where(distance < 1, near, np.clip(2 - distance, 0, None) ** 3 / 6).astype(np.float32)


@lru_cache(maxsize=512)
def _gaussian(count: int, sigma: float) -> Field:
    """(count, count): rows are Gaussians that sum to 1."""
    distance = np.subtract.outer(np.arange(count), np.arange(count))
    weights = np.exp(-0.5 * (distance / max(sigma, 0.1)) ** 2)
    weights[weights < 1e-6] = 0  # numbers too small for float32 make the product ten times slower
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
