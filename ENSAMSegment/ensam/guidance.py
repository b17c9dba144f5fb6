"""Clicks count for more than the network says (ours).

The network answers a click with too small a change round it. What clicks change in the answer to the box
alone is known, and near them a part of it is added again, as in classifier-free guidance (Ho & Salimans
2022).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from numpy.typing import NDArray
from torch import Tensor

GUIDANCE = 0.25  # of the change, added at a click
REACH = 0.3  # of the box's length along each axis: the standard deviation of what is near
LEAST_REACH = 1.5  # voxels of the window


def guided(logits: Tensor, box_logits: Tensor, faces: NDArray, clicks: Sequence[NDArray]) -> Tensor:
    """The logits (z, y, x) of a box with clicks, given those of the box alone.

    faces (2, 3) of the box, and clicks (3,), in voxels of the window, (z, y, x).
    """
    sigmas = [max(REACH * float(length), LEAST_REACH) for length in faces[1] - faces[0]]
    near = torch.zeros_like(logits)
    for click in clicks:
        z, y, x = (
            torch.exp(-0.5 * ((torch.arange(n, device=logits.device) - float(at)) / sigma).square())
            for n, at, sigma in zip(logits.shape, click, sigmas, strict=True)
        )
        torch.maximum(near, z[:, None, None] * (y[:, None] * x), out=near)
    return logits + GUIDANCE * near * (logits - box_logits)
