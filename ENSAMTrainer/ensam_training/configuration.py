"""How a training run goes: frozen values that are saved with its state."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ensam.errors import InputError

DEEP_WEIGHT = 0.3  # of deep supervision, where it is used
Unit = Literal["minutes", "cpu-minutes", "steps"]


@dataclass(frozen=True)
class Limit:
    """When a run ends, and what its schedule is measured in.

    unit: "minutes" on the clock, "cpu-minutes" of processor time, which is fair where the machine is shared,
    or "steps" of the optimiser, which alone gives the same run on every machine. Only the time of steps
    counts, not that of validation or of waiting for data.
    """

    amount: float
    unit: Unit = "minutes"

    def __post_init__(self) -> None:
        if not self.amount > 0:
            raise InputError(
                f"A training of {self.amount:g} {self.unit} does nothing: give a number above 0."
            )

    def __str__(self) -> str:
        return f"{self.amount:g} {self.unit}"


@dataclass(frozen=True)
class TrainingConfig:
    """What a run does besides the network and the data.

    budget: voxels of the smallest and the largest window. validation_budget: voxels of validation windows.
    optimiser: "muon" with AdamW for the rest, or "adam", AdamW for all (the paper's ablation).
    muon_lr, adam_lr, rest_lr: learning rates before the schedule, of Muon, of AdamW where it has all
    parameters, and of AdamW beside Muon; the training log tells how they were found. muon_decay: weight decay
    of what Muon has outside the hypersphere.
    schedule: "linear" to zero at the limit, or "halving", the paper's: halved after 2, 5 and 10 fifteenths of
    it. Both after a warm-up of `warmup_steps`.
    accumulate: windows a step (paper: 4), over all processes together. A batch holds one window (paper),
    since windows differ in shape.
    deep_weight: of the loss of what each coarser level of the decoder, and the latent, tell by a linear layer
    that only training has (deep supervision; ours). 0, the paper's: there are none.
    ema: decay of the averaged weights. validate_every: in the limit's unit, a tenth of it by default.
    """

    limit: Limit = field(default_factory=lambda: Limit(60))
    budget: tuple[int, int] = (24**3, 48**3)
    validation_budget: int = 48**3
    optimiser: Literal["muon", "adam"] = "muon"
    muon_lr: float = 0.01
    muon_decay: float = 0.02
    adam_lr: float = 1e-3
    rest_lr: float = 3e-3
    schedule: Literal["linear", "halving"] = "linear"
    warmup_steps: int = 100
    accumulate: int = 1
    deep_weight: float = 0.0
    ema: float = 0.999
    synthetic_share: float = 0.2
    validate_every: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.accumulate < 1:
            raise InputError("A step needs a window: give --accumulate a number above 0.")
        if not 0 < self.budget[0] <= self.budget[1]:
            raise InputError("The smallest window must not be larger than the largest: check --budget.")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
