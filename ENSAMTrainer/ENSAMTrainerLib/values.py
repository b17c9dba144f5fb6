"""What the logic tells and is told, as plain values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from ensam_training.recipe import Recipe


@dataclass(frozen=True)
class CaseRow:
    """A case of the collection.

    source: where it came from, for people. prompts: how many boxes and clicks are kept with it. added: the
    ISO date. state and remark: what the check says of it.
    """

    name: str
    source: str
    segments: tuple[str, ...]
    prompts: int
    added: str
    state: Literal["unchecked", "good", "warned", "refused"] = "unchecked"
    remark: str = ""


@dataclass(frozen=True)
class SceneSegment:
    """A segment that has voxels. prompts: how many of ENSAM's prompts are stored with it."""

    id: str
    name: str
    prompts: int


@dataclass(frozen=True)
class SceneChoice:
    """An image of the scene with a segmentation of it."""

    volume_id: str
    volume_name: str
    segmentation_id: str
    segmentation_name: str
    segments: tuple[SceneSegment, ...]


@dataclass(frozen=True)
class TrainingChoice:
    """How to train.

    base: path of a checkpoint, "" the shipped one. edge: of the largest window in voxels, 0 the base's own.
    held_out: share of the cases that judge. name: of the result, "" makes one from the date. licence: of the
    result, as the user states it.
    """

    base: str = ""
    amount: float = 10.0
    unit: Literal["minutes", "epochs"] = "minutes"
    edge: int = 0
    device: str = "auto"
    held_out: float = 0.25
    name: str = ""
    licence: str = ""

    def recipe(self, cases: Path, state: Path, cache: Path) -> Recipe:
        """What the training library makes of the choice; `state` is the folder of the run."""
        name = re.sub(r"[^\w.-]+", "-", self.name).strip("-.") or f"own-{datetime.now():%Y-%m-%d-%H%M}"
        return Recipe(
            self.base or "starter",
            cases,
            state,
            cache,
            name,
            self.amount,
            self.unit,
            self.edge,
            self.device,
            self.held_out,
            self.licence,
        )


@dataclass(frozen=True)
class ComparisonRow:
    """The Dice of one held-out object before and after, from the box alone and after the last click."""

    case: str
    label: int
    segment: str
    before_box: float
    after_box: float
    before_clicks: float
    after_clicks: float


@dataclass(frozen=True)
class Judgement:
    """Whether the last training made the weights better; as it is by default before any has ended.

    verdict: in a sentence. caution: what makes that worth less than it looks, "" if nothing. is_better: None
    where nobody knows. comparisons: the held-out objects before and after.
    """

    verdict: str = ""
    caution: str = ""
    is_better: bool | None = None
    comparisons: tuple[ComparisonRow, ...] = ()
