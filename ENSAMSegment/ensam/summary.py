"""The summary of a batch: a CSV file, a row for each segment, by which a later run knows what is done."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ensam.errors import InputError
from ensam.files import not_written, replacing
from ensam.image_files import image_files
from ensam.manifest import BatchCase

COLUMNS = (
    "volume",
    "prompts",
    "segment",
    "volume_ml",
    "seconds",
    "output",
    "model",
    "notes",
    "error",
    "finished",
    "inputs",
    "digest",
)
Row = dict[str, Any]
_MOST_STAMPS = 4  # that are kept as they are


def now() -> str:
    """The time for the column `finished`, of which a later one sorts behind an earlier one."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def place(path: Path) -> str:
    """The absolute path, the same however it was typed and from wherever; the file keeps its own name."""
    return os.path.join(os.path.realpath(path.parent), path.name)


def stamps(case: BatchCase) -> str:
    """Changes when an input of the case does, or is exchanged for an older file."""
    try:
        each = [_stamp(path) for path in (*image_files(case.volume), case.prompts)]
    except OSError:  # reading it will say what is wrong
        return "missing"
    text = " ".join(each)
    # Of thousands of slices they are more than CSV readers take in a field.
    return text if len(each) <= _MOST_STAMPS else hashlib.sha256(text.encode()).hexdigest()


def digest_of(path: Path) -> str:
    """Changes when a result's content does. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_finished(*summaries: Path) -> dict[str, list[Row]]:
    """The rows that tell of each result, by its name; of several summaries the newest tells.

    Failed cases aren't among them: a failure leaves what was there. Raises InputError.
    """
    newest: dict[str, list[Row]] = {}
    for path in summaries:
        results: dict[tuple[str, str], list[Row]] = {}
        for row in _read(path):
            if row["output"] and row["finished"]:
                results.setdefault((row["output"], row["finished"]), []).append(row)
        for (output, finished), rows in results.items():
            if output not in newest or newest[output][0]["finished"] < finished:
                newest[output] = rows
    return newest


def still_valid(rows: Sequence[Row], case: BatchCase, model: str) -> bool:
    """Whether rows of a case's result were made by this model from the inputs as they are."""
    inputs = {"volume": place(case.volume), "prompts": place(case.prompts), "inputs": stamps(case)}
    wanted = {**inputs, "model": model, "error": ""}
    return all(row.get(key) == value for row in rows for key, value in wanted.items())


def write_summary(path: Path, rows: Iterable[Row]) -> None:
    """Writes the rows, with what columns a user has added, whole or not at all. Raises OutputError."""
    rows = list(rows)
    columns = dict.fromkeys((*COLUMNS, *(name for row in rows for name in row if name)))
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.DictWriter(file, list(columns), restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def add_to_summary(path: Path, rows: Iterable[Row]) -> None:
    """Writes rows behind those of a summary that is there, in its columns; of thousands of rows all would
    take as long as a case. Raises OutputError."""
    try:
        size = path.stat().st_size
        try:
            with path.open("r+", newline="", encoding="utf-8", errors="surrogateescape") as file:
                columns = next(csv.reader(file), [])
                file.seek(0, os.SEEK_END)
                csv.DictWriter(file, columns, restval="", extrasaction="ignore").writerows(rows)
        except OSError:
            os.truncate(path, size)  # a full disk takes part of them
            raise
    except OSError as error:
        raise not_written(path, error.strerror) from error


def _read(path: Path) -> list[Row]:
    try:
        # Folders may have names of an older encoding, and spreadsheets put a byte-order mark in front.
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except FileNotFoundError:
        return []
    except (OSError, csv.Error) as error:
        raise InputError(f"'{path}' is damaged: move it away to start anew.") from error
    # A spreadsheet may have saved it with semicolons.
    if reader.fieldnames and not {"output", "finished"} <= set(reader.fieldnames):
        raise InputError(
            f"'{path}' lacks the columns output and finished: save it as CSV with commas, or move it away to "
            "start anew."
        )
    return rows


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{status.st_mtime_ns}/{status.st_size}"
