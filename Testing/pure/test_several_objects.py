"""Several objects in one question: what they share, and whose a voxel is."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from ensam import planning as planning_module
from ensam import session as session_module
from ensam.masks import MaskCrop
from ensam.network import ENSAM
from ensam.planning import COARSENING, ObjectPrompts, group_objects, make_plan, to_voxels
from ensam.preprocessing import fit_to_budget
from ensam.prompts import Box, Point, PromptSet
from fuzzing import inputs
from hypothesis import given
from hypothesis import strategies as st

from .tiny import blob_volume, box_of, ct_volume, point_at


def test_near_objects_share_one_encoder_pass_and_never_overlap(a_session, a_volume, encoder_calls):
    prompts = [
        PromptSet(box_of(a_volume, (12, 14, 14), (24, 30, 30))),
        PromptSet(box_of(a_volume, (14, 18, 18), (26, 34, 34))),
        PromptSet(box_of(a_volume, (12, 16, 20), (24, 32, 36))),
    ]
    results = a_session.segment_all(prompts)
    assert len(encoder_calls) == 1 and len(results) == 3
    total = sum(result.laid_out(a_volume.grid.shape).astype(int) for result in results)
    assert total.max() == 1
    assert all(result.mask.any() for result in results)


def test_every_object_keeps_a_voxel_even_if_all_ask_for_the_same(a_session, a_box):
    results = a_session.segment_all([PromptSet(a_box)] * 3)
    assert [bool(r.mask.any()) for r in results] == [True] * 3


def test_distant_objects_get_windows_of_their_own():
    volume = blob_volume((40, 120, 120))
    near = [(2, 2, 2), (2, 8, 8)]
    far = (20, 90, 90)
    objects = [to_voxels(volume, PromptSet(box_of(volume, at, tuple(np.add(at, 12))))) for at in (*near, far)]
    assert group_objects(volume, objects, 32**3) == [[0, 1], [2]]


def grouped_plainly(volume, objects, budget):
    """By the window of each object with each group, one after the other."""

    def coarseness(members):
        size = make_plan(volume, members, budget).window.size
        return np.divide(size, fit_to_budget(size, volume.grid.spacing_zyx, budget)).max()

    groups = []
    for one in objects:
        for group in groups:
            shared = coarseness([*group, one])
            if all(shared <= COARSENING * coarseness([member]) for member in [*group, one]):
                group.append(one)
                break
        else:
            groups.append([one])
    return [[objects.index(one) for one in group] for group in groups]


@inputs(50)
@given(st.integers(0, 2**16), st.integers(2, 10), st.sampled_from([8**3, 16**3, 32**3]))
def test_objects_share_a_window_as_long_as_none_is_seen_much_coarser(seed, count, budget):
    volume, rng = blob_volume((40, 60, 60)), np.random.default_rng(seed)
    objects = []
    for _ in range(count):
        at, size = rng.uniform(0, 30, 3), rng.uniform(1, rng.choice([5, 25]), 3)
        clicks = tuple((rng.uniform(at, at + 10), True) for _ in range(rng.integers(1, 3)))
        previous = MaskCrop(np.ones((2, 2, 2), bool), tuple(rng.integers(0, 38, 3).tolist()))
        box = np.stack((at, np.minimum(at + size, 39.5)))
        objects.append(
            ObjectPrompts(*((box, ()), (None, clicks), (box, clicks), (box, (), previous))[rng.integers(4)])
        )
    assert group_objects(volume, objects, budget) == grouped_plainly(volume, objects, budget)


def test_many_distant_objects_are_told_apart_without_a_search_for_each_pair(monkeypatch):
    volume, searches = blob_volume((30, 300, 300)), []
    monkeypatch.setattr(
        planning_module, "fit_to_budget", lambda *given: searches.append(given) or fit_to_budget(*given)
    )
    places = [(10, y, x) for y in range(0, 300, 60) for x in range(0, 300, 60)]
    objects = [to_voxels(volume, PromptSet(box_of(volume, at, tuple(np.add(at, 6))))) for at in places]
    assert group_objects(volume, objects, 16**3) == [[i] for i in range(len(places))]
    assert len(searches) <= 2 * len(places)


def test_one_object_among_several_is_what_it_would_be_alone(a_session, a_box, a_volume):
    alone = a_session.segment(PromptSet(a_box))
    (together,) = a_session.segment_all([PromptSet(a_box)])
    assert np.array_equal(alone.mask, together.mask)


def test_each_object_is_seen_in_its_own_grey_range_whatever_the_order(a_session):
    volume = ct_volume()
    a_session.set_volume(volume)
    lung, tissue = (PromptSet(box_of(volume, (10, y, 10), (25, y + 10, 25))) for y in (3, 24))
    results = dict(zip(("lung", "tissue"), a_session.segment_all([lung, tissue]), strict=True))
    backwards = dict(zip(("tissue", "lung"), a_session.segment_all([tissue, lung]), strict=True))
    for name, expected in (("lung", "'lung'"), ("tissue", "'soft tissue'")):
        assert expected in results[name].notes[0]
        assert np.array_equal(results[name].logits, backwards[name].logits)


def test_a_box_and_a_click_that_ask_for_the_same_grey_range_share_a_window(a_session, encoder_calls):
    volume = ct_volume()
    a_session.set_volume(volume)
    box = PromptSet(box_of(volume, (14, 24, 14), (22, 32, 22)))
    click = PromptSet(points=(point_at(volume, (18, 28, 20)),))
    boxed, clicked = a_session.segment_all([box, click])
    assert len(encoder_calls) == 1
    assert boxed.grey_values == "CT window 'soft tissue' (chosen by the values in the box)"
    assert clicked.grey_values == "CT window 'soft tissue' (chosen by the values round the clicks)"


def test_objects_smaller_than_a_voxel_at_one_place_keep_a_voxel_each(a_session, a_volume):
    lower = a_volume.grid.zyx_to_ras(np.array([20.0, 20.0, 20.0]))
    prompts = [PromptSet(Box.from_bounds_ras(lower, lower + size)) for size in (0.4, 0.3, 0.2)]
    results = a_session.segment_all(prompts)
    assert all(result.mask.any() for result in results)
    assert sum(r.laid_out(a_volume.grid.shape).astype(int) for r in results).max() == 1


def test_many_objects_are_decoded_in_parts_with_the_same_answer(a_session, a_volume, monkeypatch):
    prompts = [PromptSet(box_of(a_volume, (12, y, 20), (26, y + 12, 34))) for y in (14, 16, 18, 20)]
    at_once = a_session.segment_all(prompts)
    monkeypatch.setattr(session_module, "VOXELS_AT_ONCE", 1)
    for one, other in zip(at_once, a_session.segment_all(prompts), strict=True):
        assert np.allclose(one.logits, other.logits, atol=1e-3)


def test_several_objects_go_on_from_a_mask_each(a_session, a_volume, a_box, a_mask):
    prompts = [PromptSet(a_box), PromptSet(box_of(a_volume, (14, 18, 18), (26, 34, 34)))]
    alone = a_session.segment_all(prompts)
    first = a_session.segment_all(prompts, [a_mask, None])
    both = a_session.segment_all(prompts, [a_mask, a_mask])
    assert not np.array_equal(first[0].logits, alone[0].logits)
    assert np.allclose(first[1].logits, alone[1].logits, atol=1e-4)
    assert np.allclose(first[0].logits, both[0].logits, atol=1e-4)
    assert not np.array_equal(both[1].logits, alone[1].logits)
    assert np.array_equal(
        a_session.segment(prompts[0], a_mask).logits, a_session.segment_all(prompts[:1], [a_mask])[0].logits
    )


def test_every_object_needs_its_entry_among_the_previous_masks(a_session, a_box, a_mask):
    with pytest.raises(ValueError, match="zip"):
        a_session.segment_all([PromptSet(a_box)] * 2, [a_mask])


def test_the_preview_of_several_objects_is_that_of_the_window_that_asks_for_most(a_session):
    volume = blob_volume((40, 120, 120))
    a_session.set_volume(volume)
    small, large = (
        PromptSet(box_of(volume, at, tuple(np.add(at, size))))
        for at, size in (((2, 2, 2), 4), ((20, 90, 90), 12))
    )
    assert_previewed_as(large, a_session.preview_all([small, large]), a_session)
    a_session.segment(large)
    assert_previewed_as(small, a_session.preview_all([small, large]), a_session)
    assert_previewed_as(small, a_session.preview_all([small, small]), a_session)


def assert_previewed_as(one, preview, session):
    """A preview is one's own, but for the memory of other answers."""
    alone = session.preview(one)
    assert replace(preview, memory_bytes=alone.memory_bytes) == alone
    assert preview.memory_bytes > alone.memory_bytes


@pytest.mark.parametrize("distant", [False, True], ids=["one window", "several windows"])
def test_the_memory_foreseen_holds_the_answers_of_all_objects(a_session, distant, monkeypatch):
    monkeypatch.setattr(session_module, "VOXELS_AT_ONCE", 1)
    # Masks that reach beyond their boxes are not foreseen.
    decode = ENSAM.decode
    monkeypatch.setattr(ENSAM, "decode", lambda *given: torch.full_like(decode(*given), -5))
    volume = blob_volume((40, 120, 120))
    a_session.set_volume(volume)
    asked = [
        PromptSet(box_of(volume, (2, at, at), (34, at + 32, at + 32)))
        for at in (np.linspace(2, 80, 10) if distant else [2] * 10)
    ]
    more = a_session.preview_all(asked).memory_bytes - a_session.preview(asked[0]).memory_bytes
    answers = a_session.segment_all(asked)
    assert (len({answer.offset for answer in answers}) > 1) == distant
    # A mask before and after merging, and the logits.
    assert more >= sum(2 * answer.mask.nbytes + answer.logits.nbytes for answer in answers[1:])


def test_logits_of_objects_decoded_in_parts_are_not_kept_twice(a_session, a_volume, monkeypatch):
    monkeypatch.setattr(session_module, "VOXELS_AT_ONCE", 1)
    prompts = [PromptSet(box_of(a_volume, (12, y, 20), (26, y + 12, 34))) for y in range(12, 28)]
    a_session.segment_all(prompts)
    tracemalloc.start()
    try:
        answers = a_session.segment_all(prompts)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Logits once, and masks before and after merging.
    assert peak < sum(answer.logits.nbytes + 2.5 * answer.mask.nbytes for answer in answers)


def test_a_click_for_one_object_can_be_a_click_against_the_others(a_session, a_volume, a_box):
    here, there = point_at(a_volume, (20, 24, 28)), point_at(a_volume, (15, 20, 24))
    ours, theirs = PromptSet(a_box, (here,)), PromptSet(a_box, (there,))
    shared = a_session.segment_all([ours, theirs], clicks_exclude=True)
    against = PromptSet(a_box, (here, Point(there.position_ras, False)))
    # Clicks in another order round differently in half precision.
    assert np.allclose(shared[0].logits, a_session.segment(against).logits, atol=0.05)
    assert not np.allclose(shared[0].logits, a_session.segment_all([ours, theirs])[0].logits, atol=0.05)


@pytest.fixture
def everything(monkeypatch):
    """The network takes every voxel for every object."""
    decode = ENSAM.decode
    monkeypatch.setattr(ENSAM, "decode", lambda *given: torch.full_like(decode(*given), 5))


@pytest.mark.parametrize("backwards", [False, True])
def test_a_clicked_voxel_is_its_objects_also_where_another_window_holds_it(a_session, everything, backwards):
    volume = ct_volume()
    a_session.set_volume(volume)
    lung = PromptSet(box_of(volume, (10, 3, 10), (25, 13, 25)), (point_at(volume, (18, 18, 18)),))
    tissue = PromptSet(box_of(volume, (10, 20, 10), (25, 34, 25)), (point_at(volume, (18, 15, 18)),))
    asked = [tissue, lung] if backwards else [lung, tissue]
    answers = a_session.segment_all(asked, clicks_exclude=True)
    assert len({answer.grey_values for answer in answers}) == 2
    for prompts, answer in zip(asked, answers, strict=True):
        (point,) = prompts.points
        voxel = volume.grid.voxel_at(volume.grid.ras_to_zyx(np.array(point.position_ras)))
        assert answer.laid_out(volume.grid.shape)[voxel]


def test_a_click_of_another_window_is_obeyed_and_changes_no_more_than_its_ball(a_session, monkeypatch):
    volume = ct_volume()
    a_session.set_volume(volume)
    decode = ENSAM.decode
    monkeypatch.setattr(ENSAM, "decode", lambda *given: decode(*given) + 100)
    lung = PromptSet(box_of(volume, (10, 3, 10), (25, 13, 25)), (point_at(volume, (18, 18, 18)),))
    tissue = PromptSet(box_of(volume, (10, 20, 10), (25, 34, 25)))
    (_, excluding), (_, plain) = (
        a_session.segment_all([lung, tissue], clicks_exclude=exclude) for exclude in (True, False)
    )
    changed = np.argwhere(excluding.logits != plain.logits) + excluding.offset
    assert len(changed) and np.abs(changed - (18, 18, 18)).max() <= 6  # three sigma


def test_clicks_that_a_window_does_not_hold_change_nothing_in_it(a_session):
    volume = blob_volume((40, 120, 120))
    a_session.set_volume(volume)
    asked = [
        PromptSet(box_of(volume, at, tuple(np.add(at, 8))), (point_at(volume, tuple(np.add(at, 4))),))
        for at in ((2, 2, 2), (20, 90, 90))
    ]
    for excluding, plain in zip(
        a_session.segment_all(asked, clicks_exclude=True), a_session.segment_all(asked), strict=True
    ):
        assert excluding.mask.any() and np.array_equal(excluding.logits, plain.logits)


def test_a_voxel_that_two_objects_have_clicked_is_one_of_theirs(a_session, a_volume, a_box):
    points = point_at(a_volume, (20, 24, 28)), point_at(a_volume, (20, 24, 28.3))
    results = a_session.segment_all([PromptSet(a_box, (one,)) for one in points], clicks_exclude=True)
    assert sum(int(result.laid_out(a_volume.grid.shape)[20, 24, 28]) for result in results) == 1


def test_the_window_that_is_previewed_and_grouped_by_is_the_one_that_answers(a_session, encoder_calls):
    volume = blob_volume((60, 80, 80))
    a_session.set_volume(volume)
    prompts = [
        PromptSet(points=(point_at(volume, (30, 40, 42)),)),
        PromptSet(box_of(volume, (20, 34, 40), (26, 46, 48)), (point_at(volume, (23, 40, 48)),)),
    ]
    preview = a_session.preview_all(prompts)
    answers = a_session.segment_all(prompts, clicks_exclude=True)
    assert {tuple(shape[2:]) for shape in encoder_calls} == {preview.window_voxels}
    extent = np.multiply(preview.window_voxels, preview.voxel_mm)
    assert all(np.allclose(np.multiply(a.mask.shape, volume.grid.spacing_zyx), extent) for a in answers)
    assert not a_session.preview_all(prompts).runs_encoder


def test_two_boxes_on_one_place_are_no_silent_loss(a_session, a_box, everything):
    winner, loser = a_session.segment_all([PromptSet(a_box)] * 2, clicks_exclude=True)
    assert loser.count == 1 < winner.count and loser.found
    assert loser.notes[0].startswith("One object lost nearly all of its voxels") and not winner.warnings
