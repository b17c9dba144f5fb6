"""Synthetic volumes: labelled, in 0..1, reproducible by seed, with surfaces that can be seen."""

import numpy as np
import pytest
from ensam_training.__main__ import main
from ensam_training.balance import kind
from ensam_training.cases import Case
from ensam_training.shapes import SHAPES, Space
from ensam_training.synthetic import make_case
from ensam_training.textures import add_noise, along_axes, blur, smooth_field
from fuzzing import inputs
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

seeds = st.integers(0, 2**16)
fast = inputs(20)


@inputs(10)
@given(seeds, st.tuples(*[st.integers(14, 26)] * 3))
def test_a_synthetic_case_is_labelled_lies_in_0_to_1_and_is_reproducible(seed, shape):
    image, labels = make_case(shape, np.random.default_rng(seed))
    assert image.shape == labels.shape == shape
    assert (image.dtype, labels.dtype) == (np.float32, np.uint8)
    assert image.min() >= 0
    assert image.max() <= 1
    assert image.std() > 0.01
    assert (np.bincount(labels.ravel())[1:] >= 20).all()  # numbered without gaps, none too small
    image_again, labels_again = make_case(shape, np.random.default_rng(seed))
    assert np.array_equal(image, image_again)
    assert np.array_equal(labels, labels_again)
    assert not np.array_equal(image, make_case(shape, np.random.default_rng(seed + 1))[0])


@pytest.fixture(scope="module")
def cases():
    return [make_case((32, 32, 32), np.random.default_rng(seed)) for seed in range(40)]


def test_nearly_every_synthetic_case_has_objects_and_most_have_several(cases):
    counts = np.array([labels.max() for _, labels in cases])
    assert (counts > 0).mean() > 0.9
    assert (counts > 1).mean() > 0.5


def test_objects_are_of_all_sizes_and_often_thin(cases):
    kinds = []
    for image, labels in cases:
        case = Case.from_arrays("x", image, labels, (1, 1, 1))
        kinds += [kind(case, label) for label in case.objects]
    thin = np.mean([is_thin for _, is_thin in kinds])
    assert 0.15 < thin < 0.7
    assert {size for size, _ in kinds} >= {3, 4}


def test_the_surface_of_every_object_can_be_seen(cases):
    """Through it the image, smoothed against noise, changes more than elsewhere."""
    for image, labels in cases:
        steps = ndimage.gaussian_gradient_magnitude(image, 1.0)
        for label in range(1, labels.max() + 1):
            mask = labels == label
            surface = mask & ~ndimage.binary_erosion(mask)
            assert steps[surface].mean() > 0.5 * steps.mean()
    ratios = [
        steps[(labels > 0) & ~ndimage.binary_erosion(labels > 0)].mean() / steps.mean()
        for image, labels in cases
        if labels.any()
        for steps in [ndimage.gaussian_gradient_magnitude(image, 1.0)]
    ]
    assert np.median(ratios) > 1.3


@pytest.mark.parametrize("shape", dict.fromkeys(SHAPES), ids=lambda shape: shape.__name__)
def test_shapes_are_depths_in_voxels(shape):
    """Near the surface the depth changes by about one a voxel, or blur and shells would be of any width."""
    slopes, sizes = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        space = Space((30, 34, 32), rng)
        depth = shape(space, np.array([15.0, 17.0, 16.0]), rng)
        assert depth.shape == space.shape
        assert depth.dtype == np.float32
        assert np.isfinite(depth).all()
        sizes.append((depth > 0).sum())
        near = np.abs(depth) < 1
        slopes.append(np.median(np.linalg.norm(np.gradient(depth), axis=0)[near]) if near.any() else 1)
    assert max(sizes) < 0.6 * depth.size
    assert np.median(sizes) >= 20
    assert 0.4 < np.median(slopes) < 1.8


@fast
@given(seeds, st.tuples(*[st.integers(8, 20)] * 3), st.floats(1, 12))
def test_a_smooth_field_has_mean_0_and_deviation_1(seed, shape, size):
    field = smooth_field(shape, size, np.random.default_rng(seed))
    assert field.shape == shape
    assert field[::2, ::2, ::2].mean() == pytest.approx(0, abs=1e-3)
    assert field[::2, ::2, ::2].std() == pytest.approx(1, abs=1e-3)


def test_larger_features_change_more_slowly():
    roughness = [
        np.abs(np.diff(smooth_field((24, 24, 24), size, np.random.default_rng(0)))).mean()
        for size in (1, 3, 9)
    ]
    assert roughness == sorted(roughness, reverse=True)


def test_blur_is_gaussian_and_keeps_constants():
    image = np.random.default_rng(0).random((20, 22, 24)).astype(np.float32)
    ours = blur(image, np.array([0.7, 1.1, 0.5]))
    theirs = ndimage.gaussian_filter(image, (0.7, 1.1, 0.5), truncate=8)
    inner = (slice(6, -6),) * 3
    assert np.allclose(ours[inner], theirs[inner], atol=2e-3)
    assert np.allclose(blur(np.ones((5, 6, 7), np.float32), np.ones(3)), 1, atol=1e-6)


def test_matrices_are_applied_along_their_own_axes():
    image = np.random.default_rng(0).random((4, 5, 6)).astype(np.float32)
    matrices = [np.random.default_rng(n).random((n - 1, n)).astype(np.float32) for n in image.shape]
    expected = np.einsum("zyx,az,by,cx->abc", image, *matrices)
    assert np.allclose(along_axes(image, matrices), expected, atol=1e-5)


@fast
@given(seeds)
def test_noise_keeps_the_image_near_itself(seed):
    image = np.full((10, 10, 10), 0.5, np.float32)
    noisy = add_noise(image, np.random.default_rng(seed))
    assert noisy.dtype == np.float32
    assert noisy.std() < 0.25
    assert abs(noisy.mean() - 0.5) < 0.1


def test_a_sheet_of_samples_is_drawn(tmp_path, capsys):
    assert main(["synthetic", "-o", str(tmp_path / "sheet.png"), "--count", "3", "--edge", "20"]) == 0
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    assert main(["synthetic", "-o", str(tmp_path / "none.png"), "--count", "0"]) == 2
    assert "at least 1 volume" in capsys.readouterr().err
    assert not (tmp_path / "none.png").exists()


def test_a_sheet_is_a_png_file(tmp_path, capsys):
    assert main(["synthetic", "-o", str(tmp_path / "sheet.jpg")]) == 2
    assert "must end in .png" in capsys.readouterr().err and not list(tmp_path.iterdir())
