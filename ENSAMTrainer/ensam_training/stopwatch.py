"""Where the time of a run goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

PARTS = ("data", "forward", "backward", "optimiser", "validation", "saving")


class Stopwatch:
    """Seconds by part. On a GPU the parts are exact only with `exact`, which waits for it at every turn."""

    def __init__(self, device: torch.device, exact: bool = False) -> None:
        self.waits = exact and device.type == "cuda"
        self.seconds = dict.fromkeys(PARTS, 0.0)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            if self.waits:
                torch.cuda.synchronize()
            self.seconds[name] += time.perf_counter() - started

    def report(self) -> str:
        """One line: each part's share of the measured time."""
        total = sum(self.seconds.values()) or 1.0
        shares = ", ".join(f"{name} {s / total:.0%}" for name, s in self.seconds.items() if s > 0)
        return f"{total:.1f} s: {shares}"
