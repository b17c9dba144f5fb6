"""Weights with their card: one safetensors file. No pickle is ever read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ensam.checkpoint_store import STARTER
from ensam.errors import CheckpointError
from ensam.files import not_written, replacing, write_text
from ensam.network import ENSAM, NetworkConfig

FORMAT = "ensam-1"
# Of what a card may ask for, since it is built before it is checked: a width or a count, levels, blocks.
LARGEST_SIZE, MOST_LEVELS, MOST_BLOCKS = 4096, 8, 256
LEAST_EDGE, LARGEST_EDGE = 8, 512  # of the cube of a voxel budget
_NUMBERS = {"F16", "BF16", "F32", "F64"}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained network's weights and what is known about them.

    card: architecture, voxel_budget (largest window in voxels), training data and licences, metrics, date.
    digest: a hash of the file, so that features of one checkpoint are never used with another.
    """

    config: NetworkConfig
    voxel_budget: int
    card: dict[str, Any]
    digest: str
    state: dict[str, Tensor] = field(repr=False)

    def network(self) -> ENSAM:
        """The network with these weights in float32, ready for inference."""
        network = ENSAM(self.config)
        network.load_state_dict(self.state)
        return network.float().eval().requires_grad_(False)


def save_checkpoint(path: Path | str, network: ENSAM, voxel_budget: int, card: Mapping[str, Any]) -> None:
    """Writes the weights in half precision and, for people to read, the card beside them.

    voxel_budget: LEAST_EDGE^3 to LARGEST_EDGE^3. What a card that was read from another checkpoint says of
    architecture and budget does not count. Raises CheckpointError for weights that half precision can't hold,
    and OutputError.
    """
    path = Path(path)
    own = {"architecture": network.config.to_dict(), "voxel_budget": int(voxel_budget)}
    full = own | dict(card) | own  # first, and whatever the card says
    text = json.dumps(full, indent=2, ensure_ascii=False)
    state = {name: t.detach().half().contiguous() for name, t in network.state_dict().items()}
    if not _are_finite(state):
        raise CheckpointError(
            f"The weights hold numbers that '{path.name}' can't keep in half precision, beyond "
            f"{torch.finfo(torch.half).max:,.0f} or not finite: train again with a lower learning rate."
        )
    with replacing(path) as temporary:
        try:
            save_file(state, temporary, {"format": FORMAT, "card": text})
        except SafetensorError as error:  # what it makes of a full disk
            raise not_written(path, None) from error
        temporary.chmod(0o644)  # safetensors lets nobody but the owner read
    write_text(path.with_suffix(".json"), text + "\n")


def load_checkpoint(path: Path | str | None = None) -> Checkpoint:
    """The checkpoint in a file, by default the one that ships with ENSAM. Raises CheckpointError."""
    path = STARTER if path is None else Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint '{path}': check the path.")
    damaged = f"'{path.name}' holds weights of another architecture than its card says: export it again."
    try:
        with safe_open(path, framework="pt") as file:
            metadata, names = file.metadata() or {}, list(file.keys())
            if metadata.get("format") != FORMAT:
                raise CheckpointError(
                    f"'{path.name}' is not an ENSAM checkpoint: choose one that ENSAM has written."
                )
            card, config, budget = _read_card(metadata.get("card", ""), damaged)
            # Before memory is taken for them the weights must be those of the network.
            parts = {name: file.get_slice(name) for name in names}
            shapes = {name: tuple(part.get_shape()) for name, part in parts.items()}
            if shapes != _shapes(config, len(names)) or {p.get_dtype() for p in parts.values()} - _NUMBERS:
                raise CheckpointError(damaged)
            state = {name: file.get_tensor(name).float() for name in names}
        digest = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"'{path.name}' is not a readable safetensors file: download or export it again."
        ) from error
    if not _are_finite(state):
        raise CheckpointError(f"'{path.name}' holds weights that are not finite numbers: export it again.")
    return Checkpoint(config, budget, card, digest, state)


class _Undrawn(TorchFunctionMode):
    """No normal numbers are drawn: for them torch imports its compiler on the meta device, for a second."""

    def __torch_function__(
        self, function: Callable, types: Any, arguments: tuple = (), named: dict[str, Any] | None = None
    ) -> Any:
        named = named or {}
        return named["tensor"] if function is nn.init.normal_ else function(*arguments, **named)


def _are_finite(state: Mapping[str, Tensor]) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in state.values())


def _read_card(text: str, damaged: str) -> tuple[dict[str, Any], NetworkConfig, int]:
    """The card, what it says of the network, and the voxel budget. Raises CheckpointError."""
    try:
        card = json.loads(text)
        config = NetworkConfig.from_dict(card["architecture"])
        budget = int(card["voxel_budget"])
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise CheckpointError(damaged) from error
    if not LEAST_EDGE**3 <= budget <= LARGEST_EDGE**3:
        raise CheckpointError(damaged)
    return card, config, budget


def _shapes(config: NetworkConfig, most: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the network's weights; none for one that a file of so many tensors can't hold."""
    sizes = (*config.widths, config.groups, config.heads, config.mlp_width)
    blocks = sum(config.blocks) + config.interaction_blocks
    if max(sizes) > LARGEST_SIZE or len(config.widths) > MOST_LEVELS or blocks > min(most, MOST_BLOCKS):
        return {}
    with torch.device("meta"), _Undrawn():
        return {name: tuple(t.shape) for name, t in ENSAM(config).state_dict().items()}
