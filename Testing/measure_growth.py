"""How time and memory grow with the window, the prompts, the objects and the volume (Linux).

    python Testing/measure_growth.py --plot Resources/Screenshots/growth.png

Seconds of processor time on one thread, so that other programs count little, and MB beyond what the process
held before. One process a row, one after the other, since freed memory is used again. It needs 2 GB.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
import torch
from ensam.checkpoint import load_checkpoint
from ensam.geometry import Grid
from ensam.prompts import Box, Point, PromptSet
from ensam.session import InteractiveSession
from ensam.volume import Volume
from measure_memory import peak_mb

# What grows, and how far; the rest stays at one click on one object in the shipped network's window of 48^3.
CURVES = {
    "window": ("32", "48", "64", "96", "128"),
    "clicks": ("1", "2", "5", "10", "20", "50"),
    "objects": ("1", "2", "5", "10", "20"),
    "volume": ("128 128 128 int16", "256 256 256 int16", "400 512 512 int16", "400 512 512 float32"),
}
AXES = {"window": "million voxels of the window", "volume": "MB of the volume"}
REPEATS = 3


def measure(curve: str, size: str) -> dict[str, object]:
    """One row: what grows, seconds of a first prompt in a fresh volume and of a click, and peak MB."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    shape, kind, budget = (128,) * 3, "int16", 48**3
    if curve == "window":
        budget = int(size) ** 3
        shape = (int(size),) * 3
    elif curve == "volume":
        *edges, kind = size.split()
        shape = tuple(int(edge) for edge in edges)
    array = np.empty(shape, kind)
    for plane in array:
        plane[:] = rng.normal(1000, 100, plane.shape)  # not taken for CT, which needs less
    session = InteractiveSession(replace(load_checkpoint(None), voxel_budget=budget), "cpu")
    middle = np.array(shape[::-1]) / 2
    if curve == "objects":
        places = product(range(14, 128, 24), repeat=3)
        before = [PromptSet(_box(place, 20)) for place, _ in zip(places, range(int(size)), strict=False)]
        clicked = PromptSet(before[0].box, (Point(before[0].box.center_ras, True),))
        after = [clicked, *before[1:]]
    else:
        box = _box(middle, shape[0] if curve == "window" else 48)
        count = int(size) if curve == "clicks" else 1
        offsets = rng.uniform(-20, 20, (count, 3)) if count > 1 else np.zeros((1, 3))
        points = tuple(Point(tuple(middle + offset), i % 2 == 0) for i, offset in enumerate(offsets))
        before, after = [PromptSet(box)], [PromptSet(box, points)]
    session.set_volume(_fresh(array))
    peak = peak_mb(session, before)
    first, click = [], []
    for _ in range(REPEATS):
        session.cache.clear()
        volume = _fresh(array)
        first.append(_seconds(session, before, volume))
        click.append(_seconds(session, after, volume))
    grown = {"window": budget / 1e6, "volume": array.nbytes / 1e6}.get(curve) or int(size)
    return {
        "size": grown,
        "first_s": round(median(first), 3),
        "click_s": round(median(click), 3),
        "peak_mb": round(peak),
    }


def _fresh(array: np.ndarray) -> Volume:
    """A volume of which nothing is known yet."""
    return Volume(array, Grid(array.shape, np.eye(4)), "noise")


def _box(centre: Sequence[float], edge: int) -> Box:
    return Box.from_bounds_ras(np.subtract(centre, edge / 2), np.add(centre, edge / 2 - 1))


def _seconds(session: InteractiveSession, prompts: Sequence[PromptSet], volume: Volume) -> float:
    begun = time.process_time()
    session.set_volume(volume)
    session.segment_all(prompts)
    return time.process_time() - begun


def main() -> None:
    """Print a table of all curves; with --only, one row as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the curves here as well")
    parser.add_argument("--only", nargs=2, metavar=("CURVE", "SIZE"), help="one row, as JSON")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(*options.only)))
        return
    print("| what grows | | first prompt, s | click, s | peak, MB |")
    print("|---|---|---|---|---|")
    rows: dict[str, list[dict[str, float]]] = {}
    for curve, sizes in CURVES.items():
        for size in sizes:
            command = [sys.executable, __file__, "--only", curve, size]
            one = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            rows.setdefault(curve, []).append(one)
            name = f"{size}^3" if curve == "window" else size.replace(" ", " x ", 2)
            cells = (curve, name, one["first_s"], one["click_s"], one["peak_mb"])
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    if options.plot:
        draw(rows, options.plot)


def draw(rows: dict[str, list[dict[str, float]]], path: Path) -> None:
    """One column a curve: seconds above, MB below."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, len(rows), figsize=(11, 4.4), sharex="col", layout="constrained")
    for column, (curve, points) in zip(axes.T, rows.items(), strict=True):
        for row, key, name in ((0, "first_s", "first prompt"), (0, "click_s", "click"), (1, "peak_mb", None)):
            sizes, values = ([point[which] for point in points] for which in ("size", key))
            column[row].plot(sizes, values, "o-", markersize=4, label=name)
        for axis in column:
            axis.set_xlim(0)
            axis.set_ylim(0)
            axis.spines[["top", "right"]].set_visible(False)
        column[1].set_xlabel(AXES.get(curve, curve))
    axes[0, 0].set_ylabel("s of processor time")
    axes[1, 0].set_ylabel("MB at the peak")
    axes[0, 0].legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
