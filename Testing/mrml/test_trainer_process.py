"""Training in a process of its own: it ends with all that it started, and goes on after it was killed."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from ensam.errors import InputError
from ENSAMTrainerLib.process import Process, last_words
from ENSAMTrainerLib.values import TrainingChoice
from pure.tiny import write_checkpoint

from .nodes import add_segment_editor
from .trainer_cases import a_trainer, add_case


@pytest.fixture
def a_base(tmp_path):
    return write_checkpoint(tmp_path / "tiny.safetensors")


def wait_until_gone(pid, seconds=30):
    """Until the process and all that it started have ended."""
    for _ in range(10 * seconds):
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError("Processes of the killed training are still there.")


def test_what_a_process_has_started_ends_with_it(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nsleep 600 &\necho $!\nwait\n")
    python.chmod(0o755)
    process = Process(python, ["check"], tmp_path / "log.txt")
    while not (tmp_path / "log.txt").read_text():
        assert not process.wait(0.05)
    process.kill()
    wait_until_gone(process._process.pid)


def test_a_real_process_is_killed_and_resumed_to_the_end(an_mrml_scene, tmp_path, a_base, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    logic = a_trainer(tmp_path, python=Path(sys.executable))
    editor = add_segment_editor(an_mrml_scene)
    for seed in range(4):
        volume, segmentation, segment_id, _ = add_case(an_mrml_scene, seed, f"MR {seed:03}", editor=editor)
        logic.add_from_scene(volume.GetID(), segmentation.GetID(), [segment_id])
    logic.choice = TrainingChoice(str(a_base), amount=4, unit="epochs", edge=24, device="cpu", name="mine")
    logic.start()
    while not logic._runs.current.has_best:
        assert logic.poll(0.02) is not None, logic.status
    pid = logic._runs._process._process.pid
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(InputError, match="ended from outside at step"):
        logic.wait(120)
    assert logic.can_resume
    wait_until_gone(pid)
    logic.resume()
    logic.wait(120)
    # Patience may end it before its 12 steps.
    assert logic.judgement.verdict and 0 < logic._runs.outcome.steps <= 12
    assert len(logic.judgement.comparisons) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows takes the priority at the start")
def test_what_a_launcher_starts_gives_way_to_the_views_too(tmp_path):
    launcher = tmp_path / "PythonSlicer"
    launcher.write_text("#!/bin/sh\nsleep 30 &\necho $!\nwait\n", encoding="utf-8")
    launcher.chmod(0o755)
    process = Process(launcher, [], tmp_path / "log.txt")
    try:
        deadline = time.monotonic() + 10
        while not last_words(tmp_path / "log.txt") and time.monotonic() < deadline:
            time.sleep(0.01)
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, int(last_words(tmp_path / "log.txt"))) == max(5, own)
    finally:
        process.kill()
