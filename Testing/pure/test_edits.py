"""What the user made stays, except in the pieces of change that the new prompts ask for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ensam.edits import follow_prompts
from ensam.geometry import Grid
from ensam.masks import MaskCrop
from ensam.prompts import Box, Point, PromptSet
from fuzzing import inputs
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

fast = inputs(150)
SHAPE = (4, 5, 6)
TURN, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))
GRID = Grid(SHAPE, np.block([[TURN * (0.7, 1.1, 3), np.ones((3, 1))], [np.zeros((1, 3)), np.ones((1, 1))]]))
BOX, OTHER_BOX = Box((0, 0, 0), (1, 2, 3)), Box((1, 0, 0), (1, 2, 3))


def at(voxel, foreground=True, shift=0.0):
    """A point in a voxel, off its centre by `shift` voxels along each axis."""
    return Point(tuple(GRID.zyx_to_ras(np.add(voxel, shift)).tolist()), foreground)


def crop_of(*voxels):
    mask = np.zeros(SHAPE, bool)
    for voxel in voxels:
        mask[voxel] = True
    return MaskCrop(mask, (0, 0, 0))


def follow(base, answer, before, now):
    """The answer on the whole grid, bool (z, y, x)."""
    return follow_prompts(base, answer, before, now, GRID).laid_out(SHAPE)


def piece_round(change, voxel):
    """The voxels joined with this one by faces, found one by one."""
    found, waiting = np.zeros_like(change), [voxel] if change[voxel] else []
    while waiting:
        z, y, x = waiting.pop()
        if (
            all(0 <= v < n for v, n in zip((z, y, x), SHAPE, strict=True))
            and change[z, y, x] > found[z, y, x]
        ):
            found[z, y, x] = True
            waiting += [
                (z + 1, y, x),
                (z - 1, y, x),
                (z, y + 1, x),
                (z, y - 1, x),
                (z, y, x + 1),
                (z, y, x - 1),
            ]
    return found


masks = arrays(bool, SHAPE)
crops = st.builds(MaskCrop, masks, st.just((0, 0, 0)))
voxels = st.tuples(*[st.integers(0, n - 1) for n in SHAPE])
# One point a voxel, so that no voxel is asked to be both.
points = st.dictionaries(voxels, st.booleans(), max_size=5).map(
    lambda sides: tuple(at(voxel, side) for voxel, side in sides.items())
)
prompt_sets = st.builds(PromptSet, st.sampled_from([None, BOX]), points)


def voxel_of(point):
    return tuple(np.round(GRID.ras_to_zyx(np.array(point.position_ras))).astype(int).tolist())


@fast
@given(crops, crops, prompt_sets)
def test_equal_prompts_change_nothing(base, answer, prompts):
    assert follow_prompts(base, answer, prompts, prompts, GRID) is base


@fast
@given(crops, crops, prompt_sets, points)
def test_a_new_box_takes_the_answer_as_a_whole_but_for_the_clicked_voxels(base, answer, before, clicks):
    expected = answer.mask.copy()
    for point in clicks:
        expected[voxel_of(point)] = point.foreground
    assert np.array_equal(follow(base, answer, before, PromptSet(OTHER_BOX, clicks)), expected)


@fast
@given(crops, crops, points, voxels, st.booleans())
def test_a_click_takes_over_the_piece_it_lies_in_and_nothing_else(base, answer, before, voxel, side):
    old = PromptSet(BOX, before)
    assume(voxel not in [voxel_of(point) for point in before])
    now = old.with_point(at(voxel, side))
    change = (answer.mask == side) & (base.mask != side)
    expected = base.mask.copy()
    expected[piece_round(change, voxel)] = side
    for point in before:
        if base.mask[voxel_of(point)] == point.foreground:
            expected[voxel_of(point)] = point.foreground
    expected[voxel] = side
    assert np.array_equal(follow(base, answer, old, now), expected)


@fast
@given(crops, crops, prompt_sets, points)
def test_a_voxel_clicked_now_ends_on_its_side(base, answer, before, clicks):
    now = PromptSet(before.box, clicks)
    result = follow(base, answer, before, now)
    for point in set(now.points) - set(before.points):
        assert result[voxel_of(point)] == point.foreground


@fast
@given(crops, crops, prompt_sets, points)
def test_all_voxels_but_the_clicked_ones_are_the_users_or_the_answers(base, answer, before, clicks):
    result = follow(base, answer, before, PromptSet(before.box, clicks))
    strange = (result != base.mask) & (result != answer.mask)
    assert {tuple(v) for v in np.argwhere(strange).tolist()} <= {voxel_of(point) for point in clicks}


@fast
@given(crops, crops, prompt_sets, points)
def test_foreground_clicks_only_add_and_background_clicks_only_remove(base, answer, before, clicks):
    for side in (True, False):
        asked = tuple(point for point in clicks if point.foreground == side)
        new = {voxel_of(point) for point in asked}
        own = tuple(point for point in before.points if voxel_of(point) not in new)
        start = replace(before, points=own)
        result = follow(base, answer, start, PromptSet(before.box, (*own, *asked)))
        assert not np.any((result != base.mask) & (result != side))


@fast
@given(crops, crops, prompt_sets, voxels)
def test_a_click_that_agrees_with_the_mask_changes_nothing(base, answer, before, voxel):
    assume(voxel not in [voxel_of(point) for point in before.points])
    now = before.with_point(at(voxel, bool(base.mask[voxel])))
    assert np.array_equal(follow(base, answer, before, now), base.mask)


@fast
@given(crops, crops, prompt_sets, points, st.randoms())
def test_neither_the_order_of_the_points_nor_the_crop_matters(base, answer, before, clicks, random):
    shuffled = list(clicks)
    random.shuffle(shuffled)
    trimmed, wide = base.trimmed(), MaskCrop(np.pad(answer.mask, 2), (-2, -2, -2))
    now = PromptSet(before.box, clicks)
    expected = follow(base, answer, before, now)
    assert np.array_equal(follow(trimmed, wide, before, PromptSet(before.box, tuple(shuffled))), expected)


def test_a_piece_that_is_not_clicked_stays_as_the_user_made_it():
    base = crop_of((0, 0, 0), (3, 4, 5))
    answer = crop_of((0, 0, 0), (0, 0, 1), (0, 0, 2), (2, 2, 2), (2, 2, 3))
    result = follow(base, answer, PromptSet(BOX), PromptSet(BOX, (at((0, 0, 2)),)))
    assert np.array_equal(result, crop_of((0, 0, 0), (0, 0, 1), (0, 0, 2), (3, 4, 5)).mask)


def test_pieces_that_touch_by_an_edge_are_two():
    answer = crop_of((1, 1, 1), (1, 2, 2))
    result = follow(crop_of((0, 0, 0)), answer, PromptSet(), PromptSet(None, (at((1, 1, 1)),)))
    assert np.array_equal(result, crop_of((0, 0, 0), (1, 1, 1)).mask)


def test_a_deleted_click_gives_back_the_piece_it_had_asked_for():
    base, answer = crop_of((1, 1, 1), (1, 1, 2), (3, 3, 3)), crop_of((2, 2, 2))
    before = PromptSet(BOX, (at((1, 1, 1)),))
    assert np.array_equal(follow(base, answer, before, PromptSet(BOX)), crop_of((3, 3, 3)).mask)


def test_a_deleted_click_never_turns_against_what_the_user_did_under_it():
    before = PromptSet(BOX, (at((1, 1, 1)), at((3, 3, 3), False)))
    erased_and_painted, answer = crop_of((3, 3, 3)), crop_of((1, 1, 1))
    result = follow(erased_and_painted, answer, before, PromptSet(BOX))
    assert np.array_equal(result, erased_and_painted.mask)


def test_a_moved_click_gives_one_piece_back_and_takes_another():
    base, answer = crop_of((1, 1, 1), (1, 1, 2)), crop_of((3, 3, 3), (3, 3, 4))
    result = follow(base, answer, PromptSet(BOX, (at((1, 1, 1)),)), PromptSet(BOX, (at((3, 3, 3)),)))
    assert np.array_equal(result, answer.mask)


def test_a_click_that_moves_within_its_voxel_does_not_give_the_voxel_back():
    base, answer = crop_of((1, 1, 1), (1, 1, 2)), crop_of((2, 2, 2))
    before, now = (PromptSet(BOX, (at((1, 1, 1), shift=shift),)) for shift in (0, 0.3))
    assert np.array_equal(follow(base, answer, before, now), base.mask)


def test_a_flipped_click_asks_for_its_new_side():
    base, answer = crop_of((1, 1, 1), (1, 1, 2)), crop_of()
    before, now = (PromptSet(BOX, (at((1, 1, 1), side),)) for side in (True, False))
    assert not follow(base, answer, before, now).any()


def test_deleting_the_box_leaves_the_mask():
    base, answer = crop_of((1, 1, 1)), crop_of((2, 2, 2))
    assert np.array_equal(follow(base, answer, PromptSet(BOX), PromptSet()), base.mask)


@pytest.mark.parametrize("corner", [(-0.5, -0.5, -0.5), tuple(n - 0.5 for n in SHAPE)])
def test_a_click_on_the_face_of_the_grid_marks_the_outer_voxel(corner):
    empty = MaskCrop(np.zeros((0, 0, 0), bool), (0, 0, 0))
    result = follow(empty, empty, PromptSet(), PromptSet(None, (at(corner),)))
    (voxel,) = np.argwhere(result)
    assert np.all(np.abs(voxel - np.array(corner)) < 0.6)


def test_a_click_outside_the_grid_asks_for_nothing():
    base = crop_of((1, 1, 1))
    assert np.array_equal(follow(base, base, PromptSet(), PromptSet(None, (at((9, 9, 9)),))), base.mask)
