"""Where the time of a click through `ENSAMSegmentLogic` goes, on a volume of 512 x 512 x 400 voxels.

The object is a ball in a cube of 128 voxels. What is printed is the processor time of the two threads, the
network's apart, so that waiting and other programs don't count. Run it from Testing with
``python -m mrml.profile_click``; ``--functions`` lists the dearest functions of each thread.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from statistics import median

import numpy as np
import torch
from ensam.network import ENSAM
from ensam.worker import Worker
from ENSAMSegmentLib.logic import ENSAMSegmentLogic

from .nodes import add_volume
from .slicer_core_scene import create_scene

SHAPE, EDGE, CLICKS = (400, 512, 512), 128, 7
CENTRE = np.array((200.0, 220.0, 190.0))  # RAS, mm


class TimedWorker(Worker):
    """Notes what each job and the network in it take, in seconds of its thread."""

    def __init__(self, profile: cProfile.Profile | None) -> None:
        super().__init__()
        self.profile = profile
        self.jobs: list[float] = []
        self.network: list[float] = []

    def _run(self, job):
        begun = time.thread_time()
        self.network.append(0.0)
        try:
            if self.profile is None:
                return super()._run(job)
            return self.profile.runcall(super()._run, job)
        finally:
            self.jobs.append(time.thread_time() - begun)

    def watch(self, name: str) -> None:
        """Time a method of the network."""
        method = getattr(ENSAM, name)

        def timed(*arguments):
            begun = time.thread_time()
            try:
                return method(*arguments)
            finally:
                self.network[-1] += time.thread_time() - begun

        setattr(ENSAM, name, timed)


def main() -> None:
    """Print milliseconds a click, medians over several clicks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--functions", type=int, default=0, help="how many to list for each thread")
    options = parser.parse_args()
    # With one thread all of torch's work is in the worker's.
    torch.set_num_threads(1)
    profiles = [cProfile.Profile(time.thread_time) if options.functions else None for _ in range(2)]
    own, worker = profiles[0], TimedWorker(profiles[1])
    worker.watch("encode")
    worker.watch("decode")
    with create_scene() as application:
        volume = add_volume(application.GetMRMLScene(), _image(), np.eye(4))
        logic = ENSAMSegmentLogic(worker=worker)
        logic.select(volume)
        logic.add_segment("ball")
        logic.set_box(CENTRE, (EDGE,) * 3)
        logic.wait()
        first = len(worker.jobs)
        if worker.profile is not None:
            worker.profile.clear()
        main_s = []
        for click in range(CLICKS):
            begun = time.thread_time()
            if own is not None:
                own.enable()
            logic.add_point(np.add(CENTRE, (0, 0, 4 * click)), foreground=True)
            logic.wait()
            if own is not None:
                own.disable()
            main_s.append(time.thread_time() - begun)
        logic.cleanup()
    jobs, network = np.array(worker.jobs[first:]), np.array(worker.network[first:])
    print(f"Milliseconds of processor time for a click on {' x '.join(map(str, reversed(SHAPE)))} voxels:")
    print(f"  network                    {1000 * median(network):8.1f}")
    print(f"  worker without network     {1000 * median(jobs - network):8.1f}")
    print(f"  main thread                {1000 * median(main_s):8.1f}")
    print(f"  all but the network        {1000 * median(np.array(main_s) + jobs - network):8.1f}")
    if options.functions:
        for name, profile in (("main thread", own), ("worker", worker.profile)):
            print(f"\n{name}:")
            pstats.Stats(profile).sort_stats("tottime").print_stats(options.functions)


def _image() -> np.ndarray:
    image = np.random.default_rng(0).normal(0, 20, SHAPE).astype(np.int16)
    z, y, x = np.ogrid[tuple(slice(0, n) for n in SHAPE)]
    away = (z - CENTRE[2]) ** 2 + (y - CENTRE[1]) ** 2 + (x - CENTRE[0]) ** 2
    image[away <= (EDGE / 2) ** 2] += 100
    return image


if __name__ == "__main__":
    main()
