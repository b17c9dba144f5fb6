"""Cases are found in every layout that people keep them in, and nothing is dropped in silence."""

import json

import numpy as np
import pytest
from ensam.errors import InputError
from ensam_training.cases import group_of, load, modality_of
from ensam_training.discovery import find_cases

from .labelled_files import a_label, an_image, write, write_case


def empty(*paths):
    """Files without content: finding cases must not need it."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def pairs(cases):
    return {case.name: (case.image.name, case.label.name) for case in cases}


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_a_folder_of_cases(tmp_path, suffix):
    for name in ("mr_b_02", "ct_a_01"):
        empty(tmp_path / name / f"image{suffix}", tmp_path / name / "label.seg.nrrd")
    first, second = find_cases(tmp_path)
    assert (first.name, first.dataset, first.group, first.modality) == ("ct_a_01", "ct_a", "a_01", "CT")
    assert second.image == tmp_path / "mr_b_02" / f"image{suffix}"
    assert second.label == tmp_path / "mr_b_02" / "label.seg.nrrd"
    assert not first.problem


def test_a_folder_of_images_and_one_of_labels(tmp_path):
    empty(tmp_path / "images" / "a.mha", tmp_path / "labels" / "a.nii.gz")
    empty(tmp_path / "images" / "b_1.nii", tmp_path / "labels" / "b_1_seg.nrrd")
    assert pairs(find_cases(tmp_path)) == {"a": ("a.mha", "a.nii.gz"), "b_1": ("b_1.nii", "b_1_seg.nrrd")}


@pytest.mark.parametrize(
    "label", ["x_label.nii.gz", "x-label.nrrd", "x_labels.mha", "x_seg.nii.gz", "x.seg.nrrd"]
)
def test_labels_beside_their_images(tmp_path, label):
    empty(tmp_path / "x.nrrd", tmp_path / label, tmp_path / ".hidden.nrrd", tmp_path / "notes.txt")
    assert pairs(find_cases(tmp_path)) == {"x": ("x.nrrd", label)}


def test_nnunets_layout_with_its_channels(tmp_path):
    root = tmp_path / "Dataset004_Liver"
    for name in ("liver_001_0000", "liver_001_0001", "liver_002_0000"):
        empty(root / "imagesTr" / f"{name}.nii.gz")
    empty(root / "labelsTr" / "liver_001.nii.gz", root / "labelsTr" / "liver_002.nii.gz")
    empty(root / "imagesTs" / "liver_009_0000.nii.gz")
    (root / "dataset.json").write_text(json.dumps({"channel_names": {"0": "T1", "1": "T2"}}))
    one, two = find_cases(root)
    assert (one.name, one.image.name) == ("liver_001", "liver_001_0000.nii.gz")
    assert (one.dataset, one.modality, one.group) == ("Dataset004_Liver", "T1", "liver_001")
    assert (one.note, two.note) == ("the first of 2 channels", "")


def test_nnunets_layout_without_channels_in_cases_of_numbered_names(tmp_path):
    for name in ("amos_0001", "amos_0004", "amos_0004_0000_0000"):
        empty(tmp_path / "imagesTr" / f"{name}.nii.gz")
    for name in ("amos_0001", "amos_0004", "amos_0004_0000"):
        empty(tmp_path / "labelsTr" / f"{name}.nii.gz")
    found = find_cases(tmp_path)
    assert pairs(found) == {
        "amos_0001": ("amos_0001.nii.gz", "amos_0001.nii.gz"),
        "amos_0004": ("amos_0004.nii.gz", "amos_0004.nii.gz"),
        "amos_0004_0000": ("amos_0004_0000_0000.nii.gz", "amos_0004_0000.nii.gz"),
    }
    assert {(case.problem, case.note) for case in found} == {("", "")}


def test_nnunets_value_to_ignore_is_no_object_and_that_is_said(tmp_path):
    label = a_label()
    label[9:, 10:, 10:] = 2
    for name in ("a_0000", "a_0001"):
        write(tmp_path / "imagesTr" / f"{name}.nii.gz", an_image())
    write(tmp_path / "labelsTr" / "a.nii.gz", label)
    (before,) = find_cases(tmp_path)
    assert np.array_equal(load(before)[1], label)
    for labels in ({"ignore": 2}, {"background": 0, "whole": [1, 2], "ignore": 2}):
        (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
        (case,) = find_cases(tmp_path)
        assert np.array_equal(load(case)[1], label == 1)
        assert case.note == (
            "the first of 2 channels; value 2 of the label is to be ignored and counts as background"
        )
        assert case.stamp() != before.stamp()  # a cache of before is no longer good
    for labels in ({"0": "background", "1": "ignore"}, {"ignore": "2"}, ["ignore"], {"ignore": 10**30}):
        (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
        assert np.array_equal(load(find_cases(tmp_path)[0])[1], label)


def test_a_table_with_relative_paths(tmp_path):
    (tmp_path / "list.csv").write_text(
        "image,label,name,dataset,group,modality\nin/a.nrrd,in/m.nrrd,one,set,anna,PET\nin/b_2.nrrd,in/n.nrrd,,,,\n"
    )
    second, first = find_cases(tmp_path / "list.csv")
    assert first.image == tmp_path / "in" / "a.nrrd"
    assert (first.name, first.dataset, first.group, first.modality) == ("one", "set", "anna", "PET")
    assert (second.name, second.dataset) == ("b_2", "b")


def test_a_table_beside_a_folder_says_what_names_do_not(tmp_path):
    write_case(tmp_path / "train", "case_01")
    (tmp_path / "train.csv").write_text("case,modality,group,shape\ncase_01,MR,anna,9x9\nother,CT,eve,9x9\n")
    (case,) = find_cases(tmp_path / "train")
    assert (case.modality, case.group, case.dataset) == ("MR", "anna", "case")


def test_the_challenges_archives(tmp_path):
    np.savez(tmp_path / "CT_Set_0001.npz", imgs=an_image(), gts=a_label(), spacing=np.array([1.0, 2.0, 3.0]))
    (case,) = find_cases(tmp_path)
    volume, labels = load(case)
    assert volume.grid.spacing_zyx == (3, 2, 1)
    assert np.array_equal(labels, a_label())
    assert (case.name, case.dataset, case.modality) == ("CT_Set_0001", "CT_Set", "CT")


def test_an_image_or_a_label_alone_is_a_case_with_a_problem(tmp_path):
    empty(tmp_path / "images" / "a.nii", tmp_path / "labels" / "b.nii")
    assert [(c.name, c.problem.split(":")[0]) for c in find_cases(tmp_path)] == [
        ("a", "The case has no label"),
        ("b", "The case has no image"),
    ]


def test_a_case_folder_that_lacks_or_doubles_a_file_is_a_case_with_a_problem(tmp_path):
    empty(tmp_path / "good" / "image.nii", tmp_path / "good" / "label.nii", tmp_path / "logs" / "log.txt")
    empty(tmp_path / "two" / "image.nii", tmp_path / "two" / "image.mha", tmp_path / "two" / "label.nii")
    assert {c.name: c.problem.split(":")[0] for c in find_cases(tmp_path)} == {
        "good": "",
        "logs": "The folder has no image.* and no label.*",
        "two": "The folder has several image.*",
    }


@pytest.mark.parametrize(
    "facts", [{"age": 61}, {"version": "3.1", "patient": "x"}, {"segments": []}, ["a"], "a"], ids=str
)
def test_another_programs_case_json_is_left_alone(tmp_path, facts):
    write_case(tmp_path, "mr_a_01")
    (tmp_path / "mr_a_01" / "case.json").write_text(json.dumps(facts))
    (case,) = find_cases(tmp_path)
    assert (case.problem, case.facts, case.group, case.dataset) == ("", None, "a_01", "mr_a")


def test_sources_that_are_unclear_are_refused_in_one_sentence(tmp_path):
    empty(tmp_path / "mixed" / "case" / "image.nii", tmp_path / "mixed" / "b.npz")
    empty(tmp_path / "nothing" / "notes.txt")
    (tmp_path / "few.csv").write_text("case,modality\na,CT\n")
    (tmp_path / "gap.csv").write_text("image,label\na.nii,\n")
    (tmp_path / "twice.csv").write_text("image,label\nx/a.nii,x/l.nii\ny/a.nii,y/l.nii\n")
    for source, words in (
        ("mixed", "mixes folders with image.* and .npz files"),
        ("nothing", "holds 0 folders and 1 files that are no cases"),
        ("missing", "no cases at"),
        ("few.csv", "has the columns case, modality: it needs image and label"),
        ("gap.csv", "Line 2"),
        ("twice.csv", "1 names occur more than once, such as 'a'"),
    ):
        with pytest.raises(InputError, match=words.replace("*", r"\*")) as caught:
            find_cases(tmp_path / source)
        assert "\n" not in str(caught.value)


def test_a_damaged_description_of_a_dataset_is_refused(tmp_path):
    empty(tmp_path / "imagesTr" / "a_0000.nii", tmp_path / "labelsTr" / "a.nii")
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(InputError, match="JSON"):
        find_cases(tmp_path)


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("ct_sts001", "sts001"),
        ("pet_sts001", "sts001"),
        ("mr_nichart_03_flair", "nichart_03"),
        ("CT_Abdomen1K_0003", "Abdomen1K_0003"),
        ("BraTS2021_00001_t1", "BraTS2021_00001"),
        ("sub-07_ses-02_T1w", "sub-07"),
        ("mr_anna", "anna"),
        ("anna", "anna"),
        ("patient001_frame01", "patient001"),
        ("002_S_0295_2006-04-18", "002_S_0295"),
        ("Pat12-20200101", "Pat12"),
        ("pat1_scan2", "pat1"),
        ("subj01_ses-02_T1w", "subj01"),
        ("Case 1 Visit 2", "Case 1"),
        ("brain_scan_001", "brain_scan_001"),
        ("P1_20201345", "P1_20201345"),
        ("tp_01", "tp_01"),
        ("K01_scanner_02", "K01_scanner_02"),
        ("kits19_scan_00001", "kits19_scan_00001"),
        ("site01_scan0001", "site01_scan0001"),
        ("study1_20190101_0007", "study1_20190101_0007"),
    ],
)
def test_a_patient_is_read_off_a_name(name, group):
    assert group_of(name) == group


def test_a_modality_is_read_off_a_name():
    assert [modality_of(n) for n in ("MRI_a", "pet_x_1", "carotis_ct")] == ["MR", "PET", ""]


def test_a_name_that_would_leave_the_cache_is_a_problem(tmp_path):
    write(tmp_path / "a.nii", an_image())
    (tmp_path / "list.csv").write_text("image,label,name\na.nii,a.nii,../a\n")
    (case,) = find_cases(tmp_path / "list.csv")
    assert "can't be a file's" in case.problem
