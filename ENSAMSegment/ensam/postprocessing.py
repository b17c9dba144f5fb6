"""From logits to masks: the paper's rules for objects without voxels and for objects that meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ensam.session import Segmentation


def ensure_voxel(logits: NDArray[np.float32], region: tuple[slice, slice, slice]) -> NDArray[np.float32]:
    """Logits (z, y, x) of an object that has at least one voxel: without any, the logits in its region are
    raised by a constant until the highest one is just over the threshold of 0 (paper)."""
    if (logits > 0).any():
        return logits
    raised = logits.copy()
    raised[region] += np.float32(1e-3) - logits[region].max()
    return raised


def merge_objects(results: Sequence[Segmentation]) -> tuple[Segmentation, ...]:
    """Masks that don't overlap: a voxel goes to the highest logit, the first of equal ones (paper).

    An object that the others leave without any voxel keeps the one where it is surest.
    """
    if len(results) < 2:
        return tuple(results)
    lower = np.min([r.offset for r in results], axis=0)
    upper = np.max([np.add(r.offset, r.mask.shape) for r in results], axis=0)
    best = np.zeros(upper - lower, np.float32)
    owner = np.zeros(upper - lower, np.int32)
    places = [
        tuple(slice(s.start - int(a), s.stop - int(a)) for s, a in zip(r.slices, lower, strict=True))
        for r in results
    ]
    for index, (result, place) in enumerate(zip(results, places, strict=True), start=1):
        wins = result.logits > best[place]
        best[place][wins] = result.logits[wins]
        owner[place][wins] = index
    taken: set[tuple[int, ...]] = set()
    for index, (result, place) in enumerate(zip(results, places, strict=True), start=1):
        if not (owner[place] == index).any():
            order = np.argsort(-result.logits, axis=None, kind="stable")[: len(results)]
            starts = [s.start for s in place]
            candidates = [tuple(np.add(np.unravel_index(i, result.mask.shape), starts)) for i in order]
            voxel = next(c for c in candidates if c not in taken)
            owner[voxel] = index
            taken.add(voxel)
    return tuple(
        replace(result, mask=owner[place] == index)
        for index, (result, place) in enumerate(zip(results, places, strict=True), start=1)
    )
