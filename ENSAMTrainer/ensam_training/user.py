"""The simulated user of a training step: boxes first, then clicks on what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from ensam.network import PromptTensors
from torch import Tensor

from ensam_training.interaction import Click, simulate_box, simulate_click


class SimulatedUser:
    """The growing prompts of the N objects of one window.

    masks: bool (Z, Y, X) each; every choice comes from `rng`.
    """

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

    def silent_rounds(self) -> int:
        """Rounds of clicks whose answer is only looked at, before the one that is learned from."""
        return int(self.rng.choice([0, 1, 2], p=[0.55, 0.3, 0.15]))

    def continues(self) -> bool:
        """Whether the next answer goes on from the last one. Half must come from the prompts alone, so that
        the same prompts give the same mask whatever came before."""
        return bool(self.rng.random() < 0.5)

    def correct(self, logits: Tensor) -> None:
        """Adds one or two clicks an object on its largest error regions."""
        answers = logits.detach()[:, 0].gt(0).cpu().numpy()
        count = int(self.rng.integers(1, 3))
        for index, answer in enumerate(answers):
            for rank in range(count):
                self._click(index, answer, rank)

    def _click(self, index: int, answer: np.ndarray, rank: int) -> None:
        hand = self.rng if self.rng.random() < 0.4 else None
        click = simulate_click(self.masks[index], answer, hand, rank)
        if click is not None:
            self.clicks[index].append(click)

    def prompts(self, device: torch.device, previous: Tensor | None = None) -> PromptTensors:
        return PromptTensors.of_objects(self.boxes, self.clicks, previous).to(device)
