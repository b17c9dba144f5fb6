"""The command `batch`: every line of a manifest, resumable, with a summary."""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from tqdm import tqdm

from ensam.commands import (
    CASE_ERRORS,
    cautions_of,
    explain,
    is_same_place,
    label_image,
    notes_of,
    open_session,
    segments_in,
)
from ensam.errors import InputError, OutputError
from ensam.files import make_folder, remove_unfinished
from ensam.manifest import BatchCase, read_manifest
from ensam.measures import millilitres
from ensam.session import InteractiveSession
from ensam.summary import (
    Row,
    add_to_summary,
    digest_of,
    now,
    place,
    read_finished,
    stamps,
    still_valid,
    write_summary,
)
from ensam.volume import read_volume, write_labels


def batch(options: argparse.Namespace) -> int:
    """Every line of a manifest. A failing case is recorded and the others go on; what is done is skipped.

    Exit codes: 0 all done, 2 the input of some cases is wrong, 1 some failed for another reason.

    A part K of N takes every Nth line and has a summary of its own, so that N processes or machines can share
    the manifest and the folder. The whole afterwards finds all done, and writes the whole summary.
    """
    cases, name = read_manifest(options.manifest), "summary.csv"
    if options.part is not None:
        number, count = options.part
        cases, name = cases[number - 1 :: count], f"summary-{number}-of-{count}.csv"
    session = open_session(options, options.intensity)
    model = f"{session.checkpoint.digest[:8]} {options.intensity}"
    folder = make_folder(options.output)
    results = _results(folder)
    finished = {
        case for case in cases if case.output in results and still_valid(results[case.output], case, model)
    }
    # The cases in their order, and behind them what this summary tells of results of other manifests.
    outputs = dict.fromkeys((*(case.output for case in cases), *read_finished(folder / name)))
    failures: dict[str, list[Row]] = {}
    remove_unfinished(folder, {case.output for case in cases} | {name})

    def write() -> None:
        """A failed case's earlier result is told of beside its failure: it is there, and nothing is lost."""
        rows = ((*failures.get(output, ()), *results.get(output, ())) for output in outputs)
        write_summary(folder / name, chain.from_iterable(rows))

    write()
    code = 0
    try:
        for case in tqdm(cases, unit="case", desc="ENSAM", disable=None):
            if case in finished:
                continue
            row: Row = {"volume": place(case.volume), "prompts": place(case.prompts), "model": model}
            try:
                known = {one.get("digest") for one in results.get(case.output, ())}
                made = _segment(session, case, folder / case.output, known)
                told = results[case.output] = [row | one for one in made]
            except CASE_ERRORS as error:
                text = explain(error)
                code = 1 if code == 1 or not isinstance(error, InputError) else 2
                tqdm.write(f"{case.name}: {text}", file=sys.stderr)
                if (folder / case.output).exists():
                    text += f" ('{case.output}' is there from an earlier run.)"
                told = failures[case.output] = [row | {"error": text, "finished": now()}]
            # At once: if this process is killed, the next takes what isn't told of for somebody's own, or for
            # the result before.
            add_to_summary(folder / name, told)
    finally:
        write()
    print(f"{len(cases) - len(failures)} of {len(cases)} cases done, written to {folder}")
    return code


def _results(folder: Path) -> dict[str, list[Row]]:
    """The rows that summaries tell of the results in a folder, by the result's name."""
    summaries = (folder / "summary.csv", *sorted(folder.glob("summary-*-of-*.csv")))
    rows = read_finished(*summaries)
    return {output: rows[output] for output in rows if os.path.isfile(folder / output)}


def _segment(session: InteractiveSession, case: BatchCase, output: Path, known: set[str]) -> list[Row]:
    """Writes a case's result, and gives what the summary tells of each segment.

    known: digests of what it may replace. Somebody may have corrected what is there, or put it there; but if
    it is the same again, as on the same machine without the summary, there is nothing to lose.
    """
    started, inputs = time.perf_counter(), stamps(case)
    segments = segments_in(case.prompts)
    if is_same_place(output, case.volume):
        raise OutputError(f"'{output.name}' is the image itself: give it another output in the manifest.")
    volume = read_volume(case.volume)
    session.set_volume(volume)
    results = session.segment_all([one.prompts for one in segments], clicks_exclude=True)
    names = [one.name for one in segments]
    is_foreign = os.path.isfile(output) and digest_of(output) not in known
    with TemporaryDirectory() if is_foreign else nullcontext(output.parent) as where:
        written = Path(where, output.name)
        write_labels(written, label_image(results, volume.grid.shape), volume.grid, names)
        digest = digest_of(written)
        if is_foreign and digest != digest_of(output):
            raise OutputError(
                "There is a result that no summary tells of, or that was changed since: move it away to have "
                "the case done again."
            )
    for caution in dict.fromkeys(chain.from_iterable(map(cautions_of, names, results))):
        tqdm.write(f"{case.name}: {caution}", file=sys.stderr)
    common = {
        "seconds": round(time.perf_counter() - started, 2),
        "output": case.output,
        "error": "",
        "finished": now(),
        "inputs": inputs,
        "digest": digest,
    }
    return [
        {
            "segment": name,
            "volume_ml": f"{millilitres(result, volume.grid):.6g}",  # of a cell as of an organ
            "notes": "; ".join(notes_of(name, result)),
            **common,
        }
        for name, result in zip(names, results, strict=True)
    ]
