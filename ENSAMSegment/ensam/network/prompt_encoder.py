"""Prompts as the network takes them: tokens with positions, and (ours) small maps for the decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F

from ensam.network.attention import unit
from ensam.network.config import NetworkConfig

# The channels of the dense maps. The ellipsoid that fills the box is the best guess that knows no image.
MAPS = ("box", "ellipsoid", "foreground", "background", "previous")
BALL_SIGMA = 1.5  # of a click's Gaussian ball, in voxels of the level it is drawn at


@dataclass(frozen=True)
class PromptTensors:
    """The prompts of N objects in one window, in voxels of the window with voxel centres at integers.

    boxes (N, 2, 3): lower and upper faces, (z, y, x); has_box (N,) bool.
    points (N, P, 3), padded; foreground (N, P) and background (N, P) bool, both False for padding.
    previous (N, 1, Z, Y, X): logits of the last result on the window's grid; has_previous (N,) bool.
    """

    boxes: Tensor
    has_box: Tensor
    points: Tensor
    foreground: Tensor
    background: Tensor
    previous: Tensor | None = None
    has_previous: Tensor | None = None

    @classmethod
    def of_objects(
        cls,
        boxes: Sequence[ArrayLike | None],
        clicks: Sequence[Sequence[tuple[ArrayLike, bool]]],
        previous: Tensor | None = None,
        has_previous: Tensor | None = None,
    ) -> PromptTensors:
        """From each object's box, faces (2, 3) or None, and its clicks ((z, y, x), is it foreground)."""
        count, most = len(boxes), max(1, *(len(own) for own in clicks), 1)
        faces, points = torch.zeros(count, 2, 3), torch.zeros(count, most, 3)
        foreground = torch.zeros(count, most, dtype=torch.bool)
        background = torch.zeros(count, most, dtype=torch.bool)
        for i, (box, own) in enumerate(zip(boxes, clicks, strict=True)):
            if box is not None:
                faces[i] = torch.as_tensor(np.asarray(box, np.float32))
            for j, (voxel, positive) in enumerate(own):
                points[i, j] = torch.as_tensor(np.asarray(voxel, np.float32))
                foreground[i, j], background[i, j] = positive, not positive
        has_box = torch.tensor([box is not None for box in boxes])
        return cls(faces, has_box, points, foreground, background, previous, has_previous)

    def to(self, device: torch.device) -> PromptTensors:
        return PromptTensors(*(None if v is None else v.to(device) for v in self.__dict__.values()))

    def of(self, index: int) -> PromptTensors:
        """The prompts of one object alone."""
        own = slice(index, index + 1)
        return PromptTensors(*(None if v is None else v[own] for v in self.__dict__.values()))

    def previous_map(self) -> Tensor | None:
        """The previous logits squeezed into -1..1, zero where an object has none: (N, 1, Z, Y, X)."""
        if self.previous is None:
            return None
        bounded = torch.tanh(self.previous / 2)
        return bounded if self.has_previous is None else bounded * self.has_previous.view(-1, 1, 1, 1, 1)


class PromptEncoder(nn.Module):
    """Prompt tokens (unit vectors: a box is a pair, a click is one) and the previous result's embedding."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width = config.widths[-1]
        self.kinds = nn.Embedding(4, width)  # box low corner, box high corner, foreground, background
        steps = len(config.widths) - 1
        narrow = [1, *(16 * 2**i for i in range(steps - 1)), width]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(narrow):
            layers += [nn.Conv3d(inputs, outputs, 2, stride=2), nn.ReLU()]
        self.previous = nn.Sequential(*layers[:-1])

    def tokens(self, prompts: PromptTensors) -> tuple[Tensor, Tensor, Tensor]:
        """-> tokens (N, 2 + P, C) of unit length, their voxel positions (N, 2 + P, 3), mask (N, 2 + P)."""
        kinds = unit(self.kinds.weight)
        n = prompts.foreground.shape[0]
        corners = kinds[:2].expand(n, 2, -1)
        clicks = torch.where(prompts.background[..., None], kinds[3], kinds[2])
        mask = torch.cat(
            (prompts.has_box[:, None].expand(n, 2), prompts.foreground | prompts.background), dim=1
        )
        return torch.cat((corners, clicks), dim=1), torch.cat((prompts.boxes, prompts.points), dim=1), mask

    def embed_previous(self, prompts: PromptTensors) -> Tensor | None:
        """-> (N, C, z, y, x) on the latent grid, zero for objects without a previous result."""
        previous = prompts.previous_map()
        if previous is None:
            return None
        embedded = self.previous(previous)
        if prompts.has_previous is not None:
            embedded = embedded * prompts.has_previous.view(-1, 1, 1, 1, 1)
        return embedded


class PromptMaps:
    """The dense maps (N, len(MAPS), Z, Y, X) of each level of the decoder, drawn when they are asked for.

    shape: the window's (Z, Y, X). Every map is a product or a sum over the axes, so drawing costs little.
    """

    def __init__(self, prompts: PromptTensors, shape: tuple[int, int, int]) -> None:
        self.prompts = prompts
        self.shape = shape
        self.previous = [prompts.previous_map()]

    def of(self, index: int) -> PromptMaps:
        """The maps of one object alone."""
        return PromptMaps(self.prompts.of(index), self.shape)

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
        return PromptMaps(prompts, tuple(b - a for a, b in zip(lower, upper, strict=True)))

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
        return torch.stack([box, ellipsoid, *balls, last_result], dim=1)

    def _previous(self, level: int) -> Tensor | None:
        if self.previous[0] is None:
            return None
        while len(self.previous) <= level:
            self.previous.append(F.avg_pool3d(self.previous[-1], 2))
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
