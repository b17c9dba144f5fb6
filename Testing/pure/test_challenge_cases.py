"""Labelled cases of the challenge: made, written, read and chosen."""

from __future__ import annotations

import numpy as np
import pytest
from ensam.errors import ChallengeFileError, InputError
from ensam_training.challenge_cases import (
    choose_cases,
    make_challenge_case,
    open_case,
    read_labelled_case,
    read_labels,
    write_labelled_case,
)

from .toy_cases import RNG, SPACING_XYZ, a_case, labels_of_two, write_cases, write_images


def test_a_made_case_holds_the_largest_labels_in_their_old_order():
    labels = np.zeros((20, 20, 20), np.int32)
    labels[0, :5] = 9  # 100 voxels
    labels[1, :, :10] = 7  # 200
    labels[2, :15] = 4  # 300
    labels[3, :4] = 2  # 80, too few
    labels[4, :5] = 300  # 100, as many as 9
    image = np.arange(8000, dtype=np.float32).reshape(20, 20, 20)
    made = make_challenge_case("made", image, labels, SPACING_XYZ, is_ct=False, max_objects=3)
    assert [int(labels[made.truth == label][0]) for label in (1, 2, 3)] == [4, 7, 9]
    assert made.count == 3 and made.spacing_zyx == (3.0, 1.5, 1.0) and len(made.case.boxes) == 3
    assert made.case.image.min() == 0 and made.case.image.max() == 255


def test_ct_is_seen_through_the_soft_tissue_window():
    image = np.full((10, 10, 10), 40.0)
    image[0], image[1] = -1000, 1000
    made = make_challenge_case("ct", image, np.ones(image.shape, int), (1, 1, 1), is_ct=True)
    assert [int(made.case.image[z, 0, 0]) for z in (0, 1, 5)] == [0, 255, 128]


def test_a_case_that_cannot_be_made_is_refused():
    flat, noise, small = np.zeros((9, 9, 9)), RNG.random((9, 9, 9)), np.zeros((9, 9, 9), int)
    small[0, 0] = 1
    for image, labels, message in (
        (noise, small, "no label of 100 voxels"),
        (flat, np.ones_like(small), "same value"),
        (noise[1:], small, "different shapes"),
    ):
        with pytest.raises(InputError, match=message):
            make_challenge_case("bad", image, labels, (1, 1, 1), is_ct=False)


def test_a_labelled_case_reads_back_as_it_was_written(tmp_path):
    written = a_case()
    write_labelled_case(tmp_path / "one.npz", written)
    read = read_labelled_case(tmp_path / "one.npz")
    assert read.case.name == "one" and read.case.spacing == SPACING_XYZ
    assert np.array_equal(read.truth, written.truth) and np.array_equal(read.case.image, written.case.image)
    assert list(read.case.boxes) == list(written.case.boxes)


def test_labels_with_gaps_are_numbered_anew(tmp_path):
    gts = np.array([0, 3, 700, 3], np.uint16).reshape(1, 2, 2)
    np.savez(tmp_path / "gaps.npz", gts=gts)
    assert read_labels(tmp_path / "gaps.npz").ravel().tolist() == [0, 1, 2, 1]


@pytest.mark.parametrize("gts", [None, np.zeros((2, 2, 2), np.uint8), np.ones((2, 2), np.uint8), np.ones(3)])
def test_a_case_without_usable_truth_is_refused(tmp_path, gts):
    np.savez(tmp_path / "bad.npz", **({} if gts is None else {"gts": gts}))
    with pytest.raises(ChallengeFileError, match=r"bad\.npz"):
        read_labels(tmp_path / "bad.npz")


def test_the_largest_objects_are_kept_in_their_old_order():
    case = a_case()
    kept = case.largest(1)
    assert kept.count == 1 and np.array_equal(kept.truth == 1, labels_of_two() == 2)
    assert kept.case.boxes == case.case.boxes[1:] and case.largest(2) is case


def test_cases_are_chosen_by_name_and_missing_ones_named(tmp_path):
    write_cases(tmp_path, "ct_a", "mr_b", "mr_c")
    assert [file.name for file in choose_cases(tmp_path)] == ["ct_a", "mr_b", "mr_c"]
    assert [file.name for file in choose_cases(tmp_path, ["mr_c", "ct_a", "mr_c"])] == ["mr_c", "ct_a"]
    with pytest.raises(InputError, match="no case mr_d"):
        choose_cases(tmp_path, ["mr_d", "mr_b"])


def test_images_with_labels_and_npz_of_the_same_case_are_opened_alike(tmp_path):
    (file,) = choose_cases(write_images(tmp_path / "images", "ct_a"))
    opened = open_case(file)
    (tmp_path / "npz").mkdir()
    write_labelled_case(tmp_path / "npz" / "ct_a.npz", opened)
    again = open_case(choose_cases(tmp_path / "npz")[0])
    assert opened.modality == again.modality == "CT" and opened.dataset == again.dataset
    assert np.array_equal(opened.truth, labels_of_two()) and np.array_equal(again.truth, opened.truth)
    assert np.array_equal(again.case.image, opened.case.image) and again.case.boxes == opened.case.boxes
    assert opened.case.spacing == pytest.approx(SPACING_XYZ)
    assert open_case(file, max_objects=1).count == 1
