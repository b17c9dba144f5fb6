"""What an evaluation found: tables of scores as CSV, JSON and Markdown, and a plot."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from ensam.errors import InputError
from ensam.files import replacing, write_text
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ensam_training.evaluation import CLICK_ROUNDS, TOLERANCE_MM, Score

_MEASURES = ("DSC_AUC", "NSD_AUC", "DSC_Final", "NSD_Final")


@dataclass(frozen=True)
class Summary:
    """A method's means over some cases.

    `dsc` and `nsd` hold a value for each round, from the box alone to the last click; `seconds` is what all
    answers of a case took, on the mean.
    """

    method: str
    cases: int
    dsc: tuple[float, ...]
    nsd: tuple[float, ...]
    seconds: float

    @property
    def measures(self) -> tuple[float, float, float, float]:
        """The challenge's four: the area under both curves, and what both have after the last click."""
        return area_under_curve(self.dsc), area_under_curve(self.nsd), self.dsc[-1], self.nsd[-1]


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
                sum(score.seconds for score in own) / len(rounds[0]),
            )
        )
    return summaries


def summarise_by(scores: Sequence[Score], key: Callable[[Score], str]) -> dict[str, list[Summary]]:
    """The summaries of each group of cases, by name: `key` is the score's modality, dataset or case."""
    return {
        group: summarise([score for score in scores if key(score) == group])
        for group in sorted({key(score) for score in scores})
    }


def summary_text(summaries: Sequence[Summary]) -> str:
    """A table of a line a method: DSC after 0 to 5 clicks, the challenge's four measures, seconds a case."""
    rounds = "".join(f"{f'DSC_{number}':>7}" for number in range(CLICK_ROUNDS + 1))
    lines = [f"{'method':<16}{rounds}{'DSC_AUC':>9}{'NSD_AUC':>9}{'DSC_Final':>11}{'NSD_Final':>11}{'s':>8}"]
    for of in summaries:
        by_round = "".join(f"{value:>7.3f}" for value in of.dsc)
        measures = "{:>9.3f}{:>9.3f}{:>11.3f}{:>11.3f}".format(*of.measures)
        lines.append(f"{of.method:<16}{by_round}{measures}{of.seconds:>8.2f}")
    return "\n".join(lines)


def summary_markdown(scores: Sequence[Score]) -> str:
    """All cases, then each modality, as tables to quote."""
    parts = [f"## All, {_cases(_count_cases(scores))}\n\n{_markdown_table(summarise(scores))}"]
    for modality, summaries in summarise_by(scores, lambda score: score.modality).items():
        parts.append(f"## {modality}, {_cases(summaries[0].cases)}\n\n{_markdown_table(summaries)}")
    parts.append("![Dice by click](evaluation.png)")
    return "\n\n".join(parts) + "\n"


def write_json(path: Path | str, scores: Sequence[Score]) -> None:
    """By method the means over all cases and over those of a modality and of a dataset, for a checkpoint's
    card; whole or not at all. Raises `OutputError`."""
    values = {of.method: _figures(of) for of in summarise(scores)}
    for name, key in (("modalities", lambda s: s.modality), ("datasets", lambda s: s.dataset)):
        for group, summaries in summarise_by(scores, key).items():
            for of in summaries:
                values[of.method].setdefault(name, {})[group] = _figures(of)
    write_text(path, json.dumps(values, indent=2) + "\n")


def write_csv(path: Path | str, scores: Sequence[Score]) -> None:
    """A row a score, whole or not at all. Raises `OutputError`."""
    write_table(path, [field.name for field in fields(Score)], [asdict(score) for score in scores])


def write_cases_csv(path: Path | str, scores: Sequence[Score]) -> None:
    """A row a case and method with all that is told of it, whole or not at all. Raises `OutputError`."""
    rounds = [f"{measure}_{n}" for measure in ("DSC", "NSD") for n in range(CLICK_ROUNDS + 1)]
    rows = []
    for case, summaries in summarise_by(scores, lambda score: score.case).items():
        about = next(score for score in scores if score.case == case)
        for of in summaries:
            row = {"method": of.method, "case": case, "modality": about.modality}
            row |= {"dataset": about.dataset, "objects": about.objects}
            row |= dict(zip(rounds, (*of.dsc, *of.nsd), strict=True))
            rows.append(row | dict(zip(_MEASURES, of.measures, strict=True)) | {"seconds": of.seconds})
    write_table(path, list(rows[0]), rows)


def read_csv(path: Path) -> list[Score]:
    """The scores that `write_csv` wrote. Raises InputError for another table."""
    types = {"objects": int, "round": int, "dsc": float, "nsd": float, "seconds": float}
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [
            Score(**{field.name: types.get(field.name, str)(row[field.name]) for field in fields(Score)})
            for row in rows
        ]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(f"'{path}' holds no scores of an evaluation: choose another folder.") from error


def write_plot(path: Path | str, scores: Sequence[Score]) -> None:
    """DSC and NSD by the number of clicks, a line a method, and below them DSC of each modality; as PNG,
    whole or not at all. Raises `OutputError`."""
    modalities = summarise_by(scores, lambda score: score.modality)
    figure = Figure(figsize=(10, 7), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(3, 2))
    panels = above.subplots(1, 2, sharey=True)
    titles = ("Dice (DSC)", f"Surface Dice (NSD, {TOLERANCE_MM:g} mm)")
    for panel, title, measure in zip(panels, titles, ("dsc", "nsd"), strict=True):
        _draw(panel, summarise(scores), measure)
        panel.set(title=title, xlabel="Clicks an object, after the box")
    panels[0].set_ylabel(f"Mean of {_cases(_count_cases(scores))}")
    small = below.subplots(1, len(modalities), sharey=True, squeeze=False)[0]
    for panel, (modality, summaries) in zip(small, modalities.items(), strict=True):
        _draw(panel, summaries, "dsc")
        panel.set_title(f"{modality}, {_cases(summaries[0].cases)}", fontsize="medium")
    small[0].set_ylabel("DSC")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _draw(panel: Axes, summaries: Sequence[Summary], measure: str) -> None:
    for of in summaries:
        panel.plot(range(CLICK_ROUNDS + 1), getattr(of, measure), marker="o", markersize=4, label=of.method)
    panel.set(ylim=(0, 1), xticks=range(CLICK_ROUNDS + 1))
    panel.grid(alpha=0.3)
    panel.spines[["top", "right"]].set_visible(False)


def _count_cases(scores: Sequence[Score]) -> int:
    return len({score.case for score in scores})


def _cases(count: int) -> str:
    return f"{count} case" if count == 1 else f"{count} cases"


def _figures(of: Summary) -> dict[str, Any]:
    return {
        "cases": of.cases,
        "DSC_by_click": [round(value, 4) for value in of.dsc],
        "NSD_by_click": [round(value, 4) for value in of.nsd],
        **{name: round(value, 4) for name, value in zip(_MEASURES, of.measures, strict=True)},
        "seconds_a_case": round(of.seconds, 2),
    }


def _markdown_table(summaries: Sequence[Summary]) -> str:
    rounds = ["box", *(str(number) for number in range(1, CLICK_ROUNDS)), f"{CLICK_ROUNDS} clicks"]
    head = ["method", *rounds, "DSC AUC", "NSD AUC", "final DSC", "final NSD", "s a case"]
    rows = [head, ["---"] * len(head)]
    for of in summaries:
        rows.append([of.method, *(f"{v:.3f}" for v in (*of.dsc, *of.measures)), f"{of.seconds:.1f}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def write_table(path: Path | str, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Rows as CSV, numbers with five places, whole or not at all. Raises `OutputError`."""
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        for row in rows:
            table.writerow({k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()})
