"""Tiny networks for the tests that ask what the network does, not how well."""

from __future__ import annotations

import torch
from ensam.network import ENSAM, NetworkConfig
from torch import nn

# Four levels like the shipped network, so that sizes are padded to multiples of 8, and nothing else like it.
TINY = {"widths": (8, 8, 8, 16), "blocks": (1, 1, 1, 1), "heads": 2, "mlp_width": 16}


def tiny_network(seed=0, **changes):
    """A network whose every vector has been moved, so that no part hides behind an initial zero or one."""
    torch.manual_seed(seed)
    network = ENSAM(NetworkConfig(**{**TINY, **changes})).eval()
    for parameter in network.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, float(parameter.detach().mean()), 0.2)
    nn.init.normal_(network.mask_decoder.head.weight)
    return network
