"""The mask decoder: a U-Net's ascending half whose share without prompts is paid once a window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ensam.network import slabs
from ensam.network.attention import full_precision
from ensam.network.config import NetworkConfig
from ensam.network.layers import NormReLU, convolution, upsample
from ensam.network.prompt_maps import PromptMaps

Draw = Callable[..., Tensor]
Region = Sequence[tuple[int, int]]  # first voxel, and one past the last, along each axis
# The network starts from the ellipsoid that fills the box and from the last result, flipped where a click
# asks for it, and learns what to change.
START = {"ellipsoid": 2.0, "foreground": 4.0, "background": -4.0, "previous": 2.0}
HALO = 4  # voxels round a region within which its own edge is felt: three convolutions and the upsampling


@dataclass(frozen=True)
class Base:
    """An answer to go on from: logits (1, 1, Z, Y, X) of the padded window, the finest level's moments."""

    logits: Tensor
    moments: tuple[tuple[Tensor, Tensor], ...]

    @property
    def nbytes(self) -> int:
        return self.logits.nbytes


class DecoderLevel(nn.Module):
    """One residual block on the concatenation of the upsampled features and the encoder's skip features.

    The block's first convolution is linear and no normalisation group straddles the halves, so
    conv(concat(up, skip)) = conv_up(up) + conv_skip(skip): the skip half is computed with the image features.
    """

    def __init__(self, deep: int, width: int, groups: int, maps: int) -> None:
        super().__init__()
        # Narrowing before upsampling: afterwards the same product would cost eight times as much.
        self.narrow = convolution(deep, width, kernel=1)
        self.draw = convolution(maps, width) if maps else None
        self.norm_up = NormReLU(width, groups)
        self.conv_up = convolution(width, width)
        self.norm_skip = NormReLU(width, groups)
        self.conv_skip = convolution(width, width)
        self.norm_out = NormReLU(width, groups)
        self.conv_out = convolution(width, width)

    def prepare(self, skip: Tensor) -> Tensor:
        """What this level owes to the image alone: (N, width, Z, Y, X)."""
        if slabs.worthwhile(skip) and skip.shape[0] == 1:
            return slabs.norm_relu_conv(skip, self.norm_skip, self.conv_skip)
        return self.conv_skip(self.norm_skip(skip))

    def forward(self, x: Tensor, prepared: Tensor, draw: Draw | None) -> Tensor:
        """x (N, deep, Z/2, Y/2, X/2), prepared (1 or N, width, Z, Y, X) -> (N, width, Z, Y, X).

        draw: gives the prompts' maps on this level, whole or from one plane to another.
        """
        if slabs.worthwhile(prepared) and x.shape[0] == 1:
            return self.in_slabs(x, prepared, draw, slabs.Moments())
        up = upsample(self.narrow(x))
        if self.draw is not None and draw is not None:
            up = up + self.draw(draw())
        return up + self.conv_out(self.norm_out(self.conv_up(self.norm_up(up)) + prepared))

    def in_slabs(self, x: Tensor, prepared: Tensor, draw: Draw | None, moments: slabs.Moments) -> Tensor:
        """The same for one object, in slabs; moments: what the normalisations take."""
        up = self._up_in_slabs(self.narrow(x), prepared, draw)
        between = slabs.norm_relu_conv(up, self.norm_up, self.conv_up, plus=prepared, moments=moments)
        return slabs.norm_relu_conv(between, self.norm_out, self.conv_out, plus=up, out=up, moments=moments)

    def _up_in_slabs(self, x: Tensor, prepared: Tensor, draw: Draw | None) -> Tensor:
        up = slabs.empty(tuple(prepared.shape), prepared.dtype, x.device)
        depth = prepared.shape[2]
        for first, last in slabs.slabs_of(prepared.shape):
            part = slabs.doubled(x, first, last)
            if self.draw is not None and draw is not None:
                # A plane more on both sides, since the convolution looks at it: zeros beyond the level.
                maps = draw(max(first - 1, 0), min(last + 1, depth))
                maps = F.pad(maps, (0, 0, 0, 0, int(first == 0), int(last == depth)))
                slabs.convolve_onto(part, maps, self.draw, (0, 1, 1))
            up[:, :, first:last] = part
        return up


class MaskDecoder(nn.Module):
    """Latent after the interaction -> logits of the window's shape."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        widths, maps = config.widths, len(config.maps)
        self.levels = nn.ModuleList(
            DecoderLevel(deep, width, config.groups, maps) for width, deep in pairwise(widths)
        )
        self.draw = convolution(maps, widths[-1]) if maps else None
        self.norm = NormReLU(widths[0], config.groups)
        self.head = convolution(widths[0], 1, kernel=1, bias=True)
        start = [START.get(name, 0.0) for name in config.maps]
        self.prior = nn.Parameter(torch.tensor(start)) if maps else None
        if maps:
            nn.init.zeros_(self.head.weight)

    def prepare(self, features: list[Tensor]) -> list[Tensor]:
        """The encoder's features, finest first, without the latent -> each level's share without prompts."""
        return [level.prepare(skip) for level, skip in zip(self.levels, features, strict=True)]

    def forward(self, latent: Tensor, prepared: list[Tensor], maps: PromptMaps | None) -> Tensor:
        """latent (N, C, z, y, x), maps or None -> logits (N, 1, Z, Y, X), float32."""
        if slabs.worthwhile(prepared[0]) and latent.shape[0] > 1:
            # One object after the other needs a fraction of the memory, and stays in the caches.
            each = range(latent.shape[0])
            return torch.cat([self(latent[n : n + 1], prepared, maps and maps.of(n)) for n in each])
        x = self._coarse(latent, prepared, maps)
        if slabs.worthwhile(prepared[0]):
            return self._finest(x, prepared[0], maps, slabs.Moments())
        if maps is None:
            return self.head(self.norm(self.levels[0](x, prepared[0], None))).float()
        finest = maps.draw(0)
        x = self.levels[0](x, prepared[0], lambda: finest)
        return self.head(self.norm(x)).float() + self._start(finest)

    def whole(self, latent: Tensor, prepared: list[Tensor], maps: PromptMaps | None) -> Base:
        """One object's logits, with what `part` needs to answer for other clicks in a part of the window."""
        moments = slabs.Moments()
        logits = self._finest(self._coarse(latent, prepared, maps), prepared[0], maps, moments)
        return Base(logits, tuple(moments.taken))

    def part(
        self, latent: Tensor, prepared: list[Tensor], maps: PromptMaps, base: Base, region: Region
    ) -> Tensor:
        """One object's logits (1, 1, Z, Y, X): new in the region, the base's elsewhere.

        Only the finest level is cut; it normalises with the base's statistics, since its own would need all
        of the window.
        """
        x = self._coarse(latent, prepared, maps)
        size = prepared[0].shape[2:]
        lower = [max(0, first - HALO) // 2 * 2 for first, _ in region]
        upper = [min(n, last + HALO + 1) // 2 * 2 for (_, last), n in zip(region, size, strict=True)]
        here = tuple(slice(a, b) for a, b in zip(lower, upper, strict=True))
        coarse = tuple(slice(a // 2, b // 2) for a, b in zip(lower, upper, strict=True))
        logits = self._finest(
            x[(..., *coarse)],
            prepared[0][(..., *here)],
            maps and maps.cut(lower, upper),
            slabs.Moments(base.moments),
        )
        inner = tuple(slice(a - low, b - low) for (a, b), low in zip(region, lower, strict=True))
        answer = base.logits.clone()
        answer[(..., *(slice(a, b) for a, b in region))] = logits[(..., *inner)]
        return answer

    def _coarse(self, latent: Tensor, prepared: list[Tensor], maps: PromptMaps | None) -> Tensor:
        """All levels but the finest."""
        x = latent
        if self.draw is not None and maps is not None:
            x = x + self.draw(maps.draw(len(self.levels)))
        for index in reversed(range(1, len(self.levels))):
            x = self.levels[index](x, prepared[index], None if maps is None else partial(maps.draw, index))
        return x

    def _finest(self, x: Tensor, prepared: Tensor, maps: PromptMaps | None, moments: slabs.Moments) -> Tensor:
        """The finest level and the logits of one object, in slabs."""
        logits = slabs.empty((1, 1, *prepared.shape[2:]), torch.float32, x.device)

        def draw(first: int, last: int) -> Tensor:
            drawn = maps.draw(0, first, last)
            logits[:, :, first:last] = self._start(drawn)
            return drawn

        x = self.levels[0].in_slabs(x, prepared, None if maps is None else draw, moments)
        plus = None if maps is None else logits
        return slabs.norm_relu_conv(x, self.norm, self.head, plus=plus, out=logits, moments=moments)

    def _start(self, maps: Tensor) -> Tensor:
        """The logits that the maps (N, maps, Z, Y, X) alone give, (N, 1, Z, Y, X)."""
        with full_precision(maps):
            return torch.einsum("nczyx,c->nzyx", maps.float(), self.prior)[:, None]
