"""The session: encode once, answer every prompt, the same answer for the same prompts."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from ensam import session as session_module
from ensam.errors import Cancelled, InputError, PromptError
from ensam.geometry import Grid
from ensam.masks import MaskCrop
from ensam.network import ENSAM
from ensam.planning import group_objects, make_plan, to_voxels
from ensam.prompts import Box, Point, PromptSet
from ensam.session import InteractiveSession
from ensam.volume import Volume

from .tiny import BUDGET, blob_volume, tiny_checkpoint


def box_of(volume: Volume, lower: tuple, upper: tuple) -> Box:
    """The box over the voxels lower..upper, (z, y, x), faces at voxel edges."""
    corners = volume.grid.zyx_to_ras(np.array([np.subtract(lower, 0.5), np.add(upper, 0.5)]))
    return Box.from_bounds_ras(corners.min(axis=0), corners.max(axis=0))


def point_at(volume: Volume, voxel: tuple, foreground: bool = True) -> Point:
    return Point(tuple(float(v) for v in volume.grid.zyx_to_ras(np.array(voxel, float))), foreground)


@pytest.fixture(scope="module")
def a_checkpoint(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("models"))


@pytest.fixture
def a_volume():
    return blob_volume()


@pytest.fixture
def a_session(a_checkpoint, a_volume):
    session = InteractiveSession(a_checkpoint, "cpu")
    session.set_volume(a_volume)
    return session


@pytest.fixture
def a_box(a_volume):
    return box_of(a_volume, (12, 16, 20), (27, 31, 35))


@pytest.fixture
def encoder_calls(monkeypatch):
    """Every run of the image encoder, counted."""
    calls = []
    encode = ENSAM.encode
    monkeypatch.setattr(
        ENSAM, "encode", lambda self, image, mm: calls.append(image.shape) or encode(self, image, mm)
    )
    return calls


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


def test_one_object_among_several_is_what_it_would_be_alone(a_session, a_box, a_volume):
    alone = a_session.segment(PromptSet(a_box))
    (together,) = a_session.segment_all([PromptSet(a_box)])
    assert np.array_equal(alone.mask, together.mask)


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


def test_out_of_memory_falls_back_to_a_smaller_window_and_says_so(a_checkpoint, a_volume, monkeypatch):
    checkpoint = type(a_checkpoint)(a_checkpoint.config, 4 * BUDGET, {}, "digest", a_checkpoint.state)
    session = InteractiveSession(checkpoint, "cpu")
    session.set_volume(a_volume)
    encode = ENSAM.encode

    def hungry(self, image, spacing):
        if image.numel() > 1.5 * BUDGET:
            raise torch.OutOfMemoryError("out of memory")
        return encode(self, image, spacing)

    monkeypatch.setattr(ENSAM, "encode", hungry)
    result = session.segment(PromptSet(box_of(a_volume, (2, 2, 2), (38, 46, 54))))
    assert result.notes[0].startswith("Memory ran out") and result.mask.any()


def test_memory_that_features_of_other_windows_held_is_given_back_before_the_window_shrinks(
    a_session, a_volume, a_box, monkeypatch
):
    a_session.segment(PromptSet(box_of(a_volume, (2, 2, 2), (10, 10, 10))))
    encode = ENSAM.encode

    def hungry(self, image, spacing):
        if a_session.cache.nbytes:
            raise torch.OutOfMemoryError("out of memory")
        return encode(self, image, spacing)

    monkeypatch.setattr(ENSAM, "encode", hungry)
    result = a_session.segment(PromptSet(a_box))
    assert not result.warnings
    monkeypatch.undo()
    a_session.cache.clear()
    assert np.array_equal(result.logits, a_session.segment(PromptSet(a_box)).logits)


def on_other_device(session, monkeypatch, error):
    """The session as if it had been opened on a device where the encoder fails."""
    encode = ENSAM.encode

    def failing(self, image, spacing):
        if image.is_meta:
            raise error
        return encode(self, image, spacing)

    monkeypatch.setattr(ENSAM, "encode", failing)
    session._chosen = torch.device("meta")
    session._move_to(session._chosen)


def test_a_device_with_too_little_memory_gets_its_chance_with_another_volume(
    a_session, a_box, a_volume, monkeypatch
):
    on_other_device(a_session, monkeypatch, torch.OutOfMemoryError("out of memory"))
    first = a_session.segment(PromptSet(a_box))
    assert "The memory of meta is too small" in first.warnings[-1] and "on cpu" in first.window
    a_session.set_volume(None)
    a_session.set_volume(a_volume)
    assert not a_session.segment(PromptSet(a_box)).warnings and a_session.device.type == "cpu"
    a_session.set_volume(blob_volume(seed=1))
    assert a_session.device.type == "meta"


def test_where_pytorch_lacks_a_part_of_the_network_the_cpu_runs_it_for_good(a_session, a_box, monkeypatch):
    error = NotImplementedError("The operator 'aten::linalg_matrix_exp' is not implemented for the device")
    on_other_device(a_session, monkeypatch, error)
    first = a_session.segment(PromptSet(a_box))
    assert first.warnings == ("This PyTorch can't run ENSAM on meta: it went on on the CPU.",)
    a_session.set_volume(blob_volume(seed=1))
    assert a_session.device.type == "cpu" and not a_session.segment(PromptSet(a_box)).warnings
    monkeypatch.setattr(ENSAM, "encode", lambda *_given: (_ for _ in ()).throw(error))
    a_session.cache.clear()
    with pytest.raises(NotImplementedError):
        a_session.segment(PromptSet(a_box))


@pytest.mark.parametrize("words", ["can't allocate memory", "not enough memory"], ids=["Linux", "Windows"])
def test_out_of_memory_without_end_is_one_clear_sentence(a_session, a_box, monkeypatch, words):
    def starving(self, image, spacing):
        raise RuntimeError(f"[enforce fail] DefaultCPUAllocator: {words}: you tried to allocate 9 bytes.")

    monkeypatch.setattr(ENSAM, "encode", starving)
    with pytest.raises(InputError, match="too little free memory"):
        a_session.segment(PromptSet(a_box))


def test_a_defect_is_not_taken_for_a_lack_of_memory(a_session, a_box, monkeypatch):
    def broken(self, image, spacing):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(ENSAM, "encode", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        a_session.segment(PromptSet(a_box))


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


def test_a_device_that_is_not_there_is_refused(a_checkpoint):
    with pytest.raises(InputError, match="choose one of auto, cpu, cuda, mps"):
        InteractiveSession(a_checkpoint, "tpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match=r"no usable 'cuda' device: .* automatic .* \(cpu\)"):
            InteractiveSession(a_checkpoint, "cuda")


def test_a_click_changes_the_window_only_when_it_must(a_session, a_volume, a_box):
    inside = to_voxels(a_volume, PromptSet(a_box, (point_at(a_volume, (26, 30, 34)),)))
    alone = to_voxels(a_volume, PromptSet(a_box))
    assert make_plan(a_volume, [inside], BUDGET) == make_plan(a_volume, [alone], BUDGET)


def ct_volume() -> Volume:
    """Air, tissue and bone in Hounsfield units, 1 mm."""
    rng = np.random.default_rng(0)
    array = rng.normal(40, 60, (40, 40, 40))
    array[:, :16] = rng.normal(-850, 20, (40, 16, 40))
    array[0, 0, :5] = 1200
    return Volume(array.astype(np.int16), Grid((40, 40, 40), np.eye(4)), "CT")


def test_a_box_that_only_touches_a_ct_still_gets_its_answer(a_session):
    a_session.set_volume(ct_volume())
    result = a_session.segment(PromptSet(Box.from_bounds_ras((10, 10, 39.1), (20, 20, 80))))
    assert result.mask.any()


def test_each_object_is_seen_in_its_own_grey_range_whatever_the_order(a_session):
    volume = ct_volume()
    a_session.set_volume(volume)
    lung, tissue = (PromptSet(box_of(volume, (10, y, 10), (25, y + 10, 25))) for y in (3, 24))
    results = dict(zip(("lung", "tissue"), a_session.segment_all([lung, tissue]), strict=True))
    backwards = dict(zip(("tissue", "lung"), a_session.segment_all([tissue, lung]), strict=True))
    for name, expected in (("lung", "'lung'"), ("tissue", "'soft tissue'")):
        assert expected in results[name].notes[0]
        assert np.array_equal(results[name].logits, backwards[name].logits)


def test_without_a_box_a_ct_is_seen_as_its_foreground_clicks_ask(a_session):
    volume = ct_volume()
    a_session.set_volume(volume)
    for y, aside, window in ((4, 30, "lung"), (30, 4, "soft tissue")):
        points = point_at(volume, (20, y, 20)), point_at(volume, (30, aside, 30), False)
        grey_values = a_session.segment(PromptSet(None, points)).grey_values
        assert grey_values == f"CT window '{window}' (chosen by the values round the clicks)"


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


@pytest.fixture
def a_mask():
    return MaskCrop(np.ones((6, 8, 8), bool), (17, 20, 24))


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
        extent = np.multiply(result.mask.shape, a_volume.grid.spacing_zyx)
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


def test_the_memory_foreseen_grows_with_the_window_and_holds_its_features(a_checkpoint, a_volume):
    foreseen = []
    for budget in (12**3, 24**3, 40**3):
        checkpoint = type(a_checkpoint)(a_checkpoint.config, budget, {}, "digest", a_checkpoint.state)
        session = InteractiveSession(checkpoint, "cpu")
        session.set_volume(a_volume)
        prompts = PromptSet(box_of(a_volume, (2, 2, 2), (38, 46, 54)))
        first = session.preview(prompts)
        session.segment(prompts)
        assert first.memory_bytes > session.preview(prompts).memory_bytes
        assert first.memory_bytes > session.cache.nbytes
        foreseen.append(first.memory_bytes)
    assert foreseen == sorted(set(foreseen))


def test_the_preview_of_several_objects_is_that_of_the_window_that_asks_for_most(a_session):
    volume = blob_volume((40, 120, 120))
    a_session.set_volume(volume)
    small, large = (
        PromptSet(box_of(volume, at, tuple(np.add(at, size))))
        for at, size in (((2, 2, 2), 4), ((20, 90, 90), 12))
    )
    assert a_session.preview_all([small, large]) == a_session.preview(large)
    a_session.segment(large)
    assert a_session.preview_all([small, large]) == a_session.preview(small)
    pair = a_session.preview_all([small, small])
    assert pair.memory_bytes > a_session.preview(small).memory_bytes


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


def test_a_click_for_one_object_can_be_a_click_against_the_others(a_session, a_volume, a_box):
    here, there = point_at(a_volume, (20, 24, 28)), point_at(a_volume, (15, 20, 24))
    ours, theirs = PromptSet(a_box, (here,)), PromptSet(a_box, (there,))
    shared = a_session.segment_all([ours, theirs], clicks_exclude=True)
    against = PromptSet(a_box, (here, Point(there.position_ras, False)))
    # Clicks in another order round differently in half precision.
    assert np.allclose(shared[0].logits, a_session.segment(against).logits, atol=0.05)
    assert not np.allclose(shared[0].logits, a_session.segment_all([ours, theirs])[0].logits, atol=0.05)


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


def test_weights_that_give_no_numbers_are_no_empty_mask(a_session, a_box, monkeypatch):
    decode = ENSAM.decode
    monkeypatch.setattr(ENSAM, "decode", lambda *arguments: decode(*arguments) * float("nan"))
    with pytest.raises(InputError, match="give no numbers on cpu: choose the CPU or other weights"):
        a_session.segment(PromptSet(a_box))
