"""The building blocks that the image encoder and the mask decoder share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ensam.network import slabs

EPSILON = 1e-5
_FEW = 20480  # numbers of a window along all axes but the last, by which torch chooses


class _GroupNormFunction(torch.autograd.Function):
    """GroupNorm(x), and its ReLU if asked for, whose backward passes over the voxels as seldom as it can.

    torch's own backward of group normalisation is ten times slower on channels-last half-precision tensors
    of a CPU, which made it the largest share of a training step. For the CPU alone: a graphics card's kernel
    takes no half-precision x beside weights in float32.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, relu: bool) -> Tensor:
        n, c = x.shape[:2]
        voxels = x[0, 0].numel()
        normalised, mean, rstd = torch.native_group_norm(x, weight, bias, n, c, voxels, groups, EPSILON)
        y = normalised.relu_() if relu else normalised
        ctx.relu = relu
        ctx.save_for_backward(x, y if relu else None, weight, mean, rstd)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, y, weight, mean, rstd = ctx.saved_tensors
        n, c = x.shape[:2]
        groups = mean.shape[1]
        grouped, per_channel = (n, groups, c // groups), (n, c, 1, 1, 1)
        mean, rstd = (t.float().view(n, groups, 1) for t in (mean, rstd))
        gain = weight.float().view(1, groups, -1)

        passed = torch.ops.aten.threshold_backward(grad, y, 0) if ctx.relu else grad.clone()
        total = passed.sum((2, 3, 4)).float().view(grouped)
        against = ((passed * x).sum((2, 3, 4)).float().view(grouped) - total * mean) * rstd
        count = x[0, 0].numel() * (c // groups)
        slope = -(gain * against).sum(2, keepdim=True) / count * rstd.square()
        offset = -(gain * total).sum(2, keepdim=True) / count * rstd - slope * mean

        def spread(t: Tensor) -> Tensor:
            return t.expand(grouped).reshape(per_channel).to(x.dtype)

        grad_x = passed.mul_(spread(gain * rstd)).add_(x * spread(slope))
        # A broadcast copy is vectorised in half precision and a broadcast sum is not.
        grad_x.add_(torch.empty_like(x).copy_(spread(offset)))
        return grad_x, against.sum(0).flatten(), total.sum(0).flatten(), None, None


class GroupNorm(nn.Module):
    """Group normalisation of (N, C, Z, Y, X)."""

    relu = False

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.groups, self.epsilon = groups, EPSILON
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and x.device.type == "cpu":
            return _GroupNormFunction.apply(x, self.weight, self.bias, self.groups, self.relu)
        normalised = F.group_norm(x, self.groups, self.weight, self.bias, EPSILON)
        return normalised.relu_() if self.relu else normalised


class NormReLU(GroupNorm):
    """Group normalisation and ReLU."""

    relu = True


class Convolution(nn.Conv3d):
    """A convolution that on a CPU is oneDNN's, in training but for kernels of one voxel.

    Of small windows in float32 torch takes another path, which is up to ten times slower: windows of 48^3
    voxels are such, on every processor without instructions for bfloat16.
    """

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and self._would_be_slow(x):
            # With gradients torch alone chooses, and for two windows it chooses oneDNN: the second is empty.
            return super().forward(torch.cat([x, torch.zeros_like(x)]))[:1]
        return slabs.convolve(x, self, self.padding)

    def _would_be_slow(self, x: Tensor) -> bool:
        is_single = x.device.type == "cpu" and x.shape[0] == 1 and self.kernel_size[0] > 1
        return is_single and slabs.precision(x) == torch.float32 and x[..., 0].numel() <= _FEW


def convolution(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, bias: bool = False
) -> Convolution:
    return Convolution(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=bias)


class ResidualBlock(nn.Module):
    """SegResNet's block: twice (GroupNorm, ReLU, 3x3x3 convolution), added to its input."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm1 = NormReLU(channels, groups)
        self.conv1 = convolution(channels, channels)
        self.norm2 = NormReLU(channels, groups)
        self.conv2 = convolution(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        if slabs.worthwhile(x) and x.shape[0] == 1:
            between = slabs.norm_relu_conv(x, self.norm1, self.conv1)
            return slabs.norm_relu_conv(between, self.norm2, self.conv2, plus=x)
        return x + self.conv2(self.norm2(self.conv1(self.norm1(x))))


def upsample(x: Tensor) -> Tensor:
    """Doubles the three axes of (N, C, Z, Y, X) by trilinear interpolation."""
    return F.interpolate(x, scale_factor=2, mode="trilinear", align_corners=False)
