"""Muon: momentum whose update is brought to the nearest (semi-)orthogonal matrix.

Convolution weights are flattened behind their first axis (paper). torch.optim.Muon takes 2-dim parameters
only, and a 3x3x3 kernel is most of this network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from ensam.network.attention import InteractionBlock, PositionEncoding
from ensam.network.mask_decoder import MaskDecoder
from ensam.network.prompt_encoder import PromptEncoder
from torch import Tensor, nn

# The share of Muon's rate for matrices of unit rows. Convolutions grow to rows of 3 and more, so that a step
# turns them less; at the full rate noise turns the attention's matrices faster than they learn.
SPHERE_RATE = 0.3
_STEPS = 5  # of Newton-Schulz


@torch.no_grad()
def orthogonalise(matrix: Tensor) -> Tensor:
    """Newton-Schulz iteration (quintic, Keller Jordan's coefficients): singular values to about 1.

    A step is x <- p(x x^T) x with p(g) = a + b g + c g^2. All these polynomials of one matrix commute, so
    they are multiplied with each other first and with x once: a kernel's x is 27 times as wide as x x^T. In
    float32 that is faster than the plain iteration in bfloat16 on matrix units, and nearer to its limit.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.float()
    x = x / (x.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    gram = x @ x.T
    product = None
    for left in reversed(range(_STEPS)):
        polynomial = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal().add_(a)
        product = polynomial if product is None else polynomial @ product
        if left:
            gram = polynomial @ (gram @ polynomial)
    x = product @ x
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Nesterov momentum and orthogonalised updates for parameters of two or more dims.

    lr: the length of a step's rows, whatever the gradient's. weight_decay: decoupled, times lr. Without it
    weights grow as a random walk does, and what a step changes in them shrinks.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 0.01,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        for group in self.param_groups:
            if any(p.ndim < 2 for p in group["params"]):
                raise ValueError("Muon takes parameters of two or more dims; give the others to AdamW")

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
                update = orthogonalise(direction.flatten(1))
                # Wide and tall matrices get the same step per entry of their output.
                gain = max(1.0, update.shape[0] / update.shape[1]) ** 0.5
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update.view_as(parameter), alpha=-group["lr"] * gain)
        return loss


def split_parameters(network: nn.Module) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """(for Muon, for Muon at `SPHERE_RATE`, for AdamW).

    The second are the matrices that `renormalise_` keeps at unit length. AdamW gets vectors and scalars, the
    embedding table, the positions' generators or frequencies and the last layer: an orthogonal update is
    meant for a map between hidden spaces, which these are not.
    """
    special: set[int] = set()
    sphere: set[int] = set()
    for module in network.modules():
        if isinstance(module, PositionEncoding):
            special.update(id(p) for p in module.parameters())
        elif isinstance(module, PromptEncoder):
            special.add(id(module.kinds.weight))
        elif isinstance(module, MaskDecoder):
            special.update(id(p) for p in module.head.parameters())
        elif isinstance(module, InteractionBlock):
            sphere.update(id(p) for p in module.parameters())
    rest = [p for p in network.parameters() if p.ndim < 2 or id(p) in special]
    matrices = [p for p in network.parameters() if p.ndim >= 2 and id(p) not in special]
    return (
        [p for p in matrices if id(p) not in sphere],
        [p for p in matrices if id(p) in sphere],
        rest,
    )
