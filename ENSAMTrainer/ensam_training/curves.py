"""What a run writes down: CSV files and the learning curve."""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ensam.files import not_written, replacing

LOG = ("step", "minutes", "cpu_minutes", "loss_box", "loss_clicks", "rate")
VALIDATION = ("step", "minutes", "cpu_minutes", "dice_box")  # and dice_1, dice_2, ... after each click


class RunLog:
    """log.csv, validation.csv and curve.png in a run's folder.

    Resuming drops the rows after the saved step, which will come again.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.folder = folder
        for name in ("log.csv", "validation.csv"):
            _keep_until(folder / name, step)

    def losses(self, row: Sequence[float]) -> None:
        """A row of `LOG`."""
        _append(self.folder / "log.csv", LOG, row)

    def validation(self, row: Sequence[float]) -> None:
        """A row of `VALIDATION` with the Dice after the box and after each click."""
        clicks = [f"dice_{i}" for i in range(1, len(row) - len(VALIDATION) + 1)]
        _append(self.folder / "validation.csv", (*VALIDATION, *clicks), row)
        draw(self.folder)


def draw(folder: Path) -> None:
    """Writes curve.png: losses and validation Dice over the minutes. Raises OutputError."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    log, validation = read_rows(folder / "log.csv"), read_rows(folder / "validation.csv")
    for name, label in (("loss_box", "after the box"), ("loss_clicks", "after clicks")):
        losses = smoothed([r[name] for r in log], max(1, len(log) // 20))
        left.plot([r["minutes"] for r in log], losses, label=label)
    for name in (n for n in (validation[0] if validation else ()) if n.startswith("dice_")):
        label = "box" if name == "dice_box" else f"click {name.removeprefix('dice_')}"
        right.plot([r["minutes"] for r in validation], [r[name] for r in validation], "o-", ms=3, label=label)
    left.set(xlabel="minutes of stepping", ylabel="loss (running mean)")
    right.set(xlabel="minutes of stepping", ylabel="Dice of held-out objects")
    for axes in (left, right):
        if axes.lines:
            axes.legend()
    with replacing(folder / "curve.png") as temporary:
        figure.savefig(temporary, dpi=110)


def read_rows(path: Path) -> list[dict[str, float]]:
    """The whole rows of a log, also of one that is being written; empty if it can't be read."""
    try:
        header, rows = _whole_rows(path)
    except OSError:
        return []
    return [dict(zip(header, map(float, row), strict=True)) for row in rows]


def smoothed(values: Sequence[float], width: int) -> np.ndarray:
    """The running mean over `width` values, shorter at the beginning."""
    total = np.cumsum(np.asarray(values, float))
    ahead = np.concatenate((np.zeros(width), total))[: len(total)]
    return (total - ahead) / np.minimum(np.arange(1, len(total) + 1), width)


def _append(path: Path, header: Sequence[str], row: Sequence[float]) -> None:
    whole = os.path.getsize(path) if os.path.isfile(path) else 0
    try:
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerows([row] if whole else [header, row])
    except OSError as error:
        # Half a row would make the next one unreadable.
        with contextlib.suppress(OSError):
            os.truncate(path, whole)
        raise not_written(path, error.strerror) from error


def _keep_until(path: Path, step: int) -> None:
    header, rows = _whole_rows(path)
    if not header:  # nor must the next rows lack theirs
        path.unlink(missing_ok=True)
        return
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *(row for row in rows if float(row[0]) <= step)])


def _whole_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """The header of a log and its rows of numbers, without those that a full disk or a dead process tore."""
    if not path.is_file():
        return [], []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        whole = [line.rstrip("\r\n").split(",") for line in file if line.endswith("\n")]
    header, rows = (whole[0], whole[1:]) if whole else ([], [])
    return header, [row for row in rows if len(row) == len(header) and all(map(_is_number, row))]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
