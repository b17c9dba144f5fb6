"""The summary of a batch: what is added stays readable, whatever a process that was killed left of it."""

from __future__ import annotations

import csv
import os

import pytest
from ensam.errors import OutputError
from ensam.manifest import BatchCase
from ensam.summary import add_to_summary, now, read_finished, stamps, write_summary

from .test_volume import no_room


def rows_of(output, *segments, **more):
    common = {"output": output, "finished": now(), "digest": "0" * 64}
    return [{"segment": one, **common, **more} for one in segments]


def told(path):
    return {output: [row["segment"] for row in rows] for output, rows in read_finished(path).items()}


@pytest.fixture
def a_summary(tmp_path):
    path = tmp_path / "summary.csv"
    write_summary(path, rows_of("first.seg.nrrd", "Leber, größer", judged="good"))
    return path


def test_what_is_added_is_told_in_the_columns_that_the_user_has_added(a_summary):
    add_to_summary(a_summary, rows_of("second.seg.nrrd", "ball", "other"))
    assert told(a_summary) == {"first.seg.nrrd": ["Leber, größer"], "second.seg.nrrd": ["ball", "other"]}
    finished = read_finished(a_summary)
    assert [rows[0]["judged"] for rows in finished.values()] == ["good", ""]
    assert finished["second.seg.nrrd"][0]["digest"] == "0" * 64


def test_of_a_result_that_was_replaced_the_last_rows_tell(a_summary):
    add_to_summary(a_summary, rows_of("first.seg.nrrd", "larger"))
    assert told(a_summary) == {"first.seg.nrrd": ["larger"]}


def test_half_a_row_of_a_process_that_was_killed_hides_no_other(a_summary):
    before = told(a_summary)
    with a_summary.open("a") as file:
        file.write("/data/blob.nrrd,/data/prom")
    assert told(a_summary) == before


def test_a_full_disk_takes_no_part_of_a_case(a_summary):
    write_summary(a_summary, rows_of("first.seg.nrrd", "x" * 150))
    before = a_summary.read_bytes()
    with no_room(), pytest.raises(OutputError, match=r"^'summary.csv' can't be written .*that has room\.$"):
        add_to_summary(a_summary, rows_of("second.seg.nrrd", "ball", "other"))
    assert a_summary.read_bytes() == before


def test_a_summary_that_is_moved_away_meanwhile_is_missed_in_a_sentence(a_summary):
    a_summary.rename(a_summary.with_name("kept.csv"))
    with pytest.raises(OutputError, match=r"^'summary.csv' can't be written in .* \(No such file"):
        add_to_summary(a_summary, [])
    assert not a_summary.exists()


def test_an_image_of_any_number_of_slices_fits_a_field_and_counts_as_changed_with_each(tmp_path):
    count = 1 + csv.field_size_limit() // 20
    for number in range(count):
        (tmp_path / f"{number}.raw").touch()
    header, prompts = tmp_path / "CT.mhd", tmp_path / "prompts.json"
    header.write_text(f"NDims = 3\nElementDataFile = %d.raw 0 {count - 1} 1\n")
    prompts.touch()
    case = BatchCase(header, prompts, "first.seg.nrrd")
    before = stamps(case)
    write_summary(tmp_path / "summary.csv", rows_of(case.output, "liver", inputs=before))
    assert read_finished(tmp_path / "summary.csv")[case.output][0]["inputs"] == before == stamps(case)
    os.utime(tmp_path / f"{count - 1}.raw", (0, 0))
    assert stamps(case) != before
