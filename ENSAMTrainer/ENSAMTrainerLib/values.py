"""What the logic tells and is told: frozen values, without Slicer or torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class CaseRow:
    """One case of the local collection.

    name: of its folder, unique. source: where it came from, for people. segments: names of the labelled
    objects. prompts: how many boxes and clicks are kept with them. added: an ISO date. remark: what the check
    says of it, "" if nothing.
    """

    name: str
    source: str
    segments: tuple[str, ...]
    prompts: int
    added: str
    state: Literal["unchecked", "good", "warned", "refused"]
    remark: str = ""


@dataclass(frozen=True)
class SceneSegment:
    """A segment of the scene. prompts: how many of ENSAM's are stored with it."""

    id: str
    name: str
    prompts: int


@dataclass(frozen=True)
class SceneChoice:
    """An image of the scene with a segmentation of it, and its segments that have voxels."""

    volume_id: str
    volume_name: str
    segmentation_id: str
    segmentation_name: str
    segments: tuple[SceneSegment, ...]


@dataclass(frozen=True)
class TrainingChoice:
    """What to train and how.

    base: path of a checkpoint, "" the shipped one. edge: of the largest window in voxels, 0 for the base's
    own. held_out: share of the cases that judge, 0 to 1. name, licence: of the result, as the user states
    them; without a name it gets one from the date.
    """

    base: str = ""
    amount: float = 10.0
    unit: Literal["minutes", "epochs"] = "minutes"
    edge: int = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    held_out: float = 0.25
    name: str = ""
    licence: str = ""


@dataclass(frozen=True)
class ComparisonRow:
    """One held-out object: its Dice after the box and after the last click, before and after training."""

    case: str
    segment: str
    before_box: float
    after_box: float
    before_clicks: float
    after_clicks: float
