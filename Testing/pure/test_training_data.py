"""Training windows, real and synthetic: inside the budget, labelled, reproducible by seed."""

from itertools import islice

import numpy as np
import pytest
from ensam_training.augmentation import augment_intensity, random_orientation
from ensam_training.datasets import Case, WindowSampler, dataset_of
from ensam_training.synthetic import make_case
from hypothesis import given, settings
from hypothesis import strategies as st

fast = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 2**16)


@settings(deadline=None, max_examples=10)
@given(seeds, st.tuples(*[st.integers(14, 26)] * 3))
def test_a_synthetic_case_is_labelled_lies_in_0_to_1_and_is_reproducible(seed, shape):
    image, labels = make_case(shape, np.random.default_rng(seed))
    assert image.shape == labels.shape == shape
    assert (image.dtype, labels.dtype) == (np.float32, np.uint8)
    assert image.min() >= 0
    assert image.max() <= 1
    assert image.std() > 0.01
    assert labels.max() <= 5
    image_again, labels_again = make_case(shape, np.random.default_rng(seed))
    assert np.array_equal(image, image_again)
    assert np.array_equal(labels, labels_again)
    assert not np.array_equal(image, make_case(shape, np.random.default_rng(seed + 1))[0])


def test_nearly_every_synthetic_case_has_an_object():
    found = [make_case((20, 20, 20), np.random.default_rng(seed))[1].any() for seed in range(20)]
    assert np.mean(found) > 0.9


def synthetic_volume(name, seed, shape=(30, 34, 26)):
    image, labels = make_case(shape, np.random.default_rng(seed))
    return Case.from_arrays(name, (1000 * image).astype(np.int16), labels, (2.0, 1.0, 1.0))


@pytest.fixture(scope="module")
def cases():
    return [synthetic_volume(f"{name}_{seed:03}", seed) for seed, name in enumerate(("mr_a", "mr_a", "mr_b"))]


BUDGET = (18**3, 24**3)


def samples(cases, seed, count=12, share=0.3):
    return list(islice(WindowSampler(cases, BUDGET, seed, synthetic_share=share), count))


@pytest.mark.parametrize("share", [0.0, 1.0], ids=["real", "synthetic"])
def test_windows_keep_the_budget_and_hold_their_objects(cases, share):
    for sample in samples(cases, 0, share=share):
        assert sample.image.shape[:2] == (1, 1)
        assert sample.image[0, 0].size <= BUDGET[1]
        assert sample.targets.shape[1:] == (1, *sample.image.shape[2:])
        assert 1 <= len(sample.targets) <= 2
        assert ((sample.targets >= 0.5).sum((1, 2, 3, 4)) >= 20).all()
        for values in (sample.image, sample.targets):
            assert values.dtype == np.float32
            assert values.min() >= 0
            assert values.max() <= 1


def test_windows_are_reproducible_by_seed(cases):
    one, again, other = samples(cases, 1, 6), samples(cases, 1, 6), samples(cases, 2, 6)
    for a, b in zip(one, again, strict=True):
        assert np.array_equal(a.image, b.image)
        assert np.array_equal(a.targets, b.targets)
    assert not all(np.array_equal(a.image, b.image) for a, b in zip(one, other, strict=True))


def test_training_needs_no_data():
    assert len(samples([], 0, 3)) == 3


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


@fast
@given(seeds)
def test_augmented_images_stay_in_0_to_1_and_are_reproducible(seed):
    image = make_case((14, 15, 16), np.random.default_rng(3))[0]
    before = image.copy()
    changed = augment_intensity(image, np.random.default_rng(seed))
    assert changed.shape == image.shape
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert np.array_equal(changed, augment_intensity(image, np.random.default_rng(seed)))
    assert np.array_equal(image, before)


@fast
@given(seeds)
def test_image_and_targets_are_turned_alike(seed):
    image = np.random.default_rng(seed).random((4, 5, 6))
    turned, targets = random_orientation(np.random.default_rng(seed), image, np.stack([image, 2 * image]))
    assert sorted(turned.shape) == [4, 5, 6]
    assert np.array_equal(targets, np.stack([turned, 2 * turned]))
