"""The command `batch`: every line of a manifest, resumable, with a summary."""

from __future__ import annotations

import argparse
import csv
import io
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ensam.commands import answer, is_same_place, label_image, open_session
from ensam.errors import InputError, OutputError
from ensam.files import make_folder, read_text, remove_unfinished, replacing
from ensam.measures import millilitres
from ensam.prompts import read_prompts
from ensam.session import InteractiveSession
from ensam.volume import read_volume, write_labels

SUMMARY_COLUMNS = ("volume", "prompts", "segment", "volume_ml", "seconds", "output", "model", "error")


@dataclass(frozen=True)
class BatchCase:
    """A line of a manifest and the name of its result."""

    volume: Path
    prompts: Path
    output: str


def batch(options: argparse.Namespace) -> int:
    """Every line of a manifest. A failing case is recorded and the others go on; what is done is skipped.

    Exit codes: 0 all done, 2 the input of some cases is wrong, 1 some failed for another reason.

    A part K of N takes every Nth line and has a summary of its own, so that N processes or machines can share
    the manifest and the folder. The whole afterwards finds all done, and writes the whole summary.
    """
    cases, name = _read_manifest(options.manifest), "summary.csv"
    if options.part is not None:
        number, count = options.part
        cases, name = cases[number - 1 :: count], f"summary-{number}-of-{count}.csv"
    make_folder(options.output)
    session = open_session(options, options.intensity)
    model = f"{session.checkpoint.digest[:8]} {options.intensity}"
    summary = options.output / name
    done = [row for path in sorted(options.output.glob("summary*.csv")) for row in _read_summary(path)]
    rows = {case: _finished(case, options.output, model, done) for case in cases}
    remove_unfinished(options.output, {case.output for case in cases} | {name})
    _write_summary(summary, [one for of_case in rows.values() for one in of_case])
    failed, code = 0, 0
    for case in tqdm(cases, unit="case", desc="ENSAM"):
        if rows[case]:
            continue
        row = {**_case_columns(case), "model": model}
        try:
            found = _batch_case(session, case, options.output / case.output)
            rows[case] = [{**row, **one} for one in found]
        except (InputError, RuntimeError) as error:
            is_known = isinstance(error, InputError)
            text = str(error) if is_known else f"{type(error).__name__}: {error}"
            failed += 1
            code = 1 if code == 1 or not is_known else 2
            rows[case] = [{**row, "error": text}]
            tqdm.write(f"{case.volume.name}: {text}", file=sys.stderr)
        _write_summary(summary, [one for of_case in rows.values() for one in of_case])
    print(f"{len(cases) - failed} of {len(cases)} cases done, written to {options.output}")
    return code


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
    if is_same_place(output, case.volume):
        raise OutputError(f"'{output.name}' is the image itself: rename the prompts file.")
    volume = read_volume(case.volume)
    session.set_volume(volume)
    results = answer(session, segments)
    names = [one.name for one in segments]
    write_labels(output, label_image(results, volume.grid.shape), volume.grid, names)
    seconds = round(time.perf_counter() - started, 2)
    return [
        {
            "segment": name,
            "volume_ml": round(millilitres(result, volume.grid), 4),
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
