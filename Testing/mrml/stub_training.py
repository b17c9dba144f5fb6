"""Trainings without a training: what becomes of them is said by the test."""

from __future__ import annotations

import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import slicer
from ensam.masks import MaskCrop
from ensam_training.__main__ import main
from ensam_training.run_folder import Comparison, Outcome, Progress, Reporter
from pure.tiny import write_checkpoint

from .nodes import add_segment_editor
from .trainer_cases import FakeProcess, a_trainer, add_case

BETTER = (Comparison("MR_head", 1, (0.5, 0.7), (0.6, 0.8)),)
WORSE = (Comparison("MR_head", 1, (0.6, 0.8), (0.5, 0.7)),)


def state_of(arguments):
    return Path(arguments[arguments.index("--state") + 1])


def output_of(arguments):
    return Path(arguments[arguments.index("-o") + 1])


def write_result(path, seed=0):
    """A checkpoint with a card."""
    write_checkpoint(path, seed)
    card = json.loads(path.with_suffix(".json").read_text())
    card |= {"licence": "CC0", "intended_use": "tests", "training_data": []}
    path.with_suffix(".json").write_text(json.dumps(card))


class Training:
    """A logic with three cases and a stand-in for the process; `does` is what the training does next."""

    def __init__(self, folder):
        self.does = self.ends(BETTER)
        self.process = FakeProcess(lambda arguments, log: self.does(arguments, log))
        self.logic = a_trainer(folder, start=self.process)
        scene = slicer.mrmlScene
        editor = add_segment_editor(scene)
        for seed in range(3):
            volume, segmentation, segment_id, _ = add_case(scene, seed, editor=editor)
            self.logic.add_from_scene(volume.GetID(), segmentation.GetID(), [segment_id])

    def ends(self, comparisons, written=True, stopped=False, code=0, seed=0):
        def run(arguments, log):
            state = state_of(arguments)
            with Reporter(state) as reporter:
                if written:
                    write_result(output_of(arguments), seed)
                for c in comparisons:
                    mask = MaskCrop(np.ones((3, 3, 3), bool), (9, 9, 9))
                    for side in ("before", "after"):
                        reporter.keep_mask(side, c.case, c.label, mask)
                if stopped:
                    (state / "state.pt").touch()
                reporter.finish(Outcome(tuple(comparisons), 7, 0.5, written, stopped, "of one patient"))
            return code

        return run

    def breaks(self, code, words="", step=0, saved=False, progress=None):
        def run(arguments, log):
            log.write_text(f"much\n{words}\n")
            state = state_of(arguments)
            reporter = Reporter(state)
            reporter.say(progress or Progress("train", 0.2, step))
            if saved:
                (state / ("state.pt" if saved is True else saved)).touch()
            return code

        return run


def by_the_command(arguments, log):
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as said, redirect_stdout(said), redirect_stderr(said):
        return main(arguments)
