"""Training windows: inside the budget, labelled, each a pure function of its number, evenly drawn."""

import pickle
from itertools import islice

import numpy as np
import pytest
from ensam.errors import InputError
from ensam_training.augmentation import Augmentation
from ensam_training.balance import Balance, kind
from ensam_training.cases import Case, dataset_of
from ensam_training.sampling import EDGES, WindowSampler
from ensam_training.synthetic import make_case
from fuzzing import inputs
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

fast = inputs(40)
BUDGET = (18**3, 24**3)
PLAIN = Augmentation(changes=())  # MONAI takes seconds to import


def synthetic_volume(name, seed, shape=(30, 34, 26)):
    image, labels = make_case(shape, np.random.default_rng(seed))
    return Case.from_arrays(name, (1000 * image).astype(np.int16), labels, (2.0, 1.0, 1.0))


@pytest.fixture(scope="module")
def cases():
    return [synthetic_volume(f"{name}_{seed:03}", seed) for seed, name in enumerate(("mr_a", "mr_a", "mr_b"))]


def sampler_of(cases, seed=0, share=0.3):
    return WindowSampler(cases, BUDGET, seed, synthetic_share=share, augmentation=PLAIN)


def same(one, other):
    return (
        np.array_equal(one.image, other.image)
        and np.array_equal(one.targets, other.targets)
        and one.spacing_mm == other.spacing_mm
    )


@pytest.mark.parametrize("share", [0.0, 1.0], ids=["real", "synthetic"])
def test_windows_keep_the_budget_and_hold_their_objects(cases, share):
    for sample in islice(sampler_of(cases, share=share), 12):
        assert sample.image.shape[:2] == (1, 1)
        assert sample.image[0, 0].size <= BUDGET[1]
        assert set(sample.image.shape[2:]) <= set(EDGES)
        assert sample.targets.shape[1:] == (1, *sample.image.shape[2:])
        assert 1 <= len(sample.targets) <= 2
        assert ((sample.targets >= 0.5).sum((1, 2, 3, 4)) >= 20).all()
        for values in (sample.image, sample.targets):
            assert values.dtype == np.float32
            assert values.min() >= 0
            assert values.max() <= 1


def test_a_window_depends_on_seed_and_number_alone(cases):
    forwards, other = sampler_of(cases, 1), sampler_of(cases, 2)
    windows = {index: forwards.window(index) for index in range(6)}
    backwards = sampler_of(cases, 1)
    for index in reversed(range(6)):
        assert same(windows[index], backwards.window(index))
    assert not any(same(windows[index], other.window(index)) for index in range(6))
    assert not same(windows[0], windows[1])


@pytest.mark.parametrize("workers", [0, 2])
def test_loaders_give_the_same_windows_in_order_from_any_start(cases, workers):
    sampler = sampler_of(cases)
    loader = DataLoader(sampler, batch_size=None, sampler=range(3, len(sampler)), num_workers=workers)
    for index, sample in zip(range(3, 8), loader, strict=False):
        assert same(sample, sampler.window(index))


def test_samplers_can_be_handed_to_processes_that_share_no_memory(cases):
    sampler = sampler_of(cases)
    assert same(pickle.loads(pickle.dumps(sampler)).window(4), sampler.window(4))


def test_training_needs_no_data():
    assert all(len(sampler_of([], 0).window(index).targets) for index in range(3))


def test_cases_that_give_no_window_are_refused():
    labels = np.zeros((6, 30, 30), np.uint8)
    labels[1:5, 5:20, 5:20] = 1
    flat = Case.from_arrays("flat", np.random.default_rng(0).random(labels.shape), labels, (1, 1, 1))
    with pytest.raises(InputError, match="large enough"):
        sampler_of([flat], share=0.0).window(0)


@pytest.mark.parametrize("slices", [8, 11, 15])
def test_thin_volumes_are_trained_on_in_windows_of_their_own_slices(slices):
    """In use the window takes all of them, and the network pads it."""
    thin = synthetic_volume("mr_thin", 0, (slices, 40, 40))
    sampler, seen = sampler_of([thin], share=0.0), set()
    drawn = [sampler.draw(np.random.default_rng(seed)) for seed in range(40)]
    for sample in filter(None, drawn):
        depth, *plane = sample.image.shape[2:]  # axes are sorted by length
        assert 8 <= depth <= slices and set(plane) <= set(EDGES)
        assert sample.targets.shape[2:] == sample.image.shape[2:]
        seen.add(depth)
    assert sum(sample is not None for sample in drawn) > 20
    assert slices in seen


def test_a_budget_has_windows_of_its_cubes_edge_and_a_small_one_none_over_64():
    labels = np.zeros((24, 150, 150), np.uint8)
    labels[4:20, 10:140, 10:140] = 1
    image = np.random.default_rng(0).random(labels.shape)
    wide = Case.from_arrays("wide", image, labels, (4.0, 1.0, 1.0))
    longest = {}
    for edge in (40, 64, 96):
        sampler = WindowSampler([wide], (edge**3, edge**3), 0, synthetic_share=0.0, augmentation=PLAIN)
        shapes = [sample.image.shape[2:] for sample in islice(sampler, 8)]
        assert all(np.prod(shape) <= edge**3 and set(shape) <= set(EDGES) for shape in shapes)
        longest[edge] = max(map(max, shapes))
    assert longest == {40: 64, 64: 64, 96: 96}


def test_a_windows_spacing_covers_the_same_millimetres(cases):
    """A cube of 24 mm in voxels of 2 x 1 x 1 mm stays a cube, however its window is thinned and turned."""
    labels = np.zeros((40, 80, 80), np.uint8)
    labels[14:26, 28:52, 28:52] = 1
    image = labels * 100.0 + np.random.default_rng(0).random(labels.shape)
    cube = Case.from_arrays("cube", image, labels, (2.0, 1.0, 1.0))
    uncut = 0
    for sample in islice(sampler_of([cube], share=0.0), 20):
        mask = sample.targets[0, 0]
        extents = [
            step * mask.max(tuple({0, 1, 2} - {axis})).sum() for axis, step in enumerate(sample.spacing_mm)
        ]
        uncut += np.allclose(extents, 24, atol=1e-3)
        assert (np.array(extents) < 24.001).all()
    assert uncut > 12


def test_an_objects_share_of_its_window_is_that_of_its_label(cases):
    """Thinned targets hold shares of voxels, whose sum is the object's part of the window."""
    whole = sampler_of(cases, share=0.0)
    fractional = 0
    for sample in islice(whole, 20):
        assert sample.targets.max() > 0.99
        fractional += bool(((sample.targets > 0.01) & (sample.targets < 0.99)).any())
    assert fractional > 5


# Which objects are drawn


def test_a_case_knows_its_objects_and_forgets_specks():
    labels = np.zeros((10, 10, 10), np.uint8)
    labels[2:5, 3:7, 1:9] = 2
    labels[9, 9, 9] = 4
    case = Case.from_arrays("mr", np.zeros((10, 10, 10)), labels, (1, 1, 1))
    assert case.objects == {2: (slice(2, 5), slice(3, 7), slice(1, 9))}
    assert not case.is_ct


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("mr_hippocampus_011", "mr_hippocampus"),
        ("mr_ms19_flair", "mr_ms_flair"),
        ("ct_totalseg_aorta", "ct_totalseg_aorta"),
        ("mr_fetalsb_GA30_op", "mr_fetalsb_GA"),
    ],
)
def test_a_cases_dataset_is_read_off_its_name(name, dataset):
    assert dataset_of(name) == dataset


members = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("rst")), min_size=1, max_size=30)
shares = st.floats(0, 1)


@fast
@given(members, shares, shares)
def test_a_balance_is_a_probability_and_kinds_leave_the_datasets_alone(objects, datasets, kinds):
    names, of_kind = zip(*objects, strict=True)
    weights = Balance(datasets, kinds).weights(names, of_kind)
    assert (weights > 0).all()
    assert weights.sum() == pytest.approx(1)
    plain = Balance(datasets, 0).weights(names, of_kind)
    for name in set(names):
        own = np.array(names) == name
        assert weights[own].sum() == pytest.approx(plain[own].sum())


@fast
@given(members)
def test_a_full_balance_is_even_over_datasets_and_over_kinds_within_them(objects):
    names, of_kind = zip(*objects, strict=True)
    weights = Balance(1, 1).weights(names, of_kind)
    for name in set(names):
        kinds = {k for n, k in objects if n == name}
        for one in kinds:
            own = [pair == (name, one) for pair in objects]
            assert weights[own].sum() == pytest.approx(1 / len(set(names)) / len(kinds))


def test_no_balance_takes_every_object_equally_often():
    assert np.allclose(Balance(0, 0).weights("aab", "rss"), 1 / 3)


def test_balances_outside_0_to_1_are_refused():
    with pytest.raises(InputError, match="0 to 1"):
        Balance(datasets=1.5)


def test_kinds_tell_sizes_and_thin_objects_apart():
    labels = np.zeros((40, 40, 40), np.uint8)
    labels[1:5, 1:5, 1:5] = 1
    labels[10:30, 10:30, 10:30] = 2
    labels[10:12, 10:30, 10:30] = labels[10:30, 10:12, 10:30] = 3  # a bent sheet
    case = Case.from_arrays("x", labels, labels, (1, 1, 1))
    assert kind(case, 1) == (2, False)
    assert kind(case, 2) == (4, False)
    assert kind(case, 3) == (4, True)


def test_objects_are_drawn_as_often_as_they_weigh(cases):
    rng = np.random.default_rng(0)
    draw = Balance(1, 0).draw_from(cases)
    drawn = [draw(rng)[0].dataset for _ in range(600)]
    assert drawn.count("mr_b") / 600 == pytest.approx(0.5, abs=0.08)
