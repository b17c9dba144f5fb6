"""The challenge's protocol, played on toy cases whose scores can be worked out by hand."""

import csv
import errno
import json
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ensam.challenge import ChallengeCase, boxes_from_labels, read_case, write_case
from ensam.errors import ChallengeFileError, InputError
from ensam_training.__main__ import main
from ensam_training.baselines import BASELINES, box_predictor
from ensam_training.challenge_cases import (
    LabelledCase,
    choose_cases,
    make_challenge_case,
    open_case,
    read_labelled_case,
    read_labels,
    write_labelled_case,
)
from ensam_training.evaluation import CLICK_ROUNDS, command_predictor, ensam_predictor, measure, play
from ensam_training.evaluation_commands import split_command
from ensam_training.evaluation_run import Protocol, evaluate
from ensam_training.report import (
    area_under_curve,
    read_csv,
    summarise,
    summarise_by,
    summary_markdown,
    summary_text,
    write_csv,
)

from .tiny import write_checkpoint

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
    assert box.dsc_final == pytest.approx(measure(case, box_predictor(case.case))[0])
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


def write_cases(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        write_labelled_case(folder / f"{name}.npz", a_case(name))
    return folder


def write_images(folder, *names):
    sitk = pytest.importorskip("SimpleITK")
    for name in names:
        (folder / name).mkdir(parents=True)
        for file, array in (("image", RNG.random(SHAPE) * 100), ("label", labels_of_two())):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing(SPACING_XYZ)
            sitk.WriteImage(image, str(folder / name / f"{file}.nii.gz"))
    return folder


def test_cases_are_chosen_by_name_and_missing_ones_named(tmp_path):
    write_cases(tmp_path, "ct_a", "mr_b", "mr_c")
    assert [file.name for file in choose_cases(tmp_path)] == ["ct_a", "mr_b", "mr_c"]
    assert [file.name for file in choose_cases(tmp_path, ["mr_c", "ct_a"])] == ["mr_c", "ct_a"]
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


def test_what_is_done_is_not_done_again(tmp_path, monkeypatch):
    files = choose_cases(write_cases(tmp_path, "one", "two"))
    asked = []

    def counting(case):
        asked.append(case.name)
        return box_predictor(case)

    monkeypatch.setitem(BASELINES, "box", counting)
    output = tmp_path / "out"
    output.mkdir()
    next(evaluate(files, Protocol(("box",)), output))  # Stopped after the first case.
    assert asked == ["one"] * 6
    first = {outcome.case: outcome for outcome in evaluate(files, Protocol(("box",)), output)}
    assert asked == ["one"] * 6 + ["two"] * 6
    both = list(evaluate(files, Protocol(("ellipsoid", "box")), output))
    assert len(asked) == 12
    for outcome in both:
        methods = [score.method for score in outcome.scores]
        assert methods == ["ellipsoid"] * 6 + ["box"] * 6
        kept = [round(score.dsc, 5) for score in first[outcome.case].scores]
        assert [round(score.dsc, 5) for score in outcome.scores[6:]] == kept


def test_half_written_scores_of_a_case_are_made_anew(tmp_path):
    files = choose_cases(write_cases(tmp_path, "one"))
    list(evaluate(files, Protocol(("box",)), tmp_path))
    whole = read_csv(tmp_path / "evaluation.csv")
    write_csv(tmp_path / "evaluation.csv", whole[:4])
    (outcome,) = evaluate(files, Protocol(("box",)), tmp_path)
    assert [score.round for score in outcome.scores] == list(range(6))


def test_scores_of_other_settings_are_not_mixed_in(tmp_path):
    files = choose_cases(write_cases(tmp_path, "one"))
    output = tmp_path / "out"
    output.mkdir()
    list(evaluate(files, Protocol(("box",)), output))
    for changed, name in (
        (Protocol(("box",), seed=1), "seed"),
        (Protocol(("box",), max_objects=1), "max obj"),
    ):
        with pytest.raises(InputError, match=name):
            list(evaluate(files, changed, output))
    weights = [write_checkpoint(tmp_path / f"{seed}.safetensors", seed) for seed in (0, 1)]
    list(evaluate(files, Protocol(("ensam",), weights[0]), output))
    list(evaluate(files, Protocol(("ellipsoid",)), output))
    with pytest.raises(InputError, match="another checkpoint"):
        list(evaluate(files, Protocol(("ensam",), weights[1]), output))


def test_a_case_that_has_changed_is_played_anew(tmp_path, monkeypatch):
    files = choose_cases(write_cases(tmp_path / "data", "one", "two"))
    output = tmp_path / "out"
    output.mkdir()
    asked, both = [], Protocol(("counted", "ellipsoid"))
    monkeypatch.setitem(BASELINES, "counted", lambda case: asked.append(case.name) or box_predictor(case))
    list(evaluate(files, both, output))
    corrected = a_case("two")
    corrected.truth[5, 9, 12] = 0
    write_labelled_case(tmp_path / "data" / "two.npz", corrected)
    asked.clear()
    next(evaluate(files, both, output))  # stopped before the second
    assert not asked
    assert {score.case for score in read_csv(output / "evaluation.csv")} == {"one"}
    outcomes = list(evaluate(files, both, output))
    assert asked == ["two"] * 6 and all(len(outcome.scores) == 12 for outcome in outcomes)
    list(evaluate(files[:1], both, output))
    list(evaluate(files, both, output))
    assert len(asked) == 6  # fewer cases in between changed none


def test_cases_of_the_same_name_from_another_folder_are_not_taken_for_the_same(tmp_path):
    here, there = (choose_cases(write_cases(tmp_path / name, "one")) for name in ("here", "there"))
    (tmp_path / "out").mkdir()
    (before,) = evaluate(here, Protocol(("box",)), tmp_path / "out")
    altered = a_case()
    altered.truth[altered.truth == 2] = 0
    altered = replace(altered, case=replace(altered.case, boxes=altered.case.boxes[:1]))
    write_labelled_case(there[0].image, altered)
    (after,) = evaluate(there, Protocol(("box",)), tmp_path / "out")
    assert (before.scores[0].objects, after.scores[0].objects) == (2, 1)


def test_scores_that_tell_nothing_of_their_data_are_refused(tmp_path):
    files = choose_cases(write_cases(tmp_path / "data", "one"))
    output = tmp_path / "out"
    output.mkdir()
    list(evaluate(files, Protocol(("box",)), output))
    settings, scores = output / "settings.json", (output / "evaluation.csv").read_bytes()
    known = json.loads(settings.read_text())
    del known["cases"]
    settings.write_text(json.dumps(known))
    with pytest.raises(InputError, match="which data its scores are of: choose another folder"):
        list(evaluate(files, Protocol(("box",)), output))
    assert (output / "evaluation.csv").read_bytes() == scores


class PoolInPlace:
    """A pool of processes without the seconds that starting them takes: tasks and results travel alike."""

    def __init__(self, *_):
        pass

    def shutdown(self, **_):
        pass

    def submit(self, function, *arguments):
        function, arguments = pickle.loads(pickle.dumps((function, arguments)))
        done = Future()
        done.set_result(pickle.loads(pickle.dumps(function(*arguments))))
        return done


def test_several_processes_find_what_one_finds(tmp_path, monkeypatch):
    monkeypatch.setattr("ensam_training.evaluation_run.ProcessPoolExecutor", PoolInPlace)
    files = choose_cases(write_cases(tmp_path, "one", "two"))
    found = []
    for jobs in (1, 2):
        output = tmp_path / str(jobs)
        output.mkdir()
        outcomes = sorted(evaluate(files, Protocol(("box",)), output, jobs), key=lambda of: of.case)
        found.append([(s.case, s.round, s.dsc, s.nsd) for of in outcomes for s in of.scores])
    assert found[0] == found[1] and len(found[0]) == 12


def test_a_case_that_waits_is_not_played_after_the_end(tmp_path, monkeypatch):
    ended, asked = threading.Event(), []

    class Pool(ThreadPoolExecutor):
        def __init__(self, jobs, *_):
            super().__init__(jobs)

        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(False, cancel_futures=cancel_futures)
            ended.set()
            super().shutdown()

    def answers_the_first(case):
        if case.name not in asked:
            asked.append(case.name)
        if case.name != asked[0]:
            assert ended.wait(60)
        return box_predictor(case)

    monkeypatch.setattr("ensam_training.evaluation_run.ProcessPoolExecutor", Pool)
    monkeypatch.setitem(BASELINES, "first", answers_the_first)
    names = [f"case {number}" for number in range(8)]
    files = choose_cases(write_cases(tmp_path, *names))
    (tmp_path / "out").mkdir()
    outcomes = evaluate(files, Protocol(("first",)), tmp_path / "out", jobs=2)
    next(outcomes)
    outcomes.close()  # as Ctrl+C does
    assert 1 <= len(asked) <= 3


def test_a_process_that_plays_cases_ends_with_its_parent(tmp_path):
    code = """if True:
        import sys
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context
        from ensam_training import evaluation_run
        pool = ProcessPoolExecutor(1, get_context("spawn"), evaluation_run._begin, (1,))
        print(pool.submit(abs, -1).result(), flush=True)
        sys.stdin.read()
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command, pipe = [sys.executable, "-c", code], subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe) as process:
        assert process.stdout.readline() == b"1\n"
        process.kill()
        # The output ends when the last process that could write to it does.
        process.communicate(timeout=60)


def test_the_command_line_evaluates_a_folder(tmp_path, capsys):
    write_cases(tmp_path, "ct_one", "mr_two")
    output = tmp_path / "results"
    assert main(["evaluate", str(tmp_path), "-o", str(output), "--methods", "box,ellipsoid"]) == 0
    with open(output / "evaluation.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 6
    assert {row["method"] for row in rows} == {"box", "ellipsoid"}
    with open(output / "cases.csv", newline="") as file:
        rows = {(row["method"], row["case"]): row for row in csv.DictReader(file)}
    assert len(rows) == 4 and rows["box", "mr_two"]["modality"] == "MR"
    assert float(rows["box", "ct_one"]["DSC_AUC"]) == pytest.approx(4 * float(rows["box", "ct_one"]["DSC_0"]))
    assert (output / "evaluation.png").read_bytes().startswith(b"\x89PNG")
    figures = json.loads((output / "evaluation.json").read_text())
    assert figures["box"]["cases"] == 2 and len(figures["box"]["DSC_by_click"]) == 6
    assert figures["box"]["modalities"]["CT"]["cases"] == 1
    assert "NSD_AUC" in capsys.readouterr().out and "final NSD" in (output / "summary.md").read_text()


def test_a_case_that_cannot_be_used_is_named_and_the_others_go_on(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ensam_training.report.write_plot", lambda *_: None)  # it takes a second
    write_cases(tmp_path, "good")
    np.savez(tmp_path / "bad.npz", gts=np.zeros((2, 2, 2)))
    output = tmp_path / "results"
    assert main(["evaluate", str(tmp_path), "-o", str(output), "--methods", "box"]) == 2
    assert "'bad' is left out" in capsys.readouterr().err
    assert json.loads((output / "evaluation.json").read_text())["box"]["cases"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "magic"], "no method 'magic'"),
        (["--max-objects", "0"], "--max-objects"),
        (["--jobs", "0"], "--jobs"),
        (["--command", "run 'a"], "The --command 'run 'a' ends within quotes"),
        (["--cases", "nowhere.txt"], "nowhere.txt"),
        (["--methods", "box"], "."),
    ],
)
def test_the_command_line_explains_what_it_cannot_evaluate(tmp_path, capsys, options, message):
    assert main(["evaluate", str(tmp_path), "-o", str(tmp_path / "out"), *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_full_disk_leaves_the_old_summary_whole(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ensam_training.report.write_plot", lambda *_: None)  # it takes a second
    write_cases(tmp_path, "one")
    output = tmp_path / "out"
    given = ["evaluate", str(tmp_path), "-o", str(output), "--methods", "box"]
    assert main(given) == 0
    before = (output / "summary.md").read_text()
    write_text = Path.write_text

    def full(path, text, **named):
        if path.name.endswith("summary.md"):
            write_text(path, text[:20], **named)
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_text(path, text, **named)

    monkeypatch.setattr(Path, "write_text", full)
    assert main(given) == 2
    assert "'summary.md' can't be written" in capsys.readouterr().err
    assert (output / "summary.md").read_text() == before
    assert [path.name for path in output.glob("*summary*")] == ["summary.md"]


@pytest.mark.parametrize(
    ("system", "command", "words"),
    [
        ("linux", r"run 'a b' c\ d # e", ("run", "a b", "c d", "#", "e")),
        ("win32", r'"C:\Program Files\a.exe" C:\new\run.py', (r"C:\Program Files\a.exe", r"C:\new\run.py")),
        ("win32", r"""--in="C:\O'Brien\a b" -x""", (r"--in=C:\O'Brien\a b", "-x")),
    ],
)
def test_a_command_is_split_as_its_system_does(monkeypatch, system, command, words):
    monkeypatch.setattr(sys, "platform", system)
    assert split_command(command) == words


def test_the_command_line_makes_cases_from_images_and_labels(tmp_path):
    write_images(tmp_path / "data", "one", "two")
    (tmp_path / "names.txt").write_text("two\n")
    options = ["make-cases", str(tmp_path / "data"), "-o", str(tmp_path / "cases")]
    assert main([*options, "--cases", str(tmp_path / "names.txt"), "--max-objects", "1"]) == 0
    assert [path.name for path in (tmp_path / "cases").iterdir()] == ["two.npz"]
    made = read_labelled_case(tmp_path / "cases" / "two.npz")
    assert made.count == 1 and made.case.spacing == SPACING_XYZ
    assert np.array_equal(made.truth == 1, labels_of_two() == 2)
