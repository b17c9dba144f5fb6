"""Masks as they travel: cut out of the volume they belong to."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class MaskCrop:
    """A part of a mask on a volume's grid; all outside of it is background.

    mask: bool (z, y, x); offset: where its first voxel lies in the volume, (z, y, x). A mask on the whole
    grid becomes one by MaskCrop(mask, (0, 0, 0)).
    """

    mask: np.ndarray = field(repr=False)
    offset: tuple[int, int, int]

    def trimmed(self) -> MaskCrop:
        """Cut to the bounding box of the foreground; an empty mask becomes one of shape (0, 0, 0)."""
        mask = self.mask
        # Most crops are tight already, which their six faces tell at once.
        if mask.size and all(
            mask[(slice(None),) * axis + (end,)].any() for axis in range(3) for end in (0, -1)
        ):
            return self
        # Slices first: a segment is small in a labelmap that it shares with others. What is left is seen
        # along them, which goes through memory in order.
        slices = _hit(mask.any(axis=(1, 2)))
        plane = mask[slices].any(axis=0)
        found = slices, _hit(plane.any(axis=1)), _hit(plane.any(axis=0))
        return MaskCrop(mask[found], tuple(at + s.start for at, s in zip(self.offset, found, strict=True)))

    def within(self, shape: tuple[int, int, int]) -> MaskCrop:
        """Without what lies outside a volume of that shape."""
        cut = tuple(
            slice(min(max(0, -at), n), max(0, min(n, limit - at)))
            for at, n, limit in zip(self.offset, self.mask.shape, shape, strict=True)
        )
        return MaskCrop(self.mask[cut], tuple(at + c.start for at, c in zip(self.offset, cut, strict=True)))

    def laid_out(self, shape: tuple[int, int, int]) -> np.ndarray:
        """The mask on the volume's whole grid of that shape, bool (z, y, x)."""
        whole = np.zeros(shape, bool)
        whole[self.slices] = self.mask
        return whole

    @property
    def count(self) -> int:
        """The number of voxels in the mask."""
        return int(np.count_nonzero(self.mask))

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Where the crop lies in the volume."""
        return tuple(slice(at, at + size) for at, size in zip(self.offset, self.mask.shape, strict=True))

    def shared(self, other: MaskCrop) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Where two crops of one grid meet, in the one and in the other."""
        first = np.maximum(self.offset, other.offset)
        end = np.minimum(np.add(self.offset, self.mask.shape), np.add(other.offset, other.mask.shape))
        end = end.clip(first)
        return tuple(
            tuple(slice(int(a), int(b)) for a, b in zip(first - offset, end - offset, strict=True))
            for offset in (self.offset, other.offset)
        )

    def without(self, other: MaskCrop) -> MaskCrop:
        """The voxels that another mask of the same grid lacks; the crop stays as large."""
        mask = self.mask.copy()
        here, there = self.shared(other)
        np.greater(self.mask[here], other.mask[there], out=mask[here])
        return MaskCrop(mask, self.offset)

    def is_same(self, other: MaskCrop) -> bool:
        """Whether another mask of the same grid has the same voxels, in whatever crop."""
        one, another = self.trimmed(), other.trimmed()
        return np.array_equal(one.mask, another.mask) and (not one.mask.size or one.offset == another.offset)

    def meets(self, other: MaskCrop) -> bool:
        """Whether the two have a voxel in common."""
        return bool(self.common(other).mask.any())

    def common(self, other: MaskCrop) -> MaskCrop:
        """The voxels that another mask of the same grid has too, cut to where the crops meet."""
        here, there = self.shared(other)
        first = tuple(at + s.start for at, s in zip(self.offset, here, strict=True))
        return MaskCrop(self.mask[here] & other.mask[there], first)

    def joined(self, other: MaskCrop) -> MaskCrop:
        """The voxels of both masks of one grid; the crop covers both."""
        if not other.mask.size:
            return self
        padded = self.padded_to(other)
        mask = padded.mask.copy()
        here, there = padded.shared(other)
        mask[here] |= other.mask[there]
        return MaskCrop(mask, padded.offset)

    def grown(self) -> MaskCrop:
        """With every voxel that touches the mask by a face, an edge or a corner."""
        if not self.mask.size:
            return self
        mask = np.pad(self.mask, 1)
        for axis in range(3):
            ahead = (slice(None),) * axis + (slice(1, None),)
            back = (slice(None),) * axis + (slice(None, -1),)
            spread = mask.copy()
            spread[ahead] |= mask[back]
            spread[back] |= mask[ahead]
            mask = spread
        return MaskCrop(mask, tuple(at - 1 for at in self.offset))

    def cut_to(self, other: MaskCrop) -> MaskCrop:
        """The part that another crop covers."""
        here, _ = self.shared(other)
        return MaskCrop(self.mask[here], tuple(at + s.start for at, s in zip(self.offset, here, strict=True)))

    def padded_to(self, other: MaskCrop) -> MaskCrop:
        """Large enough to cover the other crop as well."""
        if not other.mask.size:
            return self
        if not self.mask.size:
            return MaskCrop(np.zeros_like(other.mask), other.offset)
        first = np.minimum(self.offset, other.offset)
        end = np.maximum(np.add(self.offset, self.mask.shape), np.add(other.offset, other.mask.shape))
        if self.mask.shape == tuple(end - first):
            return self
        padded = np.zeros(end - first, bool)
        padded[MaskCrop(self.mask, self.offset - first).slices] = self.mask
        return MaskCrop(padded, tuple(first.tolist()))


EMPTY = MaskCrop(np.zeros((0, 0, 0), bool), (0, 0, 0))


def _hit(row: np.ndarray) -> slice:
    """From the first to the last that is hit."""
    hits = np.flatnonzero(row)
    return slice(int(hits[0]), int(hits[-1]) + 1) if hits.size else slice(0, 0)
