"""Prompts drawn as small maps: a ball for a click, the share of each voxel for a box, the last result."""

from dataclasses import replace

import numpy as np
import torch
from ensam.network.prompt_encoder import MAPS, PromptMaps
from hypothesis import given, settings
from hypothesis import strategies as st

from .tiny_network import BOX, previous_of, prompts_of

SHAPE, LEVELS = (16, 24, 8), 4
fast = settings(deadline=None, max_examples=40)
voxels = st.tuples(*[st.integers(0, size - 1) for size in SHAPE])


def draw_maps(prompts, shape, levels):
    maps = PromptMaps(prompts, shape)
    return [maps.draw(level) for level in range(levels)]


@fast
@given(voxels, st.booleans())
def test_a_click_is_a_ball_at_its_voxel_on_every_level(voxel, positive):
    maps = draw_maps(prompts_of((None, [(voxel, positive)])), SHAPE, LEVELS)
    assert [m.shape for m in maps] == [(1, 5, *(s // 2**k for s in SHAPE)) for k in range(LEVELS)]
    kind, opposite = ("foreground", "background") if positive else ("background", "foreground")
    for level, drawn in enumerate(maps):
        ball = drawn[0, MAPS.index(kind)]
        peak = np.unravel_index(int(ball.argmax()), ball.shape)
        assert peak == tuple(v // 2**level for v in voxel)
        assert 0.7 < ball.max() <= 1
        assert not drawn[0, MAPS.index(opposite)].any()


def test_balls_that_overlap_do_not_exceed_one():
    clicks = [(voxel, True) for voxel in ((4, 4, 4), (4, 4, 5), (4, 5, 4))]
    maps = draw_maps(prompts_of((None, clicks)), SHAPE, LEVELS)
    assert all(m.max() == 1 for m in maps)


@st.composite
def boxes(draw):
    """Boxes in the window, their faces anywhere between its outer faces."""
    faces = [sorted(draw(st.tuples(*[st.floats(0, size, width=32)] * 2))) for size in SHAPE]
    return tuple(tuple(f[side] - 0.5 for f in faces) for side in (0, 1))


@fast
@given(boxes())
def test_a_boxs_occupancy_sums_to_its_volume_on_every_level(box):
    volume = np.prod(np.subtract(box[1], box[0]))
    for level, drawn in enumerate(draw_maps(prompts_of((box, [])), SHAPE, LEVELS)):
        occupancy = drawn[0, MAPS.index("box")]
        assert occupancy.min() >= 0
        assert occupancy.max() <= 1
        assert np.isclose(float(occupancy.sum()) * 8**level, volume, rtol=1e-3, atol=0.1)


def test_the_ellipsoid_fills_its_box():
    box = ((1.5, 3.5, 0.5), (12.5, 18.5, 6.5))
    ellipsoid = draw_maps(prompts_of((box, [])), SHAPE, 1)[0][0, MAPS.index("ellipsoid")]
    volume = np.pi / 6 * np.prod(np.subtract(box[1], box[0]))
    inside = ellipsoid > 0
    assert np.isclose(int(inside.sum()), volume, rtol=0.05)
    found = [(int(i.min()), int(i.max())) for i in inside.nonzero(as_tuple=True)]
    assert found == [(2, 12), (4, 18), (1, 6)]
    assert ellipsoid.min() == -1


def test_an_absent_box_is_not_drawn():
    absent = replace(prompts_of((None, [((5, 6, 4), True)])), boxes=torch.tensor([BOX]))
    for drawn in draw_maps(absent, SHAPE, LEVELS):
        assert not drawn[0, [MAPS.index("box"), MAPS.index("ellipsoid")]].any()


def test_the_last_result_is_averaged_for_the_coarser_levels():
    previous = previous_of(2, SHAPE)
    has = torch.tensor([True, False])
    maps = draw_maps(prompts_of((BOX, []), (BOX, []), previous=previous, has_previous=has), SHAPE, LEVELS)
    bounded = torch.tanh(previous[0, 0] / 2)
    for level, drawn in enumerate(maps):
        own = drawn[0, MAPS.index("previous")]
        assert torch.isclose(own[0, 0, 0], bounded[: 2**level, : 2**level, : 2**level].mean(), atol=1e-6)
        assert not drawn[1, MAPS.index("previous")].any()
