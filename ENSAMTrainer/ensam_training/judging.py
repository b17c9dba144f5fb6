"""Before and after fine-tuning: the same simulated prompts on the same held-out objects."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from ensam.files import replacing
from ensam.masks import MaskCrop
from ensam.network import ENSAM

from ensam_training.cases import Case
from ensam_training.run_folder import Comparison
from ensam_training.validation import ObjectScore, score_objects

OBJECTS_PER_CASE = 6
KeepMask = Callable[[str, int, MaskCrop], None]


def scores(
    network: ENSAM, cases: Sequence[Case], budget: int, keep: KeepMask | None = None
) -> list[ObjectScore]:
    """Of up to OBJECTS_PER_CASE objects of each case; none without cases. keep: gets each last mask."""
    return score_objects(network, cases, budget, OBJECTS_PER_CASE, keep=keep) if cases else []


def compare(before: Sequence[ObjectScore], after: Sequence[ObjectScore]) -> tuple[Comparison, ...]:
    """The two scores of each object side by side."""
    return tuple(Comparison(b.case, b.label, b.dice, a.dice) for b, a in zip(before, after, strict=True))


def table(comparisons: Sequence[Comparison]) -> str:
    """Before and after for each case and the mean of all objects, as aligned text."""
    lines = [f"{'held-out case':<32}{'objects':>8}{'box':>16}{'last click':>16}"]
    for name in dict.fromkeys(c.case for c in comparisons):
        lines.append(_line(name, [c for c in comparisons if c.case == name]))
    return "\n".join([*lines, _line("mean of all objects", comparisons)])


def _line(name: str, own: Sequence[Comparison]) -> str:
    before, after = means(own)
    columns = "".join(f"{before[i]:>8.3f} > {after[i]:.3f}" for i in (0, -1))
    return f"{name:<32}{len(own):>8}{columns}"


def means(comparisons: Sequence[Comparison]) -> tuple[np.ndarray, np.ndarray]:
    """The mean Dice of all objects by click, before and after."""
    before, after = (np.mean([getattr(c, side) for c in comparisons], axis=0) for side in ("before", "after"))
    return before, after


def write_csv(path: Path, comparisons: Sequence[Comparison]) -> None:
    """A row an object and one of their means, whole or not at all. Raises OutputError."""
    clicks = ["box", *(f"click_{i}" for i in range(1, len(comparisons[0].before)))]
    header = ["case", "label", *(f"{side}_{c}" for side in ("before", "after") for c in clicks)]
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for c in comparisons:
            writer.writerow([c.case, c.label, *np.round([*c.before, *c.after], 4).tolist()])
        writer.writerow(["mean", "", *(float(v) for side in means(comparisons) for v in side.round(4))])
