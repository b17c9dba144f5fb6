"""What is known of the windows that were looked at, kept within a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from torch import Tensor

from ensam.network import ImageFeatures


@dataclass(frozen=True, eq=False)
class Seen:
    """What is known of a window.

    image (1, 1, z, y, x): as the network saw it, on the CPU, and the noise of the voxels it was thinned from;
    None and 0 where it was not. features, and box_logits (z, y, x), what boxes alone got, by box: on the
    device.
    """

    image: Tensor | None
    noise: float
    features: ImageFeatures
    box_logits: dict[bytes, Tensor] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        tensors = [*self.box_logits.values(), *([] if self.image is None else [self.image])]
        return self.features.nbytes + sum(tensor.nbytes for tensor in tensors)

    def drop_oldest_box(self) -> None:
        """Forget what the first of the boxes got."""
        del self.box_logits[next(iter(self.box_logits))]


class FeatureCache:
    """Windows by key, bounded in bytes; the least recently used go first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._entries: OrderedDict[Hashable, Seen] = OrderedDict()

    @property
    def nbytes(self) -> int:
        return sum(seen.nbytes for seen in self._entries.values())

    def get(self, key: Hashable) -> Seen | None:
        if key in self._entries:
            self._entries.move_to_end(key)
        return self._entries.get(key)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[Seen]:
        """From the least to the most recently used."""
        return iter(self._entries.values())

    def put(self, key: Hashable, seen: Seen) -> None:
        """Keep a window; again after it grew, so that the bound holds.

        One that is beyond the bound by itself loses what its boxes got first; if that doesn't do, it is not
        kept, and pushes nothing out.
        """
        while seen.box_logits and seen.nbytes > self.limit:
            seen.drop_oldest_box()
        self._entries.pop(key, None)
        if seen.nbytes > self.limit:
            return
        self._entries[key] = seen
        while self.nbytes > self.limit:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        self._entries.clear()
