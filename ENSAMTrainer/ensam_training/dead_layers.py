"""Layers that training no longer changes for the better, found by what gradient still reaches them."""

from __future__ import annotations

import torch
from torch import nn

from ensam_training.muon import Muon

# In trainings all of whose layers learned none was under 0.01; where the deep levels had died, some were
# at 0.0006 and less.
HARDLY = 1e-3
SETTLED = 50  # steps after which every layer has had a gradient, if one reaches it at all


def hardly_learning(network: nn.Module, optimiser: torch.optim.Optimizer) -> list[str]:
    """The layers of Muon whose momentum is under `HARDLY` of the median of all, as root mean square of its
    entries; none of another optimiser.

    What gradient reaches them is lost beside the others', and Muon's steps, which are as long all the same,
    are noise. In the first `SETTLED` steps it means nothing.
    """
    if not isinstance(optimiser, Muon):
        return []
    layers = {id(p): name.removesuffix(".weight") for name, p in network.named_parameters()}
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    # A layer that no step needed has no momentum at all.
    momenta = [optimiser.state.get(p, {}).get("momentum", torch.zeros_like(p)) for p in parameters]
    sizes = torch.stack([momentum.float().square().mean().sqrt() for momentum in momenta]).cpu()
    small = (sizes < HARDLY * sizes.median()).tolist()
    return [layers[id(p)] for p, is_small in zip(parameters, small, strict=True) if is_small]
