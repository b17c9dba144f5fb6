"""500 clicks and 50 volumes in one process: does its memory grow, and does a click take longer?

    cd Testing; python -m mrml.long_run [--clicks 500] [--volumes 50] [--edge 32]

Each row is a tenth of the run: the resident memory at its end, and the time of its clicks, or of the first
box on each of its volumes. The features that are kept are bounded to 16 MB here, so that they are full soon.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import slicer
from ensam.prompts import Vector
from ensam.session import InteractiveSession
from ensam.worker import Worker
from ENSAMSegmentLib.logic import ENSAMSegmentLogic

from .nodes import add_volume
from .slicer_core_scene import create_scene

ROWS = 10
CACHE_BYTES = 16 << 20


def resident_mb() -> float:
    """The memory that the process holds now, in MB (Linux)."""
    line = next(s for s in Path("/proc/self/status").read_text().splitlines() if s.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


class LongRun:
    """A logic with the starter weights in a scene of Slicer's libraries; `rows` has what was measured."""

    def __init__(self, scene: slicer.vtkMRMLScene, edge: int) -> None:
        self.scene, self.edge = scene, edge
        worker = Worker(lambda settings: InteractiveSession(device=settings.device, cache_bytes=CACHE_BYTES))
        self.logic = ENSAMSegmentLogic(worker=worker)
        self.rng = np.random.default_rng(0)

    def next_volume(self, number: int) -> None:
        """A ball in noise, in a scene of its own: the one before is closed."""
        self.scene.Clear(False)
        shape = (2 * self.edge,) * 3
        distance = np.linalg.norm(np.indices(shape).T - self.edge, axis=-1).T
        voxels = 100 * (distance < self.edge / 4) + self.rng.normal(0, 10, shape)
        self.logic.select(add_volume(self.scene, voxels.astype(np.int16), np.eye(4), f"volume {number}"))
        self.logic.add_segment("ball")

    def draw_box(self) -> float:
        """Seconds until the first box of a volume is answered."""
        size = (self.edge / 2,) * 3
        return self._seconds(lambda: self.logic.set_box((float(self.edge),) * 3, size))

    def click(self, number: int) -> float:
        """Seconds of a click; every tenth clears the others, so that prompts stay few."""
        if number % 10 == 0:
            for row in self.logic.prompt_rows()[1:][::-1]:
                self.logic.remove(row)
        offset = self.rng.uniform(-self.edge / 5, self.edge / 5, 3)
        position: Vector = tuple((self.edge + offset).tolist())
        inside = float(np.linalg.norm(offset)) < self.edge / 4
        return self._seconds(lambda: self.logic.add_point(position, inside))

    def _seconds(self, action: Callable[[], None]) -> float:
        started = time.perf_counter()
        action()
        self.logic.wait()
        return time.perf_counter() - started


def table(title: str, count: int, step: Callable[[int], float]) -> None:
    """Do the step so many times and print a row for every tenth of them."""
    print(f"{title:>10}  memory MB  median ms  longest ms")
    size = max(1, count // ROWS)
    for first in range(0, count, size):
        seconds = [step(number) for number in range(first, min(count, first + size))]
        print(
            f"{min(count, first + size):10}  {resident_mb():9.0f}  {1000 * statistics.median(seconds):9.0f}"
            f"  {1000 * max(seconds):10.0f}",
            flush=True,
        )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clicks", type=int, default=500)
    parser.add_argument("--volumes", type=int, default=50)
    parser.add_argument("--edge", type=int, default=32, help="half the edge of a volume in voxels")
    options = parser.parse_args(arguments)
    with create_scene() as application:
        run = LongRun(application.GetMRMLScene(), options.edge)
        run.next_volume(0)
        run.draw_box()
        table("clicks", options.clicks, run.click)

        def one_volume(number: int) -> float:
            run.next_volume(number + 1)
            return run.draw_box()

        table("volumes", options.volumes, one_volume)
        print(f"nodes in the scene {run.scene.GetNumberOfNodes()}")
        run.logic.cleanup()
    return 0


if __name__ == "__main__":
    sys.exit(main())
