"""Random volumes with labels, for training without data and for shapes that data lack."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def smooth_field(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Gaussian random field with mean 0 and deviation 1."""
    coarse = tuple(max(2, int(np.ceil(s / max(1.0, sigma / 2)))) for s in shape)
    small = ndimage.gaussian_filter(rng.standard_normal(coarse).astype(np.float32), min(2.0, sigma))
    field = ndimage.zoom(small, np.divide(shape, coarse), order=1, grid_mode=True, mode="nearest")
    return (field - field.mean()) / (field.std() + 1e-6)


def _coordinates(shape: tuple[int, ...], rng: np.random.Generator) -> list[NDArray]:
    """Coordinates from a random centre, turned at random and bent a little, in voxels."""
    centre = np.array(shape) * rng.uniform(0.35, 0.65, 3)
    axes = np.stack(np.meshgrid(*(np.arange(s, dtype=np.float32) for s in shape), indexing="ij"))
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    turned = np.tensordot(turn.astype(np.float32), axes - centre[:, None, None, None], axes=1)
    bend = rng.uniform(0, 0.12) * min(shape)
    return [t + bend * smooth_field(shape, min(shape) / 5, rng) for t in turned]


def _ellipsoid(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.bool_]:
    radii = min(shape) * rng.uniform(0.1, 0.38, 3)
    return sum((c / r) ** 2 for c, r in zip(_coordinates(shape, rng), radii, strict=True)) < 1


def _tube(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.bool_]:
    z, y, x = _coordinates(shape, rng)
    phase, wave = rng.uniform(0, 6.3), rng.uniform(0.03, 0.15)
    swing = rng.uniform(0.05, 0.25) * min(shape)
    radius = rng.uniform(1.5, 0.1 * min(shape) + 1.6)
    tube = np.hypot(y - swing * np.sin(wave * z + phase), x - swing * np.cos(wave * z)) < radius
    if rng.random() < 0.5:  # a branch
        tube |= (np.hypot(y - 0.7 * z, x) < 0.7 * radius) & (z > 0)
    return tube & (np.abs(z) < 0.4 * min(shape))


def _sheet(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.bool_]:
    z, y, x = _coordinates(shape, rng)
    radius, thickness = rng.uniform(0.2, 0.35) * min(shape), rng.uniform(1.5, 4)
    shell = np.abs(np.sqrt(z * z + y * y + x * x) - radius) < thickness / 2
    return shell if rng.random() < 0.5 else (np.abs(z) < thickness / 2) & (np.hypot(y, x) < radius)


def _blob(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.bool_]:
    z, y, x = _coordinates(shape, rng)
    radius = rng.uniform(0.15, 0.35) * min(shape)
    lumps = smooth_field(shape, min(shape) / rng.uniform(5, 10), rng)
    return np.sqrt(z * z + y * y + x * x) / radius + 0.4 * lumps < 1


def make_case(
    shape: tuple[int, int, int], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """An anatomy-like volume: image (z, y, x) in 0..1, labels 1..K of the same shape."""
    regions = rng.integers(2, 7)
    fields = np.stack([smooth_field(shape, min(shape) / rng.uniform(3, 8), rng) for _ in range(regions)])
    tissue = fields.argmax(0)
    labels = np.zeros(shape, np.uint8)
    makers = (_ellipsoid, _tube, _sheet, _blob, _blob)
    for index in range(1, int(rng.integers(2, 6))):
        labels[makers[rng.integers(len(makers))](shape, rng)] = index
    image = rng.uniform(0, 1, regions).astype(np.float32)[tissue]
    for index in np.unique(labels[labels > 0]):
        mask = labels == index
        around = image[ndimage.binary_dilation(mask, iterations=2) & ~mask]
        level = float(np.median(around)) if around.size else 0.5
        contrast = rng.uniform(0.08, 0.6) * rng.choice((-1, 1))
        value = level + contrast if 0 <= level + contrast <= 1 else level - contrast
        texture = smooth_field(shape, rng.uniform(1, 5), rng)[mask] * rng.uniform(0, 0.08)
        image[mask] = value + texture
    image += smooth_field(shape, rng.uniform(1, 4), rng) * rng.uniform(0, 0.06)
    image = ndimage.gaussian_filter(image, rng.uniform(0.3, 1.2))
    image += rng.standard_normal(shape).astype(np.float32) * rng.uniform(0, 0.08)
    low, high = np.percentile(image, (0.5, 99.5))
    return np.clip((image - low) / max(high - low, 1e-6), 0, 1).astype(np.float32), labels
