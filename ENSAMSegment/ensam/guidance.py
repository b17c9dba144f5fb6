"""How much of what clicks change in the answer to a box alone counts, and where (ours).

The network answers a click with too small a change round it: near clicks a part of the change is added
again, towards what each of them asks for, as in classifier-free guidance (Ho & Salimans 2022). And it goes
over all of the object where a click asks for nothing: then the change counts only near.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from numpy.typing import NDArray
from torch import Tensor

GUIDANCE = 0.25  # of the change, added at a click
REACH = 0.3  # of the box's length along each axis: the standard deviation of what is near
LEAST_REACH = 1.5  # voxels of the window


def guided(
    logits: Tensor, box_logits: Tensor, faces: NDArray, clicks: Sequence[tuple[NDArray, bool]]
) -> Tensor:
    """The logits (z, y, x) of a box with clicks, given those of the box alone.

    faces (2, 3) of the box, and clicks ((3,), is it foreground), in voxels of the window, (z, y, x).
    """
    sigmas = [max(REACH * float(length), LEAST_REACH) for length in faces[1] - faces[0]]
    near = {True: torch.zeros_like(logits), False: torch.zeros_like(logits)}
    for click, is_foreground in clicks:
        z, y, x = (
            torch.exp(-0.5 * ((torch.arange(n, device=logits.device) - float(at)) / sigma).square())
            for n, at, sigma in zip(logits.shape, click, sigmas, strict=True)
        )
        torch.maximum(near[is_foreground], z[:, None, None] * (y[:, None] * x), out=near[is_foreground])
    change = logits - box_logits
    more = near[True] * change.clamp_min(0) + near[False] * change.clamp_max(0)
    share = torch.where(_obeys(box_logits, clicks), torch.maximum(near[True], near[False]), 1.0)
    return box_logits + share * change + GUIDANCE * more


def _obeys(logits: Tensor, clicks: Sequence[tuple[NDArray, bool]]) -> Tensor:
    """Whether every clicked voxel is on the asked side, as a tensor: a graphics card isn't waited for."""
    sides = []
    for click, is_foreground in clicks:
        voxel = tuple(min(max(round(float(at)), 0), n - 1) for at, n in zip(click, logits.shape, strict=True))
        sides.append((logits[voxel] > 0) == is_foreground)
    return torch.stack(sides).all()
