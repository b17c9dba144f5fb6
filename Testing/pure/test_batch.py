"""Many cases: what is done stays done, what fails is recorded, and the summary tells what is there."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import SimpleITK as sitk
from ensam import batch
from ensam.__main__ import main
from ensam.errors import InputError, OutputError
from ensam.manifest import read_manifest
from ensam.prompts import PromptSet, SegmentPrompts, write_prompts
from ensam.session import InteractiveSession

from .command_files import Files
from .test_session import box_of

OUTPUTS = ["prompts.seg.nrrd"] * 2 + ["second.seg.nrrd"] * 2  # of `two_cases`, a row a segment


@pytest.fixture
def files(tmp_path):
    made = Files(tmp_path)
    made.remember()
    return made


def write_manifest(files, lines):
    path = files.folder / "manifest.csv"
    path.write_text("volume,prompts\n" + "".join(f"{v},{p}\n" for v, p in lines))
    return path


def run_batch(files, manifest, *more):
    folder = files.folder / "results"
    weights = ["--checkpoint", str(files.checkpoint), "--device", "cpu"]
    return main(["batch", str(manifest), "-o", str(folder), *weights, *more]), folder, rows_in(folder)


def rows_in(folder, name="summary.csv"):
    if not (folder / name).is_file():
        return []
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def two_cases(files):
    (files.folder / "second.json").write_bytes(files.prompts.read_bytes())
    return write_manifest(files, [("blob.nrrd", "prompts.json"), ("blob.nrrd", "second.json")])


@pytest.fixture
def volumes_read(monkeypatch):
    """The names of the images that batches have read, in their order."""
    read, original = [], batch.read_volume
    monkeypatch.setattr(batch, "read_volume", lambda path: read.append(path.name) or original(path))
    return read


def give_other_prompts(files):
    box = box_of(files.volume_value, (8, 12, 16), (31, 35, 39))
    write_prompts(files.prompts, [SegmentPrompts("larger", PromptSet(box))])


def make_every_segmentation_fail(patch, error):
    def failing(*_given, **_options):
        raise error

    patch.setattr(InteractiveSession, "segment_all", failing)


def test_a_batch_records_a_failing_case_and_goes_on(files, capsys):
    (files.folder / "second.json").write_bytes(files.prompts.read_bytes())
    manifest = write_manifest(files, [("none.nrrd", "prompts.json"), ("blob.nrrd", "second.json")])
    code, folder, rows = run_batch(files, manifest)
    assert code == 2
    assert (folder / "second.seg.nrrd").is_file() and not (folder / "prompts.seg.nrrd").exists()
    assert "no image file" in rows[0]["error"]
    # A log holds nothing beside; the bar is for terminals.
    assert capsys.readouterr().err.splitlines() == [f"prompts: {rows[0]['error']}"]
    assert [r["segment"] for r in rows[1:]] == ["ball", "other"]
    assert all(float(r["volume_ml"]) > 0 and float(r["seconds"]) >= 0 and not r["error"] for r in rows[1:])


def test_a_batch_started_again_does_only_what_is_missing(files, volumes_read):
    (files.folder / "second.json").write_bytes(files.prompts.read_bytes())
    manifest = write_manifest(files, [("none.nrrd", "prompts.json"), ("blob.nrrd", "second.json")])
    run_batch(files, manifest)
    (files.folder / "none.nrrd").write_bytes(files.volume.read_bytes())
    volumes_read.clear()
    code, folder, rows = run_batch(files, manifest)
    assert code == 0 and volumes_read == ["none.nrrd"]
    assert len(rows) == 4 and (folder / "prompts.seg.nrrd").is_file()


def test_thousands_of_cases_fill_no_memory_with_what_nobody_asks_for_again(files, two_cases, monkeypatch):
    sessions, original = [], batch.open_session
    monkeypatch.setattr(
        batch, "open_session", lambda *given: sessions.append(original(*given)) or sessions[0]
    )
    assert run_batch(files, two_cases)[0] == 0 and sessions[0].cache.nbytes == 0


def test_a_case_that_fails_for_a_reason_nobody_foresaw_is_recorded_and_the_others_go_on(files, monkeypatch):
    (files.folder / "second.json").write_bytes(files.prompts.read_bytes())
    (files.folder / "broken.nrrd").write_bytes(files.volume.read_bytes())
    lines = [("broken.nrrd", "prompts.json"), ("blob.nrrd", "second.json"), ("none.nrrd", "third.json")]
    original = batch.read_volume

    def failing(path):
        if path.name == "broken.nrrd":
            raise RuntimeError("CUDA error: the device was lost")
        return original(path)

    with monkeypatch.context() as patch:
        patch.setattr(batch, "read_volume", failing)
        code, folder, rows = run_batch(files, write_manifest(files, lines))
    assert code == 1 and (folder / "second.seg.nrrd").is_file()
    assert rows[0]["error"] == "RuntimeError: CUDA error: the device was lost"
    assert "third.json" in rows[-1]["error"]
    assert run_batch(files, files.folder / "manifest.csv")[0] == 2


@pytest.mark.parametrize("head", ["image,prompts", "volume;prompts"])
def test_a_manifest_without_its_columns_is_refused(files, capsys, head):
    path = files.folder / "manifest.csv"
    path.write_text(f"{head}\na,b\n")
    assert main(["batch", str(path), "-o", str(files.folder / "r")]) == 2
    assert "columns volume and prompts" in capsys.readouterr().err


def test_a_batch_repeats_a_case_whose_prompts_changed_or_whose_volume_is_another(files, volumes_read):
    manifest = write_manifest(files, [("blob.nrrd", "prompts.json")])
    _, folder, _ = run_batch(files, manifest)
    run_batch(files, manifest)
    assert volumes_read == ["blob.nrrd"]
    later = (folder / "prompts.seg.nrrd").stat().st_mtime + 5
    os.utime(files.prompts, (later, later))
    run_batch(files, manifest)
    assert volumes_read == ["blob.nrrd"] * 2
    (files.folder / "other.nrrd").write_bytes(files.volume.read_bytes())
    run_batch(files, write_manifest(files, [("other.nrrd", "prompts.json")]))
    assert volumes_read == ["blob.nrrd", "blob.nrrd", "other.nrrd"]


def test_an_interrupted_batch_forgets_nothing(files, monkeypatch):
    (files.folder / "second.json").write_bytes(files.prompts.read_bytes())
    lines = [("none.nrrd", "prompts.json"), ("blob.nrrd", "second.json")]
    run_batch(files, write_manifest(files, lines))
    (files.folder / "none.nrrd").write_bytes(files.volume.read_bytes())

    def interrupted(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(batch, "read_volume", interrupted)
        assert run_batch(files, files.folder / "manifest.csv")[0] == 1
    read = []
    original = batch.read_volume
    monkeypatch.setattr(batch, "read_volume", lambda path: read.append(path.name) or original(path))
    assert run_batch(files, files.folder / "manifest.csv")[0] == 0
    assert read == ["none.nrrd"]


def test_two_processes_share_a_manifest_and_one_that_is_killed_is_made_up_for(files):
    count = 6
    for number in range(count):
        (files.folder / f"{number}.json").write_bytes(files.prompts.read_bytes())
    manifest = write_manifest(files, [("blob.nrrd", f"{number}.json") for number in range(count)])
    folder = files.folder / "results"
    command = [sys.executable, "-m", "ensam", "batch", str(manifest), "-o", str(folder)]
    command += ["--checkpoint", str(files.checkpoint), "--device", "cpu"]
    # Killed once its first case is done.
    first = subprocess.Popen([*command, "--part", "1/2"], stderr=subprocess.DEVNULL)
    while not (folder / "summary-1-of-2.csv").is_file() and first.poll() is None:
        time.sleep(0.01)
    first.kill()
    first.wait()
    both = [subprocess.Popen([*command, "--part", f"{k}/2"], stderr=subprocess.DEVNULL) for k in (1, 2)]
    assert [one.wait() for one in both] == [0, 0]
    written = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.seg.nrrd")}
    assert sorted(written) == [f"{number}.seg.nrrd" for number in range(count)]
    code, _, rows = run_batch(files, manifest)
    assert code == 0 and len(rows) == 2 * count and not any(row["error"] for row in rows)
    assert {path.name: path.stat().st_mtime_ns for path in folder.glob("*.seg.nrrd")} == written


def test_what_a_killed_batch_left_half_written_goes_and_what_another_writes_now_stays(files):
    manifest = write_manifest(files, [("blob.nrrd", "prompts.json")])
    folder = files.folder / "results"
    folder.mkdir()
    left, written_now, foreign = (
        folder / name for name in (".01234567-prompts.seg.nrrd", ".89abcdef-summary.csv", ".hidden.csv")
    )
    for path in (left, written_now, foreign):
        path.write_bytes(b"half")
    long_ago = time.time() - 7200
    os.utime(left, (long_ago, long_ago))
    assert run_batch(files, manifest)[0] == 0
    assert {path.name for path in folder.glob(".*")} == {written_now.name, foreign.name}


@pytest.mark.parametrize("part", ["0/2", "3/2", "2", "a/b", "1/0", "-1/2"])
def test_a_part_that_is_none_is_refused(files, capsys, part):
    manifest = write_manifest(files, [("blob.nrrd", "prompts.json")])
    assert main(["batch", str(manifest), "-o", str(files.folder / "r"), f"--part={part}"]) == 2
    assert "is no part such as 2/4" in capsys.readouterr().err


def test_a_manifest_of_a_spreadsheet_is_read_and_an_empty_one_refused(files, capsys):
    path = files.folder / "manifest.csv"
    path.write_bytes(b"\xef\xbb\xbfvolume,prompts\r\nblob.nrrd,prompts.json\r\n")
    assert run_batch(files, path)[0] == 0
    path.write_text("volume,prompts\n")
    assert main(["batch", str(path), "-o", str(files.folder / "r")]) == 2
    assert "lists no cases" in capsys.readouterr().err


def test_the_whole_after_its_parts_tells_of_each_segment_once_however_often_it_runs(files, two_cases):
    assert [run_batch(files, two_cases, "--part", f"{k}/2")[0] for k in (1, 2)] == [0, 0]
    for _ in range(3):
        code, _, rows = run_batch(files, two_cases)
        assert code == 0 and [row["segment"] for row in rows] == ["ball", "other"] * 2


def test_a_case_done_anew_drops_what_another_summary_told_of_it(files, volumes_read):
    manifest = write_manifest(files, [("blob.nrrd", "prompts.json")])
    run_batch(files, manifest, "--part", "1/1")
    give_other_prompts(files)
    for _ in range(3):
        assert [row["segment"] for row in run_batch(files, manifest)[2]] == ["larger"]
    assert len(volumes_read) == 2


def test_a_result_that_another_model_has_replaced_is_done_anew(files, volumes_read):
    manifest = write_manifest(files, [("blob.nrrd", "prompts.json")])
    run_batch(files, manifest)
    run_batch(files, manifest, "--part", "1/1", "--intensity", "bone")
    run_batch(files, manifest)
    assert len(volumes_read) == 3


def test_an_unknown_intensity_is_refused_before_a_finished_batch_is_touched(files, two_cases, capsys):
    _, folder, rows = run_batch(files, two_cases)
    code, _, after = run_batch(files, two_cases, "--intensity", "lungs")
    assert code == 2 and "no intensity window 'lungs'" in capsys.readouterr().err
    assert after == rows
    assert main(["batch", str(two_cases), "-o", f"{folder}2", "--intensity", "lungs"]) == 2
    assert not (files.folder / "results2").exists()


def test_a_failed_case_names_no_output_and_says_that_an_earlier_one_is_there(files, two_cases):
    _, folder, _ = run_batch(files, two_cases)
    before = (folder / "prompts.seg.nrrd").read_bytes()
    files.prompts.write_text("nothing")
    code, _, rows = run_batch(files, two_cases)
    assert code == 2 and [row["output"] for row in rows] == ["", *OUTPUTS]
    assert "('prompts.seg.nrrd' is there from an earlier run.)" in rows[0]["error"]
    assert (folder / "prompts.seg.nrrd").read_bytes() == before


def test_the_summary_has_the_notes_and_the_cautions_are_told_at_once(files, monkeypatch, capsys):
    manifest = write_manifest(files, [("blob.nrrd", "prompts.json")])
    original = InteractiveSession.segment_all

    def unsure(*given, **options):
        first, second = original(*given, **options)
        return replace(first, found=False), replace(second, warnings=("Memory ran out: it is coarser.",))

    monkeypatch.setattr(InteractiveSession, "segment_all", unsure)
    code, _, (first, second) = run_batch(files, manifest)
    assert code == 0 and "percentile" in first["notes"] and "window of" in second["notes"]
    errors = capsys.readouterr().err
    for row, caution in (
        (first, "ball was not found: give it a closer box"),
        (second, "Memory ran out: it is coarser."),
    ):
        assert row["notes"].startswith(caution) and f"prompts: {caution}" in errors


def test_a_column_that_the_user_has_added_stays(files, two_cases):
    _, folder, rows = run_batch(files, two_cases)
    with (folder / "summary.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, [*rows[0], "judged"])
        writer.writeheader()
        writer.writerows({**row, "judged": "good"} for row in rows)
    code, _, after = run_batch(files, two_cases)
    assert code == 0 and [row["judged"] for row in after] == ["good"] * 4


@pytest.mark.parametrize("error", [MemoryError("4 GiB"), OSError("stale handle"), RuntimeError("lost")])
def test_no_case_ends_the_batch_whatever_it_lacks(files, two_cases, monkeypatch, error):
    with monkeypatch.context() as patch:
        make_every_segmentation_fail(patch, error)
        code, _, rows = run_batch(files, two_cases)
    assert code == 1 and [row["error"] for row in rows] == [f"{type(error).__name__}: {error}"] * 2
    assert run_batch(files, two_cases)[0] == 0


def test_the_summary_is_not_written_for_each_case_of_thousands(files, monkeypatch):
    manifest = write_manifest(files, [("none.nrrd", f"{number}.json") for number in range(8)])
    written, original = [], batch.write_summary
    monkeypatch.setattr(
        batch, "write_summary", lambda path, rows: written.append(path) or original(path, rows)
    )
    assert len(run_batch(files, manifest)[2]) == 8
    assert len(written) == 2


def test_a_summary_that_cannot_be_written_ends_the_batch(files, two_cases, monkeypatch, capsys):
    def full(path, rows):
        raise OutputError("The disk is full: make room.")

    monkeypatch.setattr(batch, "write_summary", full)
    assert run_batch(files, two_cases)[0] == 2
    assert capsys.readouterr().err.strip() == "The disk is full: make room."


def test_an_input_exchanged_for_an_older_one_counts_as_changed(files, volumes_read):
    manifest = write_manifest(files, [("blob.nrrd", "prompts.json")])
    run_batch(files, manifest)
    give_other_prompts(files)
    os.utime(files.prompts, (0, 0))
    assert [row["segment"] for row in run_batch(files, manifest)[2]] == ["larger"]
    assert len(volumes_read) == 2


def test_results_may_be_named_in_the_manifest(files):
    manifest = files.folder / "manifest.csv"
    for patient in ("p1", "p2"):
        (files.folder / patient).mkdir()
        (files.folder / patient / "prompts.json").write_bytes(files.prompts.read_bytes())
    lines = [f"blob.nrrd,{patient}/prompts.json" for patient in ("p1", "p2")]
    manifest.write_text("volume,prompts\n" + "\n".join(lines))
    with pytest.raises(InputError, match="in a column output"):
        read_manifest(manifest)
    named = [f"{line},p{number}.seg.nrrd" for number, line in enumerate(lines, start=1)]
    manifest.write_text("volume,prompts,output\n" + "\n".join(named))
    code, folder, rows = run_batch(files, manifest)
    assert code == 0 and [row["output"] for row in rows] == ["p1.seg.nrrd"] * 2 + ["p2.seg.nrrd"] * 2
    assert {path.name for path in folder.iterdir()} == {"p1.seg.nrrd", "p2.seg.nrrd", "summary.csv"}


@pytest.mark.parametrize(
    "output", ["../up.seg.nrrd", "/a.seg.nrrd", "a.nrrd", "sub/a.seg.nrrd", "a.SEG.NRRD"]
)
def test_an_output_outside_the_folder_or_of_another_kind_is_refused(tmp_path, output):
    (tmp_path / "m.csv").write_text(f"volume,prompts,output\nct.nrrd,a.json,{output}\n")
    with pytest.raises(InputError, match="a name that ends in"):
        read_manifest(tmp_path / "m.csv")


@pytest.mark.parametrize("head", ["volume, prompts", "Volume,Prompts", " VOLUME ,prompts "])
def test_a_header_may_have_blanks_and_capitals(tmp_path, head):
    (tmp_path / "m.csv").write_text(f'{head}\nct.nrrd, "a, b.json"\n,\n')
    (case,) = read_manifest(tmp_path / "m.csv")
    assert (case.volume, case.prompts) == (tmp_path / "ct.nrrd", tmp_path / "a, b.json")


def test_a_message_names_the_file_that_is_wrong(files, capsys):
    assert main(["batch", "none.csv", "-o", str(files.folder / "results")]) == 2
    assert "There is no manifest 'none.csv': check the path." in capsys.readouterr().err
    (files.folder / "wrong.json").write_text('{"version": 1, "segments": [{"name": ""}]}')
    lines = [("blob.nrrd", "wrong.json"), ("blob.nrrd", "gone.json")]
    _, _, (wrong, gone) = run_batch(files, write_manifest(files, lines))
    assert wrong["error"].startswith("'wrong.json': ")
    assert "There is no prompts file" in gone["error"] and "gone.json" in gone["error"]
    assert main(files.arguments(**{"--prompts": files.folder / "wrong.json"})) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("'wrong.json': ")


def test_an_image_that_was_away_for_a_while_costs_nothing(files, two_cases, volumes_read):
    _, _, before = run_batch(files, two_cases)
    files.volume.rename(files.folder / "away.nrrd")
    code, _, rows = run_batch(files, two_cases)
    assert code == 2 and [row["output"] for row in rows] == ["", *OUTPUTS[:2], "", *OUTPUTS[2:]]
    (files.folder / "away.nrrd").rename(files.volume)
    volumes_read.clear()
    code, _, rows = run_batch(files, two_cases)
    assert code == 0 and volumes_read == [] and rows == before


def test_a_run_with_another_model_that_is_stopped_at_once_costs_nothing(
    files, two_cases, monkeypatch, volumes_read
):
    _, _, before = run_batch(files, two_cases)
    with monkeypatch.context() as patch:
        make_every_segmentation_fail(patch, KeyboardInterrupt())
        code, _, rows = run_batch(files, two_cases, "--intensity", "bone")
    assert code == 1 and rows == before
    volumes_read.clear()
    assert run_batch(files, two_cases)[0] == 0 and volumes_read == []


@pytest.mark.parametrize("part", [[], ["--part", "1/1"]])
def test_a_smaller_manifest_drops_nothing_of_a_larger_one(files, two_cases, volumes_read, part):
    run_batch(files, two_cases, *part)
    smaller = write_manifest(files, [("blob.nrrd", "second.json")])
    _, folder, _ = run_batch(files, smaller, *part)
    name = "summary-1-of-1.csv" if part else "summary.csv"
    assert [row["output"] for row in rows_in(folder, name)] == OUTPUTS[2:] + OUTPUTS[:2]
    assert len(volumes_read) == 2
    (folder / "prompts.seg.nrrd").unlink()
    run_batch(files, smaller, *part)
    assert [row["output"] for row in rows_in(folder, name)] == OUTPUTS[2:]


def test_a_part_tells_of_its_own_results_alone_however_often_it_runs(files, two_cases):
    for number in (1, 2, 1, 2):
        _, folder, _ = run_batch(files, two_cases, "--part", f"{number}/2")
    assert [row["output"] for row in rows_in(folder, "summary-1-of-2.csv")] == OUTPUTS[:2]
    assert [row["output"] for row in rows_in(folder, "summary-2-of-2.csv")] == OUTPUTS[2:]


def test_paths_may_be_typed_in_another_way_and_from_another_folder(
    files, two_cases, volumes_read, monkeypatch
):
    run_batch(files, two_cases)
    lines = [(files.volume, files.prompts), ("results/../blob.nrrd", "second.json")]
    write_manifest(files, lines)
    monkeypatch.chdir(files.folder)
    code, _, rows = run_batch(files, two_cases.relative_to(files.folder))
    assert code == 0 and len(volumes_read) == 2
    assert {row["volume"] for row in rows} == {str(files.volume)}


def test_a_result_that_somebody_has_changed_is_not_replaced(files, two_cases, capsys):
    _, folder, _ = run_batch(files, two_cases)
    result = folder / "prompts.seg.nrrd"
    result.write_bytes(b"corrected by hand")
    assert run_batch(files, two_cases)[0] == 0
    code, _, rows = run_batch(files, two_cases, "--intensity", "bone")
    assert code == 2 and result.read_bytes() == b"corrected by hand"
    assert "1 of 2 cases done" in capsys.readouterr().out
    assert [row["output"] for row in rows] == ["", *OUTPUTS]
    assert rows[0]["error"].startswith("There is a result that no summary tells of, or that was changed")
    result.rename(files.folder / "corrected.seg.nrrd")
    code, _, rows = run_batch(files, two_cases, "--intensity", "bone")
    assert code == 0 and [row["output"] for row in rows] == OUTPUTS and result.is_file()


def test_a_result_that_no_summary_tells_of_is_not_replaced(files, two_cases, volumes_read):
    _, folder, before = run_batch(files, two_cases)
    (folder / "summary.csv").unlink()
    foreign = folder / "prompts.seg.nrrd"
    foreign.write_bytes(b"drawn by hand")
    code, _, rows = run_batch(files, two_cases)
    assert code == 2 and foreign.read_bytes() == b"drawn by hand" and len(volumes_read) == 4
    assert rows[0]["error"].startswith("There is a result that no summary tells of") and not rows[0]["output"]
    # What a killed run left without a word is the same again.
    assert [row["digest"] for row in rows[1:]] == [row["digest"] for row in before[2:]]
    foreign.unlink()
    code, _, rows = run_batch(files, two_cases)
    assert code == 0 and [row["digest"] for row in rows] == [row["digest"] for row in before]


@pytest.mark.parametrize("earlier", [[], ["percentile"]])
def test_a_batch_that_is_killed_goes_on_with_the_case_that_it_was_at(files, two_cases, monkeypatch, earlier):
    """It could not recognise what it has not told of: on other threads some voxels come out otherwise."""
    folder, told, original = files.folder / "results", [], batch.read_volume
    for intensity in earlier:
        run_batch(files, two_cases, "--intensity", intensity)

    def read(path):
        told.append((folder / "summary.csv").read_bytes())
        return original(path)

    monkeypatch.setattr(batch, "read_volume", read)
    _, _, whole = run_batch(files, two_cases)
    (folder / "summary.csv").write_bytes(told[1])
    (folder / "second.seg.nrrd").unlink()
    code, _, rows = run_batch(files, two_cases)
    assert code == 0 and len(told) == 3
    assert [row["finished"] for row in rows[:2]] == [row["finished"] for row in whole[:2]]
    assert [row["output"] for row in rows] == OUTPUTS


def test_a_summary_saved_with_semicolons_is_refused_and_one_that_was_renamed_is_not_read(
    files, two_cases, volumes_read, capsys
):
    _, folder, _ = run_batch(files, two_cases)
    summary = folder / "summary.csv"
    summary.write_text(summary.read_text().replace(",", ";"))
    before = summary.read_bytes()
    assert run_batch(files, two_cases)[0] == 2 and summary.read_bytes() == before
    assert "save it as CSV with commas, or move it away to start anew." in capsys.readouterr().err
    summary.rename(folder / "summary_old.csv")
    assert run_batch(files, two_cases)[0] == 0 and len(volumes_read) == 4


@pytest.mark.parametrize(
    ("header", "voxels"), [("a.mhd", "a.raw"), ("a.nhdr", "a.raw"), ("a.hdr", "a.img"), ("a.img", "a.hdr")]
)
def test_an_image_in_two_files_counts_as_changed_with_either(files, volumes_read, header, voxels):
    image = files.volume_value.grid.to_itk(files.volume_value.array)
    sitk.WriteImage(image, str(files.folder / header), useCompression=False)
    manifest = write_manifest(files, [(header, "prompts.json")])
    for _ in range(2):
        assert run_batch(files, manifest)[0] == 0
    assert len(volumes_read) == 1
    os.utime(files.folder / voxels, (0, 0))
    assert run_batch(files, manifest)[0] == 0 and len(volumes_read) == 2
