"""Random anatomy-like volumes with labels, for training without data and for shapes that data lack.

    image, labels = make_case((48, 48, 48), np.random.default_rng(0))

A scene is painted from back to front: tissue, distractors, then objects, which may be nested, touch one
another, have rims, cores or vessels of other grey values, or twins of the same form and grey value. Then the
scanner: blur (partial volume), bias field, noise, inversion.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ensam_training.cases import MINIMUM_VOXELS
from ensam_training.interaction import bounds
from ensam_training.shapes import SHAPES, Space, ellipsoid, length, tree
from ensam_training.textures import Field, add_noise, blur, smooth_field

_VISIBLE = 0.5  # share of an object that later ones must leave
_FAINT, _FAINT_IN_NOISE = 0.07, 0.5  # least step at an object's surface, alone and in deviations of the noise
_APART = (slice(None, -2), slice(2, None))


def make_case(
    shape: tuple[int, int, int], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """An anatomy-like volume: image (z, y, x) in 0..1, labels 0..K of the same shape."""
    scene = _Scene(shape, rng)
    for _ in range(rng.integers(0, 4)):
        scene.add(labelled=False)
    for _ in range(rng.integers(2, 5)):
        scene.add(labelled=True)
    clean, image = _scanned(scene.image, rng)
    return image, scene.visible_labels(clean, float((image - clean).std()))


class _Scene:
    """A painting in progress: the image before the scanner, and what is labelled so far."""

    def __init__(self, shape: tuple[int, int, int], rng: np.random.Generator) -> None:
        self.rng, self.space = rng, Space(shape, rng)
        self.labels = np.zeros(shape, np.uint8)
        self.sizes = [0]  # of each label when it was painted
        fine, coarse = (smooth_field(shape, size, rng) for size in (rng.uniform(1, 2.5), rng.uniform(3, 8)))
        self.textures = [fine, coarse, (fine - coarse) / 2]
        self.greys: list[float] = []  # of what was painted, for others to share
        self.last: Field | None = None  # depth of the last object, for the next to touch
        self.image = self._tissue()

    def add(self, labelled: bool) -> None:
        """Paints one object, or, without a label, a distractor of the same kinds of form and grey value."""
        rng = self.rng
        depth = SHAPES[rng.integers(len(SHAPES))](self.space, self._centre(), rng)
        beside = labelled and self.last is not None and rng.random() < 0.25
        if beside:  # flush with the last object, as organs lie against one another
            depth = np.minimum(depth, -self.last)
        grey = self._grey(depth)
        if labelled and rng.random() < 0.2:  # the other side's organ, or another of the same kind
            twin = np.flip(depth, int(rng.integers(3)))
            self._paint(np.minimum(twin, -2 - depth), grey, 0)
        self._paint(depth, grey, self._new_label(depth) if labelled else 0)
        if labelled:
            self._furnish(depth, grey)
            self.last = depth

    def visible_labels(self, clean: Field, noise: float) -> NDArray[np.uint8]:
        """The labels, numbered 1..K, without those that others have painted over for the most part, or whose
        surface is too faint in the image without its noise for anybody to find it in the noise."""
        left = np.bincount(self.labels.ravel(), minlength=len(self.sizes))
        kept = (left >= MINIMUM_VOXELS) & (left >= _VISIBLE * np.array(self.sizes))
        kept &= _steps(clean, self.labels, len(self.sizes)) >= max(_FAINT, _FAINT_IN_NOISE * noise)
        kept[0] = False
        return np.where(kept, kept.cumsum(), 0).astype(np.uint8)[self.labels]

    def _tissue(self) -> Field:
        """What the objects lie in: regions, the layers of a body in air, or one tissue."""
        rng, shape = self.rng, self.space.shape
        kind = rng.choice(("regions", "layers", "plain"), p=(0.5, 0.3, 0.2))
        if kind == "regions":
            size = self.space.edge / rng.uniform(1.5, 5)
            image, highest = np.full(shape, rng.random(), np.float32), smooth_field(shape, size, rng)
            for _ in range(rng.integers(1, 5)):
                field = smooth_field(shape, size, rng)
                np.copyto(image, np.float32(rng.random()), where=field > highest)
                np.maximum(highest, field, out=highest)
        elif kind == "layers":
            centre = np.array(shape) * rng.uniform(0.3, 0.7, 3)
            points = self.space.turned(centre, rng)
            radii = self.space.edge * rng.uniform(0.4, 0.8, 3).astype(np.float32)
            inward = 1 - length(points, radii)
            inward += np.float32(0.08) * self.space.lumps(0.3, rng)
            layers = np.concatenate(([0], np.sort(rng.uniform(0.03, 0.5, rng.integers(1, 4)))))
            values = np.concatenate(([rng.uniform(0, 0.1)], rng.uniform(0.15, 1, len(layers))))
            image = values.astype(np.float32)[np.searchsorted(layers, inward)]
        else:
            image = np.full(shape, rng.uniform(0.1, 0.9), np.float32)
        return image + self._texture()

    def _texture(self, where: tuple[slice, ...] = ()) -> Field:
        return np.float32(self.rng.uniform(-0.07, 0.07)) * self.textures[self.rng.integers(3)][where]

    def _centre(self) -> NDArray:
        """Anywhere, or near the surface of the last object."""
        if self.last is not None and self.rng.random() < 0.4:
            near = np.flatnonzero(np.abs(self.last + 2) < 2)
            if len(near):
                return np.array(np.unravel_index(self.rng.choice(near), self.space.shape), float)
        return self.space.place(self.rng)

    def _grey(self, depth: Field) -> float:
        """A grey value, often one in use already, that differs from nearly all that surrounds the shape."""
        rng = self.rng
        tried = list(rng.random(6))
        if self.greys and rng.random() < 0.5:
            tried.insert(0, rng.choice(self.greys) + rng.normal(0, 0.02))
        where = _box(depth > -3)
        near = depth[where]
        ring = self.image[where][(near > -3) & (near < -0.5)]
        least = 0.1 if rng.random() < 0.15 else 0.2
        alike = [float((np.abs(ring - grey) < least).mean()) if len(ring) else 0.0 for grey in tried]
        grey = next(
            (g for g, share in zip(tried, alike, strict=True) if share < 0.1), tried[np.argmin(alike)]
        )
        self.greys.append(float(np.clip(grey, 0, 1)))
        return self.greys[-1]

    def _new_label(self, depth: Field) -> int:
        self.sizes.append(int((depth > 0).sum()))
        return len(self.sizes) - 1

    def _paint(self, depth: Field, grey: float, label: int | None) -> None:
        """label None: the labels stay, for what lies within an object and belongs to it."""
        where = _box(depth > -0.5)
        share = np.clip(depth[where] + np.float32(0.5), 0, 1)
        self.image[where] += share * (np.float32(grey) + self._texture(where) - self.image[where])
        if label is not None:
            self.labels[where][depth[where] > 0] = label

    def _furnish(self, depth: Field, grey: float) -> None:
        """Seldom something within an object: a rim or a core, labelled or not, or vessels."""
        rng, other = self.rng, float(self.rng.random())
        kind = rng.choice(("nothing", "rim", "core", "nested", "vessels"), p=(0.6, 0.1, 0.1, 0.12, 0.08))
        deepest = float(depth.max())
        if kind == "nothing" or deepest < 4:
            return
        if kind == "rim":
            self._paint(np.minimum(depth, np.float32(rng.uniform(1, 2)) - depth), other, None)
        elif kind == "vessels":
            inner = tree(self.space, self._centre_of(depth), rng)
            self._paint(np.minimum(inner, depth - 1), other, None)
        else:
            inner = depth - np.float32(rng.uniform(0.3, 0.6) * deepest)
            if rng.random() < 0.5:
                inner = np.minimum(ellipsoid(self.space, self._centre_of(depth), rng), depth - 1.5)
            if abs(other - grey) < 0.15:
                other = grey + 0.25 if grey < 0.5 else grey - 0.25
            if kind == "nested":
                # Two objects from now on: the outer one is what the inner one leaves of it.
                label = self._new_label(inner)
                self.sizes[label - 1] -= self.sizes[label]
                self._paint(inner, other, label)
            else:
                self._paint(inner, other, None)

    def _centre_of(self, depth: Field) -> NDArray:
        return np.array(np.unravel_index(int(depth.argmax()), self.space.shape), float)


def _box(mask: NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    """Where a mask is, which may be nowhere."""
    if not mask.any():
        return (slice(0, 0),) * 3
    return tuple(slice(int(a), int(b)) for a, b in zip(*bounds(mask), strict=True))


def _steps(image: Field, labels: NDArray[np.uint8], count: int) -> NDArray:
    """How much the image changes on average through the surface of each label, float64 (count,)."""
    changes, pairs = np.zeros(count), np.zeros(count)
    for axis in range(3):
        # Two voxels apart, since blur spreads a step over about as many.
        here, there = (tuple(s if k == axis else slice(None) for k in range(3)) for s in _APART)
        surface = labels[here] != labels[there]
        step = np.abs(image[here][surface] - image[there][surface])
        for side in (labels[here][surface], labels[there][surface]):
            changes += np.bincount(side, step, count)
            pairs += np.bincount(side, minlength=count)
    return changes / np.maximum(pairs, 1)


def _scanned(image: Field, rng: np.random.Generator) -> tuple[Field, Field]:
    """What a scanner makes of a scene, without and with noise, in 0..1."""
    sigmas = rng.uniform(0.3, 0.9, 3)
    if rng.random() < 0.2:  # thick slices, interpolated
        sigmas[rng.integers(3)] = rng.uniform(1, 2)
    image = blur(image, sigmas)
    if rng.random() < 0.5:
        strength = np.float32(rng.uniform(0.05, 0.3))
        image = image * np.exp(strength * smooth_field(image.shape, min(image.shape) / 1.5, rng))
    noisy = add_noise(image, rng) if rng.random() < 0.9 else image
    # As grey ranges in use: nearly everything, or, as with a CT window, only the middle.
    ends = (0.5, 99.5) if rng.random() < 0.8 else (rng.uniform(0.5, 10), rng.uniform(90, 99.5))
    low, high = np.percentile(noisy.ravel()[::3], ends)
    if rng.random() < 0.3:  # inverted contrast
        low, high = high, low
    width = np.float32(high - low) or np.float32(1)
    gamma = np.float32(1.5 ** rng.uniform(-1, 1))
    clean, noisy = (np.clip((i - np.float32(low)) / width, 0, 1) ** gamma for i in (image, noisy))
    return clean, noisy
