"""Prompts drawn as small maps: a ball for a click, the share of each voxel for a box, the last result."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ensam.network.config import LIKENESS_MAPS, PROMPT_MAPS
from ensam.network.prompt_maps import GREY_LEVELS, LIKENESS_SIGMA, PromptMaps, grey_levels, likeness_curves
from fuzzing import inputs
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from .tiny_network import BOX, image_of, previous_of, prompts_of, tiny_network

SHAPE, LEVELS = (16, 24, 8), 4
fast = inputs(40)
voxels = st.tuples(*[st.integers(0, size - 1) for size in SHAPE])


MAPS = (*PROMPT_MAPS, *LIKENESS_MAPS)


def maps_of(prompts, image, levels=LEVELS):
    grey = grey_levels(image, levels)
    return PromptMaps(prompts, tuple(image.shape[2:]), grey, likeness_curves(prompts, grey[0]))


def draw_maps(prompts, shape, levels, image=None):
    maps = PromptMaps(prompts, shape) if image is None else maps_of(prompts, image, levels)
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


def likeness_of(image, values):
    """By definition: how like each voxel is to the likest of the values."""
    likeness = torch.zeros(image.shape)
    for value in values:
        likeness = torch.maximum(likeness, torch.exp(-0.5 * ((image - value) / LIKENESS_SIGMA) ** 2))
    return likeness


def value_round(image, voxel):
    """The mean of the 27 voxels round a voxel, the outer ones taken again beyond the border."""
    z, y, x = voxel
    padded = F.pad(image[None, None], [1] * 6, mode="replicate")[0, 0]
    return padded[z : z + 3, y : y + 3, x : x + 3].mean()


@fast
@given(st.lists(st.tuples(voxels, st.booleans()), max_size=6))
def test_voxels_are_drawn_by_how_like_they_are_to_the_clicked_ones(clicks):
    """Of two objects, so that each has its own clicks; one's are in the corners."""
    image, corners = image_of(SHAPE), [((0, 0, 0), True), ((15, 23, 7), False)]
    rounding = 0.61 / LIKENESS_SIGMA / GREY_LEVELS  # the curve's steepest slope, half a level on both sides
    for level, drawn in enumerate(
        draw_maps(prompts_of((BOX, clicks), (None, corners)), SHAPE, LEVELS, image)
    ):
        assert drawn.shape[:2] == (2, len(MAPS))
        pooled = F.avg_pool3d(image, 2**level)[0, 0]
        for own, found in zip((clicks, corners), drawn, strict=True):
            for positive, name in zip((True, False), LIKENESS_MAPS[:2], strict=True):
                values = [value_round(image[0, 0], voxel) for voxel, kind in own if kind == positive]
                expected = likeness_of(pooled, values)
                assert torch.allclose(found[MAPS.index(name)], expected, atol=rounding)


def test_likeness_is_drawn_by_planes_and_of_a_part_as_in_the_whole():
    image = image_of(SHAPE)
    prompts = prompts_of((BOX, [((0, 0, 0), True), ((15, 23, 7), False)]))
    maps = maps_of(prompts, image)
    whole = maps.draw(0)
    assert torch.equal(maps.draw(0, 3, 7), whole[:, :, 3:7])
    # The clicks are outside of the part, and count in it all the same.
    part = maps.cut((4, 8, 2), (12, 20, 6)).draw(0)
    assert torch.allclose(part, whole[:, :, 4:12, 8:20, 2:6], atol=1e-6)


def test_one_object_of_several_has_its_own_maps():
    prompts = prompts_of((BOX, [((3, 4, 5), True)]), (None, [((9, 9, 2), False)]))
    maps = maps_of(prompts, image_of(SHAPE))
    for level in range(LEVELS):
        both = maps.draw(level)
        assert torch.equal(torch.cat([maps.of(n).draw(level) for n in (0, 1)]), both)


BOX_HERE = ((3.5, 5.5, 1.5), (11.5, 17.5, 6.5))


def like_box(image, box, level=0):
    drawn = draw_maps(prompts_of((box, [])), image.shape[2:], level + 1, image)[level]
    return drawn[0, MAPS.index("like box")]


def test_grey_values_of_the_box_and_of_its_surroundings_are_told_apart():
    """A bright box in a dark window, both with noise; what is bright elsewhere is like the box."""
    image = 0.2 + 0.1 * image_of(SHAPE)
    image[..., 4:12, 6:18, 2:7] += 0.5
    image[..., 14:, 20:, 0] += 0.5
    for level in range(3):
        found = like_box(image, BOX_HERE, level)
        pooled = F.avg_pool3d(image, 2**level)[0, 0]
        assert (found[pooled > 0.7] > 0.9).all() and (found[pooled < 0.3] < -0.8).all()
    assert found.min() >= -1


def test_where_the_box_looks_like_its_surroundings_nothing_is_told():
    found = like_box(0.5 + 0.001 * image_of(SHAPE), BOX_HERE)
    assert found.abs().max() < 0.05


@pytest.mark.parametrize("box", [None, ((3.6, 5, 1), (4.4, 6, 2)), ((-0.5,) * 3, (15.5, 23.5, 7.5))])
def test_without_voxels_inside_or_outside_nothing_is_told(box):
    """No box, one between the voxels' centres, and one that is all of the window."""
    assert not like_box(image_of(SHAPE), box).any()


def test_a_large_windows_grey_values_are_sampled():
    image = 0.2 + 0.1 * image_of((16, 16, 200))
    image[..., 4:12, 4:12, 50:150] += 0.5
    found = like_box(image, ((3.5, 3.5, 49.5), (11.5, 11.5, 149.5)))
    assert (found[image[0, 0] > 0.6] > 0.9).all() and (found[image[0, 0] < 0.3] < -0.8).all()


def test_what_pads_a_window_is_neither_in_the_box_nor_outside(monkeypatch):
    """A slice of its own: the network sees copies of it beside it."""
    drawn, plain = [], PromptMaps.draw
    monkeypatch.setattr(PromptMaps, "draw", lambda self, *a: drawn.append(plain(self, *a)) or drawn[-1])
    image = 0.2 + 0.1 * image_of((1, 24, 24))
    image[..., 8:16, 8:16] += 0.5
    with torch.no_grad():
        tiny_network()(image, prompts_of((((-0.5, 7.5, 7.5), (0.5, 15.5, 15.5)), [])))
    finest = next(maps for maps in drawn if maps.shape[-1] == 24)
    assert finest[0, MAPS.index("like box"), 0, 8:16, 8:16].min() > 0.95
