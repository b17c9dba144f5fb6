"""What is done to logits before they become masks."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from ensam.postprocessing import ensure_voxel, merge_objects, obey_clicks
from ensam.segmentation import Segmentation, Timings
from hypothesis import assume, given
from hypothesis import strategies as st

SHAPE = (9, 10, 11)
SIGMA = (1.5, 1.5, 3.0)


def noise(seed):
    return np.random.default_rng(seed).normal(0, 2, SHAPE).astype(np.float32)


voxels = st.tuples(*(st.integers(0, n - 1) for n in SHAPE))
clicks = st.dictionaries(voxels, st.booleans(), max_size=6).map(lambda found: list(found.items()))


@given(st.integers(0, 99), clicks)
def test_every_clicked_voxel_ends_on_the_asked_side(seed, own):
    obedient = obey_clicks(noise(seed), own, SIGMA)
    assert all((obedient[voxel] > 0) == foreground for voxel, foreground in own)


@given(st.integers(0, 99), clicks)
def test_the_order_of_the_clicks_does_not_matter(seed, own):
    assert np.allclose(
        obey_clicks(noise(seed), own, SIGMA), obey_clicks(noise(seed), own[::-1], SIGMA), atol=1e-5
    )


def test_clicks_that_the_network_obeys_change_nothing():
    logits = noise(0)
    own = [(v, bool(logits[v] > 0)) for v in ((1, 2, 3), (8, 9, 10), (0, 0, 0))]
    assert obey_clicks(logits, own, SIGMA) is logits


def test_the_mask_follows_a_click_as_a_ball_and_nowhere_else():
    logits = np.full((40, 40, 40), -1, np.float32)
    kept = logits.copy()
    mask = obey_clicks(logits, [((20, 20, 20), True)], SIGMA) > 0
    z, y, x = (np.ptp(hits) + 1 for hits in np.nonzero(mask))
    assert mask[20, 20, 20] and 1 < z == y < x < 9
    assert np.array_equal(logits, kept)
    assert np.array_equal(obey_clicks(logits, [((20, 20, 20), True)], SIGMA)[:, :, :10], logits[:, :, :10])


@pytest.mark.parametrize("found", [1, -1], ids=["the network disobeys", "the network obeys"])
def test_a_voxel_with_clicks_of_both_kinds_is_background_in_whatever_order(found):
    logits = np.full(SHAPE, found, np.float32)
    alone = obey_clicks(logits, [((4, 5, 5), False)], SIGMA)
    for order in ((True, False), (False, True), (True, False, True)):
        together = obey_clicks(logits, [((4, 5, 5), foreground) for foreground in order], SIGMA)
        assert np.array_equal(together, alone) and together[4, 5, 5] < 0


def test_two_clicks_of_a_kind_in_one_voxel_are_one():
    logits = np.full(SHAPE, -1, np.float32)
    once, twice = (obey_clicks(logits, [((4, 5, 5), True)] * times, SIGMA) for times in (1, 2))
    assert np.array_equal(once, twice)


BOX = (slice(2, 5), slice(2, 5), slice(2, 5))


def test_an_object_without_a_voxel_gets_the_likeliest_of_its_region():
    logits = noise(0) - 100
    mask = ensure_voxel(logits, BOX) > 0
    (voxel,) = np.argwhere(mask)
    assert logits[tuple(voxel)] == logits[BOX].max()


def test_a_voxel_clicked_as_background_is_nobodys_likeliest():
    logits = np.full(SHAPE, -2, np.float32)
    clicks = [(3, 3, 3), (2, 4, 2)]
    for voxel in clicks:
        logits[voxel] = -0.5
    ensured = ensure_voxel(logits, BOX, clicks)
    assert np.count_nonzero(ensured > 0) == 25
    assert [ensured[voxel] for voxel in clicks] == [-0.5, -0.5]


def test_where_all_of_a_region_is_clicked_as_background_it_still_gets_a_voxel():
    logits = noise(0) - 100
    region = (slice(3, 4),) * 3
    assert np.argwhere(ensure_voxel(logits, region, [(3, 3, 3)]) > 0).tolist() == [[3, 3, 3]]


def answer_of(logits, offset=(0, 0, 0)):
    return Segmentation(logits > 0, offset, logits, Timings(0, 0, 0), False, "grey values", "window")


def test_an_object_that_loses_nearly_all_of_its_voxels_to_another_says_so():
    weak, strong = np.full(SHAPE, -1, np.float32), np.full(SHAPE, -1, np.float32)
    weak[2:6, 2:6, 2:6] = 1
    for kept in (0, 1, 6, 7):  # of 64
        strong[2:6, 2:6, 2:6] = 2
        strong[5, 5, 2 : 2 + min(kept, 4)] = strong[5, 4, 2 : 2 + max(kept - 4, 0)] = -1
        winner, loser = merge_objects([answer_of(strong), answer_of(weak)])
        assert winner.warnings == () and loser.count == max(1, kept)
        assert any("lost nearly all" in words for words in loser.warnings) == (kept < 7)


MOST = 5  # Objects that share out a volume.


@st.composite
def crops(draw):
    """Where an answer lies in a volume of SHAPE, (z, y, x), and its logits."""
    ends = [sorted(draw(st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True))) for n in SHAPE]
    lower, upper = np.array(ends).T
    assume(np.prod(upper - lower) >= MOST)  # So that each can have a voxel.
    level = draw(st.sampled_from([-4, 0, 2]))
    # Whole numbers, so that many are equal.
    logits = np.random.default_rng(draw(st.integers(0, 999))).normal(level, 2, upper - lower).round()
    return tuple(lower.tolist()), logits.astype(np.float32)


@given(st.lists(crops(), min_size=2, max_size=MOST))
def test_a_voxel_is_the_firsts_of_those_with_the_highest_logit_over_0(found):
    whole = np.full((len(found), *SHAPE), -np.inf)
    for logits, (offset, own) in zip(whole, found, strict=True):
        logits[tuple(slice(at, at + n) for at, n in zip(offset, own.shape, strict=True))] = own
    owner = np.where(whole.max(axis=0) > 0, whole.argmax(axis=0), -1)
    answers = [answer_of(own, offset) for offset, own in found]
    merged = [answer.laid_out(SHAPE) for answer in merge_objects(answers)]
    lost = [i for i, answer in enumerate(answers) if answer.mask.any() and not (owner == i).any()]
    assert np.sum(merged, axis=0).max() <= 1
    assert all(mask.any() == answer.mask.any() for mask, answer in zip(merged, answers, strict=True))
    for index, mask in enumerate(merged):
        # Those that had lost every voxel took one each.
        assert np.count_nonzero(mask != (owner == index)) <= len(lost)


def test_small_objects_far_apart_take_no_memory_for_what_lies_between_them():
    near, far = (answer_of(noise(0), offset) for offset in ((0, 0, 0), (400, 400, 400)))
    tracemalloc.start()
    try:
        merged = merge_objects([near, far])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20
    assert all(np.array_equal(one.mask, given.mask) for one, given in zip(merged, (near, far), strict=True))
