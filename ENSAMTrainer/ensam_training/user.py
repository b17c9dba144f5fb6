"""The simulated user of a training step: boxes first, then clicks on what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from ensam.network import PromptTensors
from ensam.planning import ObjectPrompts
from torch import Tensor

from ensam_training.interaction import Click, simulate_box, simulate_click

_REAL = 0.5  # how often a real box and real clicks are begun with, where there are any
_IDLE = 0.15  # how often a click is on what is right already: such clicks must move no edge


class SimulatedUser:
    """The growing prompts of the N objects of one window.

    masks: bool (Z, Y, X) each; every choice comes from `rng`. given: of each object the box and clicks that
    a user really made, in voxels of the window, or None; half of the time the object begins with them.
    """

    def __init__(
        self,
        masks: Sequence[np.ndarray],
        rng: np.random.Generator,
        given: Sequence[ObjectPrompts | None] = (),
    ) -> None:
        self.masks, self.rng = masks, rng
        self.boxes = [
            None if rng.random() < 0.1 else simulate_box(mask, rng, middle_slice=bool(rng.random() < 0.15))
            for mask in masks
        ]
        self.clicks: list[list[Click]] = [[] for _ in masks]
        for index, own in enumerate(given):
            if own is not None and rng.random() < _REAL:
                self._begin_with(index, own)
        for index, box in enumerate(self.boxes):
            if box is None and not self.clicks[index]:
                self._click(index, np.zeros_like(masks[index]), 0)

    def silent_rounds(self) -> int:
        """Rounds of clicks whose answer is only looked at, before the one that is learned from."""
        return int(self.rng.choice(5, p=[0.45, 0.25, 0.15, 0.1, 0.05]))

    def continues(self) -> bool:
        """Whether the next answer goes on from the last one. Half must come from the prompts alone, so that
        the same prompts give the same mask whatever came before."""
        return bool(self.rng.random() < 0.5)

    def correct(self, logits: Tensor) -> None:
        """Adds one or two clicks an object, most of them on its largest error regions."""
        answers = logits.detach()[:, 0].gt(0).cpu().numpy()
        count = int(self.rng.integers(1, 3))
        for index, answer in enumerate(answers):
            for rank in range(count):
                if self.rng.random() < _IDLE:
                    self._click_on_what_is_right(index, answer)
                else:
                    self._click(index, answer, rank)

    def _begin_with(self, index: int, given: ObjectPrompts) -> None:
        """The real box, and some of the real clicks, of which only those count that the mask still agrees
        with: it may have been corrected by hand after them."""
        mask, clicks = self.masks[index], []
        for voxel, foreground in given.clicks:
            at = tuple(np.rint(voxel).astype(int).tolist())
            inside = all(0 <= i < n for i, n in zip(at, mask.shape, strict=True))
            if inside and bool(mask[at]) == foreground:
                clicks.append((at, foreground))
        if given.box is None:
            self.boxes[index] = None if clicks else self.boxes[index]
        else:
            box = np.clip(given.box, -0.5, np.array(mask.shape) - 0.5)
            if np.all(box[1] > box[0]):
                self.boxes[index] = box
        count = int(self.rng.integers(0, len(clicks) + 1))
        self.clicks[index] = [clicks[i] for i in self.rng.permutation(len(clicks))[:count]]

    def _click(self, index: int, answer: np.ndarray, rank: int) -> None:
        hand = self.rng if self.rng.random() < 0.4 else None
        click = simulate_click(self.masks[index], answer, hand, rank)
        if click is not None:
            self.clicks[index].append(click)

    def _click_on_what_is_right(self, index: int, answer: np.ndarray) -> None:
        mask = self.masks[index]
        foreground = bool(self.rng.random() < 0.5)
        right = np.flatnonzero((mask == foreground) & (answer == foreground))
        if len(right):
            voxel = np.unravel_index(int(self.rng.choice(right)), mask.shape)
            self.clicks[index].append((tuple(int(i) for i in voxel), foreground))

    def prompts(self, device: torch.device, previous: Tensor | None = None) -> PromptTensors:
        return PromptTensors.of_objects(self.boxes, self.clicks, previous).to(device)
