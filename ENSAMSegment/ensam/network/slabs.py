"""Normalisation, ReLU and convolution of large levels in slabs of a few planes: on a CPU, without gradients.

A whole level of a large window leaves the processor's caches at every operation, and each result takes fresh
memory from the operating system; both cost more than the sums themselves. In slabs the sums are the same, but
for the order in which a group's statistics are added up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from math import prod

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALLEST_LEVEL = 1 << 22  # elements; smaller levels stay in the caches as they are
SLAB_ELEMENTS = 1 << 22
_NARROW = 32  # channels: of more, doubling by a convolution between all of them takes longer


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
    if not _by_onednn(x):
        return F.conv3d(x, conv.weight, conv.bias, conv.stride, padding)
    dtype = precision(x)
    bias = None if conv.bias is None else conv.bias.to(dtype)
    # For few channels or voxels torch would choose a path that is many times slower in float32.
    return torch.mkldnn_convolution(
        _channels_last(x.to(dtype)),
        conv.weight.to(dtype),
        bias,
        padding,
        conv.stride,
        conv.dilation,
        conv.groups,
    )


def convolve_onto(out: Tensor, x: Tensor, conv: nn.Conv3d, padding: tuple[int, ...]) -> None:
    """Adds conv(x) to `out`, both channels-last; conv has no bias and a stride of 1."""
    # torch's own compiler uses this operator, which is no promise that every version has it.
    adds = _by_onednn(x) and hasattr(torch.ops.mkldnn, "_convolution_pointwise_")
    if not adds or out.dtype != precision(x):
        out += convolve(x, conv, padding)
        return
    # The convolution adds as it writes: a sum of its own takes as long as the convolution.
    weight, stay = conv.weight.to(out.dtype), ("add", 1.0, None, [], "")
    torch.ops.mkldnn._convolution_pointwise_.binary(
        out,
        _channels_last(x.to(out.dtype)),
        weight,
        None,
        padding,
        conv.stride,
        conv.dilation,
        conv.groups,
        *stay,
    )


def _by_onednn(x: Tensor) -> bool:
    ours = x.device.type == "cpu" and not torch.is_grad_enabled() and torch.backends.mkldnn.is_available()
    return ours and precision(x) in (torch.float32, torch.bfloat16)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last_3d)


def precision(x: Tensor) -> torch.dtype:
    """In which a convolution of x computes."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype


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
    each = channels // norm.groups
    if x.device.type != "cpu":
        grouped = x[0].float().unflatten(0, (norm.groups, each))
        variance, mean = torch.var_mean(grouped, dim=(1, 2, 3, 4), correction=0)
        return mean.repeat_interleave(each), variance.repeat_interleave(each)
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
    x = _channels_last(x)
    mean, variance = (Moments() if moments is None else moments).of(x, norm)
    reach, padding = conv.padding[0], (0, *conv.padding[1:])
    for first, last in slabs_of(x.shape):
        part = _norm_relu(x, norm, mean, variance, first - reach, last + reach)
        if out is None:
            out = empty((1, conv.out_channels, *x.shape[2:]), precision(x), x.device)
        place = out[:, :, first:last]
        if plus is None:
            place.copy_(convolve(part, conv, padding))
        elif conv.bias is not None:
            torch.add(convolve(part, conv, padding), plus[:, :, first:last], out=place)
        else:
            if plus is not out:
                place.copy_(plus[:, :, first:last])
            convolve_onto(place, part, conv, padding)
    return out


def _norm_relu(x: Tensor, norm: nn.Module, mean: Tensor, variance: Tensor, first: int, last: int) -> Tensor:
    """relu(norm(x)) of x's planes first to last, zeros where x has none."""
    lower, upper = max(first, 0), min(last, x.shape[2])
    part = x[:, :, lower:upper]
    if _by_onednn(x) and x.dtype == precision(x) and hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        # Each channel convolved alone with one weight: once through memory, where torch goes three times.
        scale = (norm.weight * (variance + norm.epsilon).rsqrt()).to(x.dtype)
        # In float32, and for the scale as it was rounded: else every voxel of a channel would be off alike.
        shift = norm.bias - mean * scale
        channels, alone = x.shape[1], ((0, 0, 0), (1, 1, 1), (1, 1, 1))
        part = torch.ops.mkldnn._convolution_pointwise(
            part,
            scale.view(channels, 1, 1, 1, 1),
            shift,
            *alone,
            channels,
            "relu",
            [],
            "",
        )
    else:
        part = F.batch_norm(part, mean, variance, norm.weight, norm.bias, False, 0.0, norm.epsilon).relu_()
    if lower == first and upper == last:
        return part
    return F.pad(part, (0, 0, 0, 0, lower - first, last - upper))


def doubled(x: Tensor, first: int, last: int) -> Tensor:
    """The planes first to last of x (1, C, Z, Y, X) with doubled axes, trilinear, in x's precision."""
    lower, upper = max(first // 2 - 1, 0), min((last + 1) // 2 + 1, x.shape[2])
    part = _channels_last(x[:, :, lower:upper])
    if x.device.type == "cpu" and x.dtype == torch.bfloat16 and x.shape[1] <= _NARROW:
        # torch interpolates slowly in half precision, and matrix units multiply fast; beyond an edge,
        # interpolation takes the outer voxels.
        part = F.pad(part, (1, 1, 1, 1, 1, 1), mode="replicate")
        part = F.conv_transpose3d(part, _trilinear(x.shape[1]), stride=2, padding=3)
    else:
        part = F.interpolate(part.float(), scale_factor=2, mode="trilinear", align_corners=False).to(x.dtype)
    return part[:, :, first - 2 * lower : last - 2 * lower]


@cache
@torch.inference_mode(False)
def _trilinear(channels: int) -> Tensor:
    """The weights (channels, channels, 4, 4, 4), bfloat16, by which a transposed convolution doubles the
    axes."""
    line = torch.tensor([0.25, 0.75, 0.75, 0.25])
    weights = torch.zeros(channels, channels, 4, 4, 4)
    weights[range(channels), range(channels)] = torch.einsum("z,y,x->zyx", line, line, line)
    return weights.bfloat16()
