"""From logits to masks: the paper's rules for objects without voxels and for objects that meet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ensam.errors import PromptError
from ensam.masks import MaskCrop
from ensam.segmentation import Segmentation

SURE = 0.5  # the logit, on the asked side, that a clicked voxel gets where the network disobeys
LEFT_SHARE = 0.1  # of an object's voxels: where the others leave it less, its user is told
Voxel = tuple[int, int, int]

_LOST = "One object lost nearly all of its voxels to another: move its box, or click on it."


def obey_clicks(
    logits: NDArray[np.float32], clicks: Sequence[tuple[Voxel, bool]], sigma: Sequence[float]
) -> NDArray[np.float32]:
    """Logits (z, y, x) in which each clicked voxel lies on the asked side, one with clicks of both kinds on
    the background's.

    Where the network disobeys, what is missing is added as a Gaussian ball round the click, so that the
    mask follows the click and not a single voxel. All balls are measured on the given logits: the order of
    the clicks doesn't matter. clicks: voxels of the array, and whether foreground; sigma: of a ball in
    voxels, (z, y, x).
    """
    foreground: dict[Voxel, bool] = {}
    for place, is_foreground in clicks:
        foreground[place] = is_foreground and foreground.get(place, True)
    places = [(place, 1 if is_foreground else -1) for place, is_foreground in foreground.items()]
    missing = [(place, sign * SURE - logits[place]) for place, sign in places if sign * logits[place] <= 0]
    if not missing:
        return logits
    obedient = logits.copy()
    for place, amount in missing:
        near = tuple(
            slice(max(0, at - math.ceil(3 * s)), at + math.ceil(3 * s) + 1)
            for at, s in zip(place, sigma, strict=True)
        )
        axes = np.ogrid[
            tuple(slice(n.start, min(n.stop, size)) for n, size in zip(near, logits.shape, strict=True))
        ]
        squares = sum(((axis - at) / s) ** 2 for axis, at, s in zip(axes, place, sigma, strict=True))
        obedient[near] += (amount * np.exp(-0.5 * squares)).astype(np.float32)
    for place, sign in places:
        if sign * obedient[place] <= 0:  # balls of both kinds meet here
            obedient[place] = sign * SURE
    return obedient


def ensure_voxel(
    logits: NDArray[np.float32], region: tuple[slice, slice, slice], background: Sequence[Voxel] = ()
) -> NDArray[np.float32]:
    """Logits (z, y, x) of an object that has at least one voxel: without any, the logits in its region are
    raised by a constant until the highest one is just over the threshold of 0 (paper).

    background: clicked voxels, which stay as they are unless nothing else is left of the region.
    """
    # A few of them tell of all but small objects, sooner.
    if logits[::4, ::4, ::4].max() > 0 or logits.max() > 0:
        return logits
    free = np.zeros(logits.shape, bool)
    free[region] = True
    for voxel in background:
        free[voxel] = False
    if not free.any():
        free[region] = True
    raised = logits.copy()
    raised[free] += np.float32(1e-3) - logits[free].max()
    return raised


def merge_objects(results: Sequence[Segmentation]) -> tuple[Segmentation, ...]:
    """Masks that don't overlap: a voxel goes to the highest logit, the first of equal ones (paper).

    An object that the others leave without any voxel keeps the one where it is surest; one that had none
    before stays empty. What lost nearly all of its voxels says so among its warnings.
    """
    if len(results) < 2:
        return tuple(results)
    masks = _without_overlap(results)
    lost = []
    for index, (result, mask) in enumerate(zip(results, masks, strict=True)):
        left = mask.count
        lost.append((_LOST,) if left < LEFT_SHARE * result.count else ())
        if left == 0 and result.mask.any():
            _give_voxel(masks, index, result.logits)
    return tuple(
        replace(result, mask=mask.mask, warnings=(*result.warnings, *words))
        for result, mask, words in zip(results, masks, lost, strict=True)
    )


def _without_overlap(results: Sequence[Segmentation]) -> list[MaskCrop]:
    """The masks, each in its result's crop, without what is another's."""
    masks = [MaskCrop(result.mask.copy(), result.offset) for result in results]
    # Two at a time, and where there is something to share out: one array over all crops may be as large as
    # the volume, however small they are.
    tight = [mask.trimmed() for mask in masks]  # views of the masks
    logits = [result.logits[result.shared(part)[0]] for result, part in zip(results, tight, strict=True)]
    lower = np.array([part.offset for part in tight])
    upper = lower + [part.mask.shape for part in tight]
    for second in range(1, len(tight)):
        meet = np.all((lower[:second] < upper[second]) & (lower[second] < upper[:second]), axis=1)
        for first in np.flatnonzero(meet):
            here, there = tight[first].shared(tight[second])
            wins = logits[second][there] > logits[first][here]
            tight[first].mask[here] &= ~wins
            tight[second].mask[there] &= wins
    return masks


def _give_voxel(masks: Sequence[MaskCrop], index: int, logits: NDArray[np.float32]) -> None:
    """Gives an object, in its crop, the voxel where it is surest among those that are no one's last there.

    Raises PromptError if there are more objects than voxels.
    """
    own = masks[index]
    free = np.ones(logits.shape, bool)
    for mask in masks:
        here, there = own.shared(mask)
        if np.count_nonzero(mask.mask[there]) == 1:
            free[here] &= ~mask.mask[there]
    if not free.any():
        raise PromptError("There are more objects than voxels between the prompts: remove some.")
    voxel = np.unravel_index(np.argmax(np.where(free, logits, -np.inf)), logits.shape)
    for mask in masks:
        place = np.add(voxel, own.offset) - mask.offset
        if (place >= 0).all() and (place < mask.mask.shape).all():
            mask.mask[tuple(place)] = False
    own.mask[voxel] = True
