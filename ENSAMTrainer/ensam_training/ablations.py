"""The paper's ablations and those it left out: one switch at a time, at equal cost; table and plot."""

from __future__ import annotations

import csv
import json
import multiprocessing
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ensam.errors import InputError
from ensam.files import make_folder, replacing, write_text
from ensam.network import NetworkConfig

from ensam_training.configuration import TrainingConfig
from ensam_training.coreset import divided_patients
from ensam_training.curves import read_rows, smoothed
from ensam_training.distributed import Alone
from ensam_training.pool import end_with_parent
from ensam_training.training import RunOptions, train
from ensam_training.training_data import TrainingData

_LAST = 50  # steps whose mean loss the table gives
_SMOOTHED = 6  # rows of log.csv in the plot's running mean


@dataclass(frozen=True)
class Variant:
    """A run of the table: what it shows, and its differences from the base."""

    name: str
    title: str
    network: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)


# The base is the paper's network: LieRE, normalised attention, no dense prompt maps, Muon. There positions
# reach the mask by the attention alone, which is where they can show what they are worth.
BASE = NetworkConfig.paper()
_ADAM = {"optimiser": "adam"}
VARIANTS = (
    Variant("base", "LieRE + Muon (the paper's model)"),
    Variant("liere-adam", "LieRE + Adam (paper)", training=_ADAM),
    Variant("absolute-adam", "absolute positions + Adam (paper)", {"position": "absolute"}, _ADAM),
    Variant("standard-attention", "standard attention instead of normalised", {"attention": "standard"}),
    Variant("dense-prompts", "with dense prompt maps", {"dense_prompts": True}),
    Variant("millimetres", "positions in mm instead of window lengths", {"position_unit": "mm"}),
)
# Short runs that find the learning rate of either optimiser before they are compared.
RATES = tuple(
    Variant(f"{kind}-{lr:g}", f"{kind} with learning rate {lr:g}", training={"optimiser": kind, key: lr})
    for kind, key, rates in (
        ("adam", "adam_lr", (3e-4, 1e-3, 3e-3)),
        ("muon", "muon_lr", (0.003, 0.01, 0.03)),
    )
    for lr in rates
)
SUITES = {"ablations": VARIANTS, "rates": RATES}


@dataclass(frozen=True)
class Result:
    """What one variant came to. dice: of held-out objects after the box and after each click."""

    variant: str
    title: str
    steps: int
    cpu_minutes: float
    loss_box: float
    loss_clicks: float
    dice: tuple[float, ...]


def chosen(suite: str, only: Sequence[str] | None) -> list[Variant]:
    """The variants of a suite, or those named. Raises InputError."""
    variants = SUITES[suite]
    unknown = set(only or ()) - {v.name for v in variants}
    if unknown:
        known = ", ".join(v.name for v in variants)
        raise InputError(f"There is no variant '{min(unknown)}': choose from {known}.")
    return [v for v in variants if not only or v.name in only]


def ablate(
    variants: Sequence[Variant],
    config: TrainingConfig,
    data: TrainingData,
    folder: Path,
    jobs: int = 1,
    threads: int | None = None,
    workers: int | None = None,
    device: torch.device | None = None,
    say: Callable[[str], None] = print,
    pool: Executor | None = None,
) -> list[Result]:
    """Trains each variant in `folder`/NAME, `jobs` at a time, and writes ablations.csv, .md and .png.

    Each has a process of its own, so that all pay alike for the kernels that are compiled for each window
    shape. A variant that is done is not run again, and one that was interrupted goes on. workers: of each
    variant, see `RunOptions`. Gives the results of those that are done: not of all when a process was asked
    to stop. Raises InputError, also when no case is held out.
    """
    training, validation = data.cases()
    if not validation:
        raise InputError("Variants are compared by held-out cases, and there are none: hold some out.")
    if warning := divided_patients(training, validation):
        say(f"Warning: {warning}")
    make_folder(folder)
    context = multiprocessing.get_context("spawn")
    waiting = [v for v in variants if not (folder / v.name / "result.json").is_file()]
    running: set[Future] = set()
    with pool or ProcessPoolExecutor(jobs, context, _begin, max_tasks_per_child=1) as pool:
        while waiting or running:
            # Those alone that can run: after Ctrl+C a pool still does what it was given.
            while waiting and len(running) < jobs:
                variant = waiting.pop(0)
                place = folder / variant.name
                running.add(pool.submit(run_variant, variant, config, data, place, threads, workers, device))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for result in (future.result() for future in done):
                if result is None:
                    waiting = []
                    continue
                say(f"{result.variant}: {result.steps} steps, Dice {result.dice}")
                write_results(folder, variants)
    return write_results(folder, variants)


def _begin() -> None:
    end_with_parent()
    # A process that waits for a variant and dies of Ctrl+C would take the others with it, before they save.
    # One that trains minds it nevertheless.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run_variant(
    variant: Variant,
    config: TrainingConfig,
    data: TrainingData,
    folder: Path,
    threads: int | None = None,
    workers: int | None = None,
    device: torch.device | None = None,
) -> Result | None:
    """Trains one variant to the limit and writes `folder`/result.json. None if it was stopped before."""
    if threads:
        torch.set_num_threads(threads)
    training, validation = data.cases()
    network = replace(BASE, **variant.network)
    config = replace(config, **variant.training)
    options = RunOptions(workers, log_every=10, bar=False)
    trainer = train(network, config, training, validation, folder, options=options, team=Alone(device))
    if trainer.progress() < 1:
        return None
    log, scores = read_rows(folder / "log.csv"), read_rows(folder / "validation.csv")[-1]
    last = log[-max(1, _LAST // options.log_every) :]
    result = Result(
        variant.name,
        variant.title,
        trainer.step_count,
        round(trainer.cpu_seconds / 60, 2),
        round(float(np.mean([r["loss_box"] for r in last])), 4) if last else float("nan"),
        round(float(np.mean([r["loss_clicks"] for r in last])), 4) if last else float("nan"),
        tuple(v for name, v in scores.items() if name.startswith("dice_")),
    )
    write_text(folder / "result.json", json.dumps(result.__dict__, indent=2))
    return result


def write_results(folder: Path, variants: Sequence[Variant]) -> list[Result]:
    """The table (CSV and Markdown) and the plot of the variants that are done."""
    results = []
    for variant in variants:
        path = folder / variant.name / "result.json"
        if path.is_file():
            values = json.loads(path.read_text(encoding="utf-8"))
            results.append(Result(**{**values, "dice": tuple(values["dice"])}))
    if results:
        _write_csv(folder / "ablations.csv", results)
        write_text(folder / "ablations.md", table(results))
        _plot(folder, results)
    return results


def table(results: Sequence[Result]) -> str:
    """The results as a Markdown table."""
    clicks = [str(i) for i in range(1, len(results[0].dice))]
    header = ["variant", "steps", "CPU minutes", "loss after box", "after clicks", "Dice after box", *clicks]
    lines = [header, ["---"] * len(header)]
    lines += [
        [
            r.title,
            f"{r.steps:,}",
            f"{r.cpu_minutes:g}",
            *(f"{v:.3f}" for v in (r.loss_box, r.loss_clicks, *r.dice)),
        ]
        for r in results
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _write_csv(path: Path, results: Sequence[Result]) -> None:
    clicks = [f"dice_{i}" for i in range(1, len(results[0].dice))]
    header = ["variant", "title", "steps", "cpu_minutes", "loss_box", "loss_clicks", "dice_box", *clicks]
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([*list(r.__dict__.values())[:-1], *r.dice] for r in results)


def _plot(folder: Path, results: Sequence[Result]) -> None:
    """Left the loss after clicks over processor time, right the last Dice by click."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for result in results:
        log = read_rows(folder / result.variant / "log.csv")
        losses = smoothed([row["loss_clicks"] for row in log], _SMOOTHED)
        left.plot([row["cpu_minutes"] for row in log], losses, lw=1.2)
        right.plot(result.dice, "o-", ms=3, label=result.title)
    left.set(xlabel="minutes of processor time", ylabel="loss after clicks (running mean)")
    right.set(xlabel="clicks after the box", ylabel="Dice of held-out objects")
    right.legend(fontsize="small")
    with replacing(folder / "ablations.png") as temporary:
        figure.savefig(temporary, dpi=120)
