"""What a network is made of: one frozen value that fits in a checkpoint's card."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

# The maps that are drawn into the decoder's levels, in the order of their channels. The ellipsoid that fills
# the box is the best guess that knows no image.
PROMPT_MAPS = ("box", "ellipsoid", "foreground", "background", "previous")
LIKENESS_MAPS = ("like foreground", "like background", "like box")


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes and variants of the network. The defaults are the ones that the shipped weights use.

    widths: channels of the encoder's levels, finest first; a level halves each axis (paper: 16, 32, 64, 128).
    blocks: residual blocks of each level (derived from the paper's parameter count: 1, 2, 2, 4).
    groups: groups of every group normalisation.
    heads: attention heads; the latent's width over `heads` is the width of a head.
    interaction_blocks: how often the four-step interaction block is applied (paper: 2).
    mlp_width: hidden width of the prompts' MLP (derived: 256).
    position: how a position enters the attention: LieRE (paper), a sum with Fourier features, or not at all.
    position_unit: "window", the window's longest half axis is 1 (ours), or "mm", 1 is 50 mm in the patient,
        so that a voxel's shape counts; then the network must be told the window's voxel size.
    attention: "normalised" on the hypersphere (paper) or "standard" with pre-normalisation.
    dense_prompts: prompts and previous logits are also drawn as small maps into every decoder level (ours).
    likeness: more such maps tell how like a voxel's grey value is to those of the clicks and the box (ours).
    """

    widths: tuple[int, ...] = (16, 32, 64, 128)
    blocks: tuple[int, ...] = (1, 2, 2, 4)
    groups: int = 8
    heads: int = 16
    interaction_blocks: int = 2
    mlp_width: int = 256
    position: Literal["liere", "absolute", "none"] = "liere"
    attention: Literal["normalised", "standard"] = "normalised"
    dense_prompts: bool = True
    position_unit: Literal["window", "mm"] = "window"
    likeness: bool = True

    def __post_init__(self) -> None:
        numbers = (
            *self.widths,
            *self.blocks,
            self.groups,
            self.heads,
            self.interaction_blocks,
            self.mlp_width,
        )
        if any(type(number) is not int or number < 1 for number in numbers):
            raise ValueError("sizes are whole numbers above 0")
        if len(self.widths) != len(self.blocks) or len(self.widths) < 2:
            raise ValueError("widths and blocks need one number for each of at least two levels")
        if any(width % self.groups for width in self.widths) or self.widths[-1] % self.heads:
            raise ValueError("every width must be a multiple of groups, and the last one of heads")
        if self.position not in ("liere", "absolute", "none"):
            raise ValueError(f"unknown position {self.position!r}")
        if self.position_unit not in ("window", "mm"):
            raise ValueError(f"unknown unit of positions {self.position_unit!r}")
        if self.attention not in ("normalised", "standard"):
            raise ValueError(f"unknown attention {self.attention!r}")
        if self.likeness and not self.dense_prompts:
            raise ValueError("likeness is drawn as dense prompts: it needs them")

    @classmethod
    def paper(cls, **changes: Any) -> NetworkConfig:
        """The paper's own network: prompts reach the decoder through the latent alone."""
        return cls(**{"dense_prompts": False, "likeness": False, **changes})

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> NetworkConfig:
        """The inverse of `to_dict`. Raises ValueError for unknown names, so that no setting is dropped."""
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown settings {sorted(unknown)}")
        # What is not named is of a checkpoint from before there was a choice.
        values = {"likeness": False, **values}
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})

    def to_dict(self) -> dict[str, Any]:
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @property
    def maps(self) -> tuple[str, ...]:
        """The maps that are drawn into each level of the decoder."""
        return (*(PROMPT_MAPS if self.dense_prompts else ()), *(LIKENESS_MAPS if self.likeness else ()))

    @property
    def stride(self) -> int:
        """Voxels of the input along one edge of a latent voxel: sizes are padded to a multiple of it."""
        return 2 ** (len(self.widths) - 1)
