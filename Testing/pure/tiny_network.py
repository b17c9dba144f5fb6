"""Tiny networks and their inputs for the tests that ask what the network does, not how well."""

from __future__ import annotations

import torch
from ensam.network import ENSAM, NetworkConfig, PromptTensors
from torch import nn

# Four levels like the shipped network, so that sizes are padded to multiples of 8, and nothing else like it.
TINY = {"widths": (8, 8, 8, 16), "blocks": (1, 1, 1, 1), "heads": 2, "mlp_width": 16}
BOX = ((2.0, 3.0, 1.0), (9.0, 11.0, 8.0))


def tiny_network(seed=0, **changes):
    """A network whose every vector has been moved, so that no part hides behind an initial zero or one."""
    torch.manual_seed(seed)
    network = ENSAM(NetworkConfig(**{**TINY, **changes})).eval()
    for parameter in network.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, float(parameter.detach().mean()), 0.2)
    nn.init.normal_(network.mask_decoder.head.weight)
    return network


def prompts_of(*objects, previous=None, has_previous=None):
    """Prompts of objects, each a box or None and clicks ((z, y, x), is it foreground)."""
    boxes, clicks = zip(*objects, strict=True)
    return PromptTensors.of_objects(boxes, clicks, previous, has_previous)


def image_of(shape, seed=0):
    return torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(seed))


def previous_of(count, shape, seed=1):
    """Logits of a last result that nobody would believe."""
    return 3 * torch.randn(count, 1, *shape, generator=torch.Generator().manual_seed(seed))
