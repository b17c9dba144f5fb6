"""Dice on held-out cases by simulated clicks, during training: quick, and the same every time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ensam.device import autocast, layout
from ensam.errors import InputError
from ensam.masks import MaskCrop
from ensam.network import ENSAM, PromptTensors
from ensam.resampling import resample
from torch.nn import functional as F

from ensam_training.cases import Case
from ensam_training.interaction import Click, simulate_box, simulate_click
from ensam_training.metrics import dice as overlap
from ensam_training.sampling import validation_window, window_spacing


@dataclass(frozen=True)
class ObjectScore:
    """The Dice of one object after the box and after each click."""

    case: str
    label: int
    dice: tuple[float, ...]
    dataset: str = ""


def mean_over_objects(scores: Sequence[ObjectScore]) -> float:
    """The mean Dice over objects, box and clicks."""
    return float(np.mean([score.dice for score in scores]))


def mean_over_datasets(scores: Sequence[ObjectScore]) -> float:
    """The same of each dataset, and of these the mean: one that has most of the objects doesn't decide."""
    datasets = sorted({score.dataset for score in scores})  # sums in one order
    return float(np.mean([mean_over_objects([s for s in scores if s.dataset == name]) for name in datasets]))


@torch.inference_mode()
def score_objects(
    network: ENSAM,
    cases: Sequence[Case],
    budget: int,
    objects_per_case: int = 3,
    clicks: int = 5,
    keep: Callable[[str, int, MaskCrop], None] | None = None,
) -> list[ObjectScore]:
    """Dice of up to `objects_per_case` objects of each case on the volume's grid, all prompts at once and
    without a previous result. Runs on the network's device. keep: gets the mask after the last click of each
    object, with the case's name and the label. Leaves out an object that is too thin to be seen in windows of
    `budget` voxels. Raises InputError if none is left."""
    device = next(network.parameters()).device
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
            box, own, dice = simulate_box(truth, rng), [], []
            with autocast(device, window.shape):
                image = image.to(device, memory_format=layout(device))
                features = network.encode(image, window_spacing(case, window))
                for _ in range(clicks + 1):
                    logits = network.decode(features, PromptTensors.of_objects([box], [own]).to(device))
                    fine = F.interpolate(logits, size=window.size, mode="trilinear")[0, 0].gt(0).cpu().numpy()
                    dice.append(overlap(mask, fine))
                    click: Click | None = simulate_click(truth, logits[0, 0].gt(0).cpu().numpy())
                    own += [] if click is None else [click]
            if keep is not None:
                keep(case.name, int(label), MaskCrop(fine, window.lower))
            scores.append(ObjectScore(case.name, int(label), tuple(dice), case.dataset))
    if not scores and any(case.objects for case in cases):
        raise InputError(
            f"The objects of the validation cases are too thin for windows of {round(budget ** (1 / 3))}^3 "
            "voxels: use larger windows or name other cases."
        )
    if not scores:
        raise InputError("The validation cases hold no object: name cases with labels.")
    return scores
