"""A folder of cases, evaluated in several processes and gone on with another day."""

from __future__ import annotations

import json
import pickle
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

import pytest
from ensam.errors import InputError
from ensam_training import evaluation_run
from ensam_training.baselines import BASELINES, box_predictor
from ensam_training.challenge_cases import choose_cases, write_labelled_case
from ensam_training.evaluation_run import Protocol, evaluate
from ensam_training.report import read_csv, write_csv

from .tiny import write_checkpoint
from .toy_cases import a_case, write_cases


@pytest.fixture(autouse=True)
def _methods_of_this_test_alone():
    """A process keeps its methods by their names, those that a test puts in their place too."""
    evaluation_run._predictor.cache_clear()
    yield
    evaluation_run._predictor.cache_clear()


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
    with pytest.raises(InputError, match="scores of another program: choose another folder"):
        list(evaluate(files, Protocol(("box",)), output))
    assert (output / "evaluation.csv").read_bytes() == scores


class PoolInPlace:
    """A pool of processes without the seconds that starting them takes: tasks and results travel alike."""

    def __init__(self, *_, **_given):
        pass

    def shutdown(self, **_):
        pass

    def submit(self, function, item):
        function, item = pickle.loads(pickle.dumps((function, item)))
        done = Future()
        done.set_result(pickle.loads(pickle.dumps(function(item))))
        return done


def test_several_processes_find_what_one_finds(tmp_path, monkeypatch):
    monkeypatch.setattr("ensam_training.pool.ProcessPoolExecutor", PoolInPlace)
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
        def __init__(self, jobs, **_given):
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

    monkeypatch.setattr("ensam_training.pool.ProcessPoolExecutor", Pool)
    monkeypatch.setitem(BASELINES, "first", answers_the_first)
    names = [f"case {number}" for number in range(8)]
    files = choose_cases(write_cases(tmp_path, *names))
    (tmp_path / "out").mkdir()
    outcomes = evaluate(files, Protocol(("first",)), tmp_path / "out", jobs=2)
    next(outcomes)
    outcomes.close()  # as Ctrl+C does
    assert 1 <= len(asked) <= 3


def test_a_process_that_is_killed_ends_the_evaluation_in_one_sentence(tmp_path, monkeypatch):
    class Killed(PoolInPlace):
        def submit(self, function, item):
            done = Future()
            done.set_exception(BrokenProcessPool())
            return done

    monkeypatch.setattr("ensam_training.pool.ProcessPoolExecutor", Killed)
    files = choose_cases(write_cases(tmp_path, "one"))
    with pytest.raises(InputError, match="for lack of memory: let fewer run at once"):
        list(evaluate(files, Protocol(("box",)), tmp_path, jobs=2))


def test_several_processes_share_out_the_processors_that_they_may_run_on(tmp_path, monkeypatch):
    threads = []
    monkeypatch.setattr("ensam_training.pool.ProcessPoolExecutor", PoolInPlace)
    monkeypatch.setattr(evaluation_run, "processors", lambda: 9)
    monkeypatch.setattr(evaluation_run.torch, "set_num_threads", threads.append)
    files = choose_cases(write_cases(tmp_path, "one"))
    for jobs in (1, 4):
        (tmp_path / str(jobs)).mkdir()
        list(evaluate(files, Protocol(("box",)), tmp_path / str(jobs), jobs))
    assert threads == [2]
