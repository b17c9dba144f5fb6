"""The training loop: numbered windows, steps, logs, validation and a state to go on from."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ensam.device import is_out_of_memory
from ensam.errors import InputError, OutputError
from ensam.files import make_folder
from ensam.network import ENSAM, NetworkConfig
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ensam_training.allocator import keep_freed_memory
from ensam_training.beginning import hold_to_beginning, objects_of
from ensam_training.cases import Case
from ensam_training.configuration import TrainingConfig
from ensam_training.curves import RunLog
from ensam_training.dead_layers import SETTLED, hardly_learning
from ensam_training.distributed import Alone, Team
from ensam_training.pool import processors, serve_parent
from ensam_training.run_folder import BEST, STATE
from ensam_training.sampling import EDGES, Sample, WindowSampler
from ensam_training.state import load_state, try_to_save
from ensam_training.stopping import StopRequest
from ensam_training.stopwatch import Stopwatch
from ensam_training.trainer import Trainer, architecture_of
from ensam_training.validation import ObjectScore, mean_over_datasets, score_objects

Say = Callable[[str], None]
_KEPT = ("best", "validated", "recent", "has_warned")  # of a run, beside its trainer's state
SAVE_SECONDS = 90.0  # of the clock between saved states


@dataclass(frozen=True)
class RunOptions:
    """What does not change the result of a run: how it is computed and reported.

    workers: processes that prepare windows, by the machine if None. log_every: steps between two rows of
    log.csv. stop_at: a step to stop at as if the machine had been switched off politely. exact_times: wait
    for the GPU at every turn, so that the report of times is exact. bar: show a progress bar.
    result: what is made of the averaged weights before they are judged and kept. worth: what weights are
    compared by, of the scores of held-out objects. to_beat: what that must exceed for weights to be kept as
    the best. objects_per_case: the most that validation asks for. stop: asked between two steps whether to
    end there, by a caller who listens with it and tells of it; by default the run does. watch: told of the
    run after every step. begun_with: what else a run that goes on is held to, see `hold_to_beginning`.
    """

    workers: int | None = None
    log_every: int = 50
    stop_at: int | None = None
    exact_times: bool = False
    bar: bool = True
    result: Callable[[ENSAM], ENSAM] | None = None
    worth: Callable[[Sequence[ObjectScore]], float] = mean_over_datasets
    to_beat: float = -math.inf
    objects_per_case: int = 3
    stop: StopRequest | None = None
    watch: Callable[[Run], None] | None = None
    begun_with: Mapping[str, Any] = field(default_factory=dict)


def train(
    network_config: NetworkConfig,
    config: TrainingConfig,
    training: Sequence[Case],
    validation: Sequence[Case],
    folder: Path,
    start: Path | None = None,
    options: RunOptions | None = None,
    team: Team | None = None,
    say: Say | None = None,
) -> Trainer:
    """Trains to config.limit, from `folder`/state.pt if it is there, else from `start` (a state.pt, a
    best.pt or a .safetensors, whose architecture then counts).

    Writes into `folder` state.pt, best.pt (the averaged weights that did best on `validation`, by default in
    the mean over its datasets, however many objects each has), log.csv, validation.csv and curve.png.
    Without validation cases the last weights are the best.
    Raises InputError, also when a window of the least size does not fit into memory, and when `folder` holds
    a training that was begun with other objects in `validation`; OutputError at the end when the best weights
    found no room on the disk, from which the same call goes on.
    """
    run = Run(network_config, config, training, validation, folder, start, options, team, say)
    with contextlib.closing(run):
        run.go()
    return run.trainer


class Run:
    """A training run in a folder."""

    def __init__(
        self,
        network_config: NetworkConfig,
        config: TrainingConfig,
        training: Sequence[Case],
        validation: Sequence[Case],
        folder: Path,
        start: Path | None = None,
        options: RunOptions | None = None,
        team: Team | None = None,
        say: Say | None = None,
    ) -> None:
        self.config, self.training, self.validation = config, training, validation
        self.folder, self.options = folder, options or RunOptions()
        self.team = team or Alone()
        self.leads = self.team.rank == 0
        self.say = (say or tqdm.write) if self.leads else _silent
        if config.accumulate % self.team.count:
            raise InputError(
                f"{config.accumulate} windows a step can't be shared evenly by {self.team.count} processes: "
                "give --accumulate a multiple."
            )
        saved, best = folder / STATE, folder / BEST
        if start is not None:
            network_config = architecture_of(saved if saved.is_file() else start)
        if self.leads:
            facts = {"held_out": objects_of(validation), **self.options.begun_with}
            hold_to_beginning(make_folder(folder), facts)
        keep_freed_memory()
        torch.manual_seed(config.seed)
        stopwatch = Stopwatch(self.team.device, self.options.exact_times)
        self.trainer = Trainer(ENSAM(network_config), config, self.team, stopwatch)
        self.best, self.validated, self.recent = self.options.to_beat, 0.0, []
        # The best weights as long as they find no room on the disk. What is validated is what was spent up to
        # the last validation whose best weights are kept, so that a run that goes on repeats the others.
        self.unkept: dict[str, Any] | None = None
        self.has_warned = False  # of layers that hardly learn
        self.stop = self.options.stop or StopRequest()
        self.dice: float | None = None  # of the last validation, the mean over box and clicks
        if saved.is_file():
            self._resume(load_state(saved, self.team.device))
        elif start is not None:
            self.trainer.start_from(start)
        if best.is_file():
            # A run that was killed may have written it after its last saved state, or without one.
            self.best = max(self.best, load_state(best)["worth"])
        self.looked = self.validated  # what was spent up to the last validation
        self.log = RunLog(folder, self.trainer.step_count) if self.leads else None
        self.saved_at = time.monotonic()
        self.windows = self._stream()

    def go(self) -> None:
        """Until the limit, a request to stop, or options.stop_at."""
        trainer = self.trainer
        own_stop = self.stop if self.options.stop is None else contextlib.nullcontext()
        with self._bar() as bar, own_stop:
            while not self._is_over():
                before = trainer.step_count
                self.recent.append(self._step())
                if trainer.step_count > before and trainer.step_count % self.options.log_every == 0:
                    self._log()
                _show(bar, trainer, self.recent)
                if self.options.watch is not None:
                    self.options.watch(self)
                due = trainer.spent() - self.looked >= self._validate_every()
                if self.team.agree(due and self.options.stop_at is None):
                    self._validate()
                if time.monotonic() - self.saved_at > SAVE_SECONDS:
                    self._save()
        is_done, is_validated = trainer.progress() >= 1, self.looked >= trainer.spent()
        if is_done and not is_validated:
            self._validate()
        self._save()
        if self.stop.made and self.options.stop is None:
            self.say(f"Stopped after step {trainer.step_count}: the same command goes on from there.")
        if self.stop.made and not is_done and not is_validated:
            # For who takes what there is now. It isn't in the state, so that a run that goes on validates
            # when it would have done without the stop.
            self._validate()
        self.say(f"Where the time went: {trainer.stopwatch.report()}")
        if self.unkept is not None:
            raise OutputError(
                "The best weights so far couldn't be kept: make room on the disk, and go on or train again."
            )

    def _is_over(self) -> bool:
        done = self.trainer.progress() >= 1 or self.stop.made
        return bool(self.team.agree(done)) or self.trainer.step_count == self.options.stop_at

    def close(self) -> None:
        """Ends the worker processes."""
        self.windows = iter(())

    def _step(self) -> list[float]:
        """One step, with smaller windows from now on if the machine has no memory for these."""
        while True:
            with self.trainer.stopwatch.part("data"):
                samples = [self._next() for _ in range(self.config.accumulate // self.team.count)]
            try:
                return self.trainer.step(samples)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self._shrink()

    def _next(self) -> Sample:
        window = next(self.windows)
        if isinstance(window, InputError):
            raise window
        return window

    def _shrink(self) -> None:
        """Half the voxels for the largest window."""
        low, high = self.trainer.budget
        if self.team.count > 1 or high // 2 < EDGES[1] ** 3:  # smaller ones hold hardly an object
            raise InputError(
                f"A window of {round(high ** (1 / 3))}^3 voxels does not fit into memory: close other "
                "programs or give a smaller --budget."
            )
        self.trainer.budget = (min(low, high // 2), high // 2)
        self.say(
            f"Out of memory: windows of at most {high // 2} voxels ({round((high // 2) ** (1 / 3))}^3) from "
            f"now on, instead of {high}."
        )
        if self.trainer.device.type == "cuda":
            torch.cuda.empty_cache()
        self.windows = self._stream()

    def _stream(self) -> Iterator[Sample | InputError]:
        workers = default_workers() if self.options.workers is None else self.options.workers
        config, drawn = self.config, self.trainer.drawn
        sampler = WindowSampler(self.training, self.trainer.budget, config.seed, config.synthetic_share)
        # Every team.count-th window from this process's first, in this order whatever the number of workers.
        numbers = range(drawn + self.team.rank, len(sampler), self.team.count)
        loader = DataLoader(
            _Windows(sampler),
            batch_size=None,
            sampler=numbers,
            num_workers=workers,
            prefetch_factor=8 if workers else None,
            # Forked workers share the cases' memory; elsewhere than on Linux forking is not safe.
            multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
            worker_init_fn=serve_parent if workers else None,
        )
        return iter(loader)

    def _validate_every(self) -> float:
        every = self.config.validate_every
        return self.config.limit.amount / 10 if every is None else every

    def _log(self) -> None:
        trainer, (box, clicks) = self.trainer, np.mean(self.recent, axis=0).round(4).tolist()
        self.recent = []
        row = [*self._when(), box, clicks, round(trainer.rate(), 4)]
        if self.log is not None:
            self._write(lambda log: log.losses(row))
        if not (self.options.bar and sys.stderr.isatty()):
            self.say(f"step {trainer.step_count}, {trainer.progress():.0%}, loss {box} {clicks}")

    def _when(self) -> list[float]:
        trainer = self.trainer
        return [trainer.step_count, round(trainer.seconds / 60, 3), round(trainer.cpu_seconds / 60, 3)]

    def _validate(self) -> None:
        self.looked = self.trainer.spent()
        if not self.leads:
            return
        averaged = self.trainer.averaged()
        if self.options.result is not None:
            averaged = self.options.result(averaged)
        scores: list[float] = []
        worth = -math.inf
        if self.validation:
            scores, worth = self._scores(averaged)
        self._look_for_dead_layers()
        self.dice = float(np.mean(scores)) if scores else None
        if worth > (self.best if self.unkept is None else self.unkept["worth"]) or not scores:
            self.unkept = {
                "network": averaged.state_dict(),
                "architecture": averaged.config.to_dict(),
                "scores": scores,
                "worth": worth,
                "step": self.trainer.step_count,
                "total_seconds": self.trainer.earlier_seconds + self.trainer.seconds,
            }
        self._keep_best()

    def _keep_best(self) -> None:
        """Writes the best weights, if the disk has room for them by now."""
        if self.unkept is not None:
            problem = try_to_save(self.unkept, self.folder / BEST)
            self._warn(problem)
            if problem is None:
                self.best, self.unkept = self.unkept["worth"], None
        if self.unkept is None:
            self.validated = self.looked

    def _scores(self, network: ENSAM) -> tuple[list[float], float]:
        """The Dice of all held-out objects by click, and what the network is worth."""
        with self.trainer.stopwatch.part("validation"):
            objects = score_objects(
                network, self.validation, self.config.validation_budget, self.options.objects_per_case
            )
        scores = np.mean([one.dice for one in objects], axis=0).round(4).tolist()
        worth = self.options.worth(objects)
        self.say(
            f"step {self.trainer.step_count}, Dice of held-out objects by click {scores}; "
            f"compared by {worth:.4f}"
        )
        self._write(lambda log: log.validation([*self._when(), *scores]))
        return scores, worth

    def _look_for_dead_layers(self) -> None:
        trainer = self.trainer
        if self.has_warned or trainer.step_count < SETTLED:
            return
        names = hardly_learning(trainer.network, trainer.optimisers[0])
        if names:
            self.has_warned = True
            self._warn(f"Layers that hardly learn: {', '.join(names)}.")

    def _write(self, write: Callable[[RunLog], None]) -> None:
        """A full disk must not end a run."""
        try:
            write(self.log)
        except OutputError as error:
            self._warn(str(error))

    def _warn(self, problem: str | None) -> None:
        if problem is not None:
            self.say(f"Warning: {problem}")

    def _save(self) -> None:
        self.saved_at = time.monotonic()
        if not self.leads:
            return
        self._keep_best()
        loop = {name: getattr(self, name) for name in _KEPT}
        with self.trainer.stopwatch.part("saving"):
            self._warn(try_to_save({**self.trainer.state(), "loop": loop}, self.folder / STATE))

    def _resume(self, state: dict) -> None:
        self.trainer.restore(state)
        loop = state["loop"]
        self.best = max(self.best, loop["best"])
        self.validated, self.recent = loop["validated"], loop["recent"]
        self.has_warned = loop["has_warned"]
        self.say(f"Going on from step {self.trainer.step_count}.")

    def _bar(self) -> tqdm:
        limit = self.config.limit
        hidden = True if not (self.options.bar and self.leads) else None  # None: unless at a terminal
        return tqdm(
            total=limit.amount,
            initial=self.trainer.spent(),
            unit=f" {limit.unit}",
            disable=hidden,
            bar_format="{percentage:3.0f}% {bar} {elapsed}, {remaining} left{postfix}",
        )


@dataclass(frozen=True)
class _Windows(Dataset):
    """A sampler's windows, and in the place of one that can't be made the reason: torch would put a worker
    process's traceback before the sentence that tells it."""

    sampler: WindowSampler

    def __getitem__(self, index: int) -> Sample | InputError:
        try:
            return self.sampler.window(index)
        except InputError as error:
            return error


def default_workers() -> int:
    """Worker processes for this machine: a core stays for training, and more than eight gain nothing."""
    return max(1, min(8, processors() - 1))


def _show(bar: tqdm, trainer: Trainer, recent: Sequence[Sequence[float]]) -> None:
    bar.n = min(trainer.spent(), bar.total)
    if recent:
        bar.set_postfix(
            step=trainer.step_count, loss=f"{np.mean([r[-1] for r in recent]):.3f}", refresh=False
        )
    bar.update(0)


def _silent(text: str) -> None:
    """What all processes but the first say."""
