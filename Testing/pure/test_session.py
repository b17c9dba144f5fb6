"""The session: encode once, answer every prompt, the same answer for the same prompts."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from ensam import session as session_module
from ensam.edits import follow_prompts
from ensam.errors import Cancelled, InputError, PromptError
from ensam.geometry import Grid
from ensam.masks import EMPTY, MaskCrop
from ensam.network import ENSAM
from ensam.planning import make_plan, to_voxels
from ensam.prompts import Box, Point, PromptSet
from ensam.session import InteractiveSession
from ensam.volume import Volume

from .tiny import BUDGET, blob_volume, box_of, ct_volume, point_at


def test_a_click_in_an_unchanged_window_runs_no_encoder(a_session, a_volume, a_box, encoder_calls):
    first = a_session.segment(PromptSet(a_box))
    clicked = a_session.segment(PromptSet(a_box, (point_at(a_volume, (20, 24, 28)),)))
    moved = a_session.segment(PromptSet(a_box, (point_at(a_volume, (14, 20, 30), False),)))
    assert len(encoder_calls) == 1
    assert first.encoder_ran and not clicked.encoder_ran and not moved.encoder_ran
    assert clicked.timings.encode_s == 0 < clicked.timings.decode_s <= clicked.timings.total_s
    assert not np.array_equal(first.logits, clicked.logits)


def test_a_click_outside_the_window_grows_it_and_pays_for_the_encoder(a_session, a_volume, a_box):
    first = a_session.segment(PromptSet(a_box))
    far = a_session.segment(PromptSet(a_box, (point_at(a_volume, (39, 47, 55), False),)))
    assert far.encoder_ran
    assert np.all(np.add(far.offset, far.mask.shape) >= np.add(first.offset, first.mask.shape))
    assert np.add(far.offset, far.mask.shape).tolist() == list(a_volume.grid.shape)


def test_the_same_prompts_give_the_same_mask_whatever_came_before(a_checkpoint, a_session, a_volume, a_box):
    clicks = [point_at(a_volume, (20, 24, 28)), point_at(a_volume, (13, 18, 22), False)]
    fresh = a_session.segment(PromptSet(a_box, tuple(clicks)))
    used = InteractiveSession(a_checkpoint, "cpu")
    used.set_volume(blob_volume(seed=1))
    used.segment(PromptSet(a_box))
    used.set_volume(a_volume)
    for prompts in (PromptSet(a_box), PromptSet(a_box, (clicks[1],))):
        used.segment(prompts)
    again = used.segment(PromptSet(a_box, tuple(reversed(clicks))))
    assert np.array_equal(fresh.logits, again.logits) and fresh.offset == again.offset


def test_the_answer_is_on_the_volumes_grid(a_session, a_volume, a_box):
    result = a_session.segment(PromptSet(a_box))
    assert result.mask.dtype == bool and result.mask.shape == result.logits.shape
    assert result.laid_out(a_volume.grid.shape).sum() == result.mask.sum() > 0


@pytest.mark.parametrize("size", [(10, 10, 10), (22, 24, 26)], ids=["not thinned", "thinned"])
def test_an_answer_is_cut_to_where_it_may_be_foreground_and_loses_nothing(
    a_session, a_volume, size, monkeypatch
):
    box = box_of(a_volume, (8, 10, 12), tuple(np.add((8, 10, 12), size)))

    decode = ENSAM.decode

    def a_ball(self, features, prompts):
        """A noisy ball in the middle of the window."""
        logits = decode(self, features, prompts)
        axes = (torch.linspace(-7, 7, n).square() for n in logits.shape[2:])
        z, y, x = torch.meshgrid(*axes, indexing="ij")
        noise = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0))
        return logits * 0 + noise + 3 - 2 * (z + y + x).sqrt()

    monkeypatch.setattr(ENSAM, "decode", a_ball)
    cut = a_session.segment(PromptSet(box))
    monkeypatch.setattr(session_module, "answered_part", lambda _, window, *__: whole_of(window))
    whole = a_session.segment(PromptSet(box))
    assert cut.is_same(whole) and cut.mask.any() and cut.mask.size < whole.mask.size
    here, there = cut.shared(whole)
    assert cut.logits[here].shape == cut.mask.shape
    assert np.allclose(cut.logits[here], whole.logits[there], atol=1e-4)


def whole_of(window):
    return tuple(slice(0, n) for n in window.size)


def test_an_answer_that_stays_in_its_box_takes_up_little_more(a_session, a_volume, monkeypatch):
    logits_of(monkeypatch, -5)
    result = a_session.segment(PromptSet(box_of(a_volume, (18, 20, 22), (20, 24, 28))))
    assert result.offset == (15, 17, 19) and result.mask.shape == (9, 11, 13)


def test_a_transformed_volume_gives_the_same_mask_for_prompts_moved_with_it(a_session, a_volume, a_box):
    turn = np.array([[0.0, -1, 0, 5], [1, 0, 0, -7], [0, 0, 1, 3], [0, 0, 0, 1]])
    plain = a_session.segment(PromptSet(a_box, (point_at(a_volume, (20, 24, 28)),)))
    moved = Volume(a_volume.array, Grid(a_volume.grid.shape, turn @ a_volume.grid.ijk_to_ras), "moved")
    axes = np.array(a_box.axes_ras) @ turn[:3, :3].T
    centre = turn[:3, :3] @ np.array(a_box.center_ras) + turn[:3, 3]
    box = Box(tuple(centre), a_box.size_mm, tuple(map(tuple, axes)))
    a_session.set_volume(moved)
    result = a_session.segment(PromptSet(box, (point_at(moved, (20, 24, 28)),)))
    assert result.offset == plain.offset
    assert np.allclose(result.logits, plain.logits, atol=1e-3)


def test_an_existing_mask_is_gone_on_from_and_stays_in_the_window(a_session, a_volume, a_box):
    painted = np.zeros((3, 4, 5), bool)
    painted[1:, 1:3, 2:4] = True
    far_off = MaskCrop(painted, (0, 0, 0))
    alone = a_session.segment(PromptSet(a_box))
    result = a_session.segment(PromptSet(a_box), far_off)
    assert np.all(np.less_equal(result.offset, (1, 1, 2)))
    assert result.encoder_ran
    near = MaskCrop(np.ones((4, 4, 4), bool), (20, 22, 24))
    assert not np.array_equal(a_session.segment(PromptSet(a_box), near).logits, alone.logits)


def test_an_empty_existing_mask_changes_nothing(a_session, a_box):
    empty = MaskCrop(np.zeros((4, 4, 4), bool), (0, 0, 0))
    alone = a_session.segment(PromptSet(a_box))
    assert np.array_equal(a_session.segment(PromptSet(a_box), empty).logits, alone.logits)


def test_features_stay_within_the_memory_bound_and_the_oldest_go_first(a_checkpoint, a_volume):
    boxes = [box_of(a_volume, (z, 8, 8), (z + 8, 20, 20)) for z in (8, 14, 20)]
    session = InteractiveSession(a_checkpoint, "cpu")
    session.set_volume(a_volume)
    session.segment(PromptSet(boxes[0]))
    session.cache.limit = int(2.5 * session.cache.nbytes)
    for box in (boxes[1], boxes[0], boxes[2]):
        session.segment(PromptSet(box))
    assert session.cache.nbytes <= session.cache.limit
    assert not session.segment(PromptSet(boxes[0])).encoder_ran
    assert session.segment(PromptSet(boxes[1])).encoder_ran


def test_an_object_the_network_does_not_see_still_gets_one_voxel_in_its_box(a_session, a_box, monkeypatch):
    decode = ENSAM.decode
    monkeypatch.setattr(ENSAM, "decode", lambda self, *given: decode(self, *given) - 1000)
    result = a_session.segment(PromptSet(a_box))
    (voxel,) = np.argwhere(result.mask)
    assert np.all(voxel + result.offset >= (12, 16, 20)) and np.all(voxel + result.offset <= (27, 31, 35))
    assert not result.found


def test_where_something_stands_out_it_is_found(a_session, a_box, monkeypatch):
    decode = ENSAM.decode
    monkeypatch.setattr(ENSAM, "decode", lambda self, *given: decode(self, *given) + 1000)
    assert a_session.segment(PromptSet(a_box)).found


def test_points_alone_are_enough_if_one_is_foreground(a_session, a_volume):
    result = a_session.segment(PromptSet(None, (point_at(a_volume, (20, 24, 28)),)))
    assert result.mask.any()
    with pytest.raises(PromptError, match="draw a box or click a foreground"):
        a_session.segment(PromptSet(None, (point_at(a_volume, (20, 24, 28), False),)))
    with pytest.raises(PromptError, match="draw a box or click a foreground"):
        a_session.segment(PromptSet())


def test_prompts_outside_the_volume_are_refused_by_name(a_session, a_box):
    with pytest.raises(PromptError, match=r"point at \(500, 0, 0\) lies outside 'blob'"):
        a_session.segment(PromptSet(a_box, (Point((500.0, 0.0, 0.0), True),)))
    with pytest.raises(PromptError, match="box lies outside 'blob'"):
        a_session.segment(PromptSet(Box((900.0, 900.0, 900.0), (5.0, 5.0, 5.0))))


def test_without_a_volume_the_user_is_told_to_choose_one(a_checkpoint):
    with pytest.raises(InputError, match="choose one first"):
        InteractiveSession(a_checkpoint, "cpu").segment(PromptSet(Box((0, 0, 0), (1, 1, 1))))


def test_the_notes_say_which_window_and_grey_values_were_used(a_session, a_box):
    notes = a_session.segment(PromptSet(a_box)).notes
    assert any("percentile" in note for note in notes)
    assert any("window of" in note and "cpu" in note for note in notes)


def test_threads_wait_for_each_other_and_get_their_own_answers(a_session, a_volume):
    boxes = [box_of(a_volume, (10, y, 16), (26, y + 14, 34)) for y in (8, 14, 20, 26)]
    expected = [a_session.segment(PromptSet(box)).logits for box in boxes]
    barrier = threading.Barrier(4)

    def ask(box):
        barrier.wait()
        return a_session.segment(PromptSet(box)).logits

    with ThreadPoolExecutor(4) as pool:
        for want, got in zip(expected, pool.map(ask, boxes), strict=True):
            assert np.array_equal(want, got)


def test_the_plan_holds_box_and_clicks_and_keeps_the_budget(a_volume, a_box):
    prompts = PromptSet(a_box, (point_at(a_volume, (1, 2, 3), False),))
    window = make_plan(a_volume, [to_voxels(a_volume, prompts)], BUDGET).window
    assert np.prod(window.shape) <= BUDGET
    assert window.lower == (0, 0, 0)
    assert np.all(np.array(window.upper) >= (28 + 8, 32 + 8, 36 + 8))


def test_a_click_changes_the_window_only_when_it_must(a_session, a_volume, a_box):
    inside = to_voxels(a_volume, PromptSet(a_box, (point_at(a_volume, (26, 30, 34)),)))
    alone = to_voxels(a_volume, PromptSet(a_box))
    assert make_plan(a_volume, [inside], BUDGET) == make_plan(a_volume, [alone], BUDGET)


def test_a_box_that_only_touches_a_ct_still_gets_its_answer(a_session):
    a_session.set_volume(ct_volume())
    result = a_session.segment(PromptSet(Box.from_bounds_ras((10, 10, 39.1), (20, 20, 80))))
    assert result.mask.any()


def test_without_a_box_a_ct_is_seen_as_its_foreground_clicks_ask(a_session):
    volume = ct_volume()
    a_session.set_volume(volume)
    for y, aside, window in ((4, 30, "lung"), (30, 4, "soft tissue")):
        points = point_at(volume, (20, y, 20)), point_at(volume, (30, aside, 30), False)
        grey_values = a_session.segment(PromptSet(None, points)).grey_values
        assert grey_values == f"CT window '{window}' (chosen by the values round the clicks)"


@pytest.mark.parametrize("offset", [(-2, 5, 5), (37, 5, 5), (90, 5, 5)])
def test_an_existing_mask_may_reach_outside_the_volume(a_session, a_box, offset):
    result = a_session.segment(PromptSet(a_box), MaskCrop(np.ones((6, 6, 6), bool), offset))
    assert np.all(np.array(result.offset) >= 0)
    assert np.all(np.add(result.offset, result.mask.shape) <= (40, 48, 56))


def test_a_point_on_the_face_of_an_oblique_volume_is_inside():
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn * 0.7, (91.3, -12.7, 44.1)
    plain = blob_volume()
    volume = Volume(plain.array, Grid(plain.grid.shape, matrix), "oblique")
    for corner in ((-0.5, -0.5, -0.5), (39.5, 47.5, 55.5)):
        (click,) = to_voxels(volume, PromptSet(None, (point_at(volume, corner),))).clicks
        assert np.allclose(click[0], corner)


def test_values_of_32_bits_keep_their_contrast(a_checkpoint, a_volume, a_box):
    bright = (np.round(a_volume.array).astype(np.int64) + 2**31).astype(np.uint32)
    answers = []
    for array in (np.round(a_volume.array).astype(np.int16), bright):
        session = InteractiveSession(a_checkpoint, "cpu")
        session.set_volume(Volume(array, a_volume.grid, "v"))
        answers.append(session.segment(PromptSet(a_box)).logits)
    assert np.allclose(*answers, atol=0.05)


def test_features_larger_than_the_bound_are_not_kept_and_push_no_others_out(a_session, a_volume, a_box):
    small, large = PromptSet(box_of(a_volume, (0, 0, 0), (4, 4, 4))), PromptSet(a_box)
    a_session.segment(small)
    a_session.cache.limit = a_session.cache.nbytes
    assert a_session.segment(large).mask.any() and a_session.segment(large).encoder_ran
    assert not a_session.segment(small).encoder_ran
    a_session.cache.clear()
    a_session.cache.limit = 1000
    assert a_session.segment(small).mask.any()
    assert a_session.cache.nbytes == 0


def test_a_background_click_alone_corrects_an_existing_mask(a_session, a_volume, a_mask):
    prompts = PromptSet(None, (point_at(a_volume, (18, 22, 26), False),))
    result = a_session.segment(prompts, a_mask)
    assert np.all(np.array(result.offset) <= a_mask.offset)
    assert np.all(np.add(result.offset, result.mask.shape) >= np.add(a_mask.offset, a_mask.mask.shape))


def test_a_background_click_may_take_away_all_there_was(a_session, a_volume, a_mask, monkeypatch):
    decode = ENSAM.decode
    monkeypatch.setattr(ENSAM, "decode", lambda self, *given: decode(self, *given) - 1000)
    background = PromptSet(None, (point_at(a_volume, (18, 22, 26), False),))
    assert not a_session.segment(background, a_mask).mask.any()
    foreground = PromptSet(None, (point_at(a_volume, (20, 24, 28)),))
    assert a_session.segment(foreground, a_mask).mask.sum() == 1
    empty, kept = a_session.segment_all([background, foreground], [a_mask, None])
    assert not empty.mask.any() and kept.mask.sum() == 1


def test_there_must_be_something_that_a_background_click_can_correct(a_session, a_volume, a_mask):
    background = PromptSet(None, (point_at(a_volume, (18, 22, 26), False),))
    outside = MaskCrop(a_mask.mask, (100, 0, 0))
    empty = MaskCrop(np.zeros((4, 4, 4), bool), (0, 0, 0))
    for prompts, previous in ((background, outside), (background, empty), (PromptSet(), a_mask)):
        with pytest.raises(PromptError, match="nothing to segment yet"):
            a_session.segment(prompts, previous)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_previous_mask_of_numbers_is_refused_since_255_would_count_for_more_than_1(
    a_session, a_box, a_mask, dtype
):
    numbers = MaskCrop(a_mask.mask.astype(dtype), a_mask.offset)
    for given in (numbers, numbers.mask):
        with pytest.raises(PromptError, match="as a MaskCrop of bool"):
            a_session.segment(PromptSet(a_box), given)


def test_a_preview_tells_the_window_and_whether_the_encoder_will_run(a_session, a_volume, a_box, a_mask):
    for prompts, previous in (
        (PromptSet(a_box), None),
        (PromptSet(box_of(a_volume, *[(1,) * 3, (38,) * 3])), a_mask),
    ):
        before = a_session.preview(prompts, previous)
        result = a_session.segment(prompts, previous)
        after = a_session.preview(prompts, previous)
        assert before.runs_encoder and not after.runs_encoder and before.device == "cpu"
        assert before.window_voxels == after.window_voxels
        counts = " x ".join(str(n) for n in reversed(before.window_voxels))
        assert f"window of {counts} voxels" in result.notes[-1]
        one = to_voxels(a_volume, prompts, previous)
        window = make_plan(a_volume, [one], BUDGET).window
        extent = np.multiply(window.size, a_volume.grid.spacing_zyx)
        assert np.allclose(np.multiply(before.window_voxels, before.voxel_mm), extent)


def test_a_preview_runs_nothing_and_waits_for_nothing(a_session, a_volume, a_box, monkeypatch):
    seen = []
    encode = ENSAM.encode

    def meanwhile(self, image, spacing):
        with ThreadPoolExecutor(1) as pool:
            seen.append(pool.submit(a_session.preview, PromptSet(a_box)).result(timeout=30))
        return encode(self, image, spacing)

    monkeypatch.setattr(ENSAM, "encode", meanwhile)
    a_session.preview(PromptSet(a_box))
    assert not seen and a_session.cache.nbytes == 0
    a_session.segment(PromptSet(a_box))
    assert len(seen) == 1 and seen[0].runs_encoder


def test_a_preview_refuses_what_the_answer_would(a_session):
    with pytest.raises(PromptError, match="nothing to segment yet"):
        a_session.preview(PromptSet())


class StopAfter:
    """Says that the answer is unwanted from the given question on, counted from 0."""

    def __init__(self, questions):
        self.questions = questions

    def __call__(self):
        self.questions -= 1
        return self.questions < 0


def test_an_unwanted_answer_is_given_up_before_the_encoder(a_session, a_box, encoder_calls):
    with pytest.raises(Cancelled):
        a_session.segment(PromptSet(a_box), cancelled=StopAfter(0))
    assert not encoder_calls and not issubclass(Cancelled, InputError)


def test_an_answer_given_up_after_the_encoder_leaves_its_features(a_checkpoint, a_session, a_volume, a_box):
    with pytest.raises(Cancelled):
        a_session.segment(PromptSet(a_box), cancelled=StopAfter(1))
    with ThreadPoolExecutor(1) as pool:
        later = pool.submit(a_session.segment, PromptSet(a_box)).result(timeout=30)
    fresh = InteractiveSession(a_checkpoint, "cpu")
    fresh.set_volume(a_volume)
    assert not later.encoder_ran
    assert np.array_equal(later.logits, fresh.segment(PromptSet(a_box)).logits)


def test_an_answer_is_given_up_between_passes_of_the_decoder(a_session, a_box, monkeypatch):
    passes = []
    decode = ENSAM.decode
    monkeypatch.setattr(ENSAM, "decode", lambda self, *given: passes.append(1) or decode(self, *given))
    monkeypatch.setattr(session_module, "VOXELS_AT_ONCE", 1)
    with pytest.raises(Cancelled):
        a_session.segment_all([PromptSet(a_box)] * 3, cancelled=StopAfter(3))
    assert len(passes) == 2
    assert len(a_session.segment_all([PromptSet(a_box)] * 3, cancelled=lambda: False)) == 3


def test_the_network_is_told_the_size_of_the_voxels_it_sees(a_session, a_box, monkeypatch):
    told = []
    encode = ENSAM.encode

    def noting(network, image, spacing=None):
        told.append((tuple(image.shape[2:]), spacing))
        return encode(network, image, spacing)

    monkeypatch.setattr(ENSAM, "encode", noting)
    preview = a_session.preview(PromptSet(a_box))
    a_session.segment(PromptSet(a_box))
    assert told == [(preview.window_voxels, preview.voxel_mm)]


def logits_of(monkeypatch, value):
    """Let the network say the same of every voxel."""
    decode = ENSAM.decode
    monkeypatch.setattr(ENSAM, "decode", lambda *given: torch.full_like(decode(*given), value))


@pytest.fixture
def decoded(monkeypatch):
    """The network says -1 of all voxels, and 1 where it is told of clicks; how many it was told of."""
    told = []
    decode = ENSAM.decode

    def says(self, features, prompts):
        clicks = (prompts.foreground | prompts.background).sum(dim=1)
        told.append(clicks.tolist())
        return decode(self, features, prompts) * 0 + (2.0 * (clicks > 0) - 1).view(-1, 1, 1, 1, 1)

    monkeypatch.setattr(ENSAM, "decode", says)
    return told


def test_what_clicks_change_in_the_boxs_answer_counts_for_more(a_session, a_volume, a_box, a_mask, decoded):
    click = point_at(a_volume, (20, 24, 28))
    assert not a_session.segment(PromptSet(a_box)).found
    guided = a_session.segment(PromptSet(a_box, (click,)))
    assert np.isclose(guided.logits.max(), 1 + 0.25 * 2, atol=0.02)
    surest = np.unravel_index(np.argmax(guided.logits), guided.logits.shape) + np.array(guided.offset)
    assert np.abs(surest - (20, 24, 28)).max() <= 1  # near the click, and less and less away from it
    assert 0.99 < guided.logits.min() < 1.1
    for prompts, previous in ((PromptSet(points=(click,)), None), (PromptSet(a_box, (click,)), a_mask)):
        assert np.allclose(a_session.segment(prompts, previous).logits, 1)


def test_clicks_that_ask_for_nothing_change_nothing_far_from_them(a_session, a_volume, a_box, decoded):
    right, other = (point_at(a_volume, at, False) for at in ((12, 16, 20), (14, 18, 22)))
    alone = a_session.segment(PromptSet(a_box)).logits
    quiet = a_session.segment(PromptSet(a_box, (right, other)))
    assert quiet.logits.max() > 0.2 and np.isclose(alone[-1, -1, -1], -1)  # the network says 1 everywhere
    far = tuple(np.array((27, 31, 35)) - quiet.offset)
    assert -1 <= quiet.logits[far] < -0.85
    wrong = point_at(a_volume, (13, 17, 21))
    heard = a_session.segment(PromptSet(a_box, (right, wrong)))
    assert heard.logits[tuple(np.array((27, 31, 35)) - heard.offset)] >= 1


def test_a_box_is_answered_alone_once_however_many_clicks_follow(a_session, a_volume, a_box, decoded):
    clicks = [point_at(a_volume, (20, 24, x)) for x in (26, 28, 30)]
    a_session.segment(PromptSet(a_box))
    for count in (1, 2, 3):
        a_session.segment(PromptSet(a_box, tuple(clicks[:count])))
    assert decoded == [[0], [1], [2], [3]]
    other = box_of(a_volume, (13, 17, 21), (26, 30, 34))
    for _ in range(2):
        a_session.segment_all([PromptSet(a_box, (clicks[0],)), PromptSet(other, (clicks[1],))])
    assert decoded[4:] == [[1, 1], [0], [1, 1]]


def test_the_boxes_of_one_question_are_all_kept(a_session, a_volume, monkeypatch, decoded):
    monkeypatch.setattr(session_module, "BOXES_KEPT", 2)
    boxes = [box_of(a_volume, (12, 16, x), (19, 23, x + 7)) for x in (18, 22, 26)]
    click = point_at(a_volume, (15, 19, 25))
    asked = [PromptSet(box, (click,)) for box in boxes]
    a_session.segment_all(asked)
    del decoded[:]
    a_session.segment_all(asked)
    assert decoded == [[1, 1, 1]]


def test_a_click_turns_nothing_near_it_against_itself(a_session, a_volume, a_box, decoded):
    """The network says more for foreground than for the box alone, whatever is clicked."""
    click = point_at(a_volume, (20, 24, 28), False)
    result = a_session.segment(PromptSet(a_box, (click, point_at(a_volume, (13, 17, 21)))))
    place = np.subtract((20, 24, 30), result.offset)
    assert result.logits[tuple(place)] < 1.01  # 1 by the network; its neighbour is far from the other click


def test_answers_to_boxes_stay_within_the_memory_bound(a_session, a_volume, a_box, monkeypatch):
    a_session.segment(PromptSet(a_box))
    seen = next(iter(a_session.cache))
    assert list(seen.box_logits) and a_session.cache.nbytes == seen.nbytes > seen.features.nbytes
    monkeypatch.setattr(session_module, "BOXES_KEPT", 2)
    for shift in (0.1, 0.2, 0.3):
        corner = np.array((12.0, 16.0, 20.0)) + shift
        a_session.segment(PromptSet(box_of(a_volume, tuple(corner), (27, 31, 35))))
    assert all(len(seen.box_logits) <= 2 for seen in a_session.cache)
    limit = a_session.cache.limit = seen.nbytes - 1
    for _ in range(2):
        again = a_session.segment(PromptSet(a_box))
        assert 0 < a_session.cache.nbytes <= limit
    assert not again.encoder_ran  # features stay before logits do


def test_a_voxel_clicked_as_background_is_not_the_one_that_a_lost_object_gets(
    a_session, a_volume, monkeypatch
):
    logits_of(monkeypatch, -1)
    background = point_at(a_volume, (20, 24, 28), False)
    result = a_session.segment(PromptSet(box_of(a_volume, (19, 23, 27), (21, 25, 29)), (background,)))
    mask = result.laid_out(a_volume.grid.shape)
    assert not result.found and mask.any() and not mask[20, 24, 28]


@pytest.mark.parametrize("lower", [(12, 16, 20), (11, 15, 19)], ids=["even", "odd"])
def test_a_click_between_voxels_is_obeyed_in_the_voxel_that_everyone_takes_it_for(
    a_session, a_volume, monkeypatch, lower
):
    logits_of(monkeypatch, -1)
    click = point_at(a_volume, (20.5, 24.5, 29.5))
    result = a_session.segment(PromptSet(box_of(a_volume, lower, (27, 31, 35)), (click,)))
    surest = np.unravel_index(np.argmax(result.logits), result.logits.shape)
    assert tuple(np.add(surest, result.offset)) == a_volume.grid.voxel_at((20.5, 24.5, 29.5)) == (21, 25, 30)
    asked = follow_prompts(EMPTY, result, PromptSet(), PromptSet(points=(click,)), a_volume.grid)
    assert asked.laid_out(a_volume.grid.shape)[21, 25, 30]


def test_of_two_clicks_in_one_voxel_the_background_wins_wherever_they_lie_in_it(a_session, a_volume, a_box):
    for aside in (-0.3, 0.3):
        points = point_at(a_volume, (20, 24, 28)), point_at(a_volume, (20, 24, 28 + aside), False)
        result = a_session.segment(PromptSet(a_box, points))
        assert not result.laid_out(a_volume.grid.shape)[20, 24, 28]


def test_an_object_that_is_not_found_gets_a_voxel_that_its_box_covers_by_half(
    a_session, a_volume, monkeypatch
):
    logits_of(monkeypatch, -1)
    for first in ((18, 22, 26), (19, 23, 27)):
        lower, upper = (a_volume.grid.zyx_to_ras(np.add(first, n)) for n in (0, 2))
        mask = a_session.segment(PromptSet(Box.from_bounds_ras(lower, upper))).trimmed()
        assert mask.offset == first and mask.mask.shape == (3, 3, 3)


def test_grey_values_that_do_not_exist_are_refused_before_anything_is_asked(a_checkpoint, a_volume):
    with pytest.raises(InputError, match="no intensity window 'lungs': choose auto, percentile, soft tissue"):
        InteractiveSession(a_checkpoint, "cpu", intensity="lungs")
    session = InteractiveSession(a_checkpoint, "cpu", intensity="lung")
    session.intensity = "bones"
    with pytest.raises(InputError, match="no intensity window 'bones'"):
        session.set_volume(a_volume)
    session.set_volume(None)
