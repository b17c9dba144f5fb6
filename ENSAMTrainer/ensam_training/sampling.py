"""Training windows: number i of a run is a pure function of (seed, i).

    sampler = WindowSampler(cases, budget=(24**3, 48**3), seed=0)
    sampler.window(7)
    loader = DataLoader(sampler, batch_size=None, sampler=range(7, len(sampler)), num_workers=2)

The loader gives windows 7, 8, 9, ... in this order whatever the number of its workers.

As in the paper a window is a crop round an object. Over the budget the paper takes maxima; here, as in use,
voxels are thinned to the means over the volume that they cover (`ensam.resampling`): maxima brighten and
thicken what is bright, lose what is dark and thin, and make every label larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ensam.errors import InputError
from ensam.planning import ObjectPrompts
from ensam.preprocessing import (
    CT_WINDOWS,
    IntensityRange,
    Window,
    ct_range,
    cut_window,
    place_window,
)
from ensam.resampling import extract, resample
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.utils.data import Dataset

from ensam_training.augmentation import Augmentation, Turn, random_turn
from ensam_training.balance import Balance
from ensam_training.cases import MINIMUM_VOXELS, Case
from ensam_training.synthetic import make_case

# Edges of training windows. A processor's convolution kernels are compiled anew for every shape, which
# takes longer than a step, so that windows are thinned to a few shapes and their axes sorted by length.
# All are multiples of 8, to which the network would pad them. A budget has those up to the edge of its cube,
# and at least up to _SMALL.
EDGES = (16, 24, 32, 40, 48, 64, *range(80, 513, 16))
_SMALL = 64
_THINNEST = 8  # voxels of a window where the volume itself has less than EDGES[0]: one of the latent
_MOST_OBJECTS = 2  # of a window
_INSIDE = 0.6  # share of another object that must lie in the window for it to be asked for as well
_PAPER_MARGIN = 0.1  # share of the windows with the paper's margin of 1 to 64 voxels
_ALL_LABELS, _ONE_PART, _CUT, _THINNED = 0.05, 0.3, 0.1, 0.15  # how often each is done
_FULL_RANGE = IntensityRange(0.0, 1.0, "synthetic")
_ATTEMPTS = 1000
_ENDLESS = 2**62  # windows: more than any run asks for


@dataclass(frozen=True, eq=False)
class Sample:
    """A training window: image (1, 1, Z, Y, X) in 0..1 and targets (N, 1, Z, Y, X), the share of each voxel
    that belongs to each of N objects. Arrays, so that a worker process hands them over by value.

    spacing_mm: distance of the window's voxels along its axes (z, y, x), after thinning and turning.
    prompts: of each object a user's real box and clicks, in voxels of the window, or None.
    """

    image: NDArray[np.float32]
    targets: NDArray[np.float32]
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    prompts: tuple[ObjectPrompts | None, ...] = ()


class WindowSampler(Dataset):
    """Endlessly many training windows, real and synthetic, each known by its number.

    budget: voxels of the smallest and the largest window; each window's is drawn so that edges are even.
    synthetic_share: 0..1, how many windows are synthetic; without objects in `cases` all are.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        budget: tuple[int, int],
        seed: int,
        synthetic_share: float = 0.2,
        augmentation: Augmentation | None = None,
    ) -> None:
        super().__init__()
        self.budget, self.seed = budget, seed
        largest = max(_SMALL, round(budget[1] ** (1 / 3)))
        self.edges = tuple(edge for edge in EDGES if edge <= largest)
        self.draw_object = Balance().draw_from(cases)
        self.synthetic_share = synthetic_share if self.draw_object else 1.0
        self.augmentation = augmentation or Augmentation()

    def window(self, index: int) -> Sample:
        """Window number `index`, the same whatever was asked for before and in whatever process.

        Raises InputError if the cases hold nothing that could be asked for.
        """
        rng = np.random.default_rng((self.seed, index))
        for _ in range(_ATTEMPTS):
            sample = self.draw(rng)
            if sample is not None:
                return sample
        raise InputError("No object of the cases is large enough for a training window: add other cases.")

    __getitem__ = window

    def __len__(self) -> int:
        return _ENDLESS

    def draw(self, rng: np.random.Generator) -> Sample | None:
        """One window, or None if what was drawn is too small to be asked for."""
        budget = int(rng.uniform(self.budget[0] ** (1 / 3), self.budget[1] ** (1 / 3)) ** 3)
        if rng.random() < self.synthetic_share:
            return self._synthetic(budget, rng)
        case, label = self.draw_object(rng)
        return self._cut(case, label, budget, rng)

    def _synthetic(self, budget: int, rng: np.random.Generator) -> Sample | None:
        """A window of a scene of about the budget's size: a part of it, placed as in a real volume."""
        aspect = rng.uniform(0.7, 1.4, 3)
        shape = np.cbrt(budget / aspect.prod()) * aspect * rng.uniform(1, 1.15)
        image, labels = make_case(tuple(int(max(EDGES[0], n)) for n in shape), rng)
        scene = Case.from_arrays("", image, labels, (rng.uniform(0.5, 3),) * 3)
        if not scene.objects:
            return None
        return self._cut(scene, int(rng.choice(list(scene.objects))), budget, rng, synthetic=True)

    def _cut(
        self, case: Case, label: int, budget: int, rng: np.random.Generator, synthetic: bool = False
    ) -> Sample | None:
        """A window round an object, with it and others within as targets."""
        names = list(case.objects)
        chosen = set(names) if 1 < len(names) <= 8 and rng.random() < _ALL_LABELS else {label}
        box = _union([case.objects[name] for name in chosen])
        mask = np.isin(case.labels[box], list(chosen))
        whole = len(chosen) > 1 or rng.random() >= _ONE_PART
        if not whole:
            mask, box = _one_component(mask, box, rng)
        window = _window_round(box, case, budget, rng)
        least = [EDGES[0] if whole >= EDGES[0] else _THINNEST for whole in case.image.shape]
        if np.any(np.less(window.shape, least)):  # no depth to learn from
            return None
        shape = thin(snap(window.shape, self.edges), self.edges, rng)
        # A thin volume's axis stays as it is, as in use.
        shape = tuple(min(pair) for pair in zip(shape, window.shape, strict=True))
        window = Window(window.lower, window.upper, shape)
        if synthetic:  # the scanner is part of the scene
            image = extract(case.image, window, _FULL_RANGE)[0, 0].numpy()
        else:
            image = _grey(case, window, box, rng)
        if image is None:
            return None
        targets = [_paste(mask, box, window)]
        prompts = [case.prompts.get(label) if whole and len(chosen) == 1 else None]
        for other in rng.permutation([name for name in names if name not in chosen]):
            if len(targets) == _MOST_OBJECTS:
                break
            if _covered(case.objects[int(other)], window) >= _INSIDE:
                targets.append((case.labels[window.slices] == other).astype(np.float32))
                prompts.append(case.prompts.get(int(other)))
        shares = resample(torch.from_numpy(np.array(targets))[:, None], window.shape)[:, 0].clamp_(0, 1)
        if not synthetic:
            image = self.augmentation.change_intensity(image, rng)
        return self._finish(image, shares.numpy(), case, window, prompts, rng)

    def _finish(
        self,
        image: NDArray,
        targets: NDArray,
        case: Case,
        window: Window,
        prompts: Sequence[ObjectPrompts | None],
        rng: np.random.Generator,
    ) -> Sample | None:
        large = [index for index, t in enumerate(targets) if (t >= 0.5).sum() >= MINIMUM_VOXELS]
        if not large:
            return None
        turn, spacing = random_turn(image.shape, rng), window_spacing(case, window)
        return Sample(
            np.ascontiguousarray(turn(image), np.float32)[None, None],
            np.ascontiguousarray(turn(targets[large]), np.float32)[:, None],
            tuple(float(spacing[axis]) for axis in turn.order),
            tuple(_in_window(prompts[index], window, turn) for index in large),
        )


def _in_window(prompts: ObjectPrompts | None, window: Window, turn: Turn) -> ObjectPrompts | None:
    """Prompts in voxels of the volume as prompts in voxels of the turned window."""
    if prompts is None:
        return None
    shape = window.shape
    clicks = tuple((turn.move(window.from_volume(v), shape), positive) for v, positive in prompts.clicks)
    if prompts.box is None:
        return ObjectPrompts(None, clicks)
    faces = turn.move(window.from_volume(prompts.box), shape)
    return ObjectPrompts(np.sort(faces, axis=0), clicks)  # a flip swaps lower and upper


def _grey(
    case: Case, window: Window, box: tuple[slice, ...], rng: np.random.Generator
) -> NDArray[np.float32] | None:
    """The window's image (z, y, x) in a range of grey values that shows something, or None."""
    ranges = [case.intensity(box)]
    if case.is_ct and rng.random() < 0.3:
        ranges.insert(0, ct_range(str(rng.choice(list(CT_WINDOWS)))))
    for grey in ranges:
        image = extract(case.image, window, grey)[0, 0].numpy()
        if image.std() > 0.02:
            return image
    return None


def window_spacing(case: Case, window: Window) -> tuple[float, float, float]:
    """Distance in mm of a window's voxels (z, y, x), after thinning."""
    return tuple(float(v) for v in np.multiply(case.spacing, window.size) / window.shape)


def validation_window(case: Case, label: int, budget: int) -> tuple[Window, NDArray, Tensor]:
    """The window that inference would place round a label's box -> (window, mask (z, y, x), image)."""
    box = case.objects[label]
    lower, upper = _faces(box)
    window = place_window(lower, upper, case.image.shape, case.spacing, budget)
    image = extract(case.image, window, case.intensity(box))
    return window, case.labels[window.slices] == label, image


def snap(shape: Sequence[float], edges: Sequence[int]) -> tuple[int, int, int]:
    """Each axis cut to the largest of `edges` that it reaches, the least of them where it reaches none."""
    return tuple(max((e for e in edges if e <= n), default=edges[0]) for n in shape)


def thin(shape: tuple[int, int, int], edges: Sequence[int], rng: np.random.Generator) -> tuple[int, int, int]:
    """Seldom one axis of a half to a quarter of the voxels, as in volumes of thick slices."""
    if rng.random() >= _THINNED:
        return shape
    factors = np.ones(3)
    factors[rng.integers(3)] = rng.uniform(2, 4)
    return snap(shape / factors, edges)


def _window_round(box: tuple[slice, ...], case: Case, budget: int, rng: np.random.Generator) -> Window:
    """A window with other margins on all sides: a part of the paper's 1 to 64 voxels, most of about what
    inference takes, since 64 voxels round a small object leave little of it in a small budget."""
    lower, upper = _faces(box)
    if rng.random() < _PAPER_MARGIN:
        margin = rng.integers(1, 65, (2, 3)).astype(float)
    else:
        margin = (rng.uniform(0.05, 0.5) * (upper - lower) + rng.uniform(1, 16)) * rng.uniform(
            0.6, 1.4, (2, 3)
        )
    if rng.random() < _CUT:  # a volume that ends within the object
        side, axis = rng.integers(2), rng.integers(3)
        margin[side, axis] = -rng.uniform(0.1, 0.45) * (upper - lower)[axis]
    return cut_window(lower - margin[0], upper + margin[1], case.image.shape, case.spacing, budget)


def _faces(box: tuple[slice, ...]) -> tuple[NDArray, NDArray]:
    return np.array([s.start for s in box]) - 0.5, np.array([s.stop for s in box]) - 0.5


def _union(boxes: Sequence[tuple[slice, ...]]) -> tuple[slice, slice, slice]:
    return tuple(slice(min(s.start for s in a), max(s.stop for s in a)) for a in zip(*boxes, strict=True))


def _paste(mask: NDArray, box: tuple[slice, ...], window: Window) -> NDArray[np.float32]:
    """The mask, which lies at `box` of the volume, on the window's voxels."""
    full = np.zeros(window.size, np.float32)
    inside, taken = [], []
    for s, low, high in zip(box, window.lower, window.upper, strict=True):
        start, stop = max(s.start, low), min(s.stop, high)
        inside.append(slice(start - low, stop - low))
        taken.append(slice(start - s.start, stop - s.start))
    full[tuple(inside)] = mask[tuple(taken)]
    return full


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
