"""What an evaluation found: a CSV of all scores, a summary a method as text and JSON, and a plot."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from ensam.files import replacing
from matplotlib.figure import Figure

from ensam_training.evaluation import CLICK_ROUNDS, TOLERANCE_MM, Score


@dataclass(frozen=True)
class Summary:
    """A method's means over the cases.

    `dsc` and `nsd` hold a value for each round, from the box alone to the last click; `seconds` is the mean
    time of an answer. The properties are the challenge's four measures.
    """

    method: str
    cases: int
    dsc: tuple[float, ...]
    nsd: tuple[float, ...]
    seconds: float

    @property
    def dsc_auc(self) -> float:
        """See `area_under_curve`."""
        return area_under_curve(self.dsc)

    @property
    def nsd_auc(self) -> float:
        """See `area_under_curve`."""
        return area_under_curve(self.nsd)

    @property
    def dsc_final(self) -> float:
        """The Dice coefficient after the last click."""
        return self.dsc[-1]

    @property
    def nsd_final(self) -> float:
        """The surface Dice after the last click."""
        return self.nsd[-1]


def area_under_curve(by_round: Sequence[float]) -> float:
    """The trapezoid over the five click rounds of six rounds, so at most 4: the box alone doesn't count.

    The mean over cases of the area is the area of the means.
    """
    return float(np.trapezoid(by_round[1:]))


def summarise(scores: Sequence[Score]) -> list[Summary]:
    """One summary a method, in the order of their first scores. Scores of all six rounds are needed."""
    summaries = []
    for method in dict.fromkeys(score.method for score in scores):
        own = [score for score in scores if score.method == method]
        rounds = [[score for score in own if score.round == number] for number in range(CLICK_ROUNDS + 1)]
        summaries.append(
            Summary(
                method,
                len(rounds[0]),
                tuple(float(np.mean([score.dsc for score in of_round])) for of_round in rounds),
                tuple(float(np.mean([score.nsd for score in of_round])) for of_round in rounds),
                float(np.mean([score.seconds for score in own])),
            )
        )
    return summaries


def summary_text(summaries: Sequence[Summary]) -> str:
    """A table of a line a method: DSC after 0 to 5 clicks, the challenge's four measures, seconds."""
    rounds = "".join(f"{f'DSC_{number}':>7}" for number in range(CLICK_ROUNDS + 1))
    lines = [f"{'method':<16}{rounds}{'DSC_AUC':>9}{'NSD_AUC':>9}{'DSC_Final':>11}{'NSD_Final':>11}{'s':>8}"]
    for of in summaries:
        by_round = "".join(f"{value:>7.3f}" for value in of.dsc)
        areas = f"{of.dsc_auc:>9.3f}{of.nsd_auc:>9.3f}{of.dsc_final:>11.3f}{of.nsd_final:>11.3f}"
        lines.append(f"{of.method:<16}{by_round}{areas}{of.seconds:>8.2f}")
    return "\n".join(lines)


def write_json(path: Path | str, summaries: Sequence[Summary]) -> None:
    """The summaries by method, for a checkpoint's card, whole or not at all. Raises `OutputError`."""
    values = {
        of.method: {
            "cases": of.cases,
            "DSC_by_click": [round(value, 4) for value in of.dsc],
            "NSD_by_click": [round(value, 4) for value in of.nsd],
            "DSC_AUC": round(of.dsc_auc, 4),
            "NSD_AUC": round(of.nsd_auc, 4),
            "DSC_Final": round(of.dsc_final, 4),
            "NSD_Final": round(of.nsd_final, 4),
        }
        for of in summaries
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def write_csv(path: Path | str, scores: Sequence[Score]) -> None:
    """A row a score, whole or not at all. Raises `OutputError`."""
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Score)])
        table.writeheader()
        for score in scores:
            row = asdict(score)
            table.writerow(row | {key: round(row[key], 5) for key in ("dsc", "nsd", "seconds")})


def write_plot(path: Path | str, summaries: Sequence[Summary]) -> None:
    """DSC and NSD by the number of clicks, a line a method, as PNG, whole or not at all.

    Raises `OutputError`.
    """
    figure = Figure(figsize=(9, 4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    titles = ("Dice (DSC)", f"Surface Dice (NSD, {TOLERANCE_MM:g} mm)")
    for panel, title, measure in zip(panels, titles, ("dsc", "nsd"), strict=True):
        for of in summaries:
            panel.plot(range(CLICK_ROUNDS + 1), getattr(of, measure), marker="o", label=of.method)
        panel.set(title=title, xlabel="Clicks an object, after the box", ylim=(0, 1))
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel(f"Mean of {summaries[0].cases} cases")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
