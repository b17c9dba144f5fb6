"""What the network costs: floating-point operations counted, seconds measured on this computer."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from ensam.checkpoint import Checkpoint
from ensam.device import autocast
from ensam.geometry import Grid
from ensam.network import ENSAM, NetworkConfig, PromptTensors
from ensam.planning import active_region
from ensam.prompts import Box, Point, PromptSet
from ensam.session import InteractiveSession
from ensam.volume import Volume

_REPEATS = 3


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


def measure_click(checkpoint: Checkpoint, device: str, edge: int) -> dict[str, Any]:
    """Median seconds of a first prompt and of a click in a cubic window of noise, through the session."""
    rng = np.random.default_rng(0)
    volume = Volume(rng.normal(size=(edge,) * 3).astype(np.float32), Grid((edge,) * 3, np.eye(4)), "noise")
    budget = Checkpoint(checkpoint.config, edge**3, checkpoint.card, checkpoint.digest, checkpoint.state)
    session = InteractiveSession(budget, device)
    session.set_volume(volume)
    box = Box.from_bounds_ras((0.0,) * 3, (edge - 1.0,) * 3)
    encode, decode, click, active = [], [], [], []
    for _ in range(1 + _REPEATS):
        session.cache.clear()
        first = session.segment(PromptSet(box))
        begun = time.perf_counter()
        second = session.segment(PromptSet(box, (Point((edge / 3,) * 3, True),)))
        click.append(time.perf_counter() - begun)
        encode.append(first.timings.encode_s)
        decode.append(second.timings.decode_s)
        active.append(_time_active(session, edge))
    # The first round also pays for the kernels' preparation.
    encode_s, decode_s, click_s, active_s = (float(np.median(v[1:])) for v in (encode, decode, click, active))
    return {
        "window": [edge] * 3,
        "device": session.device.type,
        "threads": torch.get_num_threads(),
        "encode_s": round(encode_s, 4),
        "decode_s": round(decode_s, 4),
        "click_s": round(click_s, 4),
        "click_active_s": round(active_s, 4),
        "click_ratio": round(click_s / (encode_s + decode_s), 4),
        "click_ratio_active": round(active_s / (encode_s + decode_s), 4),
        "peak_mb": peak_mb(session.device),
    }


def peak_mb(device: torch.device) -> float | None:
    """The most MB that this process has held so far, on CUDA on the card; None on Windows."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e6, 1)
    if sys.platform == "win32":
        return None
    import resource

    # In bytes on macOS, in KiB elsewhere.
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


def _time_active(session: InteractiveSession, edge: int) -> float:
    """Seconds of decoding a click in the middle of a box of a third of the window's width, in that part."""
    features = next(iter(session.cache)).features
    faces, middle = np.array([[edge / 3 - 0.5] * 3, [2 * edge / 3 - 0.5] * 3]), np.full(3, edge / 2)
    before = PromptTensors.of_objects([faces], [[]]).to(session.device)
    prompts = PromptTensors.of_objects([faces], [[(middle, True)]]).to(session.device)
    region = active_region(faces, [middle], (edge,) * 3)
    with torch.inference_mode(), autocast(session.device, (edge,) * 3):
        base = session.network.decode_base(features, before)
        base.logits.cpu()  # a graphics card may still be at work
        begun = time.perf_counter()
        session.network.decode_part(features, prompts, base, region).cpu()
        return time.perf_counter() - begun
