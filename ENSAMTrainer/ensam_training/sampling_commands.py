"""`ensam-train synthetic`: a contact sheet of what training without data looks at."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from ensam.command_line import seed
from ensam.errors import InputError
from ensam.files import replacing

_COLUMNS = 8


def add_commands(commands: argparse._SubParsersAction) -> None:
    run = commands.add_parser("synthetic", help="draw a sheet of synthetic training volumes")
    run.add_argument("-o", "--output", type=Path, required=True, help="the .png file")
    run.add_argument("--count", type=int, default=24, help="volumes (%(default)s)")
    run.add_argument("--edge", type=int, default=48, help="their edge in voxels (%(default)s)")
    run.add_argument("--seed", type=seed, default=0, help="other seeds give other volumes (%(default)s)")
    run.set_defaults(run=_synthetic)


def _synthetic(options: argparse.Namespace) -> int:
    if options.count < 1 or not 16 <= options.edge <= 256:
        raise InputError("A sheet needs at least 1 volume of an edge of 16 to 256 voxels.")
    if options.output.suffix != ".png":
        raise InputError(f"'{options.output.name}' must end in .png: change its name.")
    write_sheet(options.output, options.count, options.edge, options.seed)
    print(f"written to {options.output}")
    return 0


def write_sheet(path: Path, count: int, edge: int, seed: int) -> None:
    """Draw volumes seed, seed + 1, ..., each by the slice with most of its objects, outlined, as PNG.

    Raises `OutputError`.
    """
    # Here, since training needs no matplotlib.
    from matplotlib.figure import Figure

    from ensam_training.synthetic import make_case

    rows = -(-count // _COLUMNS)
    figure = Figure(figsize=(1.5 * _COLUMNS, 1.5 * rows))
    figure.subplots_adjust(0, 0, 1, 1, 0.02, 0.02)
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for panel in panels:
        panel.axis("off")
    colours = ("#ff5a5f", "#3ddc97", "#ffd23f", "#5bc0ff", "#d58cff", "#ff9f5a")
    for number, panel in zip(range(count), panels, strict=False):
        image, labels = make_case((edge,) * 3, np.random.default_rng(seed + number))
        seen = np.array([[(s == k).sum() for k in range(1, 7)] for s in labels])
        # The slice that shows the objects best: each counts up to its own largest cut.
        at = int((seen / np.maximum(seen.max(0), 1)).sum(1).argmax())
        panel.imshow(image[at], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        for label in np.unique(labels[at])[1:]:
            panel.contour(labels[at] == label, [0.5], colors=colours[(label - 1) % 6], linewidths=1)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png", pil_kwargs={"optimize": True})
