"""Attention on the unit hypersphere with rotary positions in three dimensions.

Normalised attention follows nGPT: hidden states, queries and keys have unit length, and a step is
h <- Norm(h + alpha (Norm(block(h)) - h)) with a learned alpha. Positions follow LieRE.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from math import factorial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ensam.network.config import NetworkConfig


def unit(x: Tensor, dim: int = -1) -> Tensor:
    """x scaled to length 1 along `dim`, in float32: a half-precision norm drifts off the sphere."""
    return F.normalize(x.float(), dim=dim)


def full_precision(x: Tensor) -> AbstractContextManager:
    """Autocast off for x's device: rotations in half precision would not be rotations."""
    # The meta device, on which costs are counted, knows no autocast.
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def exponential(matrices: Tensor) -> Tensor:
    """exp of (..., n, n), right to 1e-4 in float32 for norms up to 50; the shipped weights' are up to 7.

    Always the same products: exp(x) = exp(x / 64)^64, and Taylor's series to the eighth power. Those of
    torch.matrix_exp depend on the norms, for which the processor would wait for a graphics card at every
    click, Apple's lack it, and its backward takes three times as long.
    """
    squarings = 6
    x = matrices / 2**squarings
    square = x @ x
    one = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    cube = square @ x

    def terms(first: int) -> Tensor:
        a, b, c = (1 / factorial(first + i) for i in range(3))
        return torch.add(torch.add(one * a, x, alpha=b), square, alpha=c)

    result = terms(0) + cube @ (terms(3) + cube @ terms(6))
    for _ in range(squarings):
        result = result @ result
    return result


class LieRE(nn.Module):
    """R(p) = exp(p_z A_z + p_y A_y + p_x A_x) with learned skew-symmetric A, one set for each head.

    R(p) is a rotation, so R(p)^T R(p) = 1 for every A. The score of a query at p and a key at q is
    u^T R(p)^T R(q) v, which depends on q - p alone only if the A commute; general generators do not, and
    then a shift of all positions changes the scores a little.
    """

    def __init__(self, heads: int, width: int) -> None:
        super().__init__()
        drawn = nn.init.normal_(torch.empty(heads, 3, width, width), std=2 / width**0.5)
        self.generators = nn.Parameter(drawn)

    def forward(self, positions: Tensor) -> Tensor:
        """positions (..., 3) in (z, y, x) -> rotations (..., heads, width, width), float32."""
        upper = torch.triu(self.generators.float(), diagonal=1)
        skew = upper - upper.transpose(-1, -2)
        with full_precision(positions):
            return exponential(torch.einsum("...a,haij->...hij", positions.float(), skew))


class AbsolutePosition(nn.Module):
    """The paper's ablation: Fourier features of a position, added to what queries and keys are made from."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(nn.init.normal_(torch.empty(3, width // 2), std=2))

    def forward(self, positions: Tensor) -> Tensor:
        """positions (..., 3) -> (..., width)."""
        angles = positions.float() @ self.frequencies
        return torch.cat((angles.sin(), angles.cos()), dim=-1) / (self.frequencies.shape[1] ** 0.5)


class PositionEncoding(nn.Module):
    """The one place that knows which kind of position the network uses. Shared by all attentions."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.kind = config.position
        if self.kind == "liere":
            self.encoding: nn.Module | None = LieRE(config.heads, config.widths[-1] // config.heads)
        elif self.kind == "absolute":
            self.encoding = AbsolutePosition(config.widths[-1])
        else:
            self.encoding = None

    def forward(self, positions: Tensor) -> Tensor | None:
        return None if self.encoding is None else self.encoding(positions)


class Attention(nn.Module):
    """Multi-head attention of one token set to another, (N, T, C) to (N, S, C)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width = config.widths[-1]
        self.heads = config.heads
        self.rotary = config.position == "liere"
        self.normalised = config.attention == "normalised"
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        if self.normalised:
            # Scores of unit vectors lie in -1..1; the scale is what lets a head be decided.
            self.scale = nn.Parameter(torch.full((config.heads,), 4.0))

    def forward(
        self,
        tokens: Tensor,
        context: Tensor,
        token_positions: Tensor | None,
        context_positions: Tensor | None,
        context_mask: Tensor | None = None,
    ) -> Tensor:
        """tokens (N, T, C) attend to context (N, S, C) -> (N, T, C).

        Positions are what PositionEncoding gave for each set, broadcastable over N.
        context_mask (N, S), True where a context token exists.
        """
        query_input, key_input = tokens, context
        if not self.rotary and token_positions is not None and context_positions is not None:
            query_input, key_input = tokens + token_positions, context + context_positions
        query, key = self._split(self.query(query_input)), self._split(self.key(key_input))
        if self.normalised:
            query, key = unit(query) * self.scale.view(-1, 1), unit(key)
        if self.rotary:
            query, key = rotate(query, token_positions), rotate(key, context_positions)
        value = self._split(self.value(context)).to(query.dtype)
        mask = None if context_mask is None else context_mask[:, None, None, :]
        mixed = F.scaled_dot_product_attention(
            query.transpose(1, 2),
            key.to(query.dtype).transpose(1, 2),
            value.transpose(1, 2),
            attn_mask=mask,
            scale=1.0 if self.normalised else None,
        )
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1))


def rotate(x: Tensor, rotations: Tensor | None) -> Tensor:
    """x (N, T, heads, width) turned by rotations (N or 1, T, heads, width, width), in float32."""
    if rotations is None:
        return x
    with full_precision(x):
        return torch.matmul(rotations, x.float().unsqueeze(-1)).squeeze(-1)


class Residual(nn.Module):
    """How a block's answer joins the hidden state: on the sphere, or as a plain pre-normalised sum."""

    def __init__(self, width: int, kind: Literal["normalised", "standard"]) -> None:
        super().__init__()
        self.normalised = kind == "normalised"
        if self.normalised:
            self.alpha = nn.Parameter(torch.full((width,), 0.25))
        else:
            self.norm = nn.LayerNorm(width)

    def before(self, hidden: Tensor) -> Tensor:
        return hidden if self.normalised else self.norm(hidden)

    def after(self, hidden: Tensor, answer: Tensor) -> Tensor:
        if self.normalised:
            return unit(hidden + self.alpha * (unit(answer) - hidden))
        return hidden + answer


class InteractionBlock(nn.Module):
    """The paper's four steps: prompts to prompts, prompts to image, MLP on prompts, image to prompts."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width = config.widths[-1]
        self.prompt_self = Attention(config)
        self.prompt_to_image = Attention(config)
        self.mlp = nn.Sequential(
            nn.Linear(width, config.mlp_width, bias=False),
            nn.ReLU(),
            nn.Linear(config.mlp_width, width, bias=False),
        )
        self.image_to_prompt = Attention(config)
        self.residuals = nn.ModuleList(Residual(width, config.attention) for _ in range(4))

    def forward(
        self,
        prompts: Tensor,
        image: Tensor,
        prompt_positions: Tensor | None,
        image_positions: Tensor | None,
        prompt_mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """prompts (N, P, C) and image (N, S, C) -> the same shapes after one exchange."""
        own, ask, think, tell = self.residuals
        state = own.before(prompts)
        answer = self.prompt_self(state, state, prompt_positions, prompt_positions, prompt_mask)
        prompts = own.after(prompts, answer)
        answer = self.prompt_to_image(ask.before(prompts), image, prompt_positions, image_positions)
        prompts = ask.after(prompts, answer)
        prompts = think.after(prompts, self.mlp(think.before(prompts)))
        answer = self.image_to_prompt(
            tell.before(image), prompts, image_positions, prompt_positions, prompt_mask
        )
        return prompts, tell.after(image, answer)


@torch.no_grad()
def renormalise_(module: nn.Module) -> None:
    """Puts every matrix of the normalised attentions back on the sphere; call it after each optimiser step.

    As in nGPT a matrix has unit length along the axis that meets the hidden state: the input axis of
    queries, keys, values and the MLP's first layer, the output axis of the layers that write into it.
    """
    for block in module.modules():
        if not isinstance(block, InteractionBlock) or not block.residuals[0].normalised:
            continue
        for attention in (block.prompt_self, block.prompt_to_image, block.image_to_prompt):
            for layer in (attention.query, attention.key, attention.value):
                layer.weight.copy_(unit(layer.weight, dim=1))
            attention.out.weight.copy_(unit(attention.out.weight, dim=0))
        block.mlp[0].weight.copy_(unit(block.mlp[0].weight, dim=1))
        block.mlp[2].weight.copy_(unit(block.mlp[2].weight, dim=0))
