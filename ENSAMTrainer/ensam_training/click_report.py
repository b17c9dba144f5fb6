"""What a trial of clicks found: a CSV of all steps, and a summary a condition as text and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from ensam.files import write_text

from ensam_training.click_quality import CLICK, CONFIRMING, Step
from ensam_training.evaluation import CLICK_ROUNDS
from ensam_training.report import write_table

CLEARLY = 0.01  # of the Dice coefficient


@dataclass(frozen=True)
class ClickSummary:
    """What the clicks of one condition did, means over clicks unless said otherwise.

    dsc: means over objects by the number of clicks; lowered, lowered_clearly: share of clicks that lowered
    the Dice coefficient, and by more than `CLEARLY`; loss: mean of what those lost; obeyed: share of clicked
    voxels that end on the asked side, all_obeyed: of objects of which all are at the end. Shares of all
    changed voxels: far, beyond, far_worse; edge_moved: share of the far edge that moved by more than a voxel
    (see `Change`), edge_shifted: far changed voxels a voxel of the far edge, so that edges that move by one
    voxel count as well. confirming_*: the same for clicks on what is right already; confirming_changed is
    in changed voxels a voxel of the answer. nan where there was nothing to count.
    """

    condition: str
    objects: int
    clicks: int
    dsc: tuple[float, ...]
    lowered: float
    lowered_clearly: float
    loss: float
    gain: float
    obeyed: float
    all_obeyed: float
    far: float
    beyond: float
    far_worse: float
    edge_moved: float
    edge_shifted: float
    confirming_lowered: float
    confirming_gain: float
    confirming_changed: float
    confirming_edge_moved: float
    seconds: float


def summarise(steps: Sequence[Step]) -> list[ClickSummary]:
    """One summary a condition, in the order of their first steps."""
    return [
        _summarise(name, [step for step in steps if step.condition == name])
        for name in dict.fromkeys(step.condition for step in steps)
    ]


def _summarise(condition: str, steps: Sequence[Step]) -> ClickSummary:
    objects: dict[tuple[str, int], list[Step]] = {}
    for step in steps:
        if step.kind != CONFIRMING:
            objects.setdefault((step.case, step.label), []).append(step)
    clicks = [step for step in steps if step.kind == CLICK]
    losses = [step.before - step.dsc for step in clicks if step.dsc < step.before]
    confirming = [step for step in steps if step.kind == CONFIRMING]
    # An object that was right before its last click stays so.
    curves = [
        [s.dsc for s in own] + [own[-1].dsc] * (CLICK_ROUNDS + 1 - len(own)) for own in objects.values()
    ]
    return ClickSummary(
        condition,
        len(objects),
        len(clicks),
        tuple(float(v) for v in np.mean(curves, axis=0)),
        _ratio(len(losses), len(clicks)),
        _ratio(sum(loss > CLEARLY for loss in losses), len(clicks)),
        _ratio(sum(losses), len(losses)),
        _ratio(sum(s.dsc - s.before for s in clicks), len(clicks)),
        _ratio(sum(s.obeyed for s in clicks), len(clicks)),
        _ratio(sum(own[-1].all_obeyed for own in objects.values()), len(objects)),
        *(_pooled(clicks, part, "changed") for part in ("far", "beyond", "far_worse")),
        _pooled(clicks, "edge_moved", "far_edge"),
        _pooled(clicks, "far", "far_edge"),
        _ratio(sum(s.dsc < s.before for s in confirming), len(confirming)),
        _ratio(sum(s.dsc - s.before for s in confirming), len(confirming)),
        _pooled(confirming, "changed", "voxels"),
        _pooled(confirming, "edge_moved", "far_edge"),
        _ratio(sum(s.seconds for s in clicks), len(clicks)),
    )


def summary_text(summaries: Sequence[ClickSummary]) -> str:
    """A line a condition: Dice coefficients, then the shares in per cent."""
    rounds = "".join(f"{'box' if n == 0 else n:>7}" for n in range(CLICK_ROUNDS + 1))
    head = "".join(f"{name:>10}" for name in _columns(summaries[0]))
    lines = [f"{'condition':<10}{'clicks':>7}{rounds}{head}"]
    for of in summaries:
        by_round = "".join(f"{value:>7.3f}" for value in of.dsc)
        values = "".join(f"{value:>10}" for value in _columns(of).values())
        lines.append(f"{of.condition:<10}{of.clicks:>7}{by_round}{values}")
    lines.append(
        "lowered: clicks that lower the Dice. far: changed voxels farther from the click than a quarter of\n"
        "the object; worse: those that became wrong. edge: share of the far edge that moved by more than a\n"
        "voxel; shifted: far changed voxels a voxel of that edge. idle: clicks on what is right already\n"
        "that lower the Dice, and the far edge that they move."
    )
    return "\n".join(lines)


def _columns(of: ClickSummary) -> dict[str, str]:
    return {
        "lowered": f"{of.lowered:.1%}",
        "by>.01": f"{of.lowered_clearly:.1%}",
        "loss": f"{of.loss:.4f}",
        "gain": f"{of.gain:.4f}",
        "obeyed": f"{of.obeyed:.1%}",
        "far": f"{of.far:.1%}",
        "worse": f"{of.far_worse:.1%}",
        "edge": f"{of.edge_moved:.1%}",
        "shifted": f"{of.edge_shifted:.1%}",
        "idle": f"{of.confirming_lowered:.1%}",
        "idle edge": f"{of.confirming_edge_moved:.1%}",
    }


def write_csv(path: Path | str, steps: Sequence[Step]) -> None:
    """A row a step, whole or not at all. Raises `OutputError`."""
    write_table(path, [field.name for field in fields(Step)], [asdict(step) for step in steps])


def write_json(path: Path | str, summaries: Sequence[ClickSummary]) -> None:
    """The summaries by condition, null for what could not be counted. Raises `OutputError`."""
    values = {}
    for of in summaries:
        row = {key: value for key, value in asdict(of).items() if key != "condition"}
        row["dsc"] = [round(value, 4) for value in of.dsc]
        values[of.condition] = {
            key: (None if np.isnan(value) else round(value, 4)) if isinstance(value, float) else value
            for key, value in row.items()
        }
    write_text(path, json.dumps(values, indent=2) + "\n")


def _pooled(steps: Sequence[Step], part: str, whole: str) -> float:
    return _ratio(sum(getattr(s, part) for s in steps), sum(getattr(s, whole) for s in steps))


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
