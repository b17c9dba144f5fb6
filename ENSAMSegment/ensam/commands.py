"""What each command of the command line does."""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ensam.benchmark import count_gflop, measure_click
from ensam.challenge import read_case, write_segmentation
from ensam.checkpoint import load_checkpoint
from ensam.errors import InputError, OutputError
from ensam.files import not_written, replacing
from ensam.masks import MaskCrop
from ensam.prompts import Box, Point, PromptSet, SegmentPrompts, read_prompts
from ensam.session import InteractiveSession, Segmentation
from ensam.volume import check_output_path, read_volume, write_labels

SUMMARY_COLUMNS = ("volume", "prompts", "segment", "volume_ml", "seconds", "output", "error")


def segment(options: argparse.Namespace) -> int:
    """One volume, its prompts, one label file."""
    check_output_path(options.output)
    segments = _prompts_of(options)
    session = _session(options, options.intensity)
    volume = read_volume(options.volume)
    session.set_volume(volume)
    results = _segment(session, segments)
    names = [one.name for one in segments]
    write_labels(options.output, _labels(results, volume.grid.shape), volume.grid, names)
    for note in dict.fromkeys(note for result in results for note in result.notes):
        print(note)
    for name, result in zip(names, results, strict=True):
        print(f"{name}: {_millilitres(result, volume.grid.spacing_zyx):.2f} mL")
    print(f"written to {options.output}")
    return 0


def batch(options: argparse.Namespace) -> int:
    """Every line of a manifest. A failing case is recorded and the others go on; what is done is skipped."""
    cases = _read_manifest(options.manifest)
    _make_folder(options.output)
    session = _session(options, options.intensity)
    done = _read_summary(options.output / "summary.csv")
    rows: list[dict[str, Any]] = []
    failed = 0
    for volume_path, prompts_path, output in tqdm(cases, unit="case", desc="ENSAM"):
        kept = [r for r in done if r["output"] == output.name and not r["error"]]
        if kept and (options.output / output.name).is_file():
            rows += kept
            continue
        row = {"volume": str(volume_path), "prompts": str(prompts_path), "output": output.name}
        try:
            found = _batch_case(session, volume_path, prompts_path, options.output / output)
            rows += [{**row, **one} for one in found]
        except OutputError:
            raise  # a full disk fails every case that follows as well
        except InputError as error:
            failed += 1
            rows.append({**row, "error": str(error)})
            tqdm.write(f"{volume_path.name}: {error}", file=sys.stderr)
        _write_summary(options.output / "summary.csv", rows)
    _write_summary(options.output / "summary.csv", rows)
    print(f"{len(cases) - failed} of {len(cases)} cases done, written to {options.output}")
    return 2 if failed else 0


def predict_npz(options: argparse.Namespace) -> int:
    """The challenge's contract: for each .npz of a folder one of the same name with `segs`."""
    if not options.input.is_dir():
        raise InputError(f"There is no folder '{options.input}': check the path.")
    paths = sorted(options.input.glob("*.npz"))
    if not paths:
        raise InputError(f"'{options.input}' holds no .npz files: check the path.")
    _make_folder(options.output)
    session = _session(options)
    failed = 0
    for path in tqdm(paths, unit="case", desc="ENSAM"):
        try:
            case = read_case(path)
            volume = case.volume()
            prompts = case.prompt_sets()
            if not prompts:
                raise InputError(f"'{path.name}' holds neither boxes nor clicks: ask for it again.")
            session.set_volume(volume)
            answers = _segment_possible(session, prompts)
        except InputError as error:
            failed += 1
            tqdm.write(str(error), file=sys.stderr)
            continue
        write_segmentation(options.output / path.name, _labels(answers, volume.grid.shape).astype(np.uint8))
    print(f"{len(paths) - failed} of {len(paths)} cases answered, written to {options.output}")
    return 2 if failed else 0


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
            print(f"{name:14} {value if isinstance(value, str | int | float) else json.dumps(value)}")
    return 0


def bench(options: argparse.Namespace) -> int:
    """Seconds of a first prompt and of a click, and their ratio."""
    if options.edge < 16:
        raise InputError("--edge must be at least 16 voxels.")
    values = measure_click(load_checkpoint(options.checkpoint), options.device, options.edge)
    text = json.dumps(values, indent=2)
    print(text)
    if options.json is not None:
        with replacing(options.json) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    return 0


def _session(options: argparse.Namespace, intensity: str = "auto") -> InteractiveSession:
    return InteractiveSession(options.checkpoint, options.device, intensity=intensity)


def _prompts_of(options: argparse.Namespace) -> tuple[SegmentPrompts, ...]:
    by_hand = options.box is not None or options.fg or options.bg
    if options.prompts is not None and by_hand:
        raise InputError("Give either --prompts or --box, --fg and --bg, not both.")
    if options.prompts is not None:
        segments = read_prompts(options.prompts)
        if not segments:
            raise InputError(f"'{options.prompts.name}' holds no segments: add one.")
        return segments
    if not by_hand:
        raise InputError("There is nothing to segment yet: give --prompts, --box or --fg.")
    box = None
    if options.box is not None:
        corners = np.array(options.box).reshape(2, 3)
        box = Box.from_bounds_ras(corners.min(axis=0), corners.max(axis=0))
    points = [Point(tuple(p), True) for p in options.fg] + [Point(tuple(p), False) for p in options.bg]
    return (SegmentPrompts(options.name, PromptSet(box, tuple(points))),)


def _segment(session: InteractiveSession, segments: Sequence[SegmentPrompts]) -> Sequence[Segmentation]:
    if len(segments) == 1:
        return (session.segment(segments[0].prompts),)
    return session.segment_all([one.prompts for one in segments])


def _segment_possible(session: InteractiveSession, prompts: Sequence[PromptSet]) -> list[MaskCrop]:
    """The objects that have a box or a foreground click; the others stay empty until they get one."""
    usable = [i for i, one in enumerate(prompts) if one.box is not None or len(one.foreground_ras)]
    answers: list[MaskCrop] = [MaskCrop(np.zeros((0, 0, 0), bool), (0, 0, 0))] * len(prompts)
    for index, answer in zip(usable, session.segment_all([prompts[i] for i in usable]), strict=True):
        answers[index] = answer
    return answers


def _labels(results: Sequence[MaskCrop], shape: tuple[int, int, int]) -> np.ndarray:
    """Label image (z, y, x): 1 for the first result, 2 for the second, and so on."""
    labels = np.zeros(shape, np.uint8 if len(results) < 256 else np.uint16)
    for index, result in enumerate(results, start=1):
        labels[result.slices][result.mask] = index
    return labels


def _millilitres(result: MaskCrop, spacing: Sequence[float]) -> float:
    return float(result.mask.sum() * np.prod(spacing) / 1000)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_written(path, error.strerror) from error


def _read_manifest(path: Path) -> list[tuple[Path, Path, Path]]:
    """(volume, prompts, name of the output) of each line; paths are relative to the manifest."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"'{path}' can't be read: give a CSV file with columns volume, prompts.") from error
    if not reader.fieldnames or not {"volume", "prompts"} <= set(reader.fieldnames):
        raise InputError(f"'{path.name}' needs the columns volume and prompts in its first line.")
    cases, outputs = [], set()
    for number, row in enumerate(rows, start=2):
        if not row["volume"] or not row["prompts"]:
            raise InputError(f"Line {number} of '{path.name}' lacks a volume or prompts: fill it in.")
        prompts = path.parent / row["prompts"]
        output = Path(prompts.name.removesuffix(".json") + ".seg.nrrd")
        if output in outputs:
            raise InputError(
                f"Line {number} of '{path.name}' repeats the name of a prompts file, after which its output "
                "is named: rename one."
            )
        outputs.add(output)
        cases.append((path.parent / row["volume"], prompts, output))
    return cases


def _batch_case(
    session: InteractiveSession, volume_path: Path, prompts_path: Path, output: Path
) -> list[dict[str, Any]]:
    started = time.perf_counter()
    segments = read_prompts(prompts_path)
    if not segments:
        raise InputError(f"'{prompts_path.name}' holds no segments: add one.")
    volume = read_volume(volume_path)
    session.set_volume(volume)
    results = _segment(session, segments)
    names = [one.name for one in segments]
    write_labels(output, _labels(results, volume.grid.shape), volume.grid, names)
    seconds = round(time.perf_counter() - started, 2)
    return [
        {
            "segment": name,
            "volume_ml": round(_millilitres(result, volume.grid.spacing_zyx), 4),
            "seconds": seconds,
            "error": "",
        }
        for name, result in zip(names, results, strict=True)
    ]


def _read_summary(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row.get("output")]


def _write_summary(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, SUMMARY_COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
