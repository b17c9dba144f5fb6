"""A stand-in for the network: the ellipsoid in the box, and a ball for each click."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event

import numpy as np
from ensam.errors import Cancelled
from ensam.planning import Preview, to_voxels
from ensam.segmentation import Segmentation, Timings

RADIUS_MM = 4.0


@dataclass
class StubSession:
    """Answers as a session does. `calls` tells what it was asked; `gate`, once cleared, holds it up."""

    intensity: str = "auto"
    volume: object = None
    seen: object = None  # the last volume
    calls: list = field(default_factory=list)
    gate: Event = field(default_factory=Event)
    error: Exception | None = None

    def __post_init__(self):
        self.gate.set()

    def set_volume(self, volume):
        self.volume = volume
        self.seen = volume or self.seen

    def forget(self):
        self.volume = self.seen = None

    def preview_all(self, prompts, previous=None):
        return Preview((32, 32, 32), (1.0, 1.0, 1.0), True, 300 << 20, "cpu")

    def segment(self, prompts, previous=None, cancelled=lambda: False):
        self.calls.append((prompts, previous))
        while not self.gate.wait(0.01):
            if cancelled():
                raise Cancelled
        if self.error is not None:
            raise self.error
        return self._segmentation(self._mask(prompts, previous))

    def segment_all(self, prompts, previous=None, cancelled=lambda: False, clicks_exclude=False):
        masks = [self.segment(p, b, cancelled).mask for p, b in zip(prompts, previous, strict=True)]
        taken = np.zeros_like(masks[0])
        results = []
        for mask in masks:
            results.append(self._segmentation(mask & ~taken))
            taken |= mask
        return tuple(results)

    def _mask(self, prompts, previous):
        grid = self.volume.grid
        one = to_voxels(self.volume, prompts) if previous is None else None
        mask = np.zeros(grid.shape, bool) if previous is None else previous.laid_out(grid.shape)
        voxels = np.indices(grid.shape).transpose(1, 2, 3, 0)
        if one is not None and one.box is not None:
            middle, half = one.box.mean(axis=0), (one.box[1] - one.box[0]) / 2
            mask |= (((voxels - middle) / half) ** 2).sum(axis=3) <= 1
        for value in (True, False):
            for point in (point for point in prompts.points if point.foreground == value):
                offset = (voxels - grid.ras_to_zyx(point.position_ras)) * grid.spacing_zyx
                mask[(offset**2).sum(axis=3) <= RADIUS_MM**2] = value
        return mask

    @staticmethod
    def _segmentation(mask):
        logits = np.where(mask, 1, -1).astype(np.float32)
        return Segmentation(
            mask, (0, 0, 0), logits, Timings(0.01, 0.0, 0.01), True, "grey values 0 to 1", "window"
        )
