"""A training in a folder of its own: watched, stopped, resumed and judged from another process."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ensam.checkpoint import load_checkpoint, save_checkpoint
from ensam.errors import InputError
from ensam.masks import MaskCrop
from ensam_training import finetuning_commands, run_folder
from ensam_training import training as training_module
from ensam_training.__main__ import main
from ensam_training.configuration import Limit
from ensam_training.finetuning import default_config, finetune, held_out
from ensam_training.run_folder import (
    ALIVE,
    OUTCOME,
    PROGRESS,
    STOP,
    Comparison,
    Outcome,
    Progress,
    Reporter,
    RunFolder,
)
from ensam_training.stopping import StopRequest
from ensam_training.training import RunOptions
from ensam_training.validation import ObjectScore

from .labelled_files import write_case
from .tiny_network import BallWindows, ball_case, tiny_network

OUTCOME_OF_ONE = Outcome(
    (Comparison("a", 2, (0.5, 0.7), (0.6, 0.9)),), 12, 1.5, True, False, "of one patient"
)


def test_a_folder_where_nothing_ran_tells_nothing(tmp_path):
    folder = RunFolder(tmp_path / "none")
    assert folder.progress is folder.outcome is None
    assert not (folder.is_alive or folder.has_state or folder.has_best)
    assert folder.masks("a", 1) is None


def test_the_watcher_reads_what_the_run_says(tmp_path):
    folder = RunFolder(tmp_path)
    with Reporter(tmp_path) as reporter:
        reporter.say(Progress("train", 0.25, 40, 90.0, 0.71))
        assert folder.progress == Progress("train", 0.25, 40, 90.0, 0.71)
        assert folder.is_alive
        reporter.finish(OUTCOME_OF_ONE)
    assert folder.outcome == OUTCOME_OF_ONE
    assert folder.outcome.gain == pytest.approx(0.15)
    assert folder.progress.phase == "done" and folder.progress.is_over
    assert not folder.is_alive


def test_steps_are_told_only_now_and_then(tmp_path):
    with Reporter(tmp_path) as reporter:
        reporter.say(Progress("train", 0.1))
        reporter.say(Progress("train", 0.2), always=False)
        assert RunFolder(tmp_path).progress.share == 0.1


def test_a_process_that_was_killed_is_soon_known_to_be_dead(tmp_path):
    alive = tmp_path / ALIVE
    alive.touch()
    assert RunFolder(tmp_path).is_alive
    os.utime(alive, (time.time() - 60,) * 2)
    assert not RunFolder(tmp_path).is_alive


def test_what_an_earlier_run_left_is_not_taken_for_this_one(tmp_path):
    with Reporter(tmp_path) as reporter:
        reporter.finish(OUTCOME_OF_ONE)
    with Reporter(tmp_path) as reporter:
        reporter.forget_outcome()
        assert RunFolder(tmp_path).outcome is None


def test_a_process_may_be_asked_to_stop_before_it_has_begun_and_the_next_one_is_not(tmp_path):
    folder = RunFolder(tmp_path)
    folder.ask_to_stop()
    with Reporter(tmp_path) as reporter:
        assert reporter.stop_file.exists()
    assert not reporter.stop_file.exists()
    folder.ask_to_stop()  # of one that was killed
    folder.forget_stop()
    assert not reporter.stop_file.exists()


@pytest.fixture
def quickly(monkeypatch):
    monkeypatch.setattr(run_folder, "_ALIVE_SECONDS", 0.1)
    monkeypatch.setattr(run_folder, "_WATCH_SECONDS", 0.4)


def test_a_process_at_work_is_found_whatever_the_clocks_say(tmp_path, quickly):
    folder = RunFolder(tmp_path)
    assert not folder.is_taken()
    with Reporter(tmp_path):
        assert folder.is_taken()
    (tmp_path / ALIVE).touch()  # of one that was killed
    assert not folder.is_taken()
    for ahead, is_alive in ((60, True), (3600, False)):  # a drive's clock; before the clock was set back
        os.utime(tmp_path / ALIVE, (time.time() + ahead,) * 2)
        assert folder.is_alive == is_alive


def test_a_killed_process_leaves_its_request_to_stop_to_nobody(tmp_path, quickly):
    folder, stop = RunFolder(tmp_path), tmp_path / STOP
    (tmp_path / ALIVE).touch()
    folder.ask_to_stop()
    assert not folder.is_taken() and not stop.exists()
    os.utime(tmp_path / ALIVE, (time.time() - 60,) * 2)
    folder.ask_to_stop()  # long after: of the one that begins now
    assert not folder.is_taken() and stop.exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"phase": 1, "share"', "null"])
@pytest.mark.parametrize("name", [PROGRESS, OUTCOME])
def test_damaged_files_are_said_to_be(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match="is damaged: start the training again"):
        _ = RunFolder(tmp_path).progress if name == PROGRESS else RunFolder(tmp_path).outcome


def test_masks_come_back_where_they_were(tmp_path):
    mask = np.zeros((6, 6, 6), bool)
    mask[2:4, 1:3, 3:5] = True
    with Reporter(tmp_path) as reporter:
        reporter.keep_mask("before", "head", 3, MaskCrop(mask, (10, 20, 30)))
        reporter.keep_mask("after", "head", 3, MaskCrop(~mask & False, (0, 0, 0)))
    before, after = RunFolder(tmp_path).masks("head", 3)
    assert before.offset == (12, 21, 33) and before.mask.shape == (2, 2, 2) and before.mask.all()
    assert not after.mask.any()


def test_masks_that_a_power_cut_damaged_count_as_not_kept(tmp_path):
    with Reporter(tmp_path) as reporter:
        for side in ("before", "after"):
            reporter.keep_mask(side, "head", 3, MaskCrop(np.ones((6, 6, 6), bool), (0, 0, 0)))
    path = tmp_path / "after" / "head.3.npz"
    whole = path.read_bytes()
    middle = len(whole) // 3
    for damaged in (b"", whole[:-30], whole[:middle] + bytes(9) + whole[middle + 9 :], bytes(len(whole))):
        path.write_bytes(damaged)
        assert RunFolder(tmp_path).masks("head", 3) is None
    path.write_bytes(whole)
    assert RunFolder(tmp_path).masks("head", 3) is not None


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="choose one that you may write to"):
        Reporter(tmp_path / "file" / "run")


# A whole run


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("base") / "base.safetensors"
    save_checkpoint(path, tiny_network(0), 16**3, {"name": "base", "licence": "CC0"})
    return path


class Watched:
    """A fine-tuning of the tiny network in a folder; `when` is called with each thing that it says."""

    def __init__(self, base, folder, steps=6, when=None):
        self.base, self.folder, self.steps, self.when = base, folder, steps, when

    def go(self):
        checkpoint = load_checkpoint(self.base)
        config = default_config(
            checkpoint, Limit(self.steps, "steps"), budget=(16**3, 16**3), validate_every=2
        )
        data = held_out([ball_case(0)], [ball_case(1)])
        with Reporter(self.folder) as reporter:
            say = reporter.say
            reporter.say = lambda progress, always=True: (say(progress), self.when and self.when(progress))
            options = RunOptions(workers=0, log_every=1)
            return finetune(
                checkpoint, self.base, data, config, self.folder / "new.safetensors", {"name": "n"}, options,
                torch.device("cpu"), reporter, say=lambda text: None,
            )  # fmt: skip


@pytest.fixture(autouse=True)
def windows_that_take_no_time(monkeypatch):
    monkeypatch.setattr(training_module, "WindowSampler", BallWindows)


def test_a_run_says_all_that_it_does(base, tmp_path):
    told = []
    outcome = Watched(base, tmp_path / "run", when=told.append).go()
    assert list(dict.fromkeys(p.phase for p in told)) == ["before", "train", "after", "done"]
    steps = [p for p in told if p.phase == "train"]
    assert [p.step for p in steps] == [1, 2, 3, 4, 5, 6]
    assert steps[0].share == pytest.approx(1 / 6) and steps[0].seconds_left > 0
    assert steps[0].dice is None and steps[3].dice > 0
    folder = RunFolder(tmp_path / "run")
    assert folder.outcome == outcome
    assert all(m is not None for m in folder.masks("mr_ball_001", 1))
    assert not folder.has_state and not folder.has_best  # it is over, and they are large


def test_a_stopped_run_is_judged_and_goes_on_to_the_same_end(base, tmp_path):
    whole = Watched(base, tmp_path / "whole").go()
    folder = RunFolder(tmp_path / "parts")

    def stop(progress):
        if progress.step == 3 and progress.phase == "train":
            folder.ask_to_stop()

    first = Watched(base, tmp_path / "parts", when=stop).go()
    assert first.stopped and first.steps == 3 and folder.has_state
    assert first.comparisons[0].before == whole.comparisons[0].before
    second = Watched(base, tmp_path / "parts").go()
    assert not second.stopped
    assert second.steps == 6 and second.comparisons == whole.comparisons


def test_the_best_of_an_attempt_whose_state_is_gone_is_kept_until_it_is_beaten(base, tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "run")

    def stop(progress):
        if progress.step == 4 and progress.phase == "train":
            folder.ask_to_stop()

    Watched(base, folder.path, when=stop).go()
    (folder.path / "state.pt").unlink()
    best = torch.load(folder.path / "best.pt", weights_only=True)
    worthless = [ObjectScore("a", 1, (0.0,) * 6)]  # beats nothing
    monkeypatch.setattr(training_module, "score_objects", lambda *arguments: worthless)
    outcome = Watched(base, folder.path, steps=2).go()
    assert outcome.written and outcome.steps == 2
    kept = load_checkpoint(folder.path / "new.safetensors").state
    assert all(torch.equal(kept[name], t.half().float()) for name, t in best["network"].items())


def test_a_training_that_is_over_is_not_begun_anew_in_its_folder(base, tmp_path, capsys):
    with Reporter(tmp_path / "run") as reporter:
        reporter.finish(OUTCOME_OF_ONE)
    write_case(tmp_path / "cases", "one")
    arguments = ["finetune", str(base), str(tmp_path / "cases"), "--state", str(tmp_path / "run")]
    assert main([*arguments, "-o", str(tmp_path / "new.safetensors")]) == 2
    assert "is over: give another folder" in capsys.readouterr().err
    assert RunFolder(tmp_path / "run").outcome == OUTCOME_OF_ONE


def test_a_second_process_in_a_folder_is_refused(base, tmp_path, capsys, quickly):
    write_case(tmp_path / "cases", "one")
    arguments = ["finetune", str(base), str(tmp_path / "cases"), "--state", str(tmp_path / "run")]
    with Reporter(tmp_path / "run"):
        assert main([*arguments, "-o", str(tmp_path / "new.safetensors")]) == 2
        assert "A training runs in" in capsys.readouterr().err
        assert (tmp_path / "run" / ALIVE).exists()


@pytest.mark.parametrize("earlier", [None, replace(OUTCOME_OF_ONE, stopped=True)])
@pytest.mark.parametrize("phase", ["prepare", "before"])
def test_a_training_stops_while_it_prepares_and_what_it_came_to_earlier_stays(
    base, tmp_path, quickly, monkeypatch, phase, earlier
):
    write_case(tmp_path / "cases", "one")
    folder = RunFolder(tmp_path / "run")
    if earlier is not None:
        with Reporter(folder.path) as reporter:
            reporter.finish(earlier)

    def takes_long(options, reporter):
        reporter.say(Progress(phase))
        folder.ask_to_stop()
        time.sleep(30)
        raise AssertionError("it was not stopped")

    monkeypatch.setattr(finetuning_commands, "_train_and_judge", takes_long)
    arguments = ["finetune", str(base), str(tmp_path / "cases"), "--state", str(folder.path)]
    begun = time.monotonic()
    assert main([*arguments, "-o", str(tmp_path / "new.safetensors")]) == 3
    assert time.monotonic() - begun < 20
    assert folder.outcome == (earlier or Outcome((), 0, 0.0, False, stopped=True))
    assert folder.progress.phase == "stopped" and not folder.is_alive


def test_the_judgement_before_stays_until_the_training_goes_on(base, tmp_path, monkeypatch):
    with Reporter(tmp_path / "run") as reporter:
        reporter.finish(replace(OUTCOME_OF_ONE, stopped=True))
    seen = []
    Watched(
        base, tmp_path / "run", when=lambda p: seen.append((p.phase, RunFolder(tmp_path / "run").outcome))
    ).go()
    assert dict(seen)["before"].steps == OUTCOME_OF_ONE.steps and dict(seen)["train"] is None


def test_a_log_on_a_full_disk_ends_no_training(monkeypatch, capsys):
    def full(*given, **named):
        raise OSError(errno.ENOSPC, "No space left on device")

    finetuning_commands._say("told")
    monkeypatch.setattr("builtins.print", full)
    finetuning_commands._say("lost")
    assert capsys.readouterr().out == "told\n"


def test_a_request_on_a_drive_that_is_away_for_a_moment_is_none(tmp_path, monkeypatch):
    def away(self, **named):
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    request = StopRequest(tmp_path / STOP)
    (tmp_path / STOP).touch()
    assert request.made
    monkeypatch.setattr(os, "stat", away)
    assert not request.made


def test_what_is_wrong_with_the_input_reaches_the_watcher(base, tmp_path):
    (tmp_path / "cases").mkdir()
    arguments = ["finetune", str(base), str(tmp_path / "cases"), "--state", str(tmp_path / "run")]
    assert main([*arguments, "-o", str(tmp_path / "new.safetensors")]) == 2
    progress = RunFolder(tmp_path / "run").progress
    assert progress.phase == "failed" and "no cases" in progress.message
    assert not (tmp_path / "run" / ALIVE).exists()


def test_the_estimate_measures_steps_of_the_training_itself(base, tmp_path, monkeypatch, capsys):
    from ensam_training import estimating

    monkeypatch.setattr(estimating, "WindowSampler", BallWindows)
    for seed in range(3):
        write_case(tmp_path / "cases", f"mr_{seed:03}", seed)
    output = tmp_path / "estimate.json"
    assert main(["estimate", str(base), str(tmp_path / "cases"), "-o", str(output), "--threads", "1"]) == 0
    values = json.loads(output.read_text())
    assert values["step_s"] > 0 and values["judging_s"] > 0 and values["objects"] == 2
    assert values["peak_bytes"] > 50e6
    assert "s a step" in capsys.readouterr().out


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="What is mapped is asked of Linux")
def test_no_image_stays_behind_where_open_files_can_not_be_deleted(base, tmp_path, monkeypatch):
    from ensam_training import estimating

    unlink = os.unlink

    def refuse_an_open_file(path, *, dir_fd=None):
        folder = "" if dir_fd is None else os.readlink(f"/proc/self/fd/{dir_fd}")
        whole, maps = os.path.realpath(os.path.join(folder, path)), Path("/proc/self/maps").read_text()
        if any(line.endswith(f" {whole}") for line in maps.splitlines()):
            raise PermissionError(13, "The process cannot access the file", whole)
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(estimating, "WindowSampler", BallWindows)
    monkeypatch.setattr(os, "unlink", refuse_an_open_file)
    for seed in range(2):
        write_case(tmp_path / "cases", f"mr_{seed:03}", seed)
    output = tmp_path / "estimates" / "estimate.json"
    assert main(["estimate", str(base), str(tmp_path / "cases"), "-o", str(output), "--threads", "1"]) == 0
    assert list(output.parent.iterdir()) == [output]


@pytest.mark.parametrize("edge", ["8", "1000"])
def test_a_window_of_no_use_is_refused(base, tmp_path, capsys, edge):
    for seed in range(2):
        write_case(tmp_path / "cases", f"mr_{seed:03}", seed)
    arguments = ["estimate", str(base), str(tmp_path / "cases"), "-o", str(tmp_path / "e.json")]
    assert main([*arguments, "--edge", edge]) == 2
    assert "give 24 to 256" in capsys.readouterr().err


def test_a_watcher_needs_neither_torch_nor_the_training_packages():
    code = (
        "import sys, ensam_training.run_folder, ensam_training.collection; "
        "print([n for n in ('torch', 'monai', 'cc3d', 'scipy', 'edt', 'matplotlib') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
