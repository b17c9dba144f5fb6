"""Fine-tuning a checkpoint on a few cases, and the proof that it helped on held-out ones."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ensam import __version__
from ensam.checkpoint import Checkpoint, save_checkpoint
from ensam.errors import InputError
from ensam.network import ENSAM, renormalise_

from ensam_training.beginning import hold_to_beginning, names_of, objects_of
from ensam_training.cases import Case
from ensam_training.configuration import Limit, TrainingConfig
from ensam_training.coreset import divided_patients, shuffled, split
from ensam_training.distributed import Alone
from ensam_training.judging import OBJECTS_PER_CASE, KeepMask, compare, means, scores, table, write_csv
from ensam_training.run_folder import BEST, STATE, Comparison, Outcome, Progress, Reporter
from ensam_training.stopping import StopRequest
from ensam_training.training import Run, RunOptions, train
from ensam_training.validation import mean_over_objects

# On eight new cases the better of 0.005 and 0.015: see the training log.
MUON_LR, REST_LR = 0.005, 1e-3
SMALLEST_WINDOW = 0.6  # of the largest's voxels: coarser ones teach to be coarse
VALIDATIONS = 10
MINIMUM_GAIN = 0.001  # of the mean Dice: less is chance, and not worth other weights
Say = Callable[[str], None]


@dataclass(frozen=True)
class FinetuningData:
    """Who is trained on, who chooses the weights, and who judges the result.

    validation may be empty; test is validation itself unless it was given apart. warning: what the user must
    know about a judgement that is worth less than it looks, or "".
    """

    training: Sequence[Case]
    validation: Sequence[Case]
    test: Sequence[Case]
    warning: str = ""


def divide(cases: Sequence[Case], share: float, seed: int, test: Sequence[Case] = ()) -> FinetuningData:
    """Holds out a share of the patients; of a single patient, of the objects; of a single object nothing.

    Raises InputError for a share outside 0..1.
    """
    if not 0 < share < 1:
        raise InputError(f"A share of {share:g} isn't between 0 and 1: use for example 0.25.")
    if len({case.group for case in cases}) > 1:
        training, validation = split(cases, share, seed)
        return _divided(training, validation, test)
    objects = {f"{case.name} {label}": (case.name, label) for case in cases for label in case.objects}
    count = min(len(objects) - 1, max(1, round(share * len(objects))))
    order = [objects[key] for key in shuffled(objects, seed)]
    return _divided(with_objects(cases, order[count:]), with_objects(cases, order[:count]), test)


def divide_as_begun(cases: Sequence[Case], noted: Mapping[str, Any], test: Sequence[Case]) -> FinetuningData:
    """As it is noted of a training that goes on (see `beginning`), whoever their patients are by now.

    Raises InputError if there is nothing to train on.
    """
    training, validation = (with_objects(cases, noted.get(side, ())) for side in ("trained_on", "held_out"))
    return _divided(training, validation, test)


def _divided(training: Sequence[Case], validation: Sequence[Case], test: Sequence[Case]) -> FinetuningData:
    """With what is to be known where no patient, or no object at all, could be held out."""
    data = held_out(training, validation, test)
    if not validation and not test:
        warning = "There is only one object, so nothing is held out: whether the result is better is unknown."
        return replace(data, warning=warning)
    if validation and len({case.group for case in (*training, *validation)}) == 1:
        # Cases of one saved scene count as one patient's, whose they may not all be.
        warning = (
            "All cases count as one patient's: other objects of them are held out, but no other patient."
        )
        warning = f"{warning} {divided_patients(training, test)}".strip()
        return replace(data, warning=warning)
    return data


def held_out(
    training: Sequence[Case], validation: Sequence[Case], test: Sequence[Case] = ()
) -> FinetuningData:
    """Named cases. Raises InputError if there is nothing to train on."""
    if not any(case.objects for case in training):
        raise InputError("No case is left to train on: hold fewer out.")
    test = test or validation
    warning = divided_patients(training, test if test is validation else [*validation, *test])
    if {case.group for case in validation} & {case.group for case in test}:
        same = "The same held-out patients choose the weights and judge them: a little too kind."
        warning = f"{warning} {same}".strip()
    return FinetuningData(training, validation, test, warning)


def default_config(
    checkpoint: Checkpoint, limit: Limit, edge: int | None = None, **changes: Any
) -> TrainingConfig:
    """Learning rates below those of training, and few synthetic windows.

    edge: of the largest windows, in voxels; by default the checkpoint's. The others are hardly smaller.
    """
    budget = checkpoint.voxel_budget if edge is None else edge**3
    values = {
        "limit": limit,
        "budget": (round(budget * SMALLEST_WINDOW), budget),
        "validation_budget": budget,
        "muon_lr": MUON_LR,
        "rest_lr": REST_LR,
        "warmup_steps": 20,
        "ema": 0.99,
        "synthetic_share": 0.1,
        "validate_every": limit.amount / VALIDATIONS,
    }
    return TrainingConfig(**{**values, **changes})


def finetune(
    checkpoint: Checkpoint,
    start: Path,
    data: FinetuningData,
    config: TrainingConfig,
    output: Path,
    card: dict[str, Any],
    options: RunOptions,
    device: torch.device,
    reporter: Reporter | None,
    say: Say = print,
) -> Outcome:
    """Trains `checkpoint`, which lies at `start`, on data.training and writes `output` only if it is better.

    What is judged and written are the weights halfway between the checkpoint's and the trained ones.
    Better is a mean Dice that is higher by MINIMUM_GAIN on data.test, both in windows of
    config.validation_budget voxels, so that prompts and objects are the same; with no case to judge, the
    result is written and its card says so. The table goes to `output` with the ending .before-after.csv in
    any case. card: name, licence and what else the user says of the result. reporter: is told what happens,
    and its folder keeps the state, so that the same call goes on from there. A run that is asked to stop
    judges its best weights so far; without a step there are none, and nothing is written. Raises InputError.
    """
    budget = config.validation_budget
    if data.test and budget != checkpoint.voxel_budget:
        data = replace(data, warning=f"{data.warning} {_other_windows(checkpoint, budget)}".strip())
    if data.warning:
        say(f"Warning: {data.warning}")
    begun_with = {
        "base": checkpoint.digest,
        "trained_on": names_of(data.training),
        "judges": objects_of(data.test),
    }
    if reporter is not None:
        # Before anything of the attempt before is lost.
        hold_to_beginning(reporter.path, {"held_out": objects_of(data.validation), **begun_with})
    _tell(reporter, Progress("before"))
    base = checkpoint.network().to(device)
    before = scores(base, data.test, budget, _keeper(reporter, "before"))
    first = before if data.test is data.validation else scores(base, data.validation, budget)
    stop = StopRequest(None if reporter is None else reporter.stop_file)
    options = replace(
        options,
        result=partial(_halfway, base),
        worth=mean_over_objects,  # as the result will be judged
        to_beat=mean_over_objects(first) if first else -np.inf,
        objects_per_case=OBJECTS_PER_CASE,
        stop=stop,
        watch=None if reporter is None else partial(_tell_step, reporter),
        begun_with=begun_with,
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    # A request to stop ends the stepping alone: what is trained is still judged and written.
    with stop, _folder(reporter, output) as folder:
        if reporter is not None:
            reporter.forget_outcome()
        run = train(
            checkpoint.config,
            config,
            data.training,
            data.validation,
            folder,
            start,
            options,
            Alone(device),
            say,
        )
        stopped, best = run.progress() < 1, folder / BEST
        if stopped:
            kept = "" if reporter is None else ": the same command goes on from there"
            say(f"Stopped after step {run.step_count}{kept}.")
        trained = _rounded(ENSAM(checkpoint.config), best) if best.is_file() else None
        _tell(reporter, Progress("after", 1.0, run.step_count))
        comparisons: tuple[Comparison, ...] = ()
        if trained is not None or run.step_count > 0:  # else there is nothing to judge
            judged = base if trained is None else trained.to(device)
            comparisons = compare(before, scores(judged, data.test, budget, _keeper(reporter, "after")))
        outcome = Outcome(comparisons, run.step_count, run.seconds / 60, False, stopped, data.warning)
        if outcome.comparisons:
            write_csv(output.with_suffix(".before-after.csv"), outcome.comparisons)
            say(table(outcome.comparisons))
        if trained is not None and (not outcome.comparisons or outcome.gain >= MINIMUM_GAIN):
            save_checkpoint(output, trained.cpu(), budget, _card(checkpoint, data, outcome, card))
            outcome = replace(outcome, written=True)
        if reporter is not None:
            reporter.finish(outcome)
            if not stopped:  # there is nothing to go on, and they are seven and two times the checkpoint
                for name in (STATE, BEST):
                    (folder / name).unlink(missing_ok=True)
    return outcome


def _halfway(base: ENSAM, trained: ENSAM) -> ENSAM:
    """The trained network, its weights halfway back to the base's.

    As good on data like the new as the trained weights, and they do not forget the rest: see the training
    log. After Wortsman et al., "Robust fine-tuning of zero-shot models", 2022.
    """
    with torch.no_grad():
        for own, old in zip(trained.parameters(), base.parameters(), strict=True):
            own.lerp_(old, 0.5)
    renormalise_(trained)
    return trained


def _other_windows(checkpoint: Checkpoint, budget: int) -> str:
    new, own = (round(voxels ** (1 / 3)) for voxels in (budget, checkpoint.voxel_budget))
    return f"The base is judged in windows of {new}^3 voxels; in its own of {own}^3 it may do better."


def _tell(reporter: Reporter | None, progress: Progress) -> None:
    if reporter is not None:
        reporter.say(progress)


def _tell_step(reporter: Reporter, run: Run) -> None:
    share, seconds = run.trainer.progress(), run.trainer.seconds
    left = seconds * (1 - share) / share if share else None
    reporter.say(Progress("train", share, run.trainer.step_count, left, run.dice), always=False)


def _keeper(reporter: Reporter | None, side: str) -> KeepMask | None:
    return None if reporter is None else partial(reporter.keep_mask, side)


@contextmanager
def _folder(reporter: Reporter | None, output: Path) -> Iterator[Path]:
    """Where the state is kept, for good or for the time of the run."""
    if reporter is not None:
        yield reporter.path
        return
    with tempfile.TemporaryDirectory(prefix=".finetuning-", dir=output.parent) as name:
        yield Path(name)


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
    # Numbers of cases and not their names, which may be those of patients: a card travels with its weights.
    metrics: dict[str, Any] = {"judged_on_cases": len({c.case for c in outcome.comparisons})}
    if outcome.comparisons:
        for side, values in zip(("before", "after"), means(outcome.comparisons), strict=True):
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
            "cases": len(data.training),
            "steps": outcome.steps,
            "minutes": round(outcome.minutes, 2),
        },
        "metrics": metrics,
        "date": datetime.now(UTC).date().isoformat(),
        "code_version": __version__,
    }


def with_objects(cases: Sequence[Case], names: Iterable[Sequence[Any]]) -> list[Case]:
    """The cases as if they had those objects alone whose case and label are named; none without any."""
    named = {(name, label) for name, label, *_ in names}
    chosen = []
    for case in cases:
        other = copy.copy(case)
        objects = {label: box for label, box in case.objects.items() if (case.name, label) in named}
        object.__setattr__(other, "objects", objects)
        if objects:
            chosen.append(other)
    return chosen
