"""The paper's loss of one interaction step: generalised soft Dice + 2 x cross-entropy."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - generalised Dice over foreground and background, (N, 1, Z, Y, X) -> mean over N.

    Each class weighs by the inverse square of its volume (Sudre et al. 2017), so a small object counts as
    much as its surroundings. Targets may be fractions.
    """
    probability, target = logits.sigmoid().flatten(1), target.flatten(1)
    overlap = total = 0.0
    for p, t in ((probability, target), (1 - probability, 1 - target)):
        weight = 1 / t.sum(1).clamp_min(1).square()
        overlap = overlap + weight * (p * t).sum(1)
        total = total + weight * (p.sum(1) + t.sum(1))
    return (1 - 2 * overlap / total).mean()


def segmentation_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Generalised Dice + 2 x binary cross-entropy (paper, section on training)."""
    return dice_loss(logits, target) + 2 * F.binary_cross_entropy_with_logits(logits, target)
