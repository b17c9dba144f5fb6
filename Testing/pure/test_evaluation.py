"""The challenge's protocol, played on toy cases whose scores can be worked out by hand."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from ensam.challenge import ChallengeCase, read_case, write_case
from ensam.errors import ChallengeFileError, InputError
from ensam_training.baselines import box_predictor
from ensam_training.challenge_cases import LabelledCase
from ensam_training.evaluation import CLICK_ROUNDS, command_predictor, ensam_predictor, measure, play
from ensam_training.report import area_under_curve, summarise, summarise_by, summary_markdown, summary_text

from .tiny import write_checkpoint
from .toy_cases import SHAPE, a_case, labels_of_two

# A method that marks bright voxels, as a command with the challenge's contract.
MARKS_BRIGHT = """
import pathlib, sys
import numpy as np
given, wanted = (pathlib.Path(sys.argv[sys.argv.index(flag) + 1]) for flag in ("--input", "--output"))
for path in given.glob("*.npz"):
    np.savez(wanted / path.name, segs=(np.load(path)["imgs"] > 127).astype(np.uint8))
"""


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
    scores = play("perfect", a_case(), predict)
    assert [score.round for score in scores] == list(range(CLICK_ROUNDS + 1))
    assert {(score.dsc, score.nsd) for score in scores} == {(1.0, 1.0)}
    assert all(not clicks["fg"] and not clicks["bg"] for case in asked for clicks in case.clicks)
    summary = summarise(scores)[0]
    assert summary.measures == (4, 4, 1, 1)


def test_the_first_round_has_boxes_alone_and_each_later_one_a_click_more_an_object():
    predict, asked = recording(empty)
    play("empty", a_case(), predict)
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
    play("too much", a_case(), predict)
    first, second = asked[1].clicks
    assert len(first["bg"]) == 1 and not first["fg"] and not second["bg"] and not second["fg"]
    assert too_much_of_one(None)[first["bg"][0]] == 1 and labels_of_two()[first["bg"][0]] == 0
    assert np.array_equal(asked[1].previous, too_much_of_one(None))


def test_a_seed_moves_the_clicks_within_their_error_and_repeats_them():
    def clicks_of(seed):
        predict, asked = recording(empty)
        play("empty", a_case(), predict, seed)
        return [clicks["fg"] for clicks in asked[-1].clicks]

    deepest, first, second = clicks_of(None), clicks_of(1), clicks_of(2)
    assert first == clicks_of(1) and first != second and first != deepest
    assert len(set(first[0])) > 1 and len(set(deepest[0])) == 1
    assert all(labels_of_two()[voxel] == 1 for voxel in first[0])


def test_a_case_without_boxes_skips_the_first_round():
    predict, asked = recording(perfect)
    scores = play("perfect", a_case("bare", boxed=False), predict)
    assert [score.dsc for score in scores] == [0, 1, 1, 1, 1, 1]
    assert len(asked) == 5 and len(asked[0].clicks[0]["fg"]) == 1


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


def scores_of(*cases):
    return [
        score
        for name, predict in (("box", box_predictor), ("perfect", perfect))
        for case in cases
        for score in play(name, case, predict)
    ]


def test_the_summary_averages_over_cases_method_by_method():
    case = a_case("one")
    box, best = summarise(scores_of(case, a_case("two")))
    assert (box.method, best.method, box.cases) == ("box", "perfect", 2)
    assert box.dsc[-1] == pytest.approx(measure(case, box_predictor(case.case))[0])
    lines = summary_text([box, best]).splitlines()
    assert lines[2].split()[:2] == ["perfect", "1.000"] and len(lines) == 3
    assert lines[0].split()[-5:-1] == ["DSC_AUC", "NSD_AUC", "DSC_Final", "NSD_Final"]


def test_the_seconds_of_a_case_are_those_of_all_its_answers():
    scores = [replace(score, seconds=1 + score.round) for score in scores_of(a_case("one"), a_case("two"))]
    assert summarise(scores)[0].seconds == 1 + 2 + 3 + 4 + 5 + 6


def test_modalities_have_tables_of_their_own():
    ct, mr = replace(a_case("one"), modality="CT"), replace(a_case("two"), modality="MR")
    scores = scores_of(ct, mr, replace(a_case("three"), modality="MR"))
    groups = summarise_by(scores, lambda score: score.modality)
    assert {name: of[0].cases for name, of in groups.items()} == {"CT": 1, "MR": 2}
    text = summary_markdown(scores)
    assert text.index("All, 3 cases") < text.index("CT, 1 case\n") < text.index("MR, 2 cases")


@pytest.mark.parametrize("labels", [np.zeros((2, 2, 2), np.uint8), np.zeros(SHAPE, np.int64)])
def test_an_answer_of_another_shape_or_type_is_refused(labels):
    with pytest.raises(InputError, match="'odd' answers 'one'"):
        play("odd", a_case(), lambda case: labels)


def marks_bright(case):
    return (case.image > 127).astype(np.uint8)


def test_a_command_gives_the_answer_of_the_same_method_in_memory():
    case = a_case().case
    answer = command_predictor([sys.executable, "-c", MARKS_BRIGHT])(case)
    assert np.array_equal(answer, marks_bright(case))


def test_a_command_gets_all_that_the_round_gives(monkeypatch):
    rounds = []

    def run(command, **_):
        given, wanted = (command[command.index(flag) + 1] for flag in ("--input", "--output"))
        rounds.append(read_case(f"{given}/one.npz"))
        np.savez_compressed(f"{wanted}/one.npz", segs=empty(rounds[-1]))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    play("command", a_case(), command_predictor(["anything"]))
    assert len(rounds) == CLICK_ROUNDS + 1
    for number, case in enumerate(rounds):
        assert [len(clicks["fg"]) for clicks in case.clicks] == ([number] * 2 if number else [])
        assert (case.previous is None) == (number == 0) and len(case.boxes) == 2


def test_a_command_that_fails_is_reported_with_its_last_words():
    failing = [sys.executable, "-c", "import sys; print('no weights', file=sys.stderr); sys.exit(2)"]
    with pytest.raises(InputError, match="no weights"):
        play("command", a_case(), command_predictor(failing))
    with pytest.raises(InputError, match="can't be run"):
        play("command", a_case(), command_predictor(["no-such-command"]))


def test_a_command_that_leaves_an_answer_out_is_reported():
    with pytest.raises(ChallengeFileError, match=r"one\.npz"):
        play("silent", a_case(), command_predictor([sys.executable, "-c", ""]))


def test_ensam_answers_as_its_command_for_the_challenge_does(tmp_path):
    from ensam.__main__ import main as ensam

    weights = write_checkpoint(tmp_path / "tiny.safetensors")
    case = a_case(boxed=False).case
    # The second object has nothing that it could be found by.
    clicks = ({"fg": ((4, 5, 4),), "bg": ((10, 1, 1),)}, {"fg": (), "bg": ((1, 1, 1),)})
    (tmp_path / "in").mkdir()
    write_case(tmp_path / "in" / "one.npz", case.image, case.spacing, clicks=clicks)
    options = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    assert ensam(["predict-npz", *options, "--checkpoint", str(weights)]) == 0
    answer = ensam_predictor(weights)(replace(case, clicks=clicks))
    assert np.array_equal(answer, np.load(tmp_path / "out" / "one.npz")["segs"])
    assert answer.any() and not (answer == 2).any()
