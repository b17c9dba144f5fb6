"""The image that the network sees: a window of the volume, resampled, in 256 steps of grey."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ensam.preprocessing import IntensityRange, Window

_BAND = 16  # planes that a processor interpolates at once


def extract(array: NDArray, window: Window, intensity: IntensityRange) -> Tensor:
    """The window's image (1, 1, Z, Y, X), float32 in 0..1, in the paper's 256 steps.

    The mean over the covered voxels, not a sample among them, so that thinning does not alias.
    """
    # In float64: 32-bit integers and large offsets lose their contrast in float32.
    part = torch.from_numpy(array[window.slices].astype(np.float64))
    width = (intensity.upper - intensity.lower) or 1.0  # a constant volume has none, and is dark
    scaled = part.sub_(intensity.lower).div_(width).clamp_(0, 1).float()
    return resample(scaled[None, None], window.shape).mul_(255).round_().div_(255)


def resample(image: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """(N, C, Z, Y, X) thinned to `shape`: the mean over the part of the image that each new voxel covers.

    torch's adaptive pooling rounds those parts to whole voxels, which shifts the image by up to half a voxel.
    """
    if tuple(image.shape[2:]) == tuple(shape):
        return image.clone()
    for axis, count in enumerate(shape, start=2):
        if image.shape[axis] != count:
            weights = _area_weights(image.shape[axis], count)
            image = torch.tensordot(image, weights, dims=([axis], [1])).movedim(-1, axis)
    return image.contiguous()


def enlarge(logits: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """(N, C, Z, Y, X) interpolated to `shape`, trilinear with the outer faces in line.

    Axis by axis as products of matrices, several times faster on a CPU than torch's own for one channel.
    """
    depth, height, width = logits.shape[2:]
    if width != shape[2]:
        logits = logits @ _linear_weights(width, shape[2], logits).T
    if height != shape[1]:
        logits = _linear_weights(height, shape[1], logits) @ logits
    if depth == shape[0]:
        return logits
    # The last axis has by far the largest result. A band of planes needs only the few that it lies between;
    # a graphics card would rather have one large product.
    planes_at_once = _BAND if logits.device.type == "cpu" else shape[0]
    weights, planes = _linear_weights(depth, shape[0], logits), logits.flatten(3)
    result = logits.new_empty((*logits.shape[:2], shape[0], planes.shape[3]))
    step = depth / shape[0]
    for first in range(0, shape[0], planes_at_once):
        band = slice(first, min(first + planes_at_once, shape[0]))
        lower = max(0, math.floor((band.start + 0.5) * step - 0.5))
        upper = max(0, math.floor((band.stop - 0.5) * step - 0.5)) + 2
        torch.matmul(weights[band, lower:upper], planes[:, :, lower:upper], out=result[:, :, band])
    return result.unflatten(3, logits.shape[3:])


def _linear_weights(inputs: int, outputs: int, like: Tensor) -> Tensor:
    """(outputs, inputs): what each input counts in an output, interpolated along one axis."""
    places = torch.eye(inputs, dtype=like.dtype, device=like.device)
    return F.interpolate(places[None], size=outputs, mode="linear", align_corners=False)[0].T


def _area_weights(inputs: int, outputs: int) -> Tensor:
    """(outputs, inputs): the share of each output voxel that each input voxel fills; rows sum to 1."""
    edges = torch.arange(outputs + 1, dtype=torch.float64) * (inputs / outputs)
    voxels = torch.arange(inputs, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], voxels + 1) - torch.maximum(edges[:-1, None], voxels)
    return (overlap.clamp_min(0) * (outputs / inputs)).float()
