"""The training loop: one window a step, a box and simulated clicks, Muon, a schedule that ends at zero."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ensam.device import autocast, has_matrix_units
from ensam.errors import InputError
from ensam.network import ENSAM, NetworkConfig, PromptTensors, renormalise_
from ensam.resampling import resample
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from ensam_training.datasets import Case, Sample, WindowSampler, validation_window
from ensam_training.interaction import Click, simulate_box, simulate_click
from ensam_training.losses import segmentation_loss
from ensam_training.muon import Muon, split_parameters

MOST_SKIPPED = 50  # steps in a row without finite gradients: then the weights are lost, not a window


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how. A window's edge is drawn between those of the two voxel budgets."""

    minutes: float
    budget: tuple[int, int] = (24**3, 48**3)
    validation_budget: int = 48**3
    muon_lr: float = 0.02
    adam_lr: float = 1e-3
    warmup_steps: int = 100
    accumulate: int = 1
    ema: float = 0.999
    synthetic_share: float = 0.2
    validate_every_minutes: float = 20.0
    seed: int = 0


class Prompts:
    """The growing prompts of the N objects of one window, as a simulated user gives them."""

    def __init__(self, masks: Sequence[np.ndarray], rng: np.random.Generator) -> None:
        self.masks, self.rng = masks, rng
        self.boxes = [
            None if rng.random() < 0.1 else simulate_box(mask, rng, middle_slice=bool(rng.random() < 0.15))
            for mask in masks
        ]
        self.clicks: list[list[Click]] = [[] for _ in masks]
        for index, box in enumerate(self.boxes):
            if box is None:
                self._click(index, np.zeros_like(masks[index]), 0)

    def correct(self, logits: Tensor, count: int) -> None:
        """Adds up to `count` clicks an object on its largest error regions."""
        answers = logits.detach()[:, 0].gt(0).cpu().numpy()
        for index, answer in enumerate(answers):
            for rank in range(count):
                self._click(index, answer, rank)

    def _click(self, index: int, answer: np.ndarray, rank: int) -> None:
        hand = self.rng if self.rng.random() < 0.4 else None
        click = simulate_click(self.masks[index], answer, hand, rank)
        if click is not None:
            self.clicks[index].append(click)

    def tensors(self, previous: Tensor | None = None, has_previous: Tensor | None = None) -> PromptTensors:
        return PromptTensors.of_objects(self.boxes, self.clicks, previous, has_previous)


class Trainer:
    """Owns the network, its optimisers and its average; every piece of state can be saved and restored."""

    def __init__(self, network: ENSAM, config: TrainingConfig) -> None:
        self.network, self.config = network, config
        self.amp = has_matrix_units()
        network.image_encoder.to(memory_format=torch.channels_last_3d)
        network.mask_decoder.to(memory_format=torch.channels_last_3d)
        renormalise_(network)
        hidden, rest = split_parameters(network)
        self.optimisers: list[torch.optim.Optimizer] = [
            Muon(hidden, lr=config.muon_lr),
            torch.optim.AdamW(rest, lr=config.adam_lr, betas=(0.9, 0.98), weight_decay=0.0),
        ]
        self.average = {name: p.detach().clone() for name, p in network.named_parameters()}
        self.step_count, self.skipped = 0, 0
        self.seconds = 0.0  # of this schedule
        self.earlier_seconds = 0.0  # of the schedules that it goes on from
        self.rng = np.random.default_rng(config.seed)

    def rate(self) -> float:
        """Learning-rate factor: warm-up, flat, then linear to zero over the second half of the time."""
        progress = min(1.0, self.seconds / (60 * self.config.minutes))
        return min(1.0, (self.step_count + 1) / self.config.warmup_steps, 2 * (1 - progress))

    def losses(self, sample: Sample) -> tuple[Tensor, list[float]]:
        """The mean loss over the rounds that carry gradient, and each round's loss."""
        image, targets = torch.from_numpy(sample.image), torch.from_numpy(sample.targets)
        user = Prompts([t[0] >= 0.5 for t in sample.targets], self.rng)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.amp):
            features = self.network.encode(image.to(memory_format=torch.channels_last_3d))
            logits = self.network.decode(features, user.tensors())
            losses = [segmentation_loss(logits, targets)]
            for silent in range(int(self.rng.choice([0, 1, 2], p=[0.55, 0.3, 0.15])), -1, -1):
                user.correct(logits, int(self.rng.integers(1, 3)))
                # Half of the answers must come from the prompts alone: then the same prompts give the same
                # mask whatever came before. The other half continue from a result.
                previous = logits.detach() if self.rng.random() < 0.5 else None
                with torch.set_grad_enabled(silent == 0):
                    logits = self.network.decode(features, user.tensors(previous))
            losses.append(segmentation_loss(logits, targets))
        return sum(losses) / len(losses), [float(v.detach()) for v in losses]

    def step(self, samples: Sequence[Sample]) -> list[float]:
        started = time.perf_counter()
        rate = self.rate()
        parts = []
        for sample in samples:
            loss, rounds = self.losses(sample)
            (loss / len(samples)).backward()
            parts.append(rounds)
        if self._gradients_are_finite():
            self._update(rate)
            self.step_count, self.skipped = self.step_count + 1, 0
        else:
            # One window whose half-precision kernels failed must not cost the run its weights.
            self.skipped += 1
            if self.skipped > MOST_SKIPPED:
                raise RuntimeError(f"{self.skipped} steps in a row had gradients that are not finite")
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        self.seconds += time.perf_counter() - started
        return [float(np.mean([p[i] for p in parts])) for i in range(2)]

    def _gradients_are_finite(self) -> bool:
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        return bool(torch.isfinite(nn.utils.get_total_norm(gradients)))

    def _update(self, rate: float) -> None:
        nn.utils.clip_grad_norm_(self.optimisers[1].param_groups[0]["params"], 1.0)
        for optimiser, lr in zip(self.optimisers, (self.config.muon_lr, self.config.adam_lr), strict=True):
            optimiser.param_groups[0]["lr"] = lr * rate
            optimiser.step()
        renormalise_(self.network)
        decay = min(self.config.ema, (2 + self.step_count) / (11 + self.step_count))
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                self.average[name].lerp_(parameter, 1 - decay)

    def averaged(self) -> ENSAM:
        """The network with the averaged weights, back on the sphere."""
        network = ENSAM(self.network.config)
        network.load_state_dict({**self.network.state_dict(), **self.average})
        network.image_encoder.to(memory_format=torch.channels_last_3d)
        network.mask_decoder.to(memory_format=torch.channels_last_3d)
        renormalise_(network)
        return network.eval()

    def save(self, path: Path) -> None:
        state = {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimisers": [o.state_dict() for o in self.optimisers],
            "architecture": self.network.config.to_dict(),
            "step": self.step_count,
            "seconds": self.seconds,
            "total_seconds": self.earlier_seconds + self.seconds,
        }
        beside = path.with_suffix(".part")
        torch.save(state, beside)
        os.replace(beside, path)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average = state["average"]
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step_count, self.seconds = state["step"], state["seconds"]
        self.earlier_seconds = state["total_seconds"] - self.seconds
        self.rng = np.random.default_rng((self.config.seed, self.step_count))


@torch.inference_mode()
def validate(
    network: ENSAM, cases: Sequence[Case], budget: int, objects_per_case: int = 3, clicks: int = 5
) -> list[float]:
    """Mean Dice after the box and after each click, on the volume's grid, without a previous result.

    Raises InputError if the cases hold no object.
    """
    scores = []
    for case in cases:
        rng = np.random.default_rng(0)
        names = list(case.objects)
        for label in names if len(names) <= objects_per_case else rng.choice(names, objects_per_case, False):
            window, mask, image = validation_window(case, int(label), budget)
            share = resample(torch.from_numpy(mask[None, None].astype(np.float32)), window.shape)
            truth = share[0, 0].numpy() >= 0.5
            if not truth.any():
                continue
            box, own, row = simulate_box(truth, rng), [], []
            with autocast(torch.device("cpu"), window.shape):
                features = network.encode(image.to(memory_format=torch.channels_last_3d))
                for _ in range(clicks + 1):
                    logits = network.decode(features, PromptTensors.of_objects([box], [own]))
                    fine = F.interpolate(logits, size=window.size, mode="trilinear")[0, 0].gt(0).numpy()
                    row.append(2 * (fine & mask).sum() / max(1, fine.sum() + mask.sum()))
                    click = simulate_click(truth, logits[0, 0].gt(0).numpy())
                    own += [] if click is None else [click]
            scores.append(row)
    if not scores:
        raise InputError("The validation cases hold no object: name cases with labels.")
    return np.mean(scores, axis=0).round(4).tolist()


def train(
    network_config: NetworkConfig,
    config: TrainingConfig,
    training: Sequence[Case],
    validation: Sequence[Case],
    folder: Path,
    start: Path | None = None,
) -> Trainer:
    """Trains for config.minutes of stepping time, from `folder`/state.pt if it is there, and writes there
    state.pt every few minutes, best.pt (averaged weights), log.csv and validation.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    trainer = Trainer(ENSAM(network_config), config)
    if (folder / "state.pt").is_file():
        trainer.load(folder / "state.pt")
    elif start is not None:
        trainer.load(start)
        trainer.earlier_seconds, trainer.seconds = trainer.earlier_seconds + trainer.seconds, 0.0
    sampler = WindowSampler(training, config.budget, config.seed + trainer.step_count, config.synthetic_share)
    loader = iter(DataLoader(sampler, batch_size=None, num_workers=1, prefetch_factor=16))
    best, saved, validated = _best_so_far(folder / "validation.csv"), trainer.seconds, trainer.seconds
    recent: list[list[float]] = []
    while trainer.seconds < 60 * config.minutes:
        recent.append(trainer.step([next(loader) for _ in range(config.accumulate)]))
        if trainer.step_count % 50 == 0:
            means = np.nanmean(recent, axis=0).round(4).tolist()
            _append(folder / "log.csv", [trainer.step_count, round(trainer.seconds), *means])
            print(
                f"step {trainer.step_count} {trainer.seconds:.0f}s loss {means} skipped {trainer.skipped}",
                flush=True,
            )
            recent = []
        done = trainer.seconds >= 60 * config.minutes
        if done or trainer.seconds - validated > 60 * config.validate_every_minutes:
            validated = trainer.seconds
            scores = validate(trainer.averaged(), validation, config.validation_budget)
            print(f"step {trainer.step_count} validation Dice {scores}", flush=True)
            _append(folder / "validation.csv", [trainer.step_count, round(trainer.seconds), *scores])
            if np.mean(scores) > best:
                best = float(np.mean(scores))
                torch.save({"network": trainer.averaged().state_dict(), "scores": scores}, folder / "best.pt")
        if done or trainer.seconds - saved > 90:
            saved = trainer.seconds
            trainer.save(folder / "state.pt")
    return trainer


def _append(path: Path, row: Sequence[float]) -> None:
    with path.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(row)


def _best_so_far(path: Path) -> float:
    """The best mean Dice of the runs before, so that a resumed one does not replace better weights."""
    if not path.is_file():
        return 0.0
    with path.open(newline="", encoding="utf-8") as file:
        return max((float(np.mean([float(v) for v in row[2:]])) for row in csv.reader(file)), default=0.0)
