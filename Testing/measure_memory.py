"""Peak memory of a first prompt and of a click in a window, and what many clicks leave (Linux).

    python Testing/measure_memory.py --edge 128 --clicks 200 [--precision float32]
    python Testing/measure_memory.py --edge 16 160 160 --objects 4

In MB, beyond what the process held before; one window a process, since freed memory is used again.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from ensam.checkpoint import load_checkpoint
from ensam.geometry import Grid
from ensam.prompts import Box, Point, PromptSet
from ensam.session import InteractiveSession
from ensam.volume import Volume


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--edge", type=int, nargs="+", default=[128], help="one of a cube, or three: z y x")
    parser.add_argument("--objects", type=int, default=1)
    parser.add_argument("--clicks", type=int, default=0)
    parser.add_argument("--precision", choices=("float32", "auto"), default="auto")
    options = parser.parse_args()
    if options.precision == "float32":
        mock.patch("ensam.device.multiplies_bfloat16", lambda: False).start()
    # Every thread holds buffers of its own.
    torch.set_num_threads(1)
    shape, rng = tuple(options.edge * 3)[:3], np.random.default_rng(0)
    shipped = load_checkpoint(None)
    checkpoint = replace(shipped, voxel_budget=math.prod(shape))
    array = rng.normal(size=shape).astype(np.float32)
    session = InteractiveSession(checkpoint, "cpu")
    session.set_volume(Volume(array, Grid(shape, np.eye(4)), "noise"))
    last = np.subtract(shape[::-1], 1.0)
    box = Box.from_bounds_ras((0.0,) * 3, last)
    boxed, clicked = PromptSet(box), PromptSet(box, (Point(tuple(last / 3), True),))
    first, click = (peak_mb(session, [prompts] * options.objects) for prompts in (boxed, clicked))
    name = " x ".join(map(str, shape))
    print(
        f"{name}: first prompt {first:.0f}, click {click:.0f}, features {session.cache.nbytes / 1e6:.0f} MB"
    )
    for number in range(1, options.clicks + 1):
        points = (Point(tuple(rng.uniform(2, last - 2)), i > 0) for i in range(4))
        session.segment(PromptSet(box, tuple(points)))
        if number in (20, options.clicks // 2, options.clicks):
            print(f"  after {number} clicks {_status('VmRSS'):.0f} MB resident")


def peak_mb(session: InteractiveSession, prompts: Sequence[PromptSet]) -> float:
    """What an answer needs at its peak beyond what the process held before, MB."""
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
    before = _status("VmRSS")
    session.segment_all(prompts)
    return _status("VmHWM") - before


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key + ":")) * 1024 / 1e6


if __name__ == "__main__":
    main()
