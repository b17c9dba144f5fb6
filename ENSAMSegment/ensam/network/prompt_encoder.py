"""Prompts as the network takes them, and their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from ensam.network.attention import unit
from ensam.network.config import NetworkConfig


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
