"""Random changes of a training window. Every choice comes from the generator that is handed in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ensam_training.synthetic import smooth_field


def augment_intensity(image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """With p = 0.5 one of bias field, Gaussian smoothing, histogram shift (paper); then, each seldom, noise
    and inverted contrast (ours). Image (z, y, x) in 0..1."""
    if rng.random() < 0.5:
        kind = rng.integers(3)
        if kind == 0:
            image = image * np.exp(0.25 * smooth_field(image.shape, min(image.shape) / 2, rng))
        elif kind == 1:
            image = ndimage.gaussian_filter(image, rng.uniform(0.3, 1.2))
        else:
            knots = np.linspace(0, 1, 6)
            shifted = np.sort(np.clip(knots + rng.uniform(-0.12, 0.12, 6), 0, 1))
            image = np.interp(image, knots, shifted)
    if rng.random() < 0.2:
        image = image + rng.standard_normal(image.shape) * rng.uniform(0.01, 0.08)
    if rng.random() < 0.1:
        image = 1 - image
    return np.clip(image, 0, 1).astype(np.float32)


def random_orientation(rng: np.random.Generator, *arrays: NDArray) -> list[NDArray]:
    """The same random permutation and flips of the last three axes, for arrays of equal spatial shape."""
    order, flips = rng.permutation(3), rng.random(3) < 0.5
    result = []
    for array in arrays:
        lead = array.ndim - 3
        turned = array.transpose(*range(lead), *(lead + order))
        result.append(np.flip(turned, [lead + int(i) for i in np.flatnonzero(flips)]))
    return result
