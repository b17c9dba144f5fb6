"""What each command of the command line does."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ensam.benchmark import count_gflop, measure_click
from ensam.challenge import read_case, write_segmentation
from ensam.checkpoint import load_checkpoint
from ensam.errors import InputError, OutputError
from ensam.files import not_written, read_text, remove_unfinished, replacing
from ensam.masks import MaskCrop
from ensam.prompts import Box, Point, PromptSet, SegmentPrompts, read_prompts
from ensam.segmentation import Segmentation
from ensam.session import InteractiveSession
from ensam.volume import check_output_path, read_volume, write_labels

SUMMARY_COLUMNS = ("volume", "prompts", "segment", "volume_ml", "seconds", "output", "model", "error")


@dataclass(frozen=True)
class BatchCase:
    """A line of a manifest and the name of its result."""

    volume: Path
    prompts: Path
    output: str


def segment(options: argparse.Namespace) -> int:
    """One volume, its prompts, one label file."""
    check_output_path(options.output)
    if _same_place(options.output, options.volume):
        raise OutputError(f"'{options.output.name}' is the image itself: give the result another name.")
    segments = _prompts_of(options)
    volume = read_volume(options.volume)  # before the network is loaded: a wrong path is answered sooner
    session = _session(options, options.intensity)
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
    """Every line of a manifest. A failing case is recorded and the others go on; what is done is skipped.

    A part K of N takes every Nth line and has a summary of its own, so that N processes or machines can share
    the manifest and the folder. The whole afterwards finds all done, and writes the whole summary.
    """
    cases, name = _read_manifest(options.manifest), "summary.csv"
    if options.part is not None:
        number, count = options.part
        cases, name = cases[number - 1 :: count], f"summary-{number}-of-{count}.csv"
    _make_folder(options.output)
    session = _session(options, options.intensity)
    model = f"{session.checkpoint.digest[:8]} {options.intensity}"
    summary = options.output / name
    done = [row for path in sorted(options.output.glob("summary*.csv")) for row in _read_summary(path)]
    rows = {case: _finished(case, options.output, model, done) for case in cases}
    remove_unfinished(options.output, {case.output for case in cases} | {name})
    _write_summary(summary, [one for of_case in rows.values() for one in of_case])
    failed = 0
    for case in tqdm(cases, unit="case", desc="ENSAM"):
        if rows[case]:
            continue
        row = {**_case_columns(case), "model": model}
        try:
            found = _batch_case(session, case, options.output / case.output)
            rows[case] = [{**row, **one} for one in found]
        except InputError as error:
            failed += 1
            rows[case] = [{**row, "error": str(error)}]
            tqdm.write(f"{case.volume.name}: {error}", file=sys.stderr)
        _write_summary(summary, [one for of_case in rows.values() for one in of_case])
    print(f"{len(cases) - failed} of {len(cases)} cases done, written to {options.output}")
    return 2 if failed else 0


def predict_npz(options: argparse.Namespace) -> int:
    """The challenge's contract: for each .npz of a folder one of the same name with `segs`.

    The prompts alone decide; `prev_pred` is not used (measured in ENSAMTrainer/TRAINING_LOG.md).
    """
    if not options.input.is_dir():
        raise InputError(f"There is no folder '{options.input}': check the path.")
    paths = sorted(options.input.glob("*.npz"))
    if not paths:
        raise InputError(f"'{options.input}' holds no .npz files: check the path.")
    if _same_place(options.output, options.input):
        raise OutputError("The answers would replace the cases: give --output another folder.")
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
            _print_entry(name, value)
    return 0


def _print_entry(name: str, value: Any) -> None:
    """An entry of a card; what is in a list or under names of its own is indented below it, a line each."""
    parts = [f"{k}: {v}" for k, v in value.items()] if isinstance(value, dict) else value
    if not isinstance(parts, list):
        print(f"{name:14} {value}")
        return
    print(name)
    for part in parts:
        values = part.values() if isinstance(part, dict) else [part]
        print(f"  {', '.join(str(one) for one in values)}")


def bench(options: argparse.Namespace) -> int:
    """Seconds of a first prompt and of a click, and their ratio."""
    if not 16 <= options.edge <= 512:
        raise InputError("--edge must be 16 to 512 voxels.")
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


def _same_place(path: Path, other: Path) -> bool:
    return path.resolve() == other.resolve()


def _read_manifest(path: Path) -> list[BatchCase]:
    """The lines of a manifest; paths are relative to it. Raises InputError."""
    try:
        reader = csv.DictReader(io.StringIO(read_text(path)))
        rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"'{path}' can't be read: give a CSV file with columns volume, prompts.") from error
    if not reader.fieldnames or not {"volume", "prompts"} <= set(reader.fieldnames):
        raise InputError(
            f"'{path.name}' needs the columns volume and prompts in its first line, with a comma between."
        )
    if not rows:
        raise InputError(f"'{path.name}' lists no cases: add a line for each.")
    cases: list[BatchCase] = []
    outputs: set[str] = set()
    for number, row in enumerate(rows, start=2):
        if not row["volume"] or not row["prompts"] or "\0" in row["volume"] + row["prompts"]:
            raise InputError(f"Line {number} of '{path.name}' lacks a volume or prompts: fill it in.")
        prompts = path.parent / row["prompts"]
        output = prompts.name.removesuffix(".json") + ".seg.nrrd"
        if output.casefold() in outputs:  # many systems take a.json and A.json for one
            raise InputError(
                f"Line {number} of '{path.name}' repeats the name of a prompts file, after which its output "
                "is named: rename one."
            )
        outputs.add(output.casefold())
        cases.append(BatchCase(path.parent / row["volume"], prompts, output))
    return cases


def _case_columns(case: BatchCase) -> dict[str, str]:
    return {"volume": str(case.volume), "prompts": str(case.prompts), "output": case.output}


def _finished(
    case: BatchCase, folder: Path, model: str, done: Sequence[dict[str, str]]
) -> list[dict[str, Any]]:
    """The summary's rows of a case that needs no second run: same inputs and model, and a newer result."""
    wanted = {**_case_columns(case), "model": model, "error": ""}
    rows = [row for row in done if all(row.get(key) == value for key, value in wanted.items())]
    result = folder / case.output
    if not rows or not result.is_file():
        return []
    written = result.stat().st_mtime
    inputs = (case.volume, case.prompts)
    return rows if all(p.is_file() and p.stat().st_mtime <= written for p in inputs) else []


def _batch_case(session: InteractiveSession, case: BatchCase, output: Path) -> list[dict[str, Any]]:
    started = time.perf_counter()
    segments = read_prompts(case.prompts)
    if not segments:
        raise InputError(f"'{case.prompts.name}' holds no segments: add one.")
    if _same_place(output, case.volume):
        raise OutputError(f"'{output.name}' is the image itself: rename the prompts file.")
    volume = read_volume(case.volume)
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
    try:
        # Folders may have names of an older encoding.
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"'{path}' is damaged: move it away to start anew.") from error


def _write_summary(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.DictWriter(file, SUMMARY_COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
