"""A user's hand: prompts by the mouse, and the time that passes."""

from __future__ import annotations

import time

import numpy as np
from ENSAMSegmentLib import updates
from ENSAMSegmentLib.prompt_nodes import BOX
from ENSAMSegmentLib.segments import read_segment

SHAPE = (20, 30, 40)
CENTRE = (24.0, -4.0, 70.0)  # of the volume, in the world
FIELD_MM = 60.0
LOWER, UPPER = (170, 190), (390, 370)  # corners of a box round the centre, in pixels
ASIDE = (4, 4)
GREY = 50


def name_segment(logic, name):
    segment_id = logic.add_segment(name)
    # Blue, so that it is never taken for a prompt.
    logic.segmentation.GetSegmentation().GetSegment(segment_id).SetColor(0.2, 0.3, 1.0)


def voxels_of(logic):
    return read_segment(logic.segmentation, logic.segment_id, logic.volume).laid_out(SHAPE)


def rows(logic, kind):
    return [row for row in logic.prompt_rows() if row.kind == kind]


def let_pass(logic, seconds=2.5 * updates.DEBOUNCE_S):
    """The GUI's timer, for some time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        logic.poll(0.01)
        time.sleep(0.01)


def place(logic, view, kind, *positions):
    logic.start_placing(kind)
    for at in positions:
        view.click(at)
    logic.stop_placing()
    view.move(ASIDE)
    logic.wait()


def a_box(logic, view):
    place(logic, view, BOX, LOWER, UPPER)
    return logic._target.nodes.find(BOX)


def right_handle(view, roi):
    """Of the face at the patient's right, in the middle of the box's edge."""
    return view.display_of(np.add(roi.GetCenterWorld(), (roi.GetSize()[0] / 2, 0, 0)))
