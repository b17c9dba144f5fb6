"""One step of training: its windows' gradients, the optimisers, the average."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ensam.checkpoint import load_checkpoint
from ensam.device import has_bfloat16, layout
from ensam.errors import InputError
from ensam.network import ENSAM, NetworkConfig, renormalise_
from torch import nn

from ensam_training.configuration import TrainingConfig
from ensam_training.distributed import Alone, Team
from ensam_training.muon import SPHERE_RATE, Muon, split_parameters
from ensam_training.rounds import RoundsLoss
from ensam_training.sampling import Sample
from ensam_training.state import load_state
from ensam_training.stopwatch import Stopwatch
from ensam_training.user import SimulatedUser

_ANOTHER_OPTIMISER = "The saved training used another optimiser: choose another folder for this one."
MOST_SKIPPED = 50  # steps in a row without finite gradients: then the weights are lost, not a window
_HALVED_AT = (2 / 15, 5 / 15, 10 / 15)  # the paper's epochs 2, 5 and 10 of 15


class Trainer:
    """Owns the network, its optimisers and its average; every piece of state can be saved and restored.

    All randomness of a step follows from the seed and the numbers of its windows. `drawn` counts the windows
    that were taken, so that the next one is known after resuming.
    """

    def __init__(
        self,
        network: ENSAM,
        config: TrainingConfig,
        team: Team | None = None,
        stopwatch: Stopwatch | None = None,
    ) -> None:
        self.team = team or Alone()
        self.config, self.device = config, self.team.device
        self.network = _laid_out(network.to(self.device), self.device)
        self.stopwatch = stopwatch or Stopwatch(self.device)
        renormalise_(network)
        loss = RoundsLoss(network, config.deep_weight).to(self.device)
        self.heads, self.loss = loss.heads, self.team.wrap(loss)
        self.optimisers = _optimisers(network, config)
        self.of_heads = [_adam(list(self.heads.parameters()), config.rest_lr)] if self.heads else []
        # float16 has too few exponents for gradients; bfloat16 and float32 need no scaling.
        half = self.device.type == "cuda" and not has_bfloat16()
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=half)
        self.average = {name: p.detach().clone() for name, p in network.named_parameters()}
        self.step_count, self.skipped, self.drawn = 0, 0, 0
        self.schedule_start = 0  # steps of the schedules that it goes on from
        self.seconds, self.cpu_seconds = 0.0, 0.0  # of steps, in this schedule
        self.earlier_seconds = 0.0  # of the schedules that it goes on from
        self.budget = config.budget

    def spent(self) -> float:
        """How much of the limit, in its unit."""
        unit = self.config.limit.unit
        if unit == "steps":
            return self.step_count - self.schedule_start
        return (self.seconds if unit == "minutes" else self.cpu_seconds) / 60

    def progress(self) -> float:
        """The share of the limit that is spent, 0..1."""
        return min(1.0, self.spent() / self.config.limit.amount)

    def rate(self) -> float:
        """The learning rate's factor at this step."""
        return rate_at(self.config, self.step_count - self.schedule_start, self.progress())

    def step(self, samples: Sequence[Sample]) -> list[float]:
        """Learns from this process's share of the next windows -> mean loss of the first and the last round.

        A step without finite gradients changes nothing. Raises RuntimeError when too many are.
        """
        started, cpu_started = time.perf_counter(), time.process_time()
        parts = []
        try:
            for position, sample in enumerate(samples):
                index = self.drawn + self.team.rank + position * self.team.count
                with self.team.sharing(self.loss, position == len(samples) - 1):
                    parts.append(self._gradients(index, sample, len(samples)))
            with self.stopwatch.part("optimiser"):
                self._learn()
        finally:
            for optimiser in self._all_optimisers():
                optimiser.zero_grad(set_to_none=True)
        self.drawn += self.config.accumulate
        self.seconds += time.perf_counter() - started
        self.cpu_seconds += time.process_time() - cpu_started
        return np.mean(parts, axis=0).tolist()

    def _gradients(self, index: int, sample: Sample, count: int) -> list[float]:
        # (seed, index) alone is what draws the window.
        rng = np.random.default_rng((self.config.seed, index, 1))
        user = SimulatedUser([t[0] >= 0.5 for t in sample.targets], rng, sample.prompts)
        image, targets = (torch.from_numpy(a).to(self.device) for a in (sample.image, sample.targets))
        with self.stopwatch.part("forward"):
            loss, rounds = self.loss(image, targets, user, sample.spacing_mm)
        with self.stopwatch.part("backward"):
            self.scaler.scale(loss / count).backward()
        return rounds.tolist()

    def _learn(self) -> None:
        if self.scaler.is_enabled():
            for optimiser in self._all_optimisers():
                self.scaler.unscale_(optimiser)
        if self._gradients_are_finite():
            self._update()
            self.step_count, self.skipped = self.step_count + 1, 0
        else:
            # One window whose half-precision kernels failed must not cost the run its weights.
            self.skipped += 1
            if self.skipped > MOST_SKIPPED:
                raise RuntimeError(f"{self.skipped} steps in a row had gradients that are not finite")
        if self.scaler.is_enabled():
            self.scaler.update()

    def _gradients_are_finite(self) -> bool:
        parameters = [*self.network.parameters(), *self.heads.parameters()]
        gradients = [p.grad for p in parameters if p.grad is not None]
        return bool(torch.isfinite(nn.utils.get_total_norm(gradients)))

    def _update(self) -> None:
        # Muon's steps have their length whatever the gradients' is.
        nn.utils.clip_grad_norm_(self.optimisers[-1].param_groups[0]["params"], 1.0)
        # By the clock the processes differ in how far they are.
        factor = self.team.agree(self.rate())
        for optimiser in self._all_optimisers():
            for group in optimiser.param_groups:
                group["lr"] = group["initial_lr"] * factor
            optimiser.step()
        renormalise_(self.network)
        decay = min(self.config.ema, (2 + self.step_count) / (11 + self.step_count))
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                self.average[name].lerp_(parameter, 1 - decay)

    def _all_optimisers(self) -> list[torch.optim.Optimizer]:
        return [*self.optimisers, *self.of_heads]

    def averaged(self) -> ENSAM:
        """The network with the averaged weights, back on the sphere."""
        network = ENSAM(self.network.config).to(self.device)
        network.load_state_dict({**self.network.state_dict(), **self.average})
        renormalise_(network)
        return _laid_out(network, self.device).eval()

    def state(self) -> dict[str, Any]:
        """All that a run needs to go on, as tensors and plain values."""
        return {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimisers": [o.state_dict() for o in self.optimisers],
            "heads": [self.heads.state_dict(), *(o.state_dict() for o in self.of_heads)],
            "scaler": self.scaler.state_dict(),
            "architecture": self.network.config.to_dict(),
            "training": self.config.to_dict(),
            "step": self.step_count,
            "schedule_start": self.schedule_start,
            "drawn": self.drawn,
            "skipped": self.skipped,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "total_seconds": self.earlier_seconds + self.seconds,
            "budget": list(self.budget),
            "torch_rng": torch.get_rng_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`. Raises InputError if it is of another network or optimiser."""
        if NetworkConfig.from_dict(state["architecture"]) != self.network.config:
            raise InputError("The saved training is of another network: choose another folder for this one.")
        if len(state["optimisers"]) != len(self.optimisers):
            raise InputError(_ANOTHER_OPTIMISER)
        self.network.load_state_dict(state["network"])
        self.average = {name: tensor.to(self.device) for name, tensor in state["average"].items()}
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            _take_momenta(optimiser, saved)
        # A state without them begins with new ones.
        if self.of_heads and len(state.get("heads", [])) == 2:
            self.heads.load_state_dict(state["heads"][0])
            _take_momenta(self.of_heads[0], state["heads"][1])
        if state.get("scaler"):
            self.scaler.load_state_dict(state["scaler"])
        self.step_count, self.seconds = state["step"], state["seconds"]
        self.earlier_seconds = state["total_seconds"] - self.seconds
        self.schedule_start, self.cpu_seconds = state["schedule_start"], state["cpu_seconds"]
        self.drawn, self.skipped = state["drawn"], state["skipped"]
        # Windows may have been too large for the saved run, or be too large for this one: the smaller count.
        sizes = zip(state["budget"], self.config.budget, strict=True)
        self.budget = tuple(min(own, asked) for own, asked in sizes)
        torch.set_rng_state(state["torch_rng"].cpu())

    def start_from(self, path: Path) -> None:
        """Takes a state.pt's weights and momenta, or a best.pt's or checkpoint's weights, into a schedule of
        its own.

        Raises InputError.
        """
        if path.suffix == ".safetensors":
            state = {"network": load_checkpoint(path).state}
        else:
            state = load_state(path, self.device)
        if "optimisers" in state:
            self.restore(state)
            self.earlier_seconds += self.seconds
            self.seconds, self.cpu_seconds, self.budget = 0.0, 0.0, self.config.budget
            self.schedule_start = self.step_count
        else:
            self.network.load_state_dict(state["network"])
            renormalise_(self.network)
            self.average = {name: p.detach().clone() for name, p in self.network.named_parameters()}


def architecture_of(path: Path) -> NetworkConfig:
    """The network that a state.pt, a best.pt or a checkpoint (.safetensors) holds. Raises InputError."""
    if path.suffix == ".safetensors":
        return load_checkpoint(path).config
    return NetworkConfig.from_dict(load_state(path, mmap=True)["architecture"])


def _take_momenta(optimiser: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """All of a saved state but rates and decay, which are the configuration's. Raises InputError."""
    own = [{name: v for name, v in group.items() if name != "params"} for group in optimiser.param_groups]
    try:
        optimiser.load_state_dict(saved)
    except ValueError as error:  # other groups, or other numbers of parameters in them
        raise InputError(_ANOTHER_OPTIMISER) from error
    for group, values in zip(optimiser.param_groups, own, strict=True):
        group.update(values)


def rate_at(config: TrainingConfig, step: int, progress: float) -> float:
    """The learning rate's factor at a step (from 0) when a share `progress` (0..1) of the limit is spent."""
    progress = min(1.0, progress)
    if config.schedule == "halving":
        level = 0.5 ** sum(progress >= share for share in _HALVED_AT)
    else:
        level = 1 - progress
    return min(level, (step + 1) / max(1, config.warmup_steps))


def _optimisers(network: ENSAM, config: TrainingConfig) -> list[torch.optim.Optimizer]:
    """Muon, if the configuration says so, and AdamW for the rest, last.

    A group's initial_lr is its rate before the schedule.
    """
    hidden, sphere, rest = split_parameters(network)
    optimisers: list[torch.optim.Optimizer] = []
    rate = config.adam_lr
    if config.optimiser == "muon":
        groups = [
            {"params": hidden, "lr": config.muon_lr, "weight_decay": config.muon_decay},
            {"params": sphere, "lr": config.muon_lr * SPHERE_RATE},
        ]
        optimisers.append(Muon([{**group, "initial_lr": group["lr"]} for group in groups]))
        rate = config.rest_lr
    else:
        rest = hidden + sphere + rest
    return [*optimisers, _adam(rest, rate)]


def _adam(parameters: Sequence[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    group = {"params": parameters, "initial_lr": rate}
    return torch.optim.AdamW([group], lr=rate, betas=(0.9, 0.98), weight_decay=0.0)


def _laid_out(network: ENSAM, device: torch.device) -> ENSAM:
    # The convolutional parts alone: the rest holds tensors of four dimensions, which have no such format.
    network.image_encoder.to(memory_format=layout(device))
    network.mask_decoder.to(memory_format=layout(device))
    return network
