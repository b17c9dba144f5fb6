"""Training by the logic alone: started, watched, stopped, cut off, judged, installed and taken back."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import slicer
from ensam.checkpoint import load_checkpoint
from ensam.errors import InputError
from ensam_training import collection, run_folder
from ensam_training.run_folder import Progress, Reporter
from ENSAMSegmentLib.choosing import CHECKPOINT_KEY
from ENSAMTrainerLib.values import Judgement, TrainingChoice
from ENSAMTrainerLib.words import working
from pure.tiny import write_checkpoint

from .stub_training import BETTER, WORSE, output_of, state_of
from .trainer_cases import a_trainer


@pytest.fixture
def logic(a_training):
    return a_training.logic


def test_the_choice_becomes_the_command_line(a_training, logic):
    base = write_checkpoint(logic.folder / "base.safetensors").as_posix()
    logic.choice = TrainingChoice(base, 3, "epochs", 56, "cuda", 0.5, "Dr. Doe's liver", "CC0")
    logic.start()
    (arguments,) = a_training.process.started
    assert arguments[:3] == ["finetune", base, (logic.folder / "cases").as_posix()]
    text = " ".join(arguments)
    for part in ("--epochs 3", "--edge 56", "--device cuda", "--validation-share 0.5", "--licence CC0"):
        assert part in text
    assert output_of(arguments) == state_of(arguments) / "Dr.-Doe-s-liver.safetensors"


def test_while_it_runs_nothing_else_is_begun(logic):
    logic.start()
    assert (logic.can_start, logic.can_stop, logic.can_resume, logic.can_install) == (
        False,
        True,
        False,
        False,
    )
    assert logic.status.kind == "working" and logic.status.progress is None
    for action in (logic.start, logic.resume, logic.check, logic.estimate):
        with pytest.raises(InputError, match="still running"):
            action()


def test_a_case_stays_while_a_training_may_open_it_also_that_of_another_slicer(a_training, logic, tmp_path):
    logic.start()
    name = logic.rows()[0].name
    prepared = logic.folder / "cache" / f"{name}.image.npy"
    prepared.parent.mkdir(exist_ok=True)
    prepared.touch()
    with Reporter(state_of(a_training.process.started[0])):
        for one in (logic, a_trainer(tmp_path)):
            with pytest.raises(InputError, match="still running"):
                one.remove(name)
    assert prepared.is_file() and name in [row.name for row in logic.rows()]
    logic.wait()
    logic.remove(name)
    assert not prepared.exists() and name not in [row.name for row in logic.rows()]


def test_the_end_is_told_once_to_who_listens(logic):
    told = []
    logic.changed = lambda: told.append(logic.status.kind)
    logic.start()
    while logic.poll() is not None:
        pass
    count = len(told)
    assert told[-1] == "done" and logic.poll() is None and len(told) == count


def test_a_check_can_be_given_up(a_training, logic):
    logic.check()
    assert logic.can_stop
    logic.stop()
    assert a_training.process.killed and not logic.can_stop and logic.can_start


def test_progress_and_time_left_are_told(a_training, logic):
    logic.start()
    with Reporter(state_of(a_training.process.started[0])) as reporter:
        reporter.say(Progress("train", 0.25, 40, 130.0, 0.7123))
        assert logic.status.text == "Training, 2 min left."
        assert logic.status.detail == "step 40, held-out Dice 0.712"
        assert logic.status.progress == 0.25


def test_a_better_result_is_judged_installed_and_taken_back(logic):
    logic.start()
    logic.wait()
    assert logic.judgement.verdict == "Better: the mean Dice of 1 held-out objects rose by +0.100."
    assert logic.judgement.is_better and logic.judgement.caution == "of one patient"
    (row,) = logic.judgement.comparisons
    assert (row.case, row.segment) == ("MR_head", "ball")
    assert (row.before_box, row.after_box, row.before_clicks, row.after_clicks) == (0.5, 0.6, 0.7, 0.8)
    assert logic.can_install and logic.installed_result == ""
    settings = logic._settings
    before = str(write_checkpoint(logic.folder / "before.safetensors"))
    settings.set(CHECKPOINT_KEY, before)
    logic.install()
    assert not logic.can_install
    installed = settings.get(CHECKPOINT_KEY)
    assert Path(installed).stem == logic.installed_result
    assert [c.path for c in logic.checkpoints()] == ["", installed]
    assert load_checkpoint(installed).state.keys()
    logic.take_back()
    assert settings.get(CHECKPOINT_KEY) == before
    assert [c.path for c in logic.checkpoints()] == [""]
    assert logic.can_install  # the result itself is still there


def test_the_results_of_several_trainings_are_taken_back_one_after_the_other(a_training, logic):
    chosen = []
    for seed in range(2):
        chosen.append(logic._settings.get(CHECKPOINT_KEY))
        a_training.does = a_training.ends(BETTER, seed=seed)
        logic.start()
        logic.wait()
        logic.install()
    for previous in reversed(chosen):
        assert logic.last_installed == Path(logic._settings.get(CHECKPOINT_KEY)).stem
        logic.take_back()
        assert logic._settings.get(CHECKPOINT_KEY) == previous
    assert [c.path for c in logic.checkpoints()] == [""] and logic.last_installed == ""


def test_the_result_before_can_be_taken_back_although_the_last_training_made_none(a_training, logic):
    logic.start()
    logic.wait()
    logic.install()
    a_training.does = a_training.ends(WORSE, written=False, code=3)
    logic.start()
    logic.wait()
    assert logic.installed_result == "" and logic.last_installed
    logic.take_back()
    assert logic._settings.get(CHECKPOINT_KEY) == "" and logic.last_installed == ""


def test_what_was_removed_since_is_not_chosen_again(logic):
    removed = write_checkpoint(logic.folder / "removed.safetensors")
    logic._settings.set(CHECKPOINT_KEY, str(removed))
    logic.start()
    logic.wait()
    logic.install()
    removed.unlink()
    logic.take_back()
    assert logic._settings.get(CHECKPOINT_KEY) == ""


def test_taking_back_leaves_a_choice_that_the_user_has_made_since(logic):
    logic.start()
    logic.wait()
    logic.install()
    logic._settings.set(CHECKPOINT_KEY, "another")
    logic.take_back()
    assert logic._settings.get(CHECKPOINT_KEY) == "another"


def test_a_worse_result_says_so_and_there_is_nothing_to_install(a_training, logic):
    a_training.does = a_training.ends(WORSE, written=False, code=3)
    logic.start()
    logic.wait()
    assert logic.judgement.verdict.startswith(
        "Not better: the mean Dice of 1 held-out objects changed by -0.100."
    )
    assert not logic.can_install and logic.status.kind == "done"
    with pytest.raises(InputError, match="no better checkpoint"):
        logic.install()
    with pytest.raises(InputError, match="No result is installed"):
        logic.take_back()


def test_stop_keeps_the_best_so_far_and_resume_goes_on_in_the_same_folder(a_training, logic):
    a_training.does = a_training.ends(BETTER, stopped=True)
    logic.start()
    logic.stop()
    assert logic.status.text == "Stopping..." and not logic.can_stop
    assert working(Progress("train", 0.5), True).text.startswith("Stopping after this step")
    assert (state_of(a_training.process.started[0]) / "stop").exists()
    logic.wait()
    assert logic.can_resume and logic.can_install and "'Resume' goes on" in logic.status.text
    a_training.does = a_training.ends(BETTER)
    logic.resume()
    logic.wait()
    first, second = a_training.process.started
    assert first == second
    assert not logic.can_resume


def test_a_training_that_was_stopped_before_its_first_step_has_nothing_to_judge(a_training, logic):
    a_training.does = a_training.ends((), written=False, stopped=True)
    logic.start()
    logic.wait()
    assert "before it had learned anything" in logic.judgement.verdict and not logic.can_install


def test_a_better_result_of_a_resumed_training_is_installed_beside_the_one_before(a_training, logic):
    a_training.does = a_training.ends(BETTER, stopped=True)
    logic.start()
    logic.stop()
    logic.wait()
    logic.install()
    earlier = logic._settings.get(CHECKPOINT_KEY)
    a_training.does = a_training.ends(BETTER, seed=1)
    logic.resume()
    logic.wait()
    assert logic.can_install and logic.installed_result == ""
    logic.install()
    assert not logic.can_install and len(logic.checkpoints()) == 3
    assert Path(logic._settings.get(CHECKPOINT_KEY)).read_bytes() == logic._runs.result.read_bytes()
    logic.take_back()
    assert logic._settings.get(CHECKPOINT_KEY) == earlier
    logic.take_back()
    assert logic._settings.get(CHECKPOINT_KEY) == "" and len(logic.checkpoints()) == 1


def test_a_stopped_training_of_another_day_can_go_on(a_training, tmp_path, an_mrml_scene):
    a_training.does = a_training.ends(BETTER, stopped=True)
    a_training.logic.start()
    a_training.logic.wait()
    later = a_trainer(tmp_path, start=a_training.process)
    assert later.can_resume and later.judgement.comparisons == a_training.logic.judgement.comparisons
    later.resume()
    assert a_training.process.started[1] == a_training.process.started[0]


REFUSED = Progress("failed", message="The training was begun with other held-out objects: start a new one.")


@pytest.mark.parametrize(
    ("code", "progress", "sentence"),
    [
        (2, REFUSED, "begun with other held-out objects"),
        (-9, Progress("prepare"), "ended from outside at step 0, most likely for lack of memory. 'Resume'"),
        (1, Progress("stopped", 1.0, 7), "broke off at step 7: No module named 'torch' 'Resume' goes on"),
    ],
)
def test_a_stopped_training_that_can_not_go_on_says_why_and_keeps_its_judgement(
    a_training, logic, tmp_path, code, progress, sentence
):
    a_training.does = a_training.ends(BETTER, stopped=True)
    logic.start()
    logic.wait()
    judgement = logic.judgement
    a_training.does = a_training.breaks(code, "No module named 'torch'", progress=progress)
    logic.resume()
    with pytest.raises(InputError, match=sentence):
        logic.wait()
    assert logic.judgement == judgement and logic.can_resume and logic.can_install
    if progress is REFUSED:
        assert a_trainer(tmp_path, start=a_training.process).status.text == REFUSED.message


def test_a_stopped_training_goes_on_where_its_folder_was_moved_to(a_training, logic, tmp_path):
    base = write_checkpoint(tmp_path / "training-of-others.safetensors").as_posix()
    logic.choice = TrainingChoice(base)
    a_training.does = a_training.ends(BETTER, stopped=True)
    logic.start()
    logic.wait()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "training").rename(tmp_path / "elsewhere" / "training")
    later = a_trainer(tmp_path / "elsewhere", start=a_training.process)
    later.resume()
    later.wait()
    first, second = a_training.process.started
    new = (tmp_path / "elsewhere" / "training").as_posix()
    assert second == [one.replace((tmp_path / "training").as_posix() + "/", f"{new}/") for one in first]
    assert second[1] == base and Path(second[2]).is_dir() and state_of(second).is_dir()


@pytest.mark.parametrize("name", ["outcome.json", "progress.json"])
def test_a_file_that_a_power_cut_damaged_keeps_nobody_from_training_again(logic, name):
    logic.start()
    logic.wait()
    (logic._runs.current.path / name).write_text("")
    assert logic.can_start and (logic.status.kind == "error") == (name == "outcome.json")
    if name == "outcome.json":
        assert "outcome.json' is damaged: start the training again" in logic.status.text
        assert logic.judgement == Judgement()
    logic.choice = replace(logic.choice, name="again")
    logic.start()
    logic.wait()
    assert logic.judgement.is_better


def test_the_newest_training_is_the_current_one_whatever_else_lies_there(logic, monkeypatch):
    """A folder of the user's, one of a network drive's, and a training of before the clock was set back."""
    runs = logic.folder / "runs"
    for name in ("archive", "@eaDir", ".hidden", "2020-01-01-120000"):
        (runs / name).mkdir(parents=True)
    (runs / "zzz.txt").write_text("notes")
    assert logic._runs.current.path.name == "2020-01-01-120000"
    (runs / "2999-12-31-235959").mkdir()
    logic.start()
    assert logic._runs.current.path.name == "2999-12-31-235959-2"
    logic.wait()
    assert logic.judgement.is_better


def test_of_stopped_trainings_only_the_last_two_keep_their_state(a_training, logic):
    """That of the one before stays for who pressed Train instead of Resume."""
    own = logic.folder / "runs" / "set aside" / "state.pt"
    own.parent.mkdir(parents=True)
    own.write_text("the user's")
    states = []
    for _ in range(4):
        logic.start()
        logic.wait()
        states.append(logic._runs.current.path / "state.pt")
        states[-1].write_text("kept")
    assert [state.is_file() for state in states] == [False, False, True, True]
    assert own.is_file()


def test_damaged_files_and_a_drive_that_is_gone_keep_no_panel_from_opening(logic, monkeypatch):
    (logic.folder / "estimate.json").write_text("")
    (logic.folder / "check.csv").write_bytes("case,problem\nMüller,x\n".encode("cp1252"))
    assert logic.estimate_text == ""
    assert logic.rows()

    def gone(*given, **named):
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    for name in ("is_dir", "iterdir", "glob"):
        monkeypatch.setattr(Path, name, gone)
    assert logic._runs.current is None and logic._cases.collection.is_empty
    with pytest.raises(InputError, match="can't be read"):
        logic._cases.collection.cases()


def test_a_question_to_stop_that_a_killed_training_left_does_not_stop_the_next_one(a_training, logic):
    a_training.does = a_training.breaks(-9, "", 12, True)
    logic.start()
    logic.stop()
    with pytest.raises(InputError, match="ended from outside"):
        logic.wait()
    logic.resume()
    assert not (state_of(a_training.process.started[1]) / "stop").exists()


def test_a_training_that_another_slicer_started_is_still_watched(a_training, tmp_path, an_mrml_scene):
    a_training.logic.start()
    with Reporter(state_of(a_training.process.started[0])) as reporter:
        reporter.say(Progress("train", 0.5, 3))
        later = a_trainer(tmp_path)
        assert later.can_stop and later.status.progress == 0.5
        assert later.poll() is not None
        later.stop()
        assert reporter.stop_file.exists()


BROKEN = {
    "killed": (-9, "", 12, True, "ended from outside at step 12, most likely for lack of memory. 'Resume'"),
    "killed early": (-9, "", 0, False, "Nothing was saved yet: start it again."),
    "wrong input": (2, "No case of 'x' can be used.", 0, False, "No case of 'x' can be used."),
    "full disk": (1, "No space left", 3, "best.pt", "step 3: No space left The best weights so far are kept"),
    "crashed": (1, "ZeroDivisionError", 3, True, "broke off at step 3: ZeroDivisionError 'Resume' goes on"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_how_a_training_broke_off_is_said(a_training, logic, how):
    code, words, step, saved, sentence = BROKEN[how]
    a_training.does = a_training.breaks(code, words, step, saved)
    logic.start()
    with pytest.raises(InputError, match=sentence):
        logic.wait()
    assert logic.status.kind == "error" and logic.can_resume == bool(saved) and logic.can_start


def test_what_the_training_itself_found_wrong_is_said_in_its_words(a_training, logic):
    failed = Progress("failed", message="'own.safetensors' can't be written: make room.")
    a_training.does = a_training.breaks(2, "something else", progress=failed)
    logic.start()
    with pytest.raises(InputError, match="make room"):
        logic.wait()


def test_after_the_computer_was_switched_off_that_is_said(a_training, tmp_path, an_mrml_scene):
    a_training.does = a_training.breaks(0, "", 5, True)
    a_training.logic.start()
    a_training.process.finish()
    alive = state_of(a_training.process.started[0]) / "alive"
    alive.touch()
    os.utime(alive, (time.time() - 100,) * 2)
    later = a_trainer(tmp_path)
    assert "was cut off at step 5" in later.status.text and later.can_resume
    (alive.parent / "progress.json").write_text("")  # as a power cut leaves it
    assert "'Resume' goes on from the last saved step" in later.status.text and later.can_resume


def test_a_disk_that_is_too_full_is_said_before_anything_begins(a_training, logic, monkeypatch):
    usage = shutil.disk_usage(logic.folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=30 << 20))
    with pytest.raises(InputError, match=r"A training needs \d+ MB of disk, and .* has 30 MB"):
        logic.start()
    assert a_training.process.started == [] and logic.can_start and not logic.can_resume


def test_a_base_that_is_gone_is_said(logic, tmp_path):
    logic.choice = TrainingChoice(str(tmp_path / "gone.safetensors"))
    for action in (logic.start, lambda: logic.export_recipe(tmp_path / "recipe")):
        with pytest.raises(InputError, match="There is no checkpoint 'gone"):
            action()


def test_without_cases_the_first_step_is_said(an_mrml_scene, tmp_path):
    logic = a_trainer(tmp_path)
    assert "Collect some cases" in logic.status.text and not logic.can_start
    for action in (logic.start, logic.check, logic.estimate):
        with pytest.raises(InputError, match="There are no cases yet"):
            action()


def test_a_python_that_is_not_there_is_said(an_mrml_scene, tmp_path, a_training):
    a_training.logic.start()
    a_training.logic.wait()
    logic = a_trainer(tmp_path, python=Path("/nowhere/PythonSlicer"))
    with pytest.raises(InputError, match="could not be started"):
        logic.start()
    assert logic.can_start and logic.judgement.is_better and logic.can_install


def test_closing_the_scene_in_the_middle_does_nothing_to_the_training(a_training, logic):
    logic.start()
    slicer.mrmlScene.Clear(0)
    assert logic.can_stop and logic.poll() is not None
    logic.wait()
    assert logic.judgement.verdict.startswith("Better") and len(logic.rows()) == 3


def test_watching_reads_cases_and_outcome_only_when_they_have_changed(a_training, logic, monkeypatch):
    logic.start()
    logic.wait()
    before = logic.rows(), logic.judgement
    with monkeypatch.context() as patch:
        for module, name in ((collection, "read_facts"), (run_folder, "_to_outcome")):
            patch.setattr(module, name, lambda *_: pytest.fail("It was read again."))
        for _ in range(3):
            assert (logic.rows(), logic.judgement) == before
            assert logic.can_start and logic.has_cases and logic.status.kind == "done"
            assert logic.poll() is None
    # What comes or goes without the logic is seen all the same.
    folder = logic.folder / "cases"
    (folder / "MR_head").rename(folder / "A_head")
    assert [row.name for row in logic.rows()] == ["A_head", "MR_head_2", "MR_head_3"]
    assert [row.segment for row in logic.judgement.comparisons] == ["1"]
    (a_training.logic._runs.current.path / "outcome.json").unlink()
    assert logic.judgement == Judgement()


def test_a_judged_object_is_shown_before_and_after(logic):
    logic.start()
    logic.wait()
    logic.show_comparison(logic.judgement.comparisons[0])
    node = next(n for n in _nodes("vtkMRMLSegmentationNode") if n.GetAttribute("ENSAM.Trainer"))
    names = [node.GetSegmentation().GetSegment(s).GetName() for s in node.GetSegmentation().GetSegmentIDs()]
    assert names == ["ball, corrected", "ball, before training", "ball, after training"]
    with pytest.raises(InputError, match="were not kept"):
        logic.show_comparison(replace(logic.judgement.comparisons[0], label=9))


def test_an_estimate_is_told_for_the_present_choice(a_training, logic):
    def measure(arguments, log):
        values = {"step_s": 0.5, "judging_s": 12.0, "peak_bytes": 3 * 2**29, "objects": 10}
        output_of(arguments).write_text(json.dumps(values))
        return 0

    a_training.does = measure
    assert logic.estimate_text == ""
    logic.estimate()
    logic.wait()
    assert logic.estimate_text == (
        "About 1200 steps of 0.5 s in 10 minutes, and 12 s to judge. 1.5 GB of memory."
    )
    logic.choice = TrainingChoice(amount=6, unit="epochs")
    assert logic.estimate_text.startswith("About 60 steps of 0.5 s in 0.5 minutes")


def test_the_plot_shows_the_rows_that_are_whole(a_training, logic):
    logic.start()
    state = state_of(a_training.process.started[0])
    (state / "log.csv").write_text("step,minutes,loss_clicks\n10,0.1,0.9\n20,0.2,0.8\n30,0.")
    (state / "validation.csv").write_text("step,minutes,dice_box,dice_1,dice_2\n20,0.2,0.5,0.6,0.7\n")
    chart = logic._plot.update(state)
    assert chart.GetNumberOfPlotSeriesNodes() == 3
    assert chart.GetYAxisRange()[1] > 1.2  # room for the legend above a Dice of 1
    series = [chart.GetNthPlotSeriesNode(i) for i in range(3)]
    assert [s.GetName() for s in series] == ["Loss", "Dice after the box", "Dice after the last click"]
    values = [s.GetTableNode().GetTable().GetColumn(1) for s in series]
    assert [[round(v.GetValue(i), 3) for i in range(v.GetNumberOfValues())] for v in values] == [
        [0.9, 0.8],
        [0.5],
        [0.7],
    ]
    assert logic._plot.update(state) is chart


def _nodes(class_name):
    found = slicer.mrmlScene.GetNodesByClass(class_name)
    found.UnRegister(None)
    return list(found)
