"""Changes of training windows: within 0..1, reproducible, alike for image and targets."""

import subprocess
import sys

import numpy as np
import pytest
from ensam_training.augmentation import (
    OURS,
    PAPER,
    Augmentation,
    Gamma,
    Inversion,
    Noise,
    Sometimes,
    ThickSlices,
    random_turn,
)
from fuzzing import inputs
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

fast = inputs(40)
seeds = st.integers(0, 2**16)


@pytest.fixture(scope="module")
def an_image():
    noise = np.random.default_rng(3).standard_normal((14, 15, 16))
    smooth = ndimage.gaussian_filter(noise, 1.5)
    return ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)


@pytest.mark.parametrize("change", [*PAPER.change.changes, *(s.change for s in OURS)], ids=repr)
def test_every_change_changes_and_is_reproducible(an_image, change):
    before = an_image.copy()
    changed, again, other = (change(an_image, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert changed.shape == an_image.shape
    assert changed.dtype == np.float32
    assert np.abs(changed - an_image).max() > 0.002
    assert np.array_equal(changed, again)
    assert isinstance(change, Inversion) or not np.array_equal(changed, other)
    assert np.array_equal(an_image, before)


@fast
@given(seeds)
def test_augmented_images_stay_in_0_to_1(an_image, seed):
    changed = Augmentation().change_intensity(an_image, np.random.default_rng(seed))
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_the_papers_changes_are_made_to_half_of_the_images(an_image):
    rng = np.random.default_rng(0)
    kept = sum(PAPER(an_image, rng) is an_image for _ in range(200))
    assert kept / 200 == pytest.approx(0.5, abs=0.12)


def test_a_change_that_is_never_made_changes_nothing(an_image):
    assert Sometimes(Inversion(), 0)(an_image, np.random.default_rng(0)) is an_image


def test_the_changes_do_what_they_say(an_image):
    rng = np.random.default_rng(0)
    assert np.allclose(Inversion()(an_image, rng), 1 - an_image)
    assert (Noise((0.05, 0.05))(an_image, rng) - an_image).std() == pytest.approx(0.05, rel=0.1)
    brighter = Gamma()(an_image, rng) - an_image
    assert (brighter >= 0).all() or (brighter <= 0).all()


@fast
@given(seeds)
def test_thick_slices_keep_the_mean_of_an_axis_they_do_not_cross_and_smooth_the_other(seed):
    steps = np.zeros((12, 12, 12), np.float32)
    steps[:] = np.arange(12) % 2
    thick = ThickSlices()(steps, np.random.default_rng(seed))
    crossed = np.ptp(thick[0, 0]) < 0.99
    assert crossed or np.allclose(thick, steps, atol=1e-5)
    constant = np.full((12, 9, 7), 0.3, np.float32)
    assert np.allclose(ThickSlices()(constant, np.random.default_rng(seed)), 0.3, atol=1e-6)


@fast
@given(seeds, st.tuples(*[st.integers(2, 5)] * 3))
def test_image_and_targets_are_turned_alike(seed, shape):
    image = np.random.default_rng(seed).random(shape)
    turn = random_turn(shape, np.random.default_rng(seed))
    turned = turn(image)
    assert turned.shape == tuple(sorted(shape))
    assert np.array_equal(turn(np.stack([image, 2 * image])), np.stack([turned, 2 * turned]))


def test_all_48_turns_of_a_cube_occur():
    cube, rng = np.arange(8).reshape(2, 2, 2), np.random.default_rng(0)
    turns = {random_turn(cube.shape, rng)(cube).tobytes() for _ in range(600)}
    assert len(turns) == 48


def test_importing_augmentation_does_not_import_monai():
    code = "import sys, ensam_training.augmentation; sys.exit('monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
