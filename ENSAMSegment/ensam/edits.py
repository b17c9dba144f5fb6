"""How clicks change a mask that was there already, painted by hand or made by another tool.

What the user made stays, except in the connected pieces of change that the new prompts ask for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from scipy import ndimage

from ensam.geometry import Grid
from ensam.masks import MaskCrop
from ensam.prompts import Point, PromptSet

Voxel = tuple[int, int, int]


def follow_prompts(
    base: MaskCrop, answer: MaskCrop, before: PromptSet, now: PromptSet, grid: Grid
) -> MaskCrop:
    """The mask to show: `base` with what the prompts `now` ask for and `before` did not, taken from `answer`.

    base: the mask as the user left it, with the prompts `before`; answer: what the network says for `now`
    with base as its previous mask. Both on `grid`; the result is trimmed unless it is base itself.

    - A box that is new or another one than before: the answer as a whole.
    - Otherwise a new foreground point takes over the piece of added voxels that it lies in, and a new
      background point the piece of removed voxels. A point that is gone asks for the opposite. A point whose
      voxel base has on the asked side already takes over nothing.
    - The voxel of a new point ends on its side in any case, of two new ones in one voxel on the background's,
      and no piece takes an older point's voxel from its side.

    The same arguments give the same mask; equal prompts give base. A point outside the grid asks for nothing.
    """
    if now == before:
        return base
    new = [point for point in now.points if point not in before.points]
    gone = [point for point in before.points if point not in now.points]
    base, answer = base.within(grid.shape).trimmed(), answer.within(grid.shape).trimmed()
    asked = {side: _voxels(new, side, grid) for side in (True, False)}
    kept = {side: _voxels(set(now.points) - set(new), side, grid) for side in (True, False)}
    frame = _frame([base, answer], set().union(*asked.values(), *kept.values()))
    old, proposed = _laid_out(base, *frame), _laid_out(answer, *frame)
    if now.box is not None and now.box != before.box:
        mask = proposed.copy()
        changed = np.ones_like(mask)
    else:
        mask = old.copy()
        for side in (True, False):
            # A point that only moved within its voxel doesn't ask for the opposite there.
            withdrawn = _voxels(gone, not side, grid) - asked[not side] - kept[not side]
            change = proposed & ~old if side else old & ~proposed
            for place, piece in _pieces(change, asked[side] | withdrawn, frame[0]):
                mask[place][piece] = side
        changed = mask != old
    for side in (True, False):
        for voxel in _inside(kept[side], *frame):
            if changed[voxel]:
                mask[voxel] = side
    for side in (True, False):
        for voxel in _inside(asked[side], *frame):
            mask[voxel] = side
    return MaskCrop(mask, frame[0]).trimmed()


def _voxels(points: Iterable[Point], foreground: bool, grid: Grid) -> set[Voxel]:
    """The voxels of the grid (z, y, x) that the points of one kind lie in."""
    voxels = set()
    for point in points:
        place = grid.ras_to_zyx(np.array(point.position_ras))
        if point.foreground == foreground and grid.contains_zyx(place):
            voxels.add(grid.voxel_at(place))
    return voxels


def _pieces(
    change: np.ndarray, voxels: set[Voxel], offset: Voxel
) -> Iterator[tuple[tuple[slice, slice, slice], np.ndarray]]:
    """The connected pieces of a change that hold any of the voxels: where in it, and which voxels there.

    Connected by faces: where the outlines of base and answer merely jitter round each other, edges and
    corners would link specks far apart to one piece. So would added and removed voxels taken together.
    """
    seeds = [voxel for voxel in _inside(voxels, offset, change.shape) if change[voxel]]
    if not seeds:
        return
    part = MaskCrop(change, (0, 0, 0)).trimmed()
    labels, _ = ndimage.label(part.mask)
    for label in {int(labels[tuple(np.subtract(seed, part.offset))]) for seed in seeds}:
        yield part.slices, labels == label


def _frame(crops: list[MaskCrop], voxels: set[Voxel]) -> tuple[Voxel, Voxel]:
    """Offset and shape of the smallest crop that holds all these crops and voxels."""
    crops = [crop for crop in crops if crop.mask.size]
    bounds = [(crop.offset, np.add(crop.offset, crop.mask.shape)) for crop in crops]
    bounds += [(voxel, np.add(voxel, 1)) for voxel in voxels]
    if not bounds:
        return (0, 0, 0), (0, 0, 0)
    lower = np.min([low for low, _ in bounds], axis=0)
    shape = np.max([high for _, high in bounds], axis=0) - lower
    return tuple(int(v) for v in lower), tuple(int(v) for v in shape)


def _laid_out(crop: MaskCrop, offset: Voxel, shape: Voxel) -> np.ndarray:
    if not crop.mask.size:
        return np.zeros(shape, bool)
    return MaskCrop(crop.mask, tuple(np.subtract(crop.offset, offset))).laid_out(shape)


def _inside(voxels: Iterable[Voxel], offset: Voxel, shape: Voxel) -> list[Voxel]:
    """The voxels that lie in a crop, counted from its first one."""
    moved = [tuple(int(v) for v in np.subtract(voxel, offset)) for voxel in voxels]
    return [voxel for voxel in moved if all(0 <= v < n for v, n in zip(voxel, shape, strict=True))]
