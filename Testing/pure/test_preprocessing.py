"""The network sees the right part of a volume, thinned to its budget, in the right grey range."""

import math

import numpy as np
import pytest
import torch
from ensam.errors import InputError
from ensam.geometry import Grid
from ensam.planning import ObjectPrompts, answered_part
from ensam.preprocessing import (
    CT_WINDOWS,
    IntensityRange,
    Window,
    automatic_ct_window,
    cut_window,
    fit_to_budget,
    intensity_range,
    looks_like_ct,
    percentile_range,
    place_window,
)
from ensam.resampling import enlarge, extract, noise_of, resample
from fuzzing import inputs
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

fast = inputs(200)
sizes = st.tuples(*[st.integers(1, 600)] * 3)
spacings = st.tuples(*[st.floats(0.1, 10)] * 3)
budgets = st.integers(8**3, 160**3)


# The budget


@fast
@given(sizes, spacings, budgets)
def test_the_budget_is_never_exceeded_and_no_axis_is_refined(size, spacing, budget):
    shape = fit_to_budget(size, spacing, budget)
    assert math.prod(shape) <= budget
    assert all(1 <= new <= old for new, old in zip(shape, size, strict=True))


@fast
@given(sizes, spacings, budgets)
def test_no_axis_is_thinned_below_eight_voxels(size, spacing, budget):
    shape = fit_to_budget(size, spacing, budget)
    assert all(new >= min(old, 8) for new, old in zip(shape, size, strict=True))


@fast
@given(sizes, spacings)
def test_what_fits_the_budget_stays_as_it_is(size, spacing):
    assert fit_to_budget(size, spacing, math.prod(size)) == size


@fast
@given(sizes, spacings, budgets)
def test_the_finest_axes_are_thinned_first(size, spacing, budget):
    """A thinned axis ends no coarser than the others are, but for the rounding to whole voxels."""
    shape = np.array(fit_to_budget(size, spacing, budget))
    steps = np.multiply(size, spacing) / shape
    free = shape > 8
    for thinned in np.flatnonzero(free & (shape < size)):
        before_rounding = steps[thinned] * shape[thinned] / (shape[thinned] + 1)
        assert (steps[free] >= before_rounding * (1 - 1e-6)).all()


@fast
@given(st.tuples(*[st.integers(30, 400)] * 3), budgets)
def test_much_of_the_budget_is_used(size, budget):
    shape = fit_to_budget(size, (1, 1, 1), budget)
    assert math.prod(shape) >= 0.5 * min(budget, math.prod(size)) or min(shape) <= 10


def test_thick_slices_are_thinned_last():
    assert fit_to_budget((20, 200, 200), (5.0, 1.0, 1.0), 20 * 100 * 100) == (20, 100, 100)
    assert fit_to_budget((20, 200, 200), (5.0, 1.0, 1.0), 10 * 20 * 20) == (10, 20, 20)
    assert fit_to_budget((100, 40, 100), (1.0, 2.5, 1.0), 64_000) == (40, 40, 40)


# The window


@st.composite
def placed(draw):
    """A volume's shape and spacing, the extent of prompts in it, a budget."""
    shape = draw(st.tuples(*[st.integers(1, 300)] * 3))
    fractions = [sorted(draw(st.tuples(st.floats(0, 1), st.floats(0, 1)))) for _ in shape]
    ends = np.array(fractions) * np.array(shape)[:, None] - 0.5
    return shape, draw(spacings), ends[:, 0], ends[:, 1], draw(budgets)


@fast
@given(placed())
def test_the_window_holds_the_prompts_and_stays_inside_the_volume(case):
    shape, spacing, lower, upper, budget = case
    window = place_window(lower, upper, shape, spacing, budget)
    first, last = np.array(window.lower), np.array(window.upper)
    assert (first >= 0).all()
    assert (last <= shape).all()
    assert (first - 0.5 <= lower + 1e-9).all()
    assert (upper - 1e-9 <= last - 0.5).all()
    assert math.prod(window.shape) <= budget
    assert all(new <= old for new, old in zip(window.shape, window.size, strict=True))


@fast
@given(placed())
def test_the_window_leaves_a_margin_unless_the_volume_ends(case):
    shape, spacing, lower, upper, budget = case
    window = place_window(lower, upper, shape, spacing, budget)
    margin = np.maximum(8, 0.25 * (upper - lower))
    first, last = np.array(window.lower), np.array(window.upper)
    before, behind = lower - (first - 0.5), last - 0.5 - upper
    assert ((first == 0) | (before > margin - 1e-6)).all()
    assert ((last == shape) | (behind > margin - 1e-6)).all()
    assert (before + behind < 2 * margin + 2 + 8).all()


@fast
@given(placed())
def test_the_windows_axes_are_multiples_of_the_stride_where_the_volume_allows(case):
    shape, spacing, lower, upper, budget = case
    window = place_window(lower, upper, shape, spacing, budget)
    assert all(n % 8 == 0 for n in window.shape if n >= 16)
    whole = [n for n, all_of_it in zip(window.size, shape, strict=True) if n < all_of_it]
    assert all(n % 8 == 0 for n in whole)


def test_a_window_holds_the_voxels_that_it_reaches_into():
    lower, upper = np.array([19.5, 15.5, 11.5]), np.array([27.5, 31.5, 35.5])
    window = cut_window(lower, upper, (100, 100, 100), (1, 1, 1), 10**6)
    assert window.lower == (20, 16, 12)
    assert window.upper == (28, 32, 36)
    assert window.slices == (slice(20, 28), slice(16, 32), slice(12, 36))


@fast
@given(placed())
def test_a_windows_corners_in_the_volume_are_its_corners(case):
    shape, spacing, lower, upper, budget = case
    window = place_window(lower, upper, shape, spacing, budget)
    corners = window.from_volume(np.array([window.lower, window.upper]) - 0.5)
    assert np.allclose(corners, [(-0.5,) * 3, np.array(window.shape) - 0.5])


def test_voxels_are_mapped_by_their_centres():
    window = Window((10, 20, 30), (14, 28, 42), (4, 4, 4))
    assert window.from_volume([10, 20.5, 31]).tolist() == [0, 0, 0]
    assert window.from_volume([[13, 26.5, 40]]).tolist() == [[3, 3, 3]]


# The image


unit_range = IntensityRange(0.0, 1.0, "")


@inputs(40)
@given(
    st.integers(0, 2**16), st.floats(-2000, 2000), st.floats(0.01, 3000), st.sampled_from(["i2", "f8", "u1"])
)
def test_what_is_extracted_lies_in_0_to_1_in_256_steps(seed, lower, width, kind):
    volume = np.random.default_rng(seed).normal(100, 25, (12, 14, 16)).astype(kind)
    window, grey = Window((1, 2, 3), (11, 14, 15), (5, 6, 12)), IntensityRange(lower, lower + width, "")
    image = extract(volume, window, grey)
    assert image.shape == (1, 1, 5, 6, 12)
    assert image.dtype == torch.float32
    assert image.min() >= 0
    assert image.max() <= 1
    assert torch.allclose(image * 255, (image * 255).round(), atol=1e-4)


def test_thinning_averages_the_voxels_it_covers():
    volume = np.zeros((4, 4, 4), np.float32)
    volume[::2] = 1
    image = extract(volume, Window((0, 0, 0), (4, 4, 4), (2, 2, 2)), unit_range)
    assert torch.allclose(image, torch.full_like(image, 0.5), atol=1 / 255)


def test_a_window_that_is_not_thinned_shows_the_voxels_themselves():
    volume = np.arange(6 * 5 * 4, dtype=np.int16).reshape(6, 5, 4)
    window = Window((2, 1, 0), (5, 4, 3), (3, 3, 3))
    image = extract(volume, window, IntensityRange(0, 255, ""))
    assert np.allclose(image[0, 0].numpy() * 255, volume[2:5, 1:4, 0:3])


def test_extracting_leaves_the_volume_alone():
    volume = np.random.default_rng(0).normal(size=(6, 6, 6)).astype(np.float32)
    before = volume.copy()
    extract(volume, Window((0, 0, 0), (6, 6, 6), (6, 6, 6)), unit_range)
    assert np.array_equal(volume, before)


def test_values_beyond_the_range_are_clipped():
    volume = np.array([-5000.0, -160, 40, 240, 5000]).reshape(1, 1, 5)
    window = Window((0, 0, 0), (1, 1, 5), (1, 1, 5))
    image = extract(volume, window, intensity_range(volume, "soft tissue"))
    assert np.allclose(image.flatten(), [0, 0, 0.5, 1, 1], atol=1 / 255)


@inputs(40)
@given(st.tuples(*[st.integers(1, 12)] * 3), st.tuples(*[st.integers(1, 12)] * 3), st.integers(0, 2**16))
def test_resampling_keeps_the_range_and_a_constant(size, shape, seed):
    image = torch.rand(1, 2, *size, generator=torch.Generator().manual_seed(seed))
    thin = resample(image, tuple(min(pair) for pair in zip(shape, size, strict=True)))
    assert thin.min() >= image.min() - 1e-6
    assert thin.max() <= image.max() + 1e-6
    assert torch.allclose(resample(torch.full_like(image, 0.3), (1, 1, 1)), torch.tensor(0.3))


# The grey range


def body(rng, inside=50.0):
    """A CT in Hounsfield units: air round fat round an organ with lung, bone and brain-like parts."""
    volume = np.full((40, 60, 60), -1000.0)
    volume[:, 10:50, 10:50] = -90
    volume[5:35, 15:45, 15:45] = inside
    volume[8:14, 18:26, 18:26] = -800  # lung
    volume[16:22, 18:26, 18:26] = 700  # bone
    volume[24:32, 30:42, 30:42] = 35  # brain
    return (volume + rng.normal(0, 8, volume.shape)).round().astype(np.int16)


LUNG = (slice(8, 14), slice(18, 26), slice(18, 26))
BONE = (slice(16, 22), slice(18, 26), slice(18, 26))
BRAIN = (slice(24, 32), slice(30, 42), slice(30, 42))
ORGAN = (slice(0, 12), slice(28, 50), slice(28, 50))


@pytest.fixture
def a_ct():
    return body(np.random.default_rng(0))


@pytest.fixture
def an_mr():
    rng = np.random.default_rng(0)
    return (900 * rng.gamma(2.0, 0.5, (30, 40, 50))).astype(np.int16)


def test_hounsfield_units_are_recognised(a_ct):
    assert looks_like_ct(a_ct)
    assert looks_like_ct(a_ct.astype(np.float32))
    assert looks_like_ct(a_ct[:, 12:48, 12:48]), "fat and tissue without air"


@pytest.mark.parametrize("padding", [-3024, -8192, -32768])
@pytest.mark.parametrize("share", [0.02, 0.4])
def test_padding_outside_the_field_of_view_hides_no_hounsfield_units(a_ct, padding, share):
    padded = a_ct.copy()
    padded[:, : round(share * padded.shape[1])] = padding
    assert looks_like_ct(padded)


@pytest.mark.parametrize("share", [0.02, 0.4, 0.999, 1])
def test_padding_makes_no_hounsfield_units_of_other_values(an_mr, share):
    an_mr.ravel()[: round(share * an_mr.size)] = -8192
    assert not looks_like_ct(an_mr)


def test_a_few_values_far_below_are_no_padding(a_ct):
    a_ct[20, 28, 28] = -8192
    assert not looks_like_ct(a_ct)


@pytest.mark.parametrize(
    "change",
    [
        lambda mr: mr,
        lambda mr: (mr / 20).astype(np.uint8),
        lambda mr: mr / mr.max(),
        lambda mr: np.where(mr > 500, mr - 900.0, 0),
    ],
    ids=["MR", "8 bit", "0..1", "centred behind a mask"],
)
def test_other_values_are_not_taken_for_hounsfield_units(an_mr, change):
    assert not looks_like_ct(change(an_mr))


@pytest.mark.parametrize(
    ("box", "name"), [(LUNG, "lung"), (BONE, "bone"), (BRAIN, "brain"), (ORGAN, "soft tissue")]
)
def test_a_ct_gets_the_window_that_suits_the_box(a_ct, box, name):
    assert automatic_ct_window(a_ct[box]) == name
    found = intensity_range(a_ct, "auto", a_ct[box])
    width, level = CT_WINDOWS[name]
    assert (found.lower, found.upper) == (level - width / 2, level + width / 2)
    assert f"'{name}'" in found.reason
    assert "box" in found.reason


def test_a_ct_without_a_box_is_shown_as_soft_tissue_and_that_is_said(a_ct):
    found = intensity_range(a_ct)
    assert (found.lower, found.upper) == (-160, 240)
    assert "soft tissue" in found.reason
    assert "no box" in found.reason


@pytest.mark.parametrize("name", CT_WINDOWS)
def test_a_window_that_the_user_chose_is_taken_whatever_the_values(an_mr, name):
    found = intensity_range(an_mr, name, an_mr[ORGAN])
    width, level = CT_WINDOWS[name]
    assert (found.lower, found.upper) == (level - width / 2, level + width / 2)
    assert "chosen by you" in found.reason


@pytest.mark.parametrize("choice", ["auto", "percentile"])
def test_an_mr_is_clipped_at_its_percentiles(an_mr, choice):
    found = intensity_range(an_mr, choice, an_mr[ORGAN])
    share_below, share_above = (an_mr < found.lower).mean(), (an_mr > found.upper).mean()
    assert 0.003 < share_below <= 0.005
    assert 0.003 < share_above <= 0.005
    assert "percentile" in found.reason


def test_percentiles_can_be_asked_for_on_a_ct(a_ct):
    found = intensity_range(a_ct, "percentile", a_ct[LUNG])
    assert found == percentile_range(a_ct)
    assert found.lower < -1000


def test_a_choice_that_does_not_exist_is_refused_with_those_that_do(an_mr):
    with pytest.raises(InputError, match=r"'liver'.*auto, percentile, soft tissue, lung, brain, bone"):
        intensity_range(an_mr, "liver")


def test_the_few_voxels_that_differ_in_a_nearly_constant_volume_are_seen():
    volume = np.zeros((20, 20, 20), np.int16)
    volume[9:11, 9:11, 9:11] = 7
    found = percentile_range(volume)
    assert (found.lower, found.upper) == (0, 7)
    image = extract(volume, Window((8, 8, 8), (12, 12, 12), (4, 4, 4)), found)
    assert set(image.unique().tolist()) == {0.0, 1.0}


def test_a_constant_volume_is_dark_and_not_undefined():
    volume = np.full((10, 10, 10), 3.0)
    image = extract(volume, Window((0, 0, 0), (10, 10, 10), (10, 10, 10)), percentile_range(volume))
    assert torch.equal(image, torch.zeros(1, 1, 10, 10, 10))


@st.composite
def thinned(draw):
    """A window of a volume that is thinned, and a part of its crop."""
    shape = draw(st.tuples(*[st.integers(1, 9)] * 3))
    lower = draw(st.tuples(*[st.integers(0, 3)] * 3))
    size = tuple(n + draw(st.integers(0, 12)) for n in shape)
    ends = (sorted(draw(st.tuples(st.integers(0, n - 1), st.integers(1, n)))) for n in size)
    part = tuple(slice(a, max(b, a + 1)) for a, b in ends)
    return Window(lower, tuple(a + n for a, n in zip(lower, size, strict=True)), shape), part


@fast
@given(thinned())
def test_logits_are_enlarged_as_by_trilinear_interpolation_where_the_image_has_no_details(case):
    window, part = case
    logits = torch.randn(1, 1, *window.shape, generator=torch.Generator().manual_seed(0))
    volume, grey = np.full(window.upper, 7, np.int16), IntensityRange(0, 255, "")
    answer = enlarge(logits[0, 0].numpy(), extract(volume, window, grey), volume, window, grey, part, 0)
    plain = torch.nn.functional.interpolate(logits, size=window.size, mode="trilinear", align_corners=False)
    assert np.allclose(answer, plain[0, 0].numpy()[part], atol=1e-5)


@fast
@given(thinned())
def test_a_part_of_an_answer_is_as_in_the_whole(case):
    window, part = case
    rng, grey = np.random.default_rng(0), IntensityRange(0, 500, "")
    logits, volume = rng.normal(size=window.shape).astype(np.float32), rng.integers(0, 500, window.upper)
    image = extract(volume, window, grey)
    everything = tuple(slice(0, n) for n in window.size)
    whole, alone = (enlarge(logits, image, volume, window, grey, cut, 0) for cut in (everything, part))
    assert np.allclose(whole[part], alone, atol=1e-5)


def test_an_answer_follows_what_is_thinner_than_the_networks_voxels():
    volume = np.zeros((30, 30, 30), np.int16)
    volume[:, :, 16] = 100
    window, grey = Window((0, 0, 0), (30, 30, 30), (10, 10, 10)), IntensityRange(0, 100, "")
    image, everything = extract(volume, window, grey), (slice(0, 30),) * 3
    logits = (12 * image[0, 0] - 1).numpy()
    assert np.array_equal(enlarge(logits, image, volume, window, grey, everything, 0) > 0, volume > 0)
    plain = enlarge(logits, torch.zeros_like(image), volume * 0, window, grey, everything, 0)
    assert np.count_nonzero(plain > 0) > 2 * np.count_nonzero(volume)  # interpolation alone smears it


def test_an_answer_hardly_follows_noise():
    rng, grey = np.random.default_rng(0), IntensityRange(0, 1000, "")
    volume = rng.normal(500, 30, (40, 40, 40))
    window = Window((0, 0, 0), (40, 40, 40), (16, 16, 16))
    logits = np.broadcast_to(np.linspace(-4, 4, 16, dtype=np.float32), window.shape).copy()
    noisy, smooth = (
        enlarge(logits, extract(image, window, grey), image, window, grey, (slice(0, 40),) * 3, 0) > 0
        for image in (volume, np.full_like(volume, 500))
    )
    edge = smooth[:, :, :-1] != smooth[:, :, 1:]
    assert np.count_nonzero(noisy != smooth) < 0.1 * np.count_nonzero(edge)


def test_the_noise_of_an_image_is_told_from_its_edges():
    rng, grey = np.random.default_rng(0), IntensityRange(0, 1000, "")
    window = Window((0, 0, 0), (40, 60, 80), (20, 30, 40))
    steps = np.where(np.arange(80) // 20 % 2, 700.0, 300.0)
    clean = np.broadcast_to(steps, (40, 60, 80)).copy()
    clean[:10] = 2000  # beyond the range
    assert noise_of(clean, window, grey) == 0
    assert np.isclose(noise_of(clean + rng.normal(0, 40, clean.shape), window, grey), 0.04, rtol=0.1)
    assert noise_of(np.zeros((40, 60, 80)), window, grey) == 0
    line = Window((0, 0, 0), (40, 60, 1), (20, 30, 1))
    assert noise_of(clean[:, :, :1], line, grey) == 0


def test_noise_makes_no_specks_in_an_answer():
    rng, grey = np.random.default_rng(0), IntensityRange(0, 1000, "")
    window, everything = Window((0, 0, 0), (40, 40, 40), (16, 16, 16)), (slice(0, 40),) * 3
    inside = np.linalg.norm(np.indices((40, 40, 40)) - 19.5, axis=0) < 12
    volume = np.where(inside, 600.0, 400.0) + rng.normal(0, 80, inside.shape)
    image = extract(volume, window, grey)
    logits = 20 * (image[0, 0].numpy() - 0.5)
    specks = [
        ndimage.label(enlarge(logits, image, volume, window, grey, everything, noise) > 0)[1]
        for noise in (0, noise_of(volume, window, grey))
    ]
    assert specks[1] < specks[0] / 3


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i2", "<i4", "f2", "f4", "f8", np.longdouble])
def test_values_of_any_type_are_seen_alike(dtype):
    volume = np.arange(8 * 8 * 16).reshape(8, 8, 16) % 100
    window, grey = Window((0, 0, 0), (8, 8, 16), (8, 8, 8)), IntensityRange(0, 100, "")
    everything, logits = (slice(0, 8), slice(0, 8), slice(0, 16)), np.ones(window.shape, np.float32)
    expected, image = (extract(array, window, grey) for array in (volume, volume.astype(dtype)))
    assert torch.equal(image, expected)
    answer = enlarge(logits, image, volume.astype(dtype), window, grey, everything, 0)
    assert np.allclose(answer, 1, atol=1e-4)


def test_a_thin_structure_ends_where_its_logits_do_whatever_part_is_asked_for():
    """What a part leaves out would be background in the whole answer as well."""
    volume = np.zeros((32, 32, 32), np.int16)
    volume[:, 13, 13] = 100
    window, grey = Window((0, 0, 0), (32, 32, 32), (16, 16, 16)), IntensityRange(0, 100, "")
    image = extract(volume, window, grey)
    logits = np.full(window.shape, -8, np.float32)
    logits[:, 6, 6] = np.linspace(2, -8, 16)
    whole = enlarge(logits, image, volume, window, grey, (slice(0, 32),) * 3, 0) > 0
    one = ObjectPrompts(np.array([[-0.5, 8.5, 8.5], [4.5, 18.5, 18.5]]), ())
    part = answered_part(one, window, Grid((32, 32, 32), np.eye(4)), logits)
    assert part != (slice(0, 32),) * 3 and whole.any()
    outside = whole.copy()
    outside[part] = False
    assert not outside.any()
