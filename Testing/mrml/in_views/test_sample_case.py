"""The starter weights on the sample case."""

from __future__ import annotations

import numpy as np
from ENSAMSegmentLib.prompt_nodes import BACKGROUND, FOREGROUND

from ..way_of_a_click import Strip
from .mouse import let_pass, rows


def test_the_starter_weights_follow_a_box_a_click_and_a_drag_on_the_sample_case(an_application):
    strip = Strip(an_application)
    logic, view = strip.logic, strip.view

    def dice():
        return 2 * (strip.mask() & strip.truth).sum() / (strip.mask().sum() + strip.truth.sum())

    strip.draw_box()
    logic.wait()
    boxed = strip.mask()
    assert dice() > 0.6
    first, foreground = strip.wrong_place()
    second, _ = strip.wrong_place(foreground, away_from=first)
    kind = FOREGROUND if foreground else BACKGROUND
    logic.start_placing(kind)
    view.click(first)
    logic.stop_placing()
    logic.wait()
    clicked = strip.mask()
    assert not np.array_equal(clicked, boxed)
    view.drag(first, second)
    let_pass(logic)
    assert np.array_equal(strip.mask(), clicked)
    view.release(second)
    logic.wait()
    z, y, x = np.round(strip.grid.ras_to_zyx(np.array(rows(logic, kind)[0].position_ras))).astype(int)
    assert strip.mask()[z, y, x] == foreground
    assert not np.array_equal(strip.mask(), clicked)
    logic.undo()
    assert np.array_equal(strip.mask(), clicked)
    logic.undo()
    assert np.array_equal(strip.mask(), boxed)
    assert not rows(logic, kind)
    logic.redo()
    assert np.array_equal(strip.mask(), clicked)
    view.close()
    logic.cleanup()
