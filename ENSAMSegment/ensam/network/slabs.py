"""Normalisation, ReLU and convolution of large levels in slabs of a few planes: on a CPU, without gradients.

A whole level of a large window leaves the processor's caches at every operation, and each result takes fresh
memory from the operating system; both cost more than the sums themselves. In slabs the sums are the same, but
for the order in which a group's statistics are added up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALLEST_LEVEL = 1 << 22  # elements; smaller levels stay in the caches as they are
SLAB_ELEMENTS = 1 << 22


def worthwhile(x: Tensor) -> bool:
    """Whether a level like x (N, C, Z, Y, X) is faster in slabs."""
    return x.device.type == "cpu" and not torch.is_grad_enabled() and x[0].numel() > SMALLEST_LEVEL


def slabs_of(shape: torch.Size) -> Iterator[tuple[int, int]]:
    """First plane, and one past the last, of each slab of (1, C, Z, Y, X)."""
    depth = shape[2]
    planes = max(1, SLAB_ELEMENTS // (shape[1] * prod(shape[3:])))
    return ((first, min(first + planes, depth)) for first in range(0, depth, planes))


def empty(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """(N, C, Z, Y, X) in channels-last order.

    By numpy: on Linux it asks for large pages, and fetching memory page by page takes longer than filling it.
    """
    if device.type != "cpu":
        return torch.empty(shape, dtype=dtype, device=device, memory_format=torch.channels_last_3d)
    n, c, z, y, x = shape
    memory = torch.from_numpy(np.empty(prod(shape) * dtype.itemsize, np.uint8))
    return memory.view(dtype).view(n, z, y, x, c).permute(0, 4, 1, 2, 3)


def convolve(x: Tensor, conv: nn.Conv3d, padding: tuple[int, ...]) -> Tensor:
    """conv(x) with another padding, in the precision that is set for x's device."""
    if x.device.type != "cpu" or torch.is_grad_enabled() or not torch.backends.mkldnn.is_available():
        return F.conv3d(x, conv.weight, conv.bias, conv.stride, padding)
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    bias = None if conv.bias is None else conv.bias.to(dtype)
    # For few channels torch would choose a path that is several times slower in float32.
    return torch.mkldnn_convolution(
        x.to(dtype), conv.weight.to(dtype), bias, padding, conv.stride, conv.dilation, conv.groups
    )


class Moments:
    """Mean and variance that the normalisations of a pass take, in their order.

    Those of one pass over a whole level can stand for those of another one over a part of it.
    """

    def __init__(self, kept: Sequence[tuple[Tensor, Tensor]] = ()) -> None:
        self.taken: list[tuple[Tensor, Tensor]] = []
        self._kept = iter(kept)

    def of(self, x: Tensor, norm: nn.Module) -> tuple[Tensor, Tensor]:
        """Mean and variance of each channel's group, (C,) each: the next ones kept, or those of x itself."""
        self.taken.append(next(self._kept, None) or _moments_of(x, norm))
        return self.taken[-1]


def _moments_of(x: Tensor, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel's group, (C,) each, float32."""
    channels = x.shape[1]
    means, squares, counts = [], [], []
    for first, last in slabs_of(x.shape):
        part = x[:, :, first:last]
        voxels = part[0, 0].numel()
        _, mean, rstd = torch.native_group_norm(
            part, norm.weight, norm.bias, 1, channels, voxels, norm.groups, 0.0
        )
        mean, variance = mean[0].double(), rstd[0].double().pow(-2)
        means.append(mean * voxels)
        squares.append((variance + mean.square()) * voxels)
        counts.append(voxels)
    mean = torch.stack(means).sum(0) / sum(counts)
    variance = torch.stack(squares).sum(0) / sum(counts) - mean.square()
    each = channels // norm.groups
    return mean.float().repeat_interleave(each), variance.clamp_min(0).float().repeat_interleave(each)


def norm_relu_conv(
    x: Tensor,
    norm: nn.Module,
    conv: nn.Conv3d,
    plus: Tensor | None = None,
    out: Tensor | None = None,
    moments: Moments | None = None,
) -> Tensor:
    """conv(norm(x)) + plus of one level (1, C, Z, Y, X); conv has a stride of 1 and an odd kernel.

    norm: a NormReLU; out: written to where given, and may be `plus`; moments: see there, by default x's own.
    """
    x = x.contiguous(memory_format=torch.channels_last_3d)
    mean, variance = (Moments() if moments is None else moments).of(x, norm)
    reach = conv.padding[0]
    depth = x.shape[2]
    for first, last in slabs_of(x.shape):
        lower, upper = max(first - reach, 0), min(last + reach, depth)
        part = F.batch_norm(
            x[:, :, lower:upper], mean, variance, norm.weight, norm.bias, False, 0.0, norm.epsilon
        ).relu_()
        if first == 0 or last == depth:
            # Padded on both sides, and then without the planes that saw zeros where the level goes on: to
            # copy a slab behind a plane of zeros takes longer.
            part = convolve(part, conv, conv.padding)[:, :, first - lower : last - lower]
        else:
            part = convolve(part, conv, (0, *conv.padding[1:]))
        if out is None:
            out = empty((1, conv.out_channels, *x.shape[2:]), part.dtype, x.device)
        place = out[:, :, first:last]
        if plus is None:
            place.copy_(part)
        else:
            torch.add(part, plus[:, :, first:last], out=place)
    return out


def upsampled(x: Tensor, first: int, last: int) -> Tensor:
    """The planes first to last of x (1, C, Z, Y, X) with doubled axes, trilinear, float32."""
    lower, upper = max(first // 2 - 1, 0), min((last + 1) // 2 + 1, x.shape[2])
    # In half precision the interpolation is slower, and rounds more often.
    part = F.interpolate(x[:, :, lower:upper].float(), scale_factor=2, mode="trilinear", align_corners=False)
    return part[:, :, first - 2 * lower : last - 2 * lower]
