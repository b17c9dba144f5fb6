"""What the network costs: floating-point operations counted, seconds measured on this computer."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from ensam.checkpoint import Checkpoint
from ensam.geometry import Grid
from ensam.network import ENSAM, NetworkConfig, PromptTensors
from ensam.prompts import Box, Point, PromptSet
from ensam.session import InteractiveSession
from ensam.volume import Volume


def count_gflop(config: NetworkConfig, edge: int) -> tuple[float, float]:
    """GFLOP of encoding a cubic window and of decoding one object with a box and a click in it.

    Counted by torch on the meta device, without computing anything.
    """
    with torch.device("meta"):
        network = ENSAM(config).eval()
        prompts = PromptTensors(
            torch.zeros(1, 2, 3),
            torch.ones(1, dtype=torch.bool),
            torch.zeros(1, 1, 3),
            torch.ones(1, 1, dtype=torch.bool),
            torch.zeros(1, 1, dtype=torch.bool),
            torch.zeros(1, 1, edge, edge, edge),
        )
        with torch.no_grad(), FlopCounterMode(display=False) as encoding:
            features = network.encode(torch.zeros(1, 1, edge, edge, edge))
        with torch.no_grad(), FlopCounterMode(display=False) as decoding:
            network.decode(features, prompts)
    return encoding.get_total_flops() / 1e9, decoding.get_total_flops() / 1e9


def measure_click(checkpoint: Checkpoint, device: str, edge: int, repeats: int = 3) -> dict[str, Any]:
    """Median seconds of a first prompt and of a click in a cubic window of noise, through the session."""
    rng = np.random.default_rng(0)
    volume = Volume(rng.normal(size=(edge,) * 3).astype(np.float32), Grid((edge,) * 3, np.eye(4)), "noise")
    budget = Checkpoint(checkpoint.config, edge**3, checkpoint.card, checkpoint.digest, checkpoint.state)
    session = InteractiveSession(budget, device)
    session.set_volume(volume)
    box = Box.from_bounds_ras((0.0,) * 3, (edge - 1.0,) * 3)
    encode, decode, click = [], [], []
    for _ in range(repeats + 1):
        session.cache.clear()
        first = session.segment(PromptSet(box))
        begun = time.perf_counter()
        second = session.segment(PromptSet(box, (Point((edge / 3,) * 3, True),)))
        click.append(time.perf_counter() - begun)
        encode.append(first.timings.encode_s)
        decode.append(second.timings.decode_s)
    # The first round also pays for the kernels' preparation.
    encode_s, decode_s, click_s = (float(np.median(v[1:])) for v in (encode, decode, click))
    return {
        "window": [edge] * 3,
        "device": session.device.type,
        "threads": torch.get_num_threads(),
        "encode_s": round(encode_s, 4),
        "decode_s": round(decode_s, 4),
        "click_s": round(click_s, 4),
        "click_ratio": round(click_s / (encode_s + decode_s), 4),
    }
