"""Everything that makes a case useless is found and named, and what deserves a look is said."""

import csv
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future

import numpy as np
import pytest
import SimpleITK as sitk
from ensam_training import pool
from ensam_training.cases import split_instances
from ensam_training.checking import check_cases
from ensam_training.discovery import find_cases

from .labelled_files import a_label, an_image, write, write_case


def test_workers_end_when_the_process_that_waits_for_them_is_killed(tmp_path):
    (tmp_path / "slow.py").write_text(
        "import os, time\n\ndef work(path):\n    open(path, 'w').close()\n    time.sleep(600)\n"
    )
    begun = [str(tmp_path / name) for name in "ab"]
    code = f"import slow; from ensam_training.pool import run_all; list(run_all(slow.work, {begun}, 'x', 2))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    waiting = subprocess.Popen([sys.executable, "-c", code], env=environment, start_new_session=True)
    while not all(map(os.path.exists, begun)):
        assert waiting.poll() is None
        time.sleep(0.05)
    waiting.kill()
    waiting.wait()
    for _ in range(600):
        try:
            os.killpg(waiting.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(waiting.pid, signal.SIGKILL)
    pytest.fail("The workers are still there.")


class PoolInPlace:
    """A pool on Windows, which does the work at once."""

    def __init__(self, workers, **_given):
        if workers > 61:
            raise ValueError("max_workers must be <= 61")

    def submit(self, function, item):
        future = Future()
        future.set_result(function(item))
        return future

    def shutdown(self, cancel_futures):
        pass


@pytest.mark.parametrize("workers", [None, 100], ids=["by default", "as asked for"])
def test_a_large_machine_with_windows_has_as_many_workers_as_python_can_have_there(monkeypatch, workers):
    monkeypatch.setattr(pool, "ProcessPoolExecutor", PoolInPlace)
    monkeypatch.setattr(pool, "processors", lambda: 128)
    monkeypatch.setattr(sys, "platform", "win32")
    results = dict(pool.run_all(str, range(1000), "write", workers))
    assert results == {number: str(number) for number in range(1000)}


def the_check(folder):
    (check,) = check_cases(find_cases(folder)).checks
    return check


def with_value(array, value):
    changed = array.astype(np.float32)
    changed[0, 0, 0] = value
    return changed


BAD_CASES = {
    "other shape": ({"label": a_label((12, 14, 17))}, "different shapes (16 x 14 x 12 and 17 x 14 x 12"),
    "image not finite": ({"image": with_value(an_image(), np.nan)}, "1 voxels that aren't finite"),
    "label not finite": ({"label": with_value(a_label(), np.inf)}, "1 voxels that aren't finite"),
    "constant image": ({"image": np.full((12, 14, 16), 7, np.int16)}, "same value in every voxel"),
    "empty label": ({"label": np.zeros((12, 14, 16), np.uint8)}, "there is nothing to mark"),
    "fractions": ({"label": with_value(a_label(), 0.5)}, "aren't whole numbers"),
    "negative label": ({"label": with_value(a_label(), -1)}, "values from -1.0 to 1.0"),
    "one-voxel labels": ({"label": (np.arange(12 * 14 * 16) < 3).reshape(12, 14, 16) * np.uint8(1)
                          * np.arange(1, 17, dtype=np.uint8)}, "No label has more than one voxel"),
    "specks": ({"label": (np.arange(12 * 14 * 16) < 19).reshape(12, 14, 16).astype(np.uint8)},
               "No label has 20 voxels"),
    "thin": ({"image": an_image(0, (5, 14, 16)), "label": a_label((5, 14, 16))}, "5 voxels thin"),
    "flat": ({"image": an_image(0, (1, 14, 16)), "label": a_label()}, "single slice"),
}  # fmt: skip


@pytest.mark.parametrize(("arrays", "words"), BAD_CASES.values(), ids=BAD_CASES)
def test_a_case_that_is_no_use_is_left_out_with_the_reason(tmp_path, arrays, words):
    check = the_check(write_case(tmp_path, "case", **arrays))
    assert words in check.reason


@pytest.mark.parametrize(
    ("geometry", "words"),
    [
        ({"origin": (0.0, 0.0, 5.0)}, "different origins"),
        ({"spacing": (1.0, 1.0, 2.5)}, "different spacings (1 x 1 x 2 and 1 x 1 x 2.5 mm)"),
    ],
)
def test_a_label_beside_its_image_in_space_is_left_out(tmp_path, geometry, words):
    write_case(tmp_path, "case")
    write(tmp_path / "case" / "label.nii.gz", a_label(), **geometry)
    assert words in the_check(tmp_path).reason


def test_segments_that_overlap_are_shown_a_way(tmp_path):
    write(tmp_path / "CT.nrrd", an_image())
    layers = np.stack([a_label(), a_label()], axis=-1)
    sitk.WriteImage(sitk.GetImageFromArray(layers, isVector=True), str(tmp_path / "CT.seg.nrrd"))
    reason = the_check(tmp_path).reason
    assert "The segments in 'CT.seg.nrrd' overlap" in reason and "Add saved scenes" in reason


def test_headers_may_be_rounded(tmp_path):
    write_case(tmp_path, "case")
    write(tmp_path / "case" / "label.nii.gz", a_label(), spacing=(1.0, 1.001, 2.0), origin=(0.01, 0.0, 0.0))
    assert the_check(tmp_path).reason == ""


def test_damaged_and_missing_files_are_left_out(tmp_path):
    for name in ("cut", "missing"):
        write_case(tmp_path, name)
    path = tmp_path / "cut" / "label.nii.gz"
    path.write_bytes(path.read_bytes()[:40])
    (tmp_path / "missing" / "label.nii.gz").unlink()
    cut, missing = check_cases(find_cases(tmp_path)).checks
    assert "can't be read" in cut.reason
    assert "no label" in missing.reason


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_whole_numbers_of_any_type_are_labels(tmp_path, dtype):
    check = the_check(write_case(tmp_path, "case", label=(3 * a_label()).astype(dtype)))
    assert (check.reason, check.sizes) == ("", {3: 64})


def test_what_deserves_a_look_is_said(tmp_path):
    label = a_label()
    label[0, 0, 0] = 4
    write_case(tmp_path, "ct_a_01", seed=1, label=label)
    write_case(tmp_path, "mr_a_01", seed=1, label=label)
    write_case(tmp_path, "mr_b_02", seed=1)
    ct, same, other = check_cases(find_cases(tmp_path)).checks
    assert ct.warnings == (
        "1 of 2 labels under 20 voxels, not asked for: 4",
        "said to be CT, but its values don't look like CT",
    )
    assert same.warnings[1:] == ("has the same image and labels as ct_a_01",)
    assert other.warnings == ("has the same image as ct_a_01: both count as one patient's",)


@pytest.mark.parametrize(("dtype", "told"), [(np.int16, True), (np.uint16, True), (np.uint8, False)])
def test_images_that_a_conversion_cut_off_are_told_of(tmp_path, dtype, told):
    image = np.full((12, 12, 12), np.iinfo(dtype).max, dtype)
    image[:4] = np.arange(144).reshape(12, 12)
    write(tmp_path / "mr_a_01" / "image.nii.gz", image)
    write(tmp_path / "mr_a_01" / "label.nii.gz", a_label(image.shape))
    (check,) = check_cases(find_cases(tmp_path)).checks
    assert not check.reason
    assert [w.startswith("67% of the voxels are ") for w in check.warnings] == [True] * told


def test_patients_who_share_an_image_are_one(tmp_path):
    table = ["image,label,name,group"]
    for name, seed, group in (("a", 1, "x"), ("b", 1, "y"), ("c", 2, "y"), ("d", 2, "z"), ("e", 3, "v")):
        write_case(tmp_path / "data", name, seed)
        table.append(f"data/{name}/image.nii.gz,data/{name}/label.nii.gz,{name},{group}")
    for file, array in (("image", an_image(1)), ("label", a_label())):
        write(tmp_path / "data" / "b" / f"{file}.nii.gz", array, origin=(1e-7, 0.0, 0.0))
    (tmp_path / "data.csv").write_text("\n".join(table))
    report = check_cases(find_cases(tmp_path / "data.csv"))
    assert [file.group for file in report.usable] == ["x", "x", "x", "x", "v"]
    assert report.text().startswith("5 cases: 5 usable of 2 patients")


def test_the_report_counts_names_and_explains(tmp_path):
    write_case(tmp_path, "mr_a_01")
    write_case(tmp_path, "mr_a_02", seed=2, label=np.zeros((12, 14, 16), np.uint8))
    write_case(tmp_path, "ct_b_01", seed=3)
    report = check_cases(find_cases(tmp_path))
    lines = report.text().splitlines()
    assert lines[0] == "3 cases: 2 usable of 2 patients or other groups, 1 left out"
    rows = {tuple(line.split()[:5]) for line in lines[2:6]}
    assert {("mr_a", "MR", "1", "1", "1"), ("ct_b", "CT", "1", "0", "1"), ("all", "2", "1", "2", "0")} <= rows
    assert "Left out (1):" in lines
    assert any("mr_a_02: 'label.nii.gz' has the same value" in line for line in lines)
    assert [file.name for file in report.usable] == ["ct_b_01", "mr_a_01"]


def test_the_report_as_a_table_has_a_line_a_case(tmp_path):
    write_case(tmp_path / "data", "mr_a_01")
    write_case(tmp_path / "data", "mr_a_02", image=np.zeros((12, 14, 16), np.int16))
    check_cases(find_cases(tmp_path / "data")).write_csv(tmp_path / "report.csv")
    with open(tmp_path / "report.csv", newline="") as file:
        good, bad = csv.DictReader(file)
    assert (good["usable"], good["objects"], good["largest_object"]) == ("yes", "1", "64")
    assert (good["shape_zyx"], good["spacing_zyx_mm"]) == ("12x14x16", "2x1x1")
    assert bad["usable"] == "no"
    assert "same value" in bad["reason"]


def test_instances_are_components_that_touch_not_even_at_a_corner():
    labels = np.zeros((6, 6, 12), np.uint8)
    labels[0:2, 0:2, 0:2] = 5
    labels[2, 2, 2] = 5  # touches at a corner
    labels[4:6, 4:6, 4:6] = 5
    labels[0:2, 0:2, 2:4] = 2  # touches, but is another value
    split = split_instances(labels)
    assert sorted(np.bincount(split.ravel())[1:]) == [8, 8, 9]
    for value in (1, 2, 3):
        assert len(np.unique(labels[split == value])) == 1
    assert np.array_equal(split > 0, labels > 0)


def test_instances_are_counted_as_objects(tmp_path):
    label = a_label()
    label[9:, 10:, 10:] = 1
    write_case(tmp_path, "case", label=label)
    (whole,) = check_cases(find_cases(tmp_path)).checks
    (split,) = check_cases(find_cases(tmp_path), instances=True).checks
    assert (len(whole.sizes), len(split.sizes)) == (1, 2)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"imgs": an_image()}, "lacks gts and spacing"),
        ({"imgs": an_image(), "gts": a_label((9, 9, 9)), "spacing": np.ones(3)}, "different shapes"),
        ({"imgs": an_image(), "gts": a_label(), "spacing": np.array([1.0, 0, 1])}, "isn't three lengths"),
        ({"imgs": an_image(), "gts": 0 * a_label(), "spacing": np.ones(3)}, "is empty"),
    ],
)
def test_archives_that_are_no_labelled_cases_are_left_out(tmp_path, members, words):
    np.savez(tmp_path / "a.npz", **members)
    assert words in the_check(tmp_path).reason
