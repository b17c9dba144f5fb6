"""What each command of the command line does; `batch` has a file of its own."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ensam.benchmark import count_gflop, measure_click
from ensam.challenge import ChallengeCase, read_case, write_segmentation
from ensam.checkpoint import load_checkpoint
from ensam.errors import InputError, OutputError
from ensam.files import make_folder, write_text
from ensam.masks import EMPTY, MaskCrop
from ensam.measures import millilitres
from ensam.prompts import Box, Point, PromptSet, SegmentPrompts, read_prompts
from ensam.segmentation import Segmentation
from ensam.session import InteractiveSession
from ensam.volume import check_output_grid, check_output_path, read_volume, write_labels

# What ends one case of many, and not the command: wrong input, a device or memory that fails, a file.
CASE_ERRORS = (InputError, RuntimeError, MemoryError, OSError)


def segment(options: argparse.Namespace) -> int:
    """One volume, its prompts, one label file."""
    check_output_path(options.output)
    if is_same_place(options.output, options.volume):
        raise OutputError(f"'{options.output.name}' is the image itself: give the result another name.")
    segments = _prompts_of(options)
    volume = read_volume(options.volume)  # before the network is loaded: a wrong path is answered sooner
    check_output_grid(options.output, volume.grid)
    session = open_session(options, options.intensity)
    session.set_volume(volume)
    results = session.segment_all([one.prompts for one in segments], clicks_exclude=True)
    names = [one.name for one in segments]
    write_labels(options.output, label_image(results, volume.grid.shape), volume.grid, names)
    for note in dict.fromkeys(note for notes in map(notes_of, names, results) for note in notes):
        print(note)
    for name, result in zip(names, results, strict=True):
        size = millilitres(result, volume.grid)
        print(f"{name}: {size:{'.2f' if size >= 0.1 else '.3g'}} mL")  # of a cell as of an organ
    print(f"written to {options.output}")
    return 0


def predict_npz(options: argparse.Namespace) -> int:
    """The challenge's contract: for each .npz of a folder one of the same name with `segs`.

    The prompts alone decide; `prev_pred` is not used (measured in ENSAMTrainer/TRAINING_LOG.md).
    """
    if not options.input.is_dir():
        raise InputError(f"There is no folder '{options.input}': check the path.")
    # Without macOS's ._case.npz, and what a killed process has left half written.
    paths = sorted(path for path in options.input.glob("*.npz") if not path.name.startswith("."))
    if not paths:
        raise InputError(f"'{options.input}' holds no .npz files: check the path.")
    if is_same_place(options.output, options.input):
        raise OutputError("The answers would replace the cases: give --output another folder.")
    make_folder(options.output)
    session = open_session(options)
    failed, code = 0, 0
    for path in tqdm(paths, unit="case", desc="ENSAM", disable=None):
        try:
            case = read_case(path)
            if not (case.boxes or case.clicks):
                raise InputError(f"'{path.name}' holds neither boxes nor clicks: ask for it again.")
            write_segmentation(options.output / path.name, answer_case(session, case))
        except CASE_ERRORS as error:
            failed += 1
            code = 1 if code == 1 or not isinstance(error, InputError) else 2
            tqdm.write(f"{path.name}: {explain(error)}", file=sys.stderr)
    print(f"{len(paths) - failed} of {len(paths)} cases answered, written to {options.output}")
    return code


def info(options: argparse.Namespace) -> int:
    """A checkpoint's card and what its network costs."""
    checkpoint = load_checkpoint(options.checkpoint)
    encode, decode = count_gflop(checkpoint.config, 128)
    values = {
        "parameters": sum(t.numel() for t in checkpoint.state.values()),
        "gflop_encode_128": round(encode, 1),
        "gflop_decode_128": round(decode, 1),
        "voxel_budget": checkpoint.voxel_budget,
        "card": checkpoint.card,
    }
    if options.json:
        print(json.dumps(values, indent=2, ensure_ascii=False))
        return 0
    print(f"parameters     {values['parameters']:,}")
    print(f"encode, 128^3  {encode:.0f} GFLOP")
    print(f"decode, 128^3  {decode:.0f} GFLOP (what a click costs)")
    print(f"voxel budget   {checkpoint.voxel_budget:,}")
    for name, value in checkpoint.card.items():
        if name not in ("architecture", "voxel_budget"):
            _print_entry(name, value)
    return 0


def _print_entry(name: str, value: Any) -> None:
    """An entry of a card; what is in a list or under names of its own is indented below it, a line each.

    Tables of the figures of a method are left to --json: by modality and dataset they fill screens.
    """
    if isinstance(value, dict):
        print(_printable(name))
        for key, part in value.items():
            print(_printable(f"  {key}: {_figures(part) if isinstance(part, dict) else part}"))
    elif isinstance(value, list):
        print(_printable(name))
        for part in value:
            values = part.values() if isinstance(part, dict) else [part]
            print(_printable(f"  {', '.join(str(one) for one in values)}"))
    else:
        print(_printable(f"{name:14} {value}"))


def _figures(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if not isinstance(value, dict))


def _printable(text: str) -> str:
    """A card may be anybody's: what it holds must not steer the terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def bench(options: argparse.Namespace) -> int:
    """Seconds of a first prompt and of a click, and their ratio."""
    if not 16 <= options.edge <= 512:
        raise InputError("--edge must be 16 to 512 voxels.")
    if options.json is not None:
        make_folder(options.json.parent)  # before the minutes of measuring
    values = measure_click(load_checkpoint(options.checkpoint), options.device, options.edge)
    text = json.dumps(values, indent=2)
    print(text)
    if options.json is not None:
        write_text(options.json, text + "\n")
    return 0


def open_session(options: argparse.Namespace, intensity: str = "auto") -> InteractiveSession:
    """The session that the command's options ask for. Raises InputError."""
    # Nobody asks a command about a window again: features of thousands of cases would only fill memory.
    return InteractiveSession(options.checkpoint, options.device, cache_bytes=0, intensity=intensity)


def cautions_of(name: str, result: Segmentation) -> tuple[str, ...]:
    """What to know of a segment before trusting its mask; mostly nothing."""
    if result.found:
        return result.warnings
    nothing = f"{name} was not found: give it a closer box, or a foreground point on the object."
    return (*result.warnings, nothing)


def notes_of(name: str, result: Segmentation) -> tuple[str, ...]:
    """All that is to be told of a segment's mask, the most important first."""
    return (*cautions_of(name, result), result.grey_values, result.window)


def explain(error: Exception) -> str:
    """What to tell of a case that failed; an error that nobody foresaw is given with its kind."""
    return str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"


def segments_in(path: Path) -> tuple[SegmentPrompts, ...]:
    """The segments of a prompts file, at least one. Raises InputError."""
    segments = read_prompts(path)
    if not segments:
        raise InputError(f"'{path.name}' holds no segments: add one.")
    return segments


def _prompts_of(options: argparse.Namespace) -> tuple[SegmentPrompts, ...]:
    by_hand = options.box is not None or options.fg or options.bg
    if options.prompts is not None and (by_hand or options.name is not None):
        raise InputError("Give either --prompts or --box, --fg, --bg and --name, not both.")
    if options.prompts is not None:
        return segments_in(options.prompts)
    if not by_hand:
        raise InputError("There is nothing to segment yet: give --prompts, --box or --fg.")
    box = None
    if options.box is not None:
        corners = np.array(options.box).reshape(2, 3)
        box = Box.from_bounds_ras(corners.min(axis=0), corners.max(axis=0))
    points = [Point(tuple(p), True) for p in options.fg] + [Point(tuple(p), False) for p in options.bg]
    name = "segment" if options.name is None else options.name
    return (SegmentPrompts(name, PromptSet(box, tuple(points))),)


def answer_case(session: InteractiveSession, case: ChallengeCase) -> np.ndarray:
    """Labels (z, y, x) uint8 of a case's objects. Raises InputError.

    An object that has neither a box nor a foreground click stays empty until it gets one.
    """
    session.set_volume(case.volume())
    prompts = case.prompt_sets()
    usable = [i for i, one in enumerate(prompts) if one.is_enough]
    answers: list[MaskCrop] = [EMPTY] * len(prompts)
    for index, answer in zip(usable, session.segment_all([prompts[i] for i in usable]), strict=True):
        answers[index] = answer
    return label_image(answers, case.image.shape)


def label_image(results: Sequence[MaskCrop], shape: tuple[int, int, int]) -> np.ndarray:
    """Label image (z, y, x): 1 for the first result, 2 for the second, and so on."""
    labels = np.zeros(shape, np.uint8 if len(results) < 256 else np.uint16)
    for index, result in enumerate(results, start=1):
        labels[result.slices][result.mask] = index
    return labels


def is_same_place(path: Path, other: Path) -> bool:
    """Whether two paths are one, in whatever way they are written."""
    return path.resolve() == other.resolve()
