"""What a first prompt and a click cost in other networks and in ENSAM's, in the same window on this computer.

The weights are random, since the cost does not depend on them. A peer answers a click as its own software
does: VISTA3D from cached image features, the others with a full pass. One process a network, one after the
other, in the same precision and on one thread, in seconds of processor time, so that other programs count
little:

    pip install dynamic-network-architectures==0.4.4
    python Testing/compare_peers.py --edge 64 --plot Resources/Screenshots/speed.png

Left out: SAM-Med3D, which no maintained package offers.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import median

import torch
from ensam.benchmark import count_gflop
from ensam.device import multiplies_bfloat16
from ensam.network import ENSAM, NetworkConfig, PromptTensors
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

# A network with what encodes an image, or None, and what answers a click from the image and that encoding.
Peer = tuple[nn.Module, Callable[[Tensor], object] | None, Callable[[Tensor, object], Tensor]]


def ensam() -> Peer:
    """The network that ships, its convolutional parts in the memory format that the session uses."""
    network = ENSAM().eval()
    for part in (network.image_encoder, network.mask_decoder):
        part.to(memory_format=torch.channels_last_3d)

    def click(image: Tensor, features: object) -> Tensor:
        edge = image.shape[2]
        box = ((edge / 4,) * 3, (3 * edge / 4,) * 3)
        return network.decode(features, PromptTensors.of_objects([box], [[((edge / 2,) * 3, True)]]))

    return network, network.encode, click


def vista3d() -> Peer:
    """MONAI's VISTA3D in its published configuration: encoder cached, point head for a click."""
    from monai.networks.nets import vista3d132

    network = vista3d132().eval()

    def encode(image: Tensor) -> Tensor:
        return network.image_encoder(image, with_point=True, with_label=False)[0]

    def click(image: Tensor, features: Tensor) -> Tensor:
        middle = torch.full((1, 1, 3), image.shape[2] / 2)
        return network.point_head(features, middle, torch.ones(1, 1), class_vector=None)

    return network, encode, click


def segresnet() -> Peer:
    """MONAI's SegResNet of ENSAM's width and depth; image, last result and two click maps as input."""
    from monai.networks.nets import SegResNet

    network = SegResNet(init_filters=16, in_channels=4, out_channels=1, blocks_down=(1, 2, 2, 4)).eval()
    return network, None, lambda image, _: network(image.expand(-1, 4, -1, -1, -1).contiguous())


def nninteractive() -> Peer:
    """nnInteractive's network: nnU-Net's ResEnc-L of six stages, eight input channels (there at 192^3)."""
    from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet

    network = ResidualEncoderUNet(
        input_channels=8,
        n_stages=6,
        features_per_stage=(32, 64, 128, 256, 320, 320),
        conv_op=nn.Conv3d,
        kernel_sizes=3,
        strides=(1, 2, 2, 2, 2, 2),
        n_blocks_per_stage=(1, 3, 4, 6, 6, 6),
        num_classes=2,
        n_conv_per_stage_decoder=(1, 1, 1, 1, 1),
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    ).eval()
    return network, None, lambda image, _: network(image.expand(-1, 8, -1, -1, -1).contiguous())


PEERS = {"ENSAM": ensam, "VISTA3D": vista3d, "SegResNet": segresnet, "nnInteractive": nninteractive}


def measure(name: str, edge: int, half: bool, repeats: int) -> dict[str, object]:
    """Seconds, MB, parameters and GFLOP of one network, in a process of its own."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network, encode, click = PEERS[name]()
    image = torch.rand(1, 1, edge, edge, edge)
    autocast = torch.autocast("cpu", torch.bfloat16) if half else nullcontext()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    first, again = [], []
    with torch.inference_mode(), autocast:
        for _ in range(repeats + 1):
            begun = time.process_time()
            features = None if encode is None else encode(image)
            click(image, features)
            done = time.process_time()
            click(image, features)
            first.append(done - begun)
            again.append(time.process_time() - done)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if name == "ENSAM":
        gflop = count_gflop(NetworkConfig(), edge)
    else:
        with torch.inference_mode(), FlopCounterMode(display=False) as encoding:
            features = None if encode is None else encode(image)
        with torch.inference_mode(), FlopCounterMode(display=False) as clicking:
            click(image, features)
        gflop = encoding.get_total_flops() / 1e9, clicking.get_total_flops() / 1e9
    return {
        "network": name,
        # The first round also pays for the kernels' preparation.
        "first_s": round(median(first[1:]), 3),
        "click_s": round(median(again[1:]), 3),
        "peak_mb": round(peak * 1024 / 1e6),
        "parameters": sum(p.numel() for p in network.parameters()),
        "gflop_first": round(sum(gflop)),
        "gflop_click": round(gflop[1]),
    }


def main() -> None:
    """Print a table of all networks; with --only, one network's figures as JSON."""
    parser = argparse.ArgumentParser(description="The cost of a click in ENSAM and in other networks.")
    parser.add_argument(
        "--edge", type=int, default=96, help="voxels along the window, a multiple of 32 from 64 on"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", choices=("float32", "bfloat16"))
    parser.add_argument("--only", choices=PEERS)
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the seconds here as well")
    options = parser.parse_args()
    # Before the other networks are measured for nothing.
    needed = options.only in (None, "nnInteractive")
    if needed and importlib.util.find_spec("dynamic_network_architectures") is None:
        sys.exit("nnInteractive's network is missing: pip install dynamic-network-architectures==0.4.4")
    precision = options.precision or ("bfloat16" if multiplies_bfloat16() else "float32")
    if options.only:
        values = measure(options.only, options.edge, precision == "bfloat16", options.repeats)
        print(json.dumps(values))
        return
    print(f"window {options.edge}^3, {precision}, one thread, torch {torch.__version__}")
    print("\n| network | first prompt, s | click, s | to ENSAM's | MB | parameters | GFLOP first | click |")
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    for name in PEERS:
        command = [sys.executable, __file__, "--only", name, "--edge", str(options.edge)]
        command += ["--precision", precision, "--repeats", str(options.repeats)]
        one = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        rows.append(one)
        cells = [one["first_s"], one["click_s"], f"{one['click_s'] / rows[0]['click_s']:.1f}", one["peak_mb"]]
        cells += [f"{one['parameters'] / 1e6:.1f} M", one["gflop_first"], one["gflop_click"]]
        print(f"| {name} | " + " | ".join(map(str, cells)) + " |", flush=True)
    if options.plot:
        draw(rows, f"{options.edge}^3 voxels, {precision}, one thread", options.plot)


def draw(rows: list[dict[str, object]], title: str, path: Path) -> None:
    """Bars of the seconds of a first prompt and of a click."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 2.6), layout="constrained")
    places = range(len(rows))
    for shift, key, name in ((-0.2, "first_s", "first prompt"), (0.2, "click_s", "click")):
        bars = axes.barh([place + shift for place in places], [row[key] for row in rows], 0.38, label=name)
        axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set_yticks(places, [row["network"] for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel(f"seconds of processor time ({title})")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
