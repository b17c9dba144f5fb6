"""What a window costs: its rounds of prompts, those that carry gradient and those that are only looked at."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from ensam.device import autocast, layout
from ensam.network import ENSAM
from torch import Tensor, nn
from torch.nn import functional as F

from ensam_training.losses import segmentation_loss
from ensam_training.user import SimulatedUser

LEAST_HALF = 17  # voxels along every axis of a window that a CPU may learn from in half precision


class RoundsLoss(nn.Module):
    """What a window costs: the mean loss over the rounds that carry gradient.

    A module of its own, so that several processes can share its gradients in the usual way.
    deep_weight: see TrainingConfig. `heads` are the linear layers that this takes, coarser from one to the
    next and the latent's last; they start at zero, so that they learn before the network follows them.
    """

    def __init__(self, network: ENSAM, deep_weight: float) -> None:
        super().__init__()
        self.network, self.deep_weight = network, deep_weight
        widths = network.config.widths[1:] if deep_weight else ()
        self.heads = nn.ModuleList(nn.Conv3d(width, 1, 1) for width in widths)
        for head in self.heads:
            nn.init.zeros_(head.weight)
        self._coarse: list[Tensor] = []  # what the last decoding gave on the way, the latent first
        if deep_weight:
            decoder = network.mask_decoder
            decoder.register_forward_pre_hook(lambda _, given: self._begin(given[0]))
            for level in decoder.levels[1:]:
                level.register_forward_hook(lambda _, _given, x: self._coarse.append(x))

    def forward(
        self, image: Tensor, targets: Tensor, user: SimulatedUser, spacing: Sequence[float] | None
    ) -> tuple[Tensor, Tensor]:
        """image (1, 1, Z, Y, X) in 0..1, targets (N, 1, Z, Y, X), spacing (z, y, x) in mm -> the loss, and
        the losses (2,) of the first and the last round."""
        device, shape = image.device, tuple(image.shape[2:])
        with precision(device, shape):
            features = self.network.encode(image.to(memory_format=layout(device)), spacing)
            logits = self.network.decode(features, user.prompts(device))
            losses = [segmentation_loss(logits, targets)]
            deep = [self._deep_loss(targets)]
            for silent in range(user.silent_rounds(), -1, -1):
                user.correct(logits)
                previous = logits.detach() if user.continues() else None
                with torch.set_grad_enabled(silent == 0):
                    logits = self.network.decode(features, user.prompts(device, previous))
            losses.append(segmentation_loss(logits, targets))
            deep.append(self._deep_loss(targets))
        self._coarse = []  # nothing of a step is held until the next one
        rounds = torch.stack(losses)
        return rounds.mean() + self.deep_weight * sum(deep) / len(deep), rounds.detach()

    def _begin(self, latent: Tensor) -> None:
        self._coarse = [latent]

    def _deep_loss(self, targets: Tensor) -> Tensor | float:
        """The sum over the coarser levels of the last decoding."""
        loss, shares = 0.0, targets
        for head, x in zip(self.heads, reversed(self._coarse), strict=True):
            shares = F.avg_pool3d(shares, 2)
            depth, height, width = shares.shape[2:]  # less than x has where the network padded the window
            logits = head(x)[:, :, :depth, :height, :width]
            loss = loss + segmentation_loss(logits.float(), shares)
        return loss


def precision(device: torch.device, shape: tuple[int, ...]) -> AbstractContextManager:
    """As in use: bfloat16 where the device is fast in it, else float16 (CUDA) or float32. On MPS float32,
    since float16 would need its gradients scaled.

    On a CPU thin windows are in float32 too: torch 2.13's gradients of a convolution's weights in bfloat16
    take in stray memory where the latent is two voxels thick, and are not-a-number now and then.
    """
    is_thin = device.type == "cpu" and min(shape) < LEAST_HALF
    return nullcontext() if device.type == "mps" or is_thin else autocast(device, shape)
