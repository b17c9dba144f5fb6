"""The challenge's protocol, played on toy cases whose scores can be worked out by hand."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from ensam.challenge import ChallengeCase, boxes_from_labels, read_case
from ensam.errors import ChallengeFileError, InputError
from ensam_training.__main__ import main
from ensam_training.baselines import box_predictor
from ensam_training.challenge_cases import (
    LabelledCase,
    make_challenge_case,
    read_labelled_case,
    read_labels,
    write_labelled_case,
)
from ensam_training.evaluation import (
    CLICK_ROUNDS,
    command_predictor,
    ensam_predictor,
    measure,
    one_by_one,
    play,
)
from ensam_training.report import area_under_curve, summarise, summary_text

SHAPE = (12, 16, 20)
SPACING_XYZ = (1.0, 1.5, 3.0)
RNG = np.random.default_rng(0)

# A method that marks bright voxels, as a command with the challenge's contract.
MARKS_BRIGHT = """
import pathlib, sys
import numpy as np
given, wanted = (pathlib.Path(sys.argv[sys.argv.index(flag) + 1]) for flag in ("--input", "--output"))
for path in given.glob("*.npz"):
    np.savez(wanted / path.name, segs=(np.load(path)["imgs"] > 127).astype(np.uint8))
"""


def labels_of_two():
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:8, 3:9, 2:8] = 1
    labels[4:10, 8:14, 11:18] = 2
    labels[7, 8, 7] = 0  # So that filling the box leaves an error.
    return labels


def a_case(name="one", boxed=True):
    truth = labels_of_two()
    image = RNG.integers(0, 256, SHAPE).astype(np.uint8)
    boxes = tuple(boxes_from_labels(truth)) if boxed else None
    return LabelledCase(ChallengeCase(name, image, SPACING_XYZ, boxes), truth)


def perfect(case):
    return labels_of_two()


def recording(answer_of):
    """A predictor that notes the cases it was asked for."""
    asked = []

    def predict(case):
        asked.append(case)
        return answer_of(case)

    return predict, asked


def empty(case):
    return np.zeros(SHAPE, np.uint8)


def test_a_perfect_method_scores_one_everywhere_and_gets_no_click():
    predict, asked = recording(perfect)
    scores = play("perfect", [a_case()], one_by_one(predict))
    assert [score.round for score in scores] == list(range(CLICK_ROUNDS + 1))
    assert {(score.dsc, score.nsd) for score in scores} == {(1.0, 1.0)}
    assert all(not clicks["fg"] and not clicks["bg"] for case in asked for clicks in case.clicks)
    summary = summarise(scores)[0]
    assert (summary.dsc_auc, summary.nsd_auc, summary.dsc_final, summary.nsd_final) == (4, 4, 1, 1)


def test_the_first_round_has_boxes_alone_and_each_later_one_a_click_more_an_object():
    predict, asked = recording(empty)
    play("empty", [a_case()], one_by_one(predict))
    assert asked[0].clicks == () and asked[0].previous is None and len(asked[0].boxes) == 2
    for number, case in enumerate(asked):
        counts = [len(clicks["fg"]) for clicks in case.clicks]
        assert counts == ([number, number] if number else [])
        assert not any(clicks["bg"] for clicks in case.clicks)
        assert number == 0 or case.previous is not None
    for label, clicks in enumerate(asked[-1].clicks, start=1):
        assert all(labels_of_two()[voxel] == label for voxel in clicks["fg"])


def test_clicks_correct_the_methods_own_last_answer():
    def too_much_of_one(case):
        answer = labels_of_two()
        answer[0:2, 12:15, 0:5] = 1
        return answer

    predict, asked = recording(too_much_of_one)
    play("too much", [a_case()], one_by_one(predict))
    first, second = asked[1].clicks
    assert len(first["bg"]) == 1 and not first["fg"] and not second["bg"] and not second["fg"]
    assert too_much_of_one(None)[first["bg"][0]] == 1 and labels_of_two()[first["bg"][0]] == 0
    assert np.array_equal(asked[1].previous, too_much_of_one(None))


def test_a_case_without_boxes_skips_the_first_round():
    predict, asked = recording(perfect)
    scores = play("perfect", [a_case("boxed"), a_case("bare", boxed=False)], one_by_one(predict))
    assert [case.name for case in asked[:3]] == ["boxed", "boxed", "bare"]
    bare = [score for score in scores if score.case == "bare"]
    assert [score.dsc for score in bare] == [0, 1, 1, 1, 1, 1]
    assert len(asked[2].clicks[0]["fg"]) == 1


def test_scores_are_means_over_the_objects():
    answer = labels_of_two()
    answer[answer == 2] = 0
    assert measure(a_case(), answer) == (0.5, 0.5)


def test_surface_dice_does_not_count_where_dice_is_poor():
    answer = np.zeros(SHAPE, np.uint8)
    answer[2:8, 3:4, 2:8] = 1
    dsc, nsd = measure(a_case(), answer)
    assert 0 < dsc <= 0.2 and nsd == 0


def test_surface_dice_takes_the_spacing_along_its_axes():
    truth, answer = np.zeros((2, 20, 20, 20), np.uint8)
    truth[5:15, 5:15, 5:15] = 1
    answer[6:16, 5:15, 5:15] = 1
    for spacing_xyz, expected in (((1.0, 1.0, 2.0), True), ((1.0, 1.0, 2.1), False), ((5.0, 5.0, 1.0), True)):
        case = ChallengeCase("cube", truth, spacing_xyz)
        assert (measure(LabelledCase(case, truth), answer)[1] == 1) == expected


def test_the_area_leaves_the_box_out():
    assert area_under_curve((0, 1, 1, 1, 1, 1)) == 4
    assert area_under_curve((1, 0.2, 0.4, 0.6, 0.8, 1.0)) == pytest.approx(0.3 + 0.5 + 0.7 + 0.9)


def test_the_summary_averages_over_cases_method_by_method():
    cases = [a_case("one"), a_case("two")]
    scores = play("box", cases, one_by_one(box_predictor)) + play("perfect", cases, one_by_one(perfect))
    box, best = summarise(scores)
    assert (box.method, best.method, box.cases) == ("box", "perfect", 2)
    assert box.dsc_final == pytest.approx(measure(cases[0], box_predictor(cases[0].case))[0])
    lines = summary_text([box, best]).splitlines()
    assert "DSC_AUC" in lines[0] and lines[2].split()[:2] == ["perfect", "1.000"] and len(lines) == 3


@pytest.mark.parametrize("labels", [np.zeros((2, 2, 2), np.uint8), np.zeros(SHAPE, np.int64)])
def test_an_answer_of_another_shape_or_type_is_refused(labels):
    with pytest.raises(InputError, match="'odd' answers 'one'"):
        play("odd", [a_case()], one_by_one(lambda case: labels))


def test_a_command_gives_the_scores_of_the_same_method_in_memory():
    def marks_bright(case):
        return (case.image > 127).astype(np.uint8)

    cases = [a_case("one"), a_case("two")]
    by_command = play("bright", cases, command_predictor([sys.executable, "-c", MARKS_BRIGHT]))
    in_memory = play("bright", cases, one_by_one(marks_bright))
    assert [(s.case, s.round, s.dsc, s.nsd) for s in by_command] == [
        (s.case, s.round, s.dsc, s.nsd) for s in in_memory
    ]
    assert all(score.seconds > 0 for score in by_command)


def test_the_command_runs_once_a_round_with_all_that_the_round_gives(monkeypatch, tmp_path):
    rounds = []

    def run(command, **_):
        given, wanted = (command[command.index(flag) + 1] for flag in ("--input", "--output"))
        rounds.append([read_case(f"{given}/{name}.npz") for name in ("one", "two")])
        for case in rounds[-1]:
            np.savez_compressed(f"{wanted}/{case.name}.npz", segs=empty(case))
        assert command[1:6] == ["-m", "ensam", "predict-npz", "--checkpoint", str(tmp_path / "weights")]
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    play("ensam", [a_case("one"), a_case("two")], ensam_predictor(tmp_path / "weights"))
    assert len(rounds) == CLICK_ROUNDS + 1
    for number, cases in enumerate(rounds):
        for case in cases:
            assert [len(clicks["fg"]) for clicks in case.clicks] == ([number] * 2 if number else [])
            assert (case.previous is None) == (number == 0) and len(case.boxes) == 2


def test_a_command_that_fails_is_reported_with_its_last_words():
    failing = [sys.executable, "-c", "import sys; print('no weights', file=sys.stderr); sys.exit(2)"]
    with pytest.raises(InputError, match="no weights"):
        play("ensam", [a_case()], command_predictor(failing))
    with pytest.raises(InputError, match="can't be run"):
        play("ensam", [a_case()], command_predictor(["no-such-command"]))


def test_a_command_that_leaves_an_answer_out_is_reported():
    with pytest.raises(ChallengeFileError, match=r"one\.npz"):
        play("silent", [a_case()], command_predictor([sys.executable, "-c", ""]))


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


def test_the_command_line_evaluates_a_folder(tmp_path, capsys):
    for name in ("one", "two"):
        write_labelled_case(tmp_path / f"{name}.npz", a_case(name))
    output = tmp_path / "results"
    assert main(["evaluate", str(tmp_path), "-o", str(output), "--methods", "box,ellipsoid"]) == 0
    with open(output / "evaluation.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 6
    assert {row["method"] for row in rows} == {"box", "ellipsoid"}
    assert (output / "evaluation.png").read_bytes().startswith(b"\x89PNG")
    figures = json.loads((output / "evaluation.json").read_text())
    assert figures["box"]["cases"] == 2 and len(figures["box"]["DSC_by_click"]) == 6
    assert "NSD_AUC" in capsys.readouterr().out


def test_the_command_line_explains_what_it_cannot_evaluate(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path), "-o", str(tmp_path / "out"), "--methods", "box"]) == 2
    assert ".npz" in capsys.readouterr().err
    assert main(["evaluate", str(tmp_path), "-o", str(tmp_path / "out"), "--methods", "magic"]) == 2
    assert "magic" in capsys.readouterr().err


def test_the_command_line_makes_cases_from_images_and_labels(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    for name in ("one", "two"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for file, array in (("image", RNG.random(SHAPE) * 100), ("label", labels_of_two())):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing(SPACING_XYZ)
            sitk.WriteImage(image, str(tmp_path / "data" / name / f"{file}.nii.gz"))
    (tmp_path / "names.txt").write_text("two\n")
    options = ["make-cases", str(tmp_path / "data"), "-o", str(tmp_path / "cases")]
    assert main([*options, "--cases", str(tmp_path / "names.txt"), "--max-objects", "1"]) == 0
    assert [path.name for path in (tmp_path / "cases").iterdir()] == ["two.npz"]
    made = read_labelled_case(tmp_path / "cases" / "two.npz")
    assert made.count == 1 and made.case.spacing == SPACING_XYZ
    assert np.array_equal(made.truth == 1, labels_of_two() == 2)
