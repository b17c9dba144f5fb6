"""Short ways to put corrected cases into scenes and to drive the trainer's logic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ensam.checkpoint_store import CheckpointStore
from ensam.masks import MaskCrop
from ensam.prompts import Box, Point, PromptSet
from ENSAMSegmentLib.segment_state import SegmentState, write_state
from ENSAMSegmentLib.segment_writer import SegmentWriter
from ENSAMSegmentLib.segments import add_segment, add_segmentation
from ENSAMTrainerLib.logic import ENSAMTrainerLogic

from .nodes import add_segment_editor, add_volume

SHAPE = (24, 28, 32)
IJK_TO_RAS = np.array([[-0.9, 0, 0, 14], [0, -0.9, 0, 12], [0, 0, 1.2, -14], [0, 0, 0, 1.0]])
CENTRE_RAS = (0.5, -0.5, 0.0)


class FakeSettings:
    """As Slicer's settings, in memory."""

    def __init__(self):
        self.values = {}

    def get(self, key):
        return self.values.get(key, "")

    def set(self, key, value):
        self.values[key] = value


class FakeProcess:
    """Stands in for a process: does at once what `does` makes of the arguments, and ends with its code."""

    def __init__(self, does):
        self.does, self.started, self.killed = does, [], False

    def __call__(self, python, arguments, log):
        self.started.append(list(arguments))
        self.log, self.exit_code = log, None
        self.finish = lambda: setattr(self, "exit_code", self.does(arguments, log))
        return self

    def wait(self, seconds):
        self.finish()
        return True

    def kill(self):
        self.killed = True


def a_ball(seed):
    """A bright ball in noise, (z, y, x) int16, and its mask."""
    rng = np.random.default_rng(seed)
    middle = np.array(SHAPE) / 2 + rng.uniform(-2, 2, 3)
    mask = np.linalg.norm(np.indices(SHAPE).T[..., ::-1].T - middle[:, None, None, None], axis=0) < 6
    return (100 + 60 * mask + rng.normal(0, 10, SHAPE)).astype(np.int16), mask


def add_case(scene, seed=0, name="MR head", prompts=True, editor=None):
    """A volume with a corrected segment "ball" and the prompts it was made with."""
    image, mask = a_ball(seed)
    volume = add_volume(scene, image, IJK_TO_RAS, name)
    segmentation = add_segmentation(volume, f"{name} segmentation")
    segment_id = add_segment(segmentation, "ball")
    editor = editor or add_segment_editor(scene)
    editor.GetSegmentEditorNode().SetAndObserveSegmentationNode(segmentation)
    SegmentWriter(editor).write(segmentation, volume, {segment_id: MaskCrop(mask, (0, 0, 0))})
    if prompts:
        made = PromptSet(Box(CENTRE_RAS, (15.0, 15.0, 18.0)), (Point(CENTRE_RAS, True),))
        write_state(segmentation.GetSegmentation().GetSegment(segment_id), SegmentState(made))
    return volume, segmentation, segment_id, mask


def a_trainer(folder: Path, python=Path("python"), **more):
    return ENSAMTrainerLogic(
        folder / "training", CheckpointStore(folder / "models"), FakeSettings(), python, **more
    )
