"""Synthetic volumes: labelled, in 0..1, reproducible by seed."""

import numpy as np
from ensam_training.synthetic import make_case
from hypothesis import given, settings
from hypothesis import strategies as st

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
    image_again, labels_again = make_case(shape, np.random.default_rng(seed))
    assert np.array_equal(image, image_again)
    assert np.array_equal(labels, labels_again)
    assert not np.array_equal(image, make_case(shape, np.random.default_rng(seed + 1))[0])


def test_nearly_every_synthetic_case_has_an_object():
    found = [make_case((20, 20, 20), np.random.default_rng(seed))[1].any() for seed in range(20)]
    assert np.mean(found) > 0.9
