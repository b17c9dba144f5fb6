"""The training windows drawn from labelled volumes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ensam.preprocessing import (
    CT_WINDOWS,
    Window,
    ct_range,
    intensity_range,
    percentile_range,
    place_window,
)
from ensam.resampling import extract, resample
from numpy.typing import NDArray
from scipy import ndimage
from torch.utils.data import IterableDataset

from ensam_training.augmentation import augment_intensity, random_orientation
from ensam_training.cases import MINIMUM_VOXELS, Case, dataset_of
from ensam_training.cases import read_case as read_case
from ensam_training.synthetic import make_case

# Edges of training windows. A processor's convolution kernels are compiled anew for every shape, which
# takes longer than a step, so that windows are thinned to a few shapes and their axes sorted by length.
EDGES = (16, 24, 32, 40, 48, 64)
_INSIDE = 0.6  # share of another object that must lie in the window for it to be asked for as well


@dataclass(frozen=True, eq=False)
class Sample:
    """A training window: image (1, 1, Z, Y, X) in 0..1 and targets (N, 1, Z, Y, X), the share of each voxel
    that belongs to each of N objects. Arrays, so that a worker process hands them over by value."""

    image: NDArray[np.float32]
    targets: NDArray[np.float32]


class WindowSampler(IterableDataset):
    """An endless stream of training windows, real and synthetic.

    Datasets are drawn with a probability that grows slowly with their number of objects, so that 169 crops of
    one organ do not drown the rest, and a single case is not learned by heart.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        budget: tuple[int, int],
        seed: int,
        synthetic_share: float = 0.2,
        objects: int = 2,
    ) -> None:
        super().__init__()
        self.cases, self.budget, self.seed = list(cases), budget, seed
        self.objects = objects
        groups: dict[str, list[Case]] = {}
        for case in self.cases:
            if case.objects:
                groups.setdefault(dataset_of(case.name), []).append(case)
        self.groups = list(groups.values())
        self.synthetic_share = synthetic_share if self.groups else 1.0
        weights = np.array([sum(len(c.objects) for c in group) ** 0.4 for group in self.groups])
        self.weights = weights / weights.sum() if len(weights) else weights

    def __iter__(self) -> Iterator[Sample]:
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng((self.seed, 0 if worker is None else worker.id))
        while True:
            sample = self.draw(rng)
            if sample is not None:
                yield sample

    def draw(self, rng: np.random.Generator) -> Sample | None:
        """One window, or None if what was drawn is too small to be asked for."""
        edge = rng.uniform(self.budget[0] ** (1 / 3), self.budget[1] ** (1 / 3))
        budget = int(edge**3)
        if rng.random() < self.synthetic_share:
            return self._synthetic(budget, rng)
        group = self.groups[rng.choice(len(self.groups), p=self.weights)]
        return self._real(group[rng.integers(len(group))], budget, rng)

    def _synthetic(self, budget: int, rng: np.random.Generator) -> Sample | None:
        aspect = rng.uniform(0.7, 1.4, 3)
        shape = snap(np.maximum(EDGES[0], np.cbrt(budget / aspect.prod()) * aspect))
        image, labels = make_case(shape, rng)
        masks = [labels == i for i in np.unique(labels[labels > 0])]
        rng.shuffle(masks)
        return self._finish(image, np.array(masks[: self.objects], np.float32), rng)

    def _real(self, case: Case, budget: int, rng: np.random.Generator) -> Sample | None:
        names = list(case.objects)
        name = names[rng.integers(len(names))]
        chosen = {name}
        if 1 < len(names) <= 8 and rng.random() < 0.15:
            chosen = set(names)
        box = _union([case.objects[n] for n in chosen])
        mask = np.isin(case.labels[box], list(chosen))
        if len(chosen) == 1 and rng.random() < 0.3:
            mask, box = _one_component(mask, box, rng)
        lower = np.array([s.start for s in box], float) - 0.5
        upper = np.array([s.stop for s in box], float) - 0.5
        extent = upper - lower
        margin = rng.uniform(0.05, 0.5) * extent + rng.uniform(1, 16)
        window = place_window(lower, upper, case.image.shape, case.spacing, budget, margin)
        if min(window.shape) < EDGES[0]:  # no depth to learn from
            return None
        window = Window(window.lower, window.upper, snap(window.shape))
        image = self._grey(case, window, box, rng)
        if image is None:
            return None
        full = np.zeros(window.size, np.float32)
        inner = tuple(slice(s.start - w, s.stop - w) for s, w in zip(box, window.lower, strict=True))
        full[inner] = mask
        targets = [full]
        for other in rng.permutation([n for n in names if n not in chosen]):
            if len(targets) == self.objects:
                break
            if _covered(case.objects[int(other)], window) >= _INSIDE:
                targets.append((case.labels[window.slices] == other).astype(np.float32))
        stacked = (
            resample(torch.from_numpy(np.array(targets))[:, None], window.shape)[:, 0].clamp_(0, 1).numpy()
        )
        return self._finish(augment_intensity(image, rng), stacked, rng)

    @staticmethod
    def _grey(
        case: Case, window: Window, box: tuple[slice, ...], rng: np.random.Generator
    ) -> NDArray[np.float32] | None:
        ranges = [intensity_range(case.image, "auto", box)] if case.is_ct else [percentile_range(case.image)]
        if case.is_ct and rng.random() < 0.3:
            ranges.insert(0, ct_range(str(rng.choice(list(CT_WINDOWS)))))
        for grey in ranges:
            image = extract(case.image, window, grey)[0, 0].numpy()
            if image.std() > 0.02:
                return image
        return None

    def _finish(self, image: NDArray, targets: NDArray, rng: np.random.Generator) -> Sample | None:
        targets = targets[[(t >= 0.5).sum() >= MINIMUM_VOXELS for t in targets]] if len(targets) else targets
        if not len(targets):
            return None
        image, targets = random_orientation(rng, image, targets)
        order = np.argsort(image.shape, kind="stable")
        image, targets = image.transpose(order), targets.transpose(0, *(order + 1))
        return Sample(
            np.ascontiguousarray(image, np.float32)[None, None],
            np.ascontiguousarray(targets, np.float32)[:, None],
        )


def validation_window(case: Case, label: int, budget: int) -> tuple[Window, NDArray, torch.Tensor]:
    """The window that inference would place round a label's box -> (window, mask (z, y, x), image)."""
    box = case.objects[label]
    lower = np.array([s.start for s in box], float) - 0.5
    upper = np.array([s.stop for s in box], float) - 0.5
    window = place_window(lower, upper, case.image.shape, case.spacing, budget)
    grey = intensity_range(case.image, "auto", box)
    return window, case.labels[window.slices] == label, extract(case.image, window, grey)


def snap(shape: Sequence[float]) -> tuple[int, int, int]:
    """Each axis cut to the largest of EDGES that it reaches."""
    return tuple(max((e for e in EDGES if e <= n), default=EDGES[0]) for n in shape)


def _union(boxes: Sequence[tuple[slice, ...]]) -> tuple[slice, slice, slice]:
    return tuple(slice(min(s.start for s in a), max(s.stop for s in a)) for a in zip(*boxes, strict=True))


def _covered(box: tuple[slice, ...], window: Window) -> float:
    share = 1.0
    for s, low, high in zip(box, window.lower, window.upper, strict=True):
        share *= max(0, min(s.stop, high) - max(s.start, low)) / (s.stop - s.start)
    return share


def _one_component(
    mask: NDArray, box: tuple[slice, ...], rng: np.random.Generator
) -> tuple[NDArray, tuple[slice, ...]]:
    """One of the mask's larger components and its box, as a user marks one lesion of many."""
    regions, count = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(regions.ravel())[1:]
    large = np.flatnonzero(sizes >= 2 * MINIMUM_VOXELS)
    if count < 2 or not len(large):
        return mask, box
    index = int(rng.choice(large)) + 1
    inner = ndimage.find_objects(regions, index)[index - 1]
    moved = tuple(slice(b.start + s.start, b.start + s.stop) for b, s in zip(box, inner, strict=True))
    return regions[inner] == index, moved
