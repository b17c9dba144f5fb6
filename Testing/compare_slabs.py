"""The network in slabs against the same network level by level: seconds in turn, in one process.

    python Testing/compare_slabs.py --edge 128

The least of several rounds counts, since other programs only ever add to it.
"""

from __future__ import annotations

import argparse
import time
from contextlib import nullcontext
from unittest import mock

import torch
from ensam.device import multiplies_bfloat16
from ensam.network import ENSAM, PromptTensors, slabs
from torch.nn import functional as F


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--edge", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", choices=("float32", "bfloat16"))
    options = parser.parse_args()
    half = (options.precision or ("bfloat16" if multiplies_bfloat16() else "float32")) == "bfloat16"
    torch.manual_seed(0)
    network = ENSAM().eval()
    for part in (network.image_encoder, network.mask_decoder):
        part.to(memory_format=torch.channels_last_3d)
    edge = options.edge
    image = torch.rand(1, 1, edge, edge, edge)
    prompts = PromptTensors.of_objects([((edge / 4,) * 3, (3 * edge / 4,) * 3)], [[((edge / 2,) * 3, True)]])
    seconds: dict[str, list[tuple[float, float]]] = {"whole": [], "in slabs": []}
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
        for _ in range(options.rounds + 1):
            for name, measured in seconds.items():
                with _whole() if name == "whole" else nullcontext():
                    begun = time.perf_counter()
                    features = network.encode(image)
                    encoded = time.perf_counter()
                    network.decode(features, prompts)
                    measured.append((encoded - begun, time.perf_counter() - encoded))
    print(f"{edge}^3, {'bfloat16' if half else 'float32'}, {torch.get_num_threads()} threads")
    least = {}
    for name, measured in seconds.items():
        encode, decode = least[name] = [min(times) for times in zip(*measured[1:], strict=True)]
        ratio = decode / (encode + decode)
        print(f"  {name:9} encode {encode:.3f} s, decode {decode:.3f} s, click ratio {ratio:.2f}")
    shares = [new / old for new, old in zip(least["in slabs"], least["whole"], strict=True)]
    print(f"  in slabs / whole: encode {shares[0]:.2f}, decode {shares[1]:.2f}")


def _whole() -> mock._patch:
    """Level by level, by torch's own convolutions."""
    return mock.patch.multiple(
        slabs,
        worthwhile=lambda x: False,
        convolve=lambda x, conv, padding: F.conv3d(x, conv.weight, conv.bias, conv.stride, padding),
    )


if __name__ == "__main__":
    main()
