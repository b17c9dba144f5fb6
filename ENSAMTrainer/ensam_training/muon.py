"""Muon: momentum whose update is brought to the nearest (semi-)orthogonal matrix.

Convolution weights are flattened behind their first axis (paper). torch.optim.Muon takes 2-dim parameters
only, and a 3x3x3 kernel is most of this network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from ensam.device import has_matrix_units
from ensam.network.attention import PositionEncoding
from ensam.network.mask_decoder import MaskDecoder
from ensam.network.prompt_encoder import PromptEncoder
from torch import Tensor, nn


@torch.no_grad()
def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """Newton-Schulz iteration (quintic, Keller Jordan's coefficients): singular values to about 1."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix / (matrix.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum and orthogonalised updates for parameters of two or more dims."""

    def __init__(self, parameters: Iterable[Tensor], lr: float = 0.02, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})
        for group in self.param_groups:
            if any(p.ndim < 2 for p in group["params"]):
                raise ValueError("Muon takes parameters of two or more dims; give the others to AdamW")
        # The iteration only has to bring singular values near 1, for which half precision is enough.
        self.dtype = torch.bfloat16 if torch.cuda.is_available() or has_matrix_units() else torch.float32

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                momentum = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                direction = parameter.grad.lerp(momentum, group["momentum"])
                update = orthogonalise(direction.flatten(1).to(self.dtype))
                # Wide and tall matrices get the same step per entry of their output.
                gain = max(1.0, update.shape[0] / update.shape[1]) ** 0.5
                parameter.add_(update.to(parameter.dtype).view_as(parameter), alpha=-group["lr"] * gain)
        return loss


def split_parameters(network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """(for Muon, for AdamW). AdamW gets vectors and scalars, the embedding table, the positions'
    generators or frequencies and the last layer: an orthogonal update is meant for a map between hidden
    spaces, which these are not."""
    special: set[int] = set()
    for module in network.modules():
        if isinstance(module, PositionEncoding):
            special.update(id(p) for p in module.parameters())
        elif isinstance(module, PromptEncoder):
            special.add(id(module.kinds.weight))
        elif isinstance(module, MaskDecoder):
            special.update(id(p) for p in module.head.parameters())
    parameters = list(network.parameters())
    hidden = [p for p in parameters if p.ndim >= 2 and id(p) not in special]
    return hidden, [p for p in parameters if p.ndim < 2 or id(p) in special]
