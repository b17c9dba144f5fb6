"""Short ways to prompt a logic, and to read what came of it."""

from __future__ import annotations

import numpy as np
import slicer
from ensam.masks import MaskCrop
from ENSAMSegmentLib.segments import read_segment

from .conftest import SHAPE

CENTRE = (24.0, -4.0, 70.0)  # of the volume, in the world
ALONG_X = np.array((6.0, 0.0, 0.0))


def draw_box(logic, centre=CENTRE, size=(20.0, 16.0, 20.0)):
    logic.set_box(tuple(centre), size)
    logic.wait()


def click(logic, position=CENTRE, foreground=True):
    logic.add_point(tuple(position), foreground)
    logic.wait()


def voxels_of(logic, segment_id=None):
    crop = read_segment(logic.segmentation, segment_id or logic.segment_id, logic.volume)
    return crop.laid_out(SHAPE)


def prompts_of(logic):
    return [(row.kind, np.round(row.position_ras, 3).tolist(), row.muted) for row in logic.prompt_rows()]


def paint(logic, mask):
    """As the Segment Editor's paint effect writes: with an undo state, and no word to ENSAM."""
    logic._updates.answers.writer.write(
        logic.segmentation, logic.volume, {logic.segment_id: MaskCrop(mask, (0, 0, 0))}
    )


def started(logic, session):
    """A job is on its way, and held up."""
    session.gate.clear()
    logic.set_box(CENTRE, (20.0, 16.0, 20.0))
    while not session.calls:
        logic.poll(0.01)


def set_status(logic, segment_id, name):
    segments = slicer.vtkSlicerSegmentationsModuleLogic
    segments.SetSegmentStatus(logic._target.segment(segment_id), getattr(segments, name))


def slicer_nodes(logic):
    from ENSAMSegmentLib.prompt_nodes import prompt_nodes

    return prompt_nodes(logic.segmentation)


def name_of(logic):
    return logic._target.segment(logic.segment_id).GetName()


def visible(logic):
    return {node.GetName() for node in slicer_nodes(logic) if node.GetDisplayVisibility()}
