"""A simulated user draws a box a little off and clicks in the middle of what is most wrong."""

import numpy as np
import pytest
from ensam_training.interaction import bounds, simulate_box, simulate_click
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

fast = settings(deadline=None, max_examples=40)
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


@fast
@given(seeds, seeds)
def test_a_steady_click_is_the_deepest_voxel_of_the_largest_error(seed, other):
    truth, predicted = blobs(seed), blobs(other)
    if seed == other:
        predicted = ~truth
    regions, _ = ndimage.label(truth != predicted, np.ones((3, 3, 3)))
    sizes = np.bincount(regions.ravel())[1:]
    voxel, _ = simulate_click(truth, predicted)
    assert sizes[regions[voxel] - 1] == sizes.max()
    region = np.pad(regions == regions[voxel], 1)
    depth = ndimage.distance_transform_edt(region)[1:-1, 1:-1, 1:-1]
    assert depth[voxel] == depth.max()


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


def test_an_empty_mask_has_no_bounds():
    with pytest.raises(ValueError, match="empty"):
        bounds(np.zeros(SPACE, bool))
