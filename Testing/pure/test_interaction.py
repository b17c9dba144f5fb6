"""A simulated user draws a box a little off and clicks in the middle of what is most wrong."""

import itertools

import numpy as np
import pytest
from ensam.challenge import boxes_from_labels
from ensam_training.interaction import bounds, simulate_box, simulate_click
from fuzzing import inputs
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

fast = inputs(40)
seeds = st.integers(0, 2**16)
SPACE = (10, 14, 12)


def blobs(seed, share=0.3):
    """A random mask whose parts have thickness, at the border as well: bool (z, y, x)."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(SPACE), 1.5)
    return noise > np.quantile(noise, 1 - share)


@fast
@given(seeds, seeds, st.booleans(), st.integers(0, 2))
def test_a_click_lies_in_an_error_and_says_what_it_should_have_been(seed, other, steady, rank):
    truth, predicted = blobs(seed), blobs(other)
    hand = None if steady else np.random.default_rng(seed)
    click = simulate_click(truth, predicted, hand, rank)
    regions = ndimage.label(truth != predicted, np.ones((3, 3, 3)))[1]
    assert (click is None) == (regions <= rank)
    if click is not None:
        voxel, foreground = click
        assert truth[voxel] != predicted[voxel]
        assert foreground == truth[voxel]


def region_of(wrong, start):
    """The 26-connected voxels of `wrong` that can be reached from one of them."""
    reached, fresh = {start}, [start]
    while fresh:
        z, y, x = fresh.pop()
        around = {(z + a, y + b, x + c) for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)}
        new = (around & wrong) - reached
        reached |= new
        fresh += new
    return reached


def plain_clicks(truth, predicted, rank):
    """What the docstring of simulate_click says, word by word: the first deepest voxel of the region, and all
    voxels of at least half that depth. Distances are squared and thus whole numbers."""
    wrong = {tuple(int(i) for i in v) for v in np.argwhere(truth != predicted)}
    regions = []
    while wrong:
        regions.append(region_of(wrong, min(wrong)))
        wrong -= regions[-1]
    if rank >= len(regions):
        return None, set()
    region = sorted(regions, key=lambda voxels: (-len(voxels), min(voxels)))[rank]
    space = [range(-1, n + 1) for n in truth.shape]  # the layer round the volume is outside of every region
    outside = np.array([v for v in itertools.product(*space) if v not in region])
    depths = {voxel: int(((outside - voxel) ** 2).sum(1).min()) for voxel in region}
    deepest = max(depths.values())
    steady = min(voxel for voxel, depth in depths.items() if depth == deepest)
    return steady, {voxel for voxel, depth in depths.items() if 4 * depth >= deepest}


masks = arrays(bool, st.tuples(*[st.integers(1, 6)] * 3))
"""Noise: many regions, often of one size, at the borders and touching by corners."""


@inputs(60)
@given(masks, st.booleans(), st.integers(0, 3), seeds)
def test_clicks_are_those_of_a_slow_and_obvious_implementation(truth, everything, rank, seed):
    noise = np.random.default_rng(seed).random(truth.shape)
    predicted = truth ^ (noise < (0.9 if everything else 0.3))
    steady, shaky = plain_clicks(truth, predicted, rank)
    click = simulate_click(truth, predicted, rank=rank)
    assert click == (None if steady is None else (steady, bool(truth[steady])))
    by_hand = simulate_click(truth, predicted, np.random.default_rng(seed), rank)
    assert by_hand is None if click is None else by_hand[0] in shaky


@inputs(15)
@given(seeds, seeds.map(lambda seed: seed + 1))
def test_thick_errors_are_clicked_as_slowly_and_obviously_found(seed, more):
    truth, predicted = (blobs(s)[:7, :9, :8] for s in (seed, seed + more))
    steady, _ = plain_clicks(truth, predicted, 0)
    assert (simulate_click(truth, predicted) or (None,))[0] == steady


def test_a_shaky_hand_reaches_every_voxel_of_half_the_depth():
    truth = blobs(3)
    nothing = np.zeros_like(truth)
    _, shaky = plain_clicks(truth, nothing, 0)
    rng = np.random.default_rng(0)
    assert {simulate_click(truth, nothing, rng)[0] for _ in range(40 * len(shaky))} == shaky


def test_of_equal_errors_the_first_in_the_array_is_clicked_first():
    truth = np.zeros((3, 3, 9), bool)
    truth[2, 0, 0] = truth[0, 2, 8] = truth[0, 1, 4] = True
    clicks = [simulate_click(truth, np.zeros_like(truth), rank=rank) for rank in range(3)]
    assert clicks == [((0, 1, 4), True), ((0, 2, 8), True), ((2, 0, 0), True)]


@pytest.mark.parametrize("shape", [(1, 1, 9), (1, 63, 63), (3, 1, 3), (5, 5, 1)], ids=str)
def test_specks_in_thin_volumes_are_clicked(shape):
    truth = np.zeros(shape, bool)
    truth[::2, ::2, ::2] = True
    click = simulate_click(truth, np.zeros_like(truth), rank=truth.sum() - 1)
    assert click == (tuple(np.argwhere(truth)[-1]), True)


def test_voxels_that_touch_by_a_corner_are_one_error():
    truth = np.zeros((4, 4, 4), bool)
    truth[0, 0, 0] = truth[1, 1, 1] = truth[3, 3, 3] = True
    nothing = np.zeros_like(truth)
    assert simulate_click(truth, nothing) == ((0, 0, 0), True)
    assert simulate_click(truth, nothing, rank=1) == ((3, 3, 3), True)
    assert simulate_click(truth, nothing, rank=2) is None


def test_arrays_that_are_views_are_clicked_alike():
    truth, predicted = blobs(1), blobs(2)
    expected, side = simulate_click(truth, predicted)
    wide = np.zeros((20, 14, 12), bool)
    wide[::2] = truth
    assert simulate_click(wide[::2], np.asfortranarray(predicted)) == (expected, side)


def test_ranks_go_from_the_largest_error_to_the_smallest():
    truth = np.zeros(SPACE, bool)
    truth[1:4, 1:4, 1:4] = truth[6:8, 6:8, 6:8] = True
    nothing = np.zeros_like(truth)
    clicks = [simulate_click(truth, nothing, rank=rank) for rank in range(3)]
    assert clicks[0] == ((2, 2, 2), True)
    assert clicks[1][0] in {tuple(v) for v in np.argwhere(truth) if v.min() >= 6}
    assert clicks[2] is None


def test_the_volumes_border_is_an_edge_of_an_error():
    truth = np.zeros((9, 9, 9), bool)
    truth[0:5, 2:7, 4:9] = True
    assert simulate_click(truth, np.zeros_like(truth)) == ((2, 4, 6), True)
    assert simulate_click(np.zeros_like(truth), truth) == ((2, 4, 6), False)


def test_an_error_of_one_voxel_at_a_corner_is_clicked():
    truth = np.zeros((5, 5, 5), bool)
    truth[4, 0, 4] = True
    assert simulate_click(truth, np.zeros_like(truth), np.random.default_rng(0)) == ((4, 0, 4), True)


def test_a_right_answer_is_not_clicked():
    assert simulate_click(blobs(0), blobs(0)) is None


class Hand:
    """A generator whose every uniform number is at the same place between its bounds."""

    def __init__(self, place):
        self.place = place

    def choice(self, options):
        return max(options)

    def uniform(self, low, high, size):
        return np.full(size, low + self.place * (high - low))


@fast
@given(seeds, st.floats(0.25, 1))
def test_a_box_that_is_not_tightened_holds_the_object(seed, place):
    mask = blobs(seed, share=0.1)
    lower, upper = simulate_box(mask, Hand(place))
    voxels = np.argwhere(mask)
    assert (voxels - 0.5 >= lower).all()
    assert (voxels + 0.5 <= upper).all()


@fast
@given(seeds)
def test_a_box_is_off_by_a_little_and_ends_with_the_volume(seed):
    mask = blobs(seed, share=0.05)
    first, behind = bounds(mask)
    extent = behind - first
    lower, upper = simulate_box(mask, np.random.default_rng(seed))
    assert (lower >= -0.5).all()
    assert (upper <= np.array(SPACE) - 0.5).all()
    for outward in (first - 0.5 - lower, upper - (behind - 0.5)):
        assert (outward >= -0.05 * extent - 1e-9).all()
        assert (outward <= 0.15 * extent + 1e-9).all()


def test_a_middle_slice_box_is_as_large_as_the_object_there():
    mask = np.zeros((9, 20, 20), bool)
    mask[2:7, 9:11, 9:11] = True
    mask[4, 5:15, 6:16] = True
    mask[6, 0:20, 0:20] = True
    lower, upper = simulate_box(mask, Hand(0.25), middle_slice=True)
    assert np.allclose(lower, (1.5, 4.5, 5.5))
    assert np.allclose(upper, (6.5, 14.5, 15.5))


@fast
@given(seeds)
def test_a_middle_slice_box_is_the_challenges_before_it_is_loosened(seed):
    mask = blobs(seed, share=0.08)
    lower, upper = simulate_box(mask, Hand(0.05 / 0.2), middle_slice=True)  # uniform(-0.05, 0.15) is 0
    of = boxes_from_labels(mask.astype(np.uint8))[0]
    assert np.allclose(lower + 0.5, (of["z_min"], of["z_mid_y_min"], of["z_mid_x_min"]))
    assert np.allclose(upper - 0.5, (of["z_max"], of["z_mid_y_max"], of["z_mid_x_max"]))


@fast
@given(masks)
def test_bounds_hold_every_voxel_tightly(mask):
    voxels = np.argwhere(mask)
    if len(voxels):
        lower, upper = bounds(mask)
        assert np.array_equal(lower, voxels.min(0))
        assert np.array_equal(upper, voxels.max(0) + 1)


def test_an_empty_mask_has_no_bounds():
    with pytest.raises(ValueError, match="empty"):
        bounds(np.zeros(SPACE, bool))
