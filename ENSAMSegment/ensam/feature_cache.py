"""The image features of the windows that were looked at, kept within a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator

from ensam.network import ImageFeatures


class FeatureCache:
    """Features by key, bounded in bytes; the least recently used go first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._entries: OrderedDict[Hashable, ImageFeatures] = OrderedDict()

    @property
    def nbytes(self) -> int:
        return sum(features.nbytes for features in self._entries.values())

    def get(self, key: Hashable) -> ImageFeatures | None:
        if key in self._entries:
            self._entries.move_to_end(key)
        return self._entries.get(key)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[ImageFeatures]:
        """From the least to the most recently used."""
        return iter(self._entries.values())

    def put(self, key: Hashable, features: ImageFeatures) -> None:
        """Keep features; those that are beyond the bound by themselves are not, and push nothing out."""
        if features.nbytes > self.limit:
            return
        self._entries[key] = features
        while self.nbytes > self.limit:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        self._entries.clear()
