"""The manifest of a batch: a CSV file whose lines are the cases."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from ensam.errors import InputError
from ensam.files import MOST_TEXT_BYTES, read_text

OUTPUT_SUFFIX = ".seg.nrrd"


@dataclass(frozen=True)
class BatchCase:
    """A line of a manifest: the image, its prompts, and the name of the result in the output folder."""

    volume: Path
    prompts: Path
    output: str

    @property
    def name(self) -> str:
        """What tells the case from the others of its manifest."""
        return self.output.removesuffix(OUTPUT_SUFFIX)


def read_manifest(path: Path) -> list[BatchCase]:
    """The lines of a manifest; paths are relative to it.

    A result is named after its prompts, or as the column output says if there is one. Raises InputError.
    """
    header, rows = _read_table(path)
    if not {"volume", "prompts"} <= set(header):
        raise InputError(
            f"'{path.name}' needs the columns volume and prompts in its first line, with a comma between."
        )
    if not rows:
        raise InputError(f"'{path.name}' lists no cases: add a line for each.")
    cases: list[BatchCase] = []
    outputs: set[str] = set()
    for number, cells in rows:
        row = dict(zip(header, cells, strict=False))
        volume, prompts = row.get("volume", ""), row.get("prompts", "")
        if not volume or not prompts or "\0" in volume + prompts:
            raise InputError(f"Line {number} of '{path.name}' lacks a volume or prompts: fill it in.")
        output = row.get("output") or Path(prompts).name.removesuffix(".json") + OUTPUT_SUFFIX
        if not output.endswith(OUTPUT_SUFFIX) or Path(output).name != output or "\0" in output:
            raise InputError(
                f"Line {number} of '{path.name}' has the output '{output}': give a name that ends in "
                f"{OUTPUT_SUFFIX}, without a folder."
            )
        if output.casefold() in outputs:  # many systems take a.json and A.json for one
            raise InputError(
                f"Line {number} of '{path.name}' repeats the output '{output}': give each line a name of its "
                "own in a column output."
            )
        outputs.add(output.casefold())
        cases.append(BatchCase(path.parent / volume, path.parent / prompts, output))
    return cases


def _read_table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names of the columns, and the lines that aren't empty, each with its number in the file."""
    try:
        reader = csv.reader(io.StringIO(read_text(path)), skipinitialspace=True)
        header = [name.strip().lower() for name in next(reader, [])]
        rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cells)]
    except FileNotFoundError as error:
        raise InputError(f"There is no manifest '{path}': check the path.") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"'{path.name}' isn't UTF-8: save it from the spreadsheet as 'CSV UTF-8', with commas between."
        ) from error
    except (OSError, csv.Error) as error:
        raise InputError(
            f"'{path.name}' can't be read: give a CSV file of at most {MOST_TEXT_BYTES >> 20} MB with the "
            "columns volume and prompts."
        ) from error
    return header, rows
