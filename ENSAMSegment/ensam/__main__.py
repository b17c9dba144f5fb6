"""The command line: python -m ensam, installed as ensam; for the exit codes see `ensam.command_line`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ensam.command_line import Parser, answer


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and gives the exit code."""
    return answer(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    # torch takes seconds to import: a wrong argument is answered before.
    from ensam import batch, commands

    command = options.command.replace("-", "_")
    return getattr(batch if command == "batch" else commands, command)(options)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="ensam", description="Interactive segmentation of 3D medical images.")
    parser.add_version()
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    one = commands.add_parser("segment", help="segment one volume")
    one.add_argument("volume", type=Path, help="the image: NRRD, NIfTI, MHA or another file of a 3D image")
    one.add_argument("--prompts", type=Path, metavar="JSON", help="a prompts file, one or more segments")
    one.add_argument("--box", type=float, nargs=6, metavar=("R", "A", "S", "R2", "A2", "S2"),
                     help="two opposite corners in RAS mm")  # fmt: skip
    for flag, kind in (("--fg", "foreground"), ("--bg", "background")):
        one.add_argument(flag, type=float, nargs=3, action="append", default=[], metavar=("R", "A", "S"),
                         help=f"a {kind} click in RAS mm; repeatable")  # fmt: skip
    one.add_argument("--name", help="the segment's name for --box and --fg (segment)")
    one.add_argument("-o", "--output", type=Path, required=True,
                     help=".seg.nrrd, .nrrd, .nii.gz, .nii or .mha")  # fmt: skip
    _add_model_options(one)
    _add_intensity(one)

    batch = commands.add_parser("batch", help="segment each line of a CSV with the columns volume,prompts")
    batch.add_argument(
        "manifest",
        type=Path,
        help="the CSV; paths in it are relative to its folder, and a column output may name results",
    )
    batch.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    batch.add_argument("--part", type=_part, metavar="K/N", help="only every Nth line, from the Kth")
    _add_model_options(batch)
    _add_intensity(batch)

    npz = commands.add_parser("predict-npz", help="answer the cases of the CVPR 2025 challenge")
    npz.add_argument("--input", type=Path, required=True, metavar="DIR")
    npz.add_argument("--output", type=Path, required=True, metavar="DIR")
    _add_model_options(npz)

    info = commands.add_parser("info", help="what a checkpoint is and what it costs")
    info.add_argument("checkpoint", type=Path, nargs="?")
    info.add_argument("--json", action="store_true", help="for programs")

    bench = commands.add_parser(
        "bench",
        help="what a first prompt and a click cost on this computer",
        description="Median seconds in a window of noise. encode_s: the encoder; decode_s: the decoder; "
        "click_s: a whole click; click_active_s: the decoder only round a box of a third of the window's "
        "width, which the session doesn't do; click_ratio, click_ratio_active: the last two over encode_s + "
        "decode_s; peak_mb: the most memory of the whole process, PyTorch included, on CUDA of the card.",
    )
    bench.add_argument("--edge", type=int, default=96, help="voxels along the cubic window (%(default)s)")
    bench.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    _add_model_options(bench)
    return parser


def _part(text: str) -> tuple[int, int]:
    """K/N of a shared work: 1 <= K <= N."""
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"'{text}' is no part such as 2/4")
    return int(number), int(count)


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", type=Path, help="weights; by default those that ship with ENSAM")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (%(default)s)")


def _add_intensity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--intensity",
        default="auto",
        help="auto, percentile, or a CT window: 'soft tissue', lung, brain, bone (%(default)s)",
    )


if __name__ == "__main__":
    sys.exit(main())
