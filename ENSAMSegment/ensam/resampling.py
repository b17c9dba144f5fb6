"""The image that the network sees, a window of the volume thinned to fewer voxels, and the answer on all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ensam.planning import LEAST_DOUBT
from ensam.preprocessing import IntensityRange, Window

SLIGHT = 0.05  # of the grey range: a contrast that may as well be noise as an edge, in an image without noise
NOISES = 2.0  # standard deviations of the noise, which are as slight
NOISE_SAMPLES = 1 << 19  # voxels that the noise is told by
_BAND = 1 << 21  # voxels that are worked on at once, so that they stay in the caches


def extract(array: NDArray, window: Window, intensity: IntensityRange) -> Tensor:
    """The window's image (1, 1, Z, Y, X), float32 in 0..1, in the paper's 256 steps.

    The mean over the covered voxels, not a sample among them, so that thinning does not alias.
    """
    part, in_plane = array[window.slices], window.shape[1:]
    bands = [
        resample(_grey(part[first:last], intensity)[None, None], (last - first, *in_plane))
        for first, last in _bands(part.shape)
    ]
    return resample(torch.cat(bands, dim=2), window.shape).mul_(255).round_().div_(255)


def _grey(array: NDArray, intensity: IntensityRange) -> Tensor:
    """Grey values as the network knows them: float32 in 0..1."""
    # 32-bit integers and large offsets lose their contrast in float32.
    dtype = np.float32 if np.can_cast(array.dtype, np.float32) else np.float64
    values = torch.from_numpy(array.astype(dtype))
    width = (intensity.upper - intensity.lower) or 1.0  # a constant volume has none, and is dark
    return values.sub_(intensity.lower).div_(width).clamp_(0, 1).float()


def noise_of(array: NDArray, window: Window, intensity: IntensityRange) -> float:
    """The standard deviation of the noise in a window's crop, of the grey range.

    By the median difference between neighbours along x, which edges hardly change.
    """
    part = array[window.slices]
    step = max(1, round((part.size / NOISE_SAMPLES) ** 0.5))
    grey = _grey(part[::step, ::step], intensity)
    before, behind = grey[..., :-1], grey[..., 1:]
    # Values that the range cuts off have no noise.
    differences = (behind - before)[(before > 0) & (before < 1) & (behind > 0) & (behind < 1)]
    return float(differences.abs().median()) / (0.6745 * 2**0.5) if len(differences) else 0.0


def _bands(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """First plane, and one past the last, of each band of (z, y, x)."""
    depth, planes = shape[0], max(1, _BAND // (shape[1] * shape[2]))
    return ((first, min(first + planes, depth)) for first in range(0, depth, planes))


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


def enlarge(
    logits: NDArray[np.float32],
    image: Tensor | None,
    array: NDArray,
    window: Window,
    intensity: IntensityRange,
    part: tuple[slice, slice, slice],
    noise: float,
) -> NDArray[np.float32]:
    """A window's logits (z, y, x) on the volume's voxels in a part of the window's crop.

    Interpolated trilinearly, with the outer faces in line, and with the details that thinning took from the
    image (ours): as logits grow or fall with the grey value among the voxels of a place, so they do within
    them. What is left between the two is a linear model of a neighbourhood, as in He et al., "Guided image
    filtering" (2013). image (1, 1, z, y, x): what `extract` gave, None for a window with all of its voxels;
    array: the volume's (z, y, x); noise: what `noise_of` gave, which the answer must not follow.
    """
    if image is None:
        return logits[part].copy()  # the window's own would stay in memory with a small part of them
    own = torch.from_numpy(logits)[None, None]
    # Where a logit is that low nothing is foreground: answers are cut off there.
    slopes = _slopes(own, image, max(SLIGHT, NOISES * noise)) * (own > -LEAST_DOUBT)
    voxels = array[window.slices][part]
    result = np.empty(voxels.shape, np.float32)
    # Axis by axis as products of matrices, several times faster than torch's own for one channel.
    (rows, down), (columns, across) = (
        _interpolation(window.shape[axis], window.size[axis], part[axis]) for axis in (1, 2)
    )
    fields = torch.cat((own - slopes * image, slopes))[:, 0, :, rows, columns]
    for first, last in _bands(result.shape):
        band = slice(part[0].start + first, part[0].start + last)
        planes, deep = _interpolation(window.shape[0], window.size[0], band)
        thin = (deep @ fields[:, planes].flatten(2)).unflatten(2, fields.shape[2:])
        flat, steep = down @ (thin @ across.T)
        grey = _grey(voxels[first:last], intensity)
        torch.addcmul(flat, steep, grey, out=torch.from_numpy(result[first:last]))
    return result


def _slopes(logits: Tensor, image: Tensor, slight: float) -> Tensor:
    """How much the logits grow with the grey value among the 27 voxels round each: all (1, 1, z, y, x).

    slight: of the grey range, the contrast whose slope is halved.
    """
    moments = torch.cat((logits, image, logits * image, image.square()), dim=1)
    means = F.pad(moments, (1,) * 6, mode="replicate")
    for axis in (2, 3, 4):  # several times faster than torch's pooling
        before, here, behind = (means.narrow(axis, i, means.shape[axis] - 2) for i in range(3))
        means = (before + here + behind) / 3
    logit, grey, product, square = means.split(1, dim=1)
    return (product - logit * grey) / (square - grey.square() + slight**2)


def _interpolation(inputs: int, outputs: int, part: slice) -> tuple[slice, Tensor]:
    """Linear interpolation along one axis to a part of its outputs: the inputs that they lie between, and
    what each of them counts, (outputs of the part, inputs)."""
    # An output lies between the input at or before its place and the next one; beyond the ends, at the end.
    places = ((torch.arange(part.start, part.stop) + 0.5) * (inputs / outputs) - 0.5).clamp(0, inputs - 1)
    before = places.floor().long().clamp_max(max(0, inputs - 2))
    lower, upper = int(before[0]), min(int(before[-1]) + 2, inputs)
    return slice(lower, upper), (1 - (places[:, None] - torch.arange(lower, upper)).abs()).clamp_min(0)


def _area_weights(inputs: int, outputs: int) -> Tensor:
    """(outputs, inputs): the share of each output voxel that each input voxel fills; rows sum to 1."""
    edges = torch.arange(outputs + 1, dtype=torch.float64) * (inputs / outputs)
    voxels = torch.arange(inputs, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], voxels + 1) - torch.maximum(edges[:-1, None], voxels)
    return (overlap.clamp_min(0) * (outputs / inputs)).float()
