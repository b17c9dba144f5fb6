"""The mask decoder: a U-Net's ascending half whose share without prompts is paid once a window."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from ensam.network.attention import full_precision
from ensam.network.config import NetworkConfig
from ensam.network.layers import NormReLU, convolution, upsample
from ensam.network.prompt_encoder import MAPS


class DecoderLevel(nn.Module):
    """One residual block on the concatenation of the upsampled features and the encoder's skip features.

    The block's first convolution is linear and no normalisation group straddles the halves, so
    conv(concat(up, skip)) = conv_up(up) + conv_skip(skip): the skip half is computed with the image features.
    """

    def __init__(self, deep: int, width: int, groups: int, dense_prompts: bool) -> None:
        super().__init__()
        # Narrowing before upsampling: afterwards the same product would cost eight times as much.
        self.narrow = convolution(deep, width, kernel=1)
        self.draw = convolution(len(MAPS), width) if dense_prompts else None
        self.norm_up = NormReLU(width, groups)
        self.conv_up = convolution(width, width)
        self.norm_skip = NormReLU(width, groups)
        self.conv_skip = convolution(width, width)
        self.norm_out = NormReLU(width, groups)
        self.conv_out = convolution(width, width)

    def prepare(self, skip: Tensor) -> Tensor:
        """What this level owes to the image alone: (N, width, Z, Y, X)."""
        return self.conv_skip(self.norm_skip(skip))

    def forward(self, x: Tensor, prepared: Tensor, maps: Tensor | None) -> Tensor:
        """x (N, deep, Z/2, Y/2, X/2), prepared (1 or N, width, Z, Y, X) -> (N, width, Z, Y, X)."""
        up = upsample(self.narrow(x))
        if self.draw is not None and maps is not None:
            up = up + self.draw(maps)
        return up + self.conv_out(self.norm_out(self.conv_up(self.norm_up(up)) + prepared))


class MaskDecoder(nn.Module):
    """Latent after the interaction -> logits of the window's shape."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        widths, dense = config.widths, config.dense_prompts
        self.levels = nn.ModuleList(
            DecoderLevel(deep, width, config.groups, dense) for width, deep in pairwise(widths)
        )
        self.draw = convolution(len(MAPS), widths[-1]) if dense else None
        self.norm = NormReLU(widths[0], config.groups)
        self.head = nn.Conv3d(widths[0], 1, 1)
        # The network starts from the ellipsoid that fills the box and from the last result, flipped where a
        # click asks for it, and learns what to change.
        self.prior = nn.Parameter(torch.tensor([0.0, 2.0, 4.0, -4.0, 2.0])) if dense else None
        if dense:
            nn.init.zeros_(self.head.weight)

    def prepare(self, features: list[Tensor]) -> list[Tensor]:
        """The encoder's features, finest first, without the latent -> each level's share without prompts."""
        return [level.prepare(skip) for level, skip in zip(self.levels, features, strict=True)]

    def forward(self, latent: Tensor, prepared: list[Tensor], maps: list[Tensor] | None) -> Tensor:
        """latent (N, C, z, y, x), maps finest first or None -> logits (N, 1, Z, Y, X), float32."""
        x = latent
        if self.draw is not None and maps is not None:
            x = x + self.draw(maps[-1])
        for index in reversed(range(len(self.levels))):
            x = self.levels[index](x, prepared[index], None if maps is None else maps[index])
        logits = self.head(self.norm(x)).float()
        if self.prior is not None and maps is not None:
            with full_precision(logits):
                logits = logits + torch.einsum("nczyx,c->nzyx", maps[0].float(), self.prior)[:, None]
        return logits
