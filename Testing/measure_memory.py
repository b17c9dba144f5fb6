"""Peak memory of a first prompt and of a click in a cubic window, and what many clicks leave (Linux).

    python Testing/measure_memory.py --edge 128 --clicks 200 [--precision float32]

In MB, beyond what the process held before; one window a process, since freed memory is used again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from ensam.checkpoint import Checkpoint, load_checkpoint
from ensam.geometry import Grid
from ensam.prompts import Box, Point, PromptSet
from ensam.session import InteractiveSession
from ensam.volume import Volume


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--edge", type=int, default=128)
    parser.add_argument("--clicks", type=int, default=0)
    parser.add_argument("--precision", choices=("float32", "auto"), default="auto")
    options = parser.parse_args()
    if options.precision == "float32":
        mock.patch("ensam.device.has_matrix_units", lambda: False).start()
    # Every thread holds buffers of its own.
    torch.set_num_threads(1)
    edge, rng = options.edge, np.random.default_rng(0)
    shipped = load_checkpoint(None)
    checkpoint = Checkpoint(shipped.config, edge**3, shipped.card, shipped.digest, shipped.state)
    array = rng.normal(size=(edge,) * 3).astype(np.float32)
    session = InteractiveSession(checkpoint, "cpu")
    session.set_volume(Volume(array, Grid((edge,) * 3, np.eye(4)), "noise"))
    box = Box.from_bounds_ras((0.0,) * 3, (edge - 1.0,) * 3)
    first = _peak(session, PromptSet(box))
    click = _peak(session, PromptSet(box, (Point((edge / 3,) * 3, True),)))
    print(
        f"{edge}^3: first prompt {first:.0f}, click {click:.0f}, features {session.cache.nbytes / 1e6:.0f} MB"
    )
    for number in range(1, options.clicks + 1):
        points = (Point(tuple(rng.uniform(2, edge - 3, 3)), i > 0) for i in range(4))
        session.segment(PromptSet(box, tuple(points)))
        if number in (20, options.clicks // 2, options.clicks):
            print(f"  after {number} clicks {_status('VmRSS'):.0f} MB resident")


def _peak(session: InteractiveSession, prompts: PromptSet) -> float:
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
    before = _status("VmRSS")
    session.segment(prompts)
    return _status("VmHWM") - before


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key + ":")) * 1024 / 1e6


if __name__ == "__main__":
    main()
