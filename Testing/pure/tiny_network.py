"""Tiny networks and their inputs for the tests that ask what the network does, not how well."""

from __future__ import annotations

import numpy as np
import torch
from ensam.network import ENSAM, NetworkConfig, PromptTensors
from ensam_training.cases import Case
from ensam_training.sampling import Sample
from torch import nn

# Four levels like the shipped network, so that sizes are padded to multiples of 8, and nothing else like it.
TINY = {"widths": (8, 8, 8, 16), "blocks": (1, 1, 1, 1), "heads": 2, "mlp_width": 16}
BOX = ((2.0, 3.0, 1.0), (9.0, 11.0, 8.0))


def tiny_network(seed=0, **changes):
    """A network whose every vector has been moved, so that no part hides behind an initial zero or one."""
    torch.manual_seed(seed)
    dense = changes.get("dense_prompts", True)
    network = ENSAM(NetworkConfig(**{**TINY, "likeness": dense, **changes})).eval()
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


def ball(rng, shape=(16, 16, 16)):
    """A bright ball somewhere in noise: image (z, y, x) in 0..1 and the ball's mask."""
    centre = rng.uniform(6, np.array(shape) - 6)
    distance = np.linalg.norm(np.indices(shape).T - centre[::-1], axis=-1).T
    mask = distance <= rng.uniform(3, 5)
    return np.clip(0.2 + 0.6 * mask + rng.normal(0, 0.1, shape), 0, 1).astype(np.float32), mask


def ball_case(seed, name="mr_ball", shape=(20, 20, 20)):
    image, mask = ball(np.random.default_rng(seed), shape)
    return Case.from_arrays(
        f"{name}_{seed:03}", (255 * image).astype(np.uint8), mask.astype(np.uint8), (1, 1, 1)
    )


class BallWindows:
    """Stands in for WindowSampler: window number i is a ball, and takes no time to make."""

    def __init__(self, cases, budget, seed, *more):
        self.seed = seed

    def window(self, index):
        image, mask = ball(np.random.default_rng((self.seed, index)))
        return Sample(image[None, None], mask[None, None].astype(np.float32))

    __getitem__ = window

    def __len__(self):
        return 2**40
