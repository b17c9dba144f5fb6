"""Fine-tuning a checkpoint on a few cases, and the proof that it helped on held-out ones."""

from __future__ import annotations

import copy
import csv
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ensam import __version__
from ensam.checkpoint import Checkpoint, save_checkpoint
from ensam.errors import InputError
from ensam.files import replacing
from ensam.network import ENSAM

from ensam_training.cases import Case
from ensam_training.configuration import Limit, TrainingConfig
from ensam_training.coreset import split
from ensam_training.distributed import Alone
from ensam_training.training import RunOptions, train
from ensam_training.validation import ObjectScore, score_objects

# On eight cases and four minutes the best of 0.002, 0.006, 0.015 and 0.03: see the training log.
MUON_LR, REST_LR = 0.015, 1e-3
PATIENCE = 4  # validations without a better result before it stops
VALIDATIONS = 10
MINIMUM_GAIN = 0.001  # of the mean Dice: less is chance, and not worth other weights
_OBJECTS_PER_CASE = 6
Say = Callable[[str], None]


@dataclass(frozen=True)
class FinetuningData:
    """Who is trained on, who chooses the weights and ends the run, and who judges the result.

    validation may be empty; test is validation itself unless it was given apart. warning: what the user must
    know about a judgement that is worth less than it looks, or "".
    """

    training: Sequence[Case]
    validation: Sequence[Case]
    test: Sequence[Case]
    warning: str = ""


@dataclass(frozen=True)
class Comparison:
    """The Dice of one held-out object after the box and after each click, before and after fine-tuning."""

    case: str
    label: int
    before: tuple[float, ...]
    after: tuple[float, ...]


@dataclass(frozen=True)
class Outcome:
    """What fine-tuning came to. written: whether there is a new checkpoint."""

    comparisons: tuple[Comparison, ...]
    steps: int
    minutes: float
    written: bool

    @property
    def gain(self) -> float:
        """By how much the Dice rose, in the mean over objects, box and clicks."""
        if not self.comparisons:
            return 0.0
        return float(np.mean([np.subtract(c.after, c.before) for c in self.comparisons]))


def divide(cases: Sequence[Case], share: float, seed: int, test: Sequence[Case] = ()) -> FinetuningData:
    """Holds out a share of the patients; of a single patient, of the objects; of a single object nothing.

    Raises InputError for a share outside 0..1.
    """
    if not 0 < share < 1:
        raise InputError(f"A share of {share:g} isn't between 0 and 1: use for example 0.25.")
    if len({case.group for case in cases}) > 1:
        training, validation = split(cases, share, seed)
        return held_out(training, validation, test)
    objects = [(index, label) for index, case in enumerate(cases) for label in case.objects]
    if len(objects) < 2:
        warning = "There is only one object, so nothing is held out: whether the result is better is unknown."
        return FinetuningData(cases, (), test, "" if test else warning)
    order = np.random.default_rng(seed).permutation(len(objects))
    count = min(len(objects) - 1, max(1, round(share * len(objects))))
    kept = {objects[i] for i in order[count:]}
    training = [_with_objects(c, [n for n in c.objects if (i, n) in kept]) for i, c in enumerate(cases)]
    validation = [_with_objects(c, [n for n in c.objects if (i, n) not in kept]) for i, c in enumerate(cases)]
    divided = held_out(_not_empty(training), _not_empty(validation), test)
    warning = "All cases are of one patient: other objects of it are held out, but no other patient."
    return FinetuningData(divided.training, divided.validation, divided.test, warning)


def held_out(
    training: Sequence[Case], validation: Sequence[Case], test: Sequence[Case] = ()
) -> FinetuningData:
    """Named cases. Raises InputError if there is nothing to train on."""
    if not any(case.objects for case in training):
        raise InputError("No case is left to train on: hold fewer out.")
    warning = "" if test else "The same held-out cases choose the weights and judge them: a little too kind."
    return FinetuningData(training, validation, test or validation, warning)


def default_config(checkpoint: Checkpoint, limit: Limit, **changes: Any) -> TrainingConfig:
    """Learning rates below those of training, windows up to the checkpoint's, and few synthetic ones."""
    budget = checkpoint.voxel_budget
    values = {
        "limit": limit,
        "budget": (min(24**3, budget), budget),
        "validation_budget": budget,
        "muon_lr": MUON_LR,
        "rest_lr": REST_LR,
        "warmup_steps": 20,
        "ema": 0.99,
        "synthetic_share": 0.1,
        "validate_every": limit.amount / VALIDATIONS,
        "patience": PATIENCE,
    }
    return TrainingConfig(**{**values, **changes})


def finetune(
    checkpoint: Checkpoint,
    start: Path,
    data: FinetuningData,
    config: TrainingConfig,
    output: Path,
    card: dict[str, Any],
    options: RunOptions | None = None,
    device: torch.device | None = None,
    say: Say = print,
) -> Outcome:
    """Trains `checkpoint`, which lies at `start`, on data.training and writes `output` only if it is better.

    Better is a mean Dice that is higher by MINIMUM_GAIN on data.test; with no case to judge, the result is
    written and its card says so. The table goes to `output` with the ending .before-after.csv in any case.
    card: name, licence and what else the user says of the result. Raises InputError.
    """
    device = device or torch.device("cpu")
    if data.warning:
        say(f"Warning: {data.warning}")
    base = checkpoint.network().to(device)
    before = _scores(base, data.test, config)
    first = before if data.test is data.validation else _scores(base, data.validation, config)
    to_beat = float(np.mean([s.dice for s in first])) if first else -np.inf
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".finetuning-", dir=output.parent) as folder:
        options = options or RunOptions(log_every=10)
        run = train(
            checkpoint.config,
            config,
            data.training,
            data.validation,
            Path(folder),
            start,
            RunOptions(**{**options.__dict__, "to_beat": to_beat, "objects_per_case": _OBJECTS_PER_CASE}),
            Alone(device),
            say,
        )
        best = Path(folder) / "best.pt"
        network = _rounded(ENSAM(checkpoint.config), best) if best.is_file() else base
    after = _scores(network.to(device), data.test, config)
    comparisons = tuple(
        Comparison(b.case, b.label, b.dice, a.dice) for b, a in zip(before, after, strict=True)
    )
    outcome = Outcome(comparisons, run.step_count, run.seconds / 60, written=False)
    if comparisons:
        _write_csv(output.with_suffix(".before-after.csv"), comparisons)
        say(table(comparisons))
    if comparisons and outcome.gain < MINIMUM_GAIN:
        return outcome
    full = _card(checkpoint, data, outcome, card)
    save_checkpoint(output, network.cpu(), checkpoint.voxel_budget, full)
    return Outcome(comparisons, outcome.steps, outcome.minutes, written=True)


def table(comparisons: Sequence[Comparison]) -> str:
    """Before and after for each case and the mean of all objects, as aligned text."""
    lines = [f"{'held-out case':<32}{'objects':>8}{'box':>16}{'last click':>16}"]
    for name in dict.fromkeys(c.case for c in comparisons):
        lines.append(_line(name, [c for c in comparisons if c.case == name]))
    return "\n".join([*lines, _line("mean of all objects", comparisons)])


def _line(name: str, own: Sequence[Comparison]) -> str:
    before, after = (np.mean([getattr(c, side) for c in own], axis=0) for side in ("before", "after"))
    columns = "".join(f"{before[i]:>8.3f} > {after[i]:.3f}" for i in (0, -1))
    return f"{name:<32}{len(own):>8}{columns}"


def _write_csv(path: Path, comparisons: Sequence[Comparison]) -> None:
    clicks = ["box", *(f"click_{i}" for i in range(1, len(comparisons[0].before)))]
    header = ["case", "label", *(f"{side}_{c}" for side in ("before", "after") for c in clicks)]
    means = [
        np.mean([getattr(c, side) for c in comparisons], axis=0).round(4) for side in ("before", "after")
    ]
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for c in comparisons:
            writer.writerow([c.case, c.label, *np.round([*c.before, *c.after], 4).tolist()])
        writer.writerow(["mean", "", *(float(v) for side in means for v in side)])


def _scores(network: ENSAM, cases: Sequence[Case], config: TrainingConfig) -> list[ObjectScore]:
    if not cases:
        return []
    return score_objects(network, cases, config.validation_budget, _OBJECTS_PER_CASE)


def _rounded(network: ENSAM, best: Path) -> ENSAM:
    """The network with the best weights in the half precision in which they will be written."""
    state = torch.load(best, map_location="cpu", weights_only=True)["network"]
    network.load_state_dict({name: tensor.half().float() for name, tensor in state.items()})
    return network.eval().requires_grad_(False)


def _card(
    checkpoint: Checkpoint, data: FinetuningData, outcome: Outcome, card: dict[str, Any]
) -> dict[str, Any]:
    """The base's card with what was added, who says so, and the proof."""
    base = checkpoint.card
    metrics: dict[str, Any] = {"judged_on": sorted({c.case for c in outcome.comparisons})}
    if outcome.comparisons:
        for side in ("before", "after"):
            values = np.mean([getattr(c, side) for c in outcome.comparisons], axis=0)
            metrics[f"dice_{side}"] = values.round(4).tolist()
    if data.warning:
        metrics["note"] = data.warning
    added = {
        "dataset": ", ".join(sorted({case.dataset for case in data.training})),
        "cases": len(data.training),
        "licence": card.get("licence", "not stated"),
        "source": "fine-tuning, by the maker of this checkpoint",
    }
    kept = {k: v for k, v in base.items() if k not in ("architecture", "voxel_budget", "metrics", "training")}
    return {
        **kept,
        **card,
        "training_data": [*base.get("training_data", []), added],
        "base": {
            "name": base.get("name", ""),
            "digest": checkpoint.digest,
            "licence": base.get("licence", ""),
        },
        "fine_tuning": {
            "cases": [case.name for case in data.training],
            "steps": outcome.steps,
            "minutes": round(outcome.minutes, 2),
        },
        "metrics": metrics,
        "date": datetime.now(UTC).date().isoformat(),
        "code_version": __version__,
    }


def _with_objects(case: Case, labels: Sequence[int]) -> Case:
    """The case as if it had these objects alone."""
    other = copy.copy(case)
    object.__setattr__(other, "objects", {label: case.objects[label] for label in labels})
    return other


def _not_empty(cases: Sequence[Case]) -> list[Case]:
    return [case for case in cases if case.objects]
