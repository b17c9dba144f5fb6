"""Prompts drawn as small maps into the decoder's levels (ours)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ensam.network.prompt_encoder import PromptTensors

BALL_SIGMA = 1.5  # of a click's Gaussian ball, in voxels of the level it is drawn at
GREY_LEVELS = 1024  # that the window's grey values, 0..1, are rounded to
LIKENESS_SIGMA = 0.08  # of the window's grey values
BINS = 64  # of the histograms of grey values in the box and outside
RARE = 1e-3  # share of a region's voxels under which a grey value tells nothing
SAMPLES = 64  # of those histograms along each axis, at most


def grey_levels(image: Tensor, levels: int) -> tuple[Tensor, ...]:
    """image (1, 1, Z, Y, X) in 0..1 -> its grey levels, whole numbers (Z, Y, X), averaged for each coarser of
    so many levels, finest first."""
    images = [image.float()]
    while len(images) < levels:
        images.append(_halved(images[-1]))
    # Whole numbers of 32 bits take no more memory than the image, and look up without a conversion.
    return tuple((i[0, 0] * (GREY_LEVELS - 1)).round().clamp(0, GREY_LEVELS - 1).int() for i in images)


def _halved(x: Tensor) -> Tensor:
    """The means of 2x2x2 voxels of (N, C, Z, Y, X), whose sizes are even."""
    # The decoder upsamples by the same kernel: average pooling would be one more that a card has to have.
    return F.interpolate(x, scale_factor=0.5, mode="trilinear", align_corners=False)


class PromptMaps:
    """The dense maps (N, maps, Z, Y, X) of each level of the decoder, drawn when they are asked for.

    shape: the window's (Z, Y, X). grey: what `grey_levels` gives, where LIKENESS_MAPS follow PROMPT_MAPS;
    curves: what `likeness_curves` gives. Every map is a product or a sum over the axes, or looked up by a
    voxel's grey level, so that drawing costs little however many clicks there are.
    """

    def __init__(
        self,
        prompts: PromptTensors,
        shape: tuple[int, int, int],
        grey: Sequence[Tensor] = (),
        curves: Tensor | None = None,
    ) -> None:
        self.prompts = prompts
        self.shape = shape
        self.grey = grey
        self.curves = curves
        self.previous = [prompts.previous_map()]

    def of(self, index: int) -> PromptMaps:
        """The maps of one object alone."""
        curves = None if self.curves is None else self.curves[index : index + 1]
        return PromptMaps(self.prompts.of(index), self.shape, self.grey, curves)

    def cut(self, lower: Sequence[int], upper: Sequence[int]) -> PromptMaps:
        """The finest maps of a part of the window, without a last result."""
        shift = torch.tensor(lower, dtype=torch.float32, device=self.prompts.boxes.device)
        prompts = replace(
            self.prompts,
            boxes=self.prompts.boxes - shift,
            points=self.prompts.points - shift,
            previous=None,
            has_previous=None,
        )
        here = tuple(slice(a, b) for a, b in zip(lower, upper, strict=True))
        shape = tuple(b - a for a, b in zip(lower, upper, strict=True))
        return PromptMaps(prompts, shape, [level[here] for level in self.grey[:1]], self.curves)

    def draw(self, level: int, first: int = 0, last: int | None = None) -> Tensor:
        """The maps of a level, 0 the finest, from plane `first` up to `last`, float32."""
        step = 2**level
        size = tuple(s // step for s in self.shape)
        spans = ((first, size[0] if last is None else last), (0, size[1]), (0, size[2]))
        centres = [
            (torch.arange(a, b, device=self.prompts.boxes.device) + 0.5) * step - 0.5 for a, b in spans
        ]
        box, ellipsoid = _draw_boxes(self.prompts, centres, step)
        balls = (_draw_balls(self.prompts, kind, centres, step) for kind in ("foreground", "background"))
        previous = self._previous(level)
        last_result = (
            torch.zeros_like(box) if previous is None else previous[:, 0, slice(*spans[0])].to(box.dtype)
        )
        return torch.stack([box, ellipsoid, *balls, last_result, *self._likeness(level, spans[0])], dim=1)

    def _likeness(self, level: int, planes: tuple[int, int]) -> list[Tensor]:
        if self.curves is None:
            return []
        grey = self.grey[level][slice(*planes)]
        voxels = grey.flatten()
        return [
            torch.stack([curve.index_select(0, voxels).view(grey.shape) for curve in of_objects])
            for of_objects in self.curves.unbind(1)
        ]

    def _previous(self, level: int) -> Tensor | None:
        if self.previous[0] is None:
            return None
        while len(self.previous) <= level:
            self.previous.append(_halved(self.previous[-1]))
        return self.previous[level]


def _draw_boxes(prompts: PromptTensors, centres: Sequence[Tensor], step: int) -> tuple[Tensor, Tensor]:
    """Occupancy in 0..1 and 1 - r^2 of the ellipsoid filling the box, cut at -1: (N, Z, Y, X) each.

    centres: of a level's voxels along each axis, in voxels of the window.
    """
    occupancies, squares = [], []
    for axis, x in enumerate(centres):
        low, high = prompts.boxes[:, 0, axis, None].float(), prompts.boxes[:, 1, axis, None].float()
        overlap = torch.minimum(high, x + step / 2) - torch.maximum(low, x - step / 2)
        occupancies.append((overlap / step).clamp(0, 1))
        squares.append(((x - (low + high) / 2) / ((high - low) / 2).clamp_min(0.5)).square())
    present = prompts.has_box.view(-1, 1, 1, 1).float()
    box = torch.einsum("nz,ny,nx->nzyx", *occupancies) * present
    z, y, x = squares
    radius = z[:, :, None, None] + y[:, None, :, None] + x[:, None, None, :]
    return box, (1 - radius).clamp_min(-1) * present


def _draw_balls(prompts: PromptTensors, kind: str, centres: Sequence[Tensor], step: int) -> Tensor:
    """Gaussian balls round the clicks of one kind, at most 1: (N, Z, Y, X)."""
    sigma = BALL_SIGMA * step
    axes = []
    for axis, x in enumerate(centres):
        distance = x - prompts.points[:, :, axis, None].float()
        axes.append(torch.exp(-0.5 * (distance / sigma).square()))
    weight = getattr(prompts, kind).float()
    balls = torch.einsum("npz,npy,npx->nzyx", axes[0] * weight[..., None], axes[1], axes[2])
    return balls.clamp_max(1)


def likeness_curves(prompts: PromptTensors, grey: Tensor) -> Tensor:
    """What the maps of likeness are at each grey level: (N, len(LIKENESS_MAPS), GREY_LEVELS).

    grey: the grey levels of the window without its padding, (Z, Y, X).
    """
    return torch.stack((*_like_clicks(prompts, grey), _like_box(prompts, grey)), dim=1)


def _like_clicks(prompts: PromptTensors, grey: Tensor) -> tuple[Tensor, Tensor]:
    """How like each grey level is to that of the foreground clicks, and to that of the background clicks.

    (N, GREY_LEVELS) each, 1 at a click's value, 0 without clicks. A click's value is the mean of the 27
    voxels round it, since a voxel alone is noise.
    """
    centre = prompts.points.round().long()
    values = 0
    for offset in itertools.product((-1, 0, 1), repeat=3):
        at = (
            (centre[..., axis] + step).clamp(0, size - 1)
            for axis, (step, size) in enumerate(zip(offset, grey.shape, strict=True))
        )
        values = values + grey[tuple(at)]
    levels = torch.arange(GREY_LEVELS, device=grey.device)
    distance = (levels - values[..., None] / 27).abs() / (LIKENESS_SIGMA * (GREY_LEVELS - 1))
    likeness = torch.exp(-0.5 * distance.square())  # (N, P, GREY_LEVELS)
    foreground, background = (
        (likeness * kind[..., None]).amax(dim=1) for kind in (prompts.foreground, prompts.background)
    )
    return foreground, background


def _like_box(prompts: PromptTensors, grey: Tensor) -> Tensor:
    """(a - b) / (a + b) of each grey level's shares in the box's ellipsoid and outside the box.

    (N, GREY_LEVELS): from 1, only inside, to -1, only outside; 0 without a box, or where no sampled voxel is
    inside or none outside.
    """
    steps = [-(-size // SAMPLES) for size in grey.shape]
    sampled = grey[tuple(slice(None, None, step) for step in steps)]
    centres = [
        torch.arange(0, size, step, device=grey.device).float()
        for size, step in zip(grey.shape, steps, strict=True)
    ]
    box, ellipsoid = _draw_boxes(prompts, centres, 1)
    # Each object has a histogram of the voxels inside, one of those outside, and one of the others.
    histogram = 1 + (box < 0.5).int() - (ellipsoid > 0).int()
    histogram += 3 * torch.arange(len(box), dtype=torch.int32, device=grey.device).view(-1, 1, 1, 1)
    places = (histogram * BINS + sampled // (GREY_LEVELS // BINS)).flatten()
    counts = torch.zeros(3 * len(box) * BINS, device=grey.device)
    counts.index_add_(0, places, torch.ones_like(places, dtype=counts.dtype))
    counts = counts.view(-1, 3, BINS)[:, ::2]
    # Noise and few voxels make a histogram ragged.
    for _ in range(2):
        counts = F.avg_pool1d(F.pad(counts, (1, 1), mode="replicate"), 3, stride=1)
    totals = counts.sum(-1, keepdim=True)
    inside, outside = (counts / totals.clamp_min(1)).unbind(1)
    told = prompts.has_box & (totals > 0).all(dim=1)[:, 0]
    balance = (inside - outside) / (inside + outside + RARE) * told[:, None]
    return F.interpolate(balance[:, None], size=GREY_LEVELS, mode="linear", align_corners=False)[:, 0]
