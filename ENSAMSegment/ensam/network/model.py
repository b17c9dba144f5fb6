"""The ENSAM network: encode a window once, decode it for every prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ensam.network.attention import InteractionBlock, PositionEncoding, unit
from ensam.network.config import NetworkConfig
from ensam.network.image_encoder import ImageEncoder
from ensam.network.mask_decoder import Base, MaskDecoder, Region
from ensam.network.prompt_encoder import PromptEncoder, PromptTensors
from ensam.network.prompt_maps import PromptMaps, grey_levels, likeness_curves

MM_PER_UNIT = 50.0  # of positions in mm: about half the length of a usual window, whose half axis is 1


@dataclass(frozen=True)
class ImageFeatures:
    """All that a window's decoder needs of the image: prepared once, used for every prompt and object.

    latent (1, C, z, y, x); prepared: one tensor a decoder level, finest first; positions: what the attention
    needs of the latent grid (rotations or features), (1, z*y*x, ...); shape: the unpadded (Z, Y, X);
    spacing: the window's voxel size in mm, (z, y, x), where it was told; grey: grey levels for the maps of
    likeness, one tensor a level and the latent's last, of a network that draws them.
    """

    latent: Tensor
    prepared: tuple[Tensor, ...]
    positions: Tensor | None
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float] | None = None
    grey: tuple[Tensor, ...] = ()

    @property
    def nbytes(self) -> int:
        positions = () if self.positions is None else (self.positions,)
        tensors = (self.latent, *self.prepared, *positions, *self.grey)
        return sum(t.numel() * t.element_size() for t in tensors)


class ENSAM(nn.Module):
    """Image encoder, prompt encoder, interaction on the hypersphere and mask decoder."""

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config or NetworkConfig()
        self.image_encoder = ImageEncoder(self.config)
        self.prompt_encoder = PromptEncoder(self.config)
        self.position = PositionEncoding(self.config)
        self.interaction = nn.ModuleList(
            InteractionBlock(self.config) for _ in range(self.config.interaction_blocks)
        )
        self.mask_decoder = MaskDecoder(self.config)

    def forward(
        self, image: Tensor, prompts: PromptTensors, spacing: Sequence[float] | None = None
    ) -> Tensor:
        """One window (1, 1, Z, Y, X) in 0..1 and N objects' prompts -> logits (N, 1, Z, Y, X)."""
        return self.decode(self.encode(image, spacing), prompts)

    def encode(self, image: Tensor, spacing: Sequence[float] | None = None) -> ImageFeatures:
        """image (1, 1, Z, Y, X) in 0..1, any size: padded to a multiple of the stride with its outer voxels.

        spacing: the window's voxel size in mm, (z, y, x). Only a network whose positions are in mm reads it.
        Raises ValueError if that one is not told.
        """
        shape = tuple(image.shape[2:])
        spacing = None if spacing is None else tuple(float(v) for v in spacing)
        image = self._pad(image)
        features = self.image_encoder(image)
        latent = features[-1]
        axes = (torch.arange(s, device=image.device, dtype=torch.float32) for s in latent.shape[2:])
        grid = torch.meshgrid(*axes, indexing="ij")
        stride = self.config.stride
        centres = (torch.stack(grid, dim=-1).flatten(0, 2) + 0.5) * stride - 0.5
        positions = self.position(self._coordinates(centres, shape, spacing))
        return ImageFeatures(
            latent,
            tuple(self.mask_decoder.prepare(features[:-1])),
            None if positions is None else positions[None],
            shape,
            spacing,
            grey_levels(image, len(features)) if self.config.likeness else (),
        )

    def decode(self, features: ImageFeatures, prompts: PromptTensors) -> Tensor:
        """One window's features and the prompts of N objects in it -> logits (N, 1, Z, Y, X), float32."""
        return self.unpadded(features, self.mask_decoder(*self._decoder_input(features, prompts)))

    def decode_base(self, features: ImageFeatures, prompts: PromptTensors) -> Base:
        """One object's answer to go on from with `decode_part`. Without a last result; dense prompts only."""
        latent, prepared, maps = self._decoder_input(features, prompts)
        return self.mask_decoder.whole(latent, prepared, maps)

    def decode_part(
        self, features: ImageFeatures, prompts: PromptTensors, base: Base, region: Region
    ) -> Tensor:
        """One object's logits (1, 1, Z, Y, X), computed in the region and taken from the base elsewhere.

        The session does not use it: a click moves the statistics of the whole window, so that going on with
        the box's costs Dice on held-out objects.
        """
        latent, prepared, maps = self._decoder_input(features, prompts)
        return self.unpadded(features, self.mask_decoder.part(latent, prepared, maps, base, region))

    @staticmethod
    def unpadded(features: ImageFeatures, logits: Tensor) -> Tensor:
        """Logits of the padded window, cut to the window."""
        z, y, x = features.shape
        return logits[..., :z, :y, :x]

    def _decoder_input(
        self, features: ImageFeatures, prompts: PromptTensors
    ) -> tuple[Tensor, list[Tensor], PromptMaps | None]:
        padded = tuple(s * self.config.stride for s in features.latent.shape[2:])
        if prompts.previous is not None:
            prompts = replace(prompts, previous=self._pad(prompts.previous))
        maps, curves = None, None
        if self.config.likeness:
            # Copies of the outer voxels would count as what is outside the box.
            z, y, x = features.shape
            curves = likeness_curves(prompts, features.grey[0][:z, :y, :x])
        if self.config.dense_prompts:
            maps = PromptMaps(prompts, padded, features.grey, curves)
        return self._interact(features, prompts), list(features.prepared), maps

    def _interact(self, features: ImageFeatures, prompts: PromptTensors) -> Tensor:
        latent = features.latent
        objects = prompts.boxes.shape[0]
        embedding = latent.expand(objects, -1, -1, -1, -1)
        previous = self.prompt_encoder.embed_previous(prompts)
        if previous is not None:
            embedding = embedding + previous
        tokens, voxels, mask = self.prompt_encoder.tokens(prompts)
        token_positions = self.position(self._coordinates(voxels, features.shape, features.spacing))
        image = embedding.flatten(2).transpose(1, 2)
        normalised = self.config.attention == "normalised"
        if normalised:
            image = unit(image)
        for block in self.interaction:
            tokens, image = block(tokens, image, token_positions, features.positions, mask)
        # On the sphere a channel is about 1 / sqrt(C); the decoder's convolutions expect about 1.
        scale = latent.shape[1] ** 0.5 if normalised else 1.0
        return (image * scale).transpose(1, 2).unflatten(2, latent.shape[2:]).to(latent.dtype)

    def _pad(self, x: Tensor) -> Tensor:
        stride = self.config.stride
        missing = [-s % stride for s in x.shape[2:]]
        if not any(missing):
            return x
        # Zeros (paper) would count in the statistics of every normalisation.
        return F.pad(x, [n for m in reversed(missing) for n in (0, m)], mode="replicate")

    def _coordinates(
        self, voxels: Tensor, shape: tuple[int, ...], spacing: tuple[float, ...] | None
    ) -> Tensor:
        """Window voxels -> coordinates with the window's centre at 0, in the configuration's unit.

        By plain numbers: to send them as a tensor, the processor would wait for a graphics card.
        """
        if self.config.position_unit == "window":
            units = [max(shape) / 2] * 3
        elif spacing is None:
            raise ValueError("this network's positions are in mm: it must be told the window's voxel size")
        else:
            units = [MM_PER_UNIT / mm for mm in spacing]
        axes = zip(voxels.float().unbind(-1), shape, units, strict=True)
        return torch.stack([(place - (size - 1) / 2) / unit for place, size, unit in axes], dim=-1)
