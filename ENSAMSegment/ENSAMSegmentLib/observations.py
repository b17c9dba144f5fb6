"""Observers that are taken off together."""

from __future__ import annotations

from collections.abc import Callable

import vtk


class Observations:
    """The events that one callback without arguments follows."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._tags: list[tuple[vtk.vtkObject, int]] = []

    def add(self, source: vtk.vtkObject, *events: int | str) -> None:
        """Call back at each of these events of the source."""
        for event in events:
            # What has changed is always read anew: events of batches say nothing about it.
            tag = source.AddObserver(event, lambda *_ignored: self._callback())
            self._tags.append((source, tag))

    def clear(self) -> None:
        """Follow nothing any more."""
        for source, tag in self._tags:
            source.RemoveObserver(tag)
        self._tags.clear()
