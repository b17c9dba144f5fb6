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

    image (1, 1, z, y, x): as the network saw it, on the CPU; None where the window was not thinned.
    features, and boxed, the logits (z, y, x) that boxes alone get, by box: on the device.
    """

    image: Tensor | None
    features: ImageFeatures
    boxed: dict[bytes, Tensor] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        tensors = [*self.boxed.values(), *([] if self.image is None else [self.image])]
        return self.features.nbytes + sum(tensor.nbytes for tensor in tensors)


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
        """Keep a window, or see to the bound again after it grew; one that is beyond the bound by itself is
        not kept, and pushes nothing out."""
        self._entries.pop(key, None)
        if seen.nbytes > self.limit:
            return
        self._entries[key] = seen
        while self.nbytes > self.limit:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        self._entries.clear()
