"""What the views show of prompts, and of the last change."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from ENSAMSegmentLib import updates
from ENSAMSegmentLib.prompt_nodes import BACKGROUND, FOREGROUND

from .mouse import ASIDE, GREY, LOWER, UPPER, a_box, let_pass, name_segment, place, rows


def colors_near(view, at, reach=14):
    """The colours (N, RGB) round a display position."""
    x, y = (round(float(p)) for p in at)
    return view.pixels()[y - reach : y + reach + 1, x - reach : x + reach + 1].reshape(-1, 3).astype(int)


def greenish(colors):
    return ((colors[:, 1] > colors[:, 0] + 60) & (colors[:, 1] > colors[:, 2] + 60)).sum()


def reddish(colors):
    return ((colors[:, 0] > colors[:, 1] + 60) & (colors[:, 0] > colors[:, 2] + 60)).sum()


def light_grey(colors):
    return ((np.ptp(colors, axis=1) < 12) & (colors[:, 0] > 3 * GREY)).sum()


def settled(logic, view):
    """Once the tint is gone and the mouse is away."""
    view.move(ASIDE)
    let_pass(logic, updates.TINT_S + 0.1)


def test_foreground_background_and_muted_points_look_different(a_logic, a_slice_view):
    on, off, muted = (100, 280), (200, 280), (300, 280)
    a_logic.auto_update = False
    place(a_logic, a_slice_view, FOREGROUND, on, muted)
    place(a_logic, a_slice_view, BACKGROUND, off)
    a_logic.set_muted(rows(a_logic, FOREGROUND)[1], True)
    counts = [
        [count(colors_near(a_slice_view, at)) > 20 for count in (greenish, reddish, light_grey)]
        for at in (on, off, muted)
    ]
    assert counts == [[True, False, False], [False, True, False], [False, False, True]]
    # Plus and minus, for those who can't tell the colours.
    column = a_slice_view.pixels()[:, :, 1].astype(int)
    height = {
        at: np.ptp(np.flatnonzero(column[at[1] - 14 : at[1] + 15, at[0]] > 2 * GREY)) for at in (on, muted)
    }
    assert min(height.values()) > 12
    rows_of_minus = a_slice_view.pixels()[off[1] - 14 : off[1] + 15, off[0], 0] > 3 * GREY
    assert 2 <= rows_of_minus.sum() < 10


@pytest.mark.parametrize("kind", [FOREGROUND, BACKGROUND])
def test_the_point_under_the_mouse_keeps_its_hue(a_logic, a_slice_view, kind):
    a_logic.start_placing(kind)
    a_slice_view.move((280, 280))
    colors = colors_near(a_slice_view, (280, 280))
    assert (greenish(colors) > 20) == (kind == FOREGROUND)
    assert (reddish(colors) > 20) == (kind == BACKGROUND)


def test_only_the_prompts_of_the_selected_segment_are_shown(a_logic, a_slice_view):
    at = (100, 280)
    a_logic.auto_update = False
    place(a_logic, a_slice_view, FOREGROUND, at)
    first = a_logic.segment_id
    assert greenish(colors_near(a_slice_view, at)) > 20
    name_segment(a_logic, "kidney")
    assert greenish(colors_near(a_slice_view, at)) == 0
    a_logic.select(segment_id=first)
    assert greenish(colors_near(a_slice_view, at)) > 20
    a_logic.deactivate()
    assert greenish(colors_near(a_slice_view, at)) == 0


def test_a_finished_box_is_drawn_as_a_frame_that_leaves_its_inside_to_be_seen(a_logic, a_slice_view):
    a_logic.auto_update = False
    a_box(a_logic, a_slice_view)
    pixels = a_slice_view.pixels().astype(int)
    yellow = (pixels[..., 0] > 180) & (pixels[..., 1] > 130) & (pixels[..., 2] < 120)
    assert yellow[LOWER[1] - 3 : UPPER[1] + 4, LOWER[0] - 3 : LOWER[0] + 4].any(axis=1).mean() > 0.7
    inside = pixels[LOWER[1] + 15 : UPPER[1] - 14, LOWER[0] + 15 : UPPER[0] - 14]
    assert (np.abs(inside - GREY).max(axis=2) < 4).mean() > 0.97


def test_the_last_change_is_tinted_for_a_moment(a_logic, a_slice_view):
    at = np.array((280, 280))
    beside = np.add(at, (25, 12))  # within the click's ball, clear of its sign
    a_box(a_logic, a_slice_view)
    settled(a_logic, a_slice_view)
    plain = colors_near(a_slice_view, beside, 3).mean(axis=0)
    place(a_logic, a_slice_view, BACKGROUND, at)
    removed = colors_near(a_slice_view, beside, 3).mean(axis=0)
    assert removed[0] > removed[1:].max() + 30
    settled(a_logic, a_slice_view)
    gone = colors_near(a_slice_view, beside, 3).mean(axis=0)
    assert np.ptp(gone) < 3 and abs(gone[0] - GREY) < 3

    a_logic.remove(rows(a_logic, BACKGROUND)[0])
    a_logic.wait()
    added = colors_near(a_slice_view, beside, 3).mean(axis=0)
    assert added[1] > plain[1] + 30
    settled(a_logic, a_slice_view)
    np.testing.assert_allclose(colors_near(a_slice_view, beside, 3).mean(axis=0), plain, atol=2)
    names = [n.GetName() for n in slicer.mrmlScene.GetNodesByClass("vtkMRMLSegmentationNode")]
    assert names == [a_logic.segmentation.GetName()]
