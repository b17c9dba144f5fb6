"""The metrics give what can be worked out by hand for cubes, planes and spheres."""

import numpy as np
import pytest
from ensam_training.metrics import dice, surface_dice
from fuzzing import inputs
from hypothesis import given
from hypothesis import strategies as st

UNIT = (1.0, 1.0, 1.0)
NOTHING = np.zeros((12, 12, 12), bool)


def cube(start=(2, 2, 2), edge=6, shape=(16, 16, 16)):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(s, s + edge) for s in start)] = True
    return mask


def sphere(radius, spacing=UNIT):
    axes = [np.arange(-40, 41) * length for length in spacing]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return z**2 + y**2 + x**2 <= radius**2


def random_masks(seed):
    return np.random.default_rng(seed).random((2, 6, 7, 5)) > 0.85


def test_a_mask_agrees_with_itself_wholly():
    assert dice(cube(), cube()) == 1 and surface_dice(cube(), cube(), UNIT, 0) == 1


def test_two_empty_masks_agree_and_one_empty_mask_does_not():
    assert dice(NOTHING, NOTHING) == 1 and surface_dice(NOTHING, NOTHING, UNIT) == 1
    some = cube(shape=NOTHING.shape)
    for pair in ((NOTHING, some), (some, NOTHING)):
        assert dice(*pair) == 0 and surface_dice(*pair, UNIT) == 0


def test_masks_of_different_shapes_are_refused():
    for measure in (dice, lambda truth, answer: surface_dice(truth, answer, UNIT)):
        with pytest.raises(ValueError, match="shape"):
            measure(cube(), NOTHING)


@pytest.mark.parametrize("shift", range(7))
def test_dice_of_shifted_cubes_is_the_share_of_their_overlap(shift):
    assert dice(cube(), cube((2 + shift, 2, 2))) == pytest.approx((6 - shift) / 6)


@pytest.mark.parametrize("spacing", [UNIT, (3.0, 1.0, 0.5)])
def test_a_cube_shifted_within_the_tolerance_keeps_its_whole_surface(spacing):
    shift_mm = 2 * spacing[0]
    shifted = cube((4, 2, 2))
    assert surface_dice(cube(), shifted, spacing, shift_mm) == 1
    assert surface_dice(cube(), shifted, spacing, 0.99 * shift_mm) < 1


def test_without_tolerance_only_coinciding_faces_count():
    truth, answer = (cube((start, 2, 2), 60, (84, 64, 64)) for start in (2, 22))
    # Four of a cube's six sides coincide over 2/3 of their length.
    assert surface_dice(truth, answer, UNIT, 0) == pytest.approx(4 / 6 * 2 / 3, abs=0.02)


@pytest.mark.parametrize("gap_mm", [2, 3, 4])
@pytest.mark.parametrize("spacing", [UNIT, (0.5, 1.0, 1.5)])
def test_concentric_spheres_agree_once_the_tolerance_bridges_their_gap(gap_mm, spacing):
    inner, outer = sphere(14, spacing), sphere(14 + gap_mm, spacing)
    voxel = max(spacing)
    assert surface_dice(inner, outer, spacing, gap_mm + voxel) == 1
    assert surface_dice(inner, outer, spacing, gap_mm - voxel) < 0.2


def test_a_surface_counts_by_its_area_and_not_by_its_voxels():
    # A slab that both have, and a far copy of it that only one has: two of the three surfaces agree.
    truth = np.zeros((40, 60, 60), bool)
    truth[5:7] = True
    answer = truth.copy()
    answer[30:32] = True
    for spacing in (UNIT, (2.0, 0.5, 0.5)):
        assert surface_dice(truth, answer, spacing, 1.0) == pytest.approx(2 / 3, abs=0.02)


@inputs(40)
@given(st.integers(0, 10**6), st.floats(0.3, 4), st.floats(0, 4))
def test_surface_dice_is_symmetric_and_depends_on_lengths_alone(seed, scale, tolerance):
    truth, answer = random_masks(seed)
    spacing = (0.8, 1.1, 2.3)
    found = surface_dice(truth, answer, spacing, tolerance)
    assert 0 <= found <= 1
    assert surface_dice(answer, truth, spacing, tolerance) == pytest.approx(found)
    scaled = tuple(scale * length for length in spacing)
    assert surface_dice(truth, answer, scaled, scale * tolerance * (1 + 1e-9)) == pytest.approx(
        surface_dice(truth, answer, spacing, tolerance * (1 + 1e-9)), abs=1e-6
    )


@inputs(40)
@given(st.integers(0, 10**6), st.permutations(range(3)))
def test_turning_axes_with_their_spacing_changes_nothing(seed, order):
    truth, answer = random_masks(seed)
    spacing = (0.8, 1.1, 2.3)
    turned = surface_dice(truth.transpose(order), answer.transpose(order), [spacing[i] for i in order], 1.0)
    # Triangles of one surface can be laid in more than one way, with slightly different areas.
    assert turned == pytest.approx(surface_dice(truth, answer, spacing, 1.0), abs=0.03)


def test_surface_dice_gives_the_numbers_of_the_reference():
    # Made by DeepMind's surface-distance on the same masks.
    recorded = {
        (1, 0.0): 0.631591529,
        (1, 1.0): 0.7631748106,
        (1, 2.0): 0.9499438446,
        (2, 0.0): 0.5580020365,
        (2, 1.0): 0.7521511372,
        (2, 2.0): 0.9792389601,
        (3, 0.0): 0.5185929195,
        (3, 1.0): 0.6740106961,
        (3, 2.0): 0.9196150055,
    }
    for (seed, tolerance), expected in recorded.items():
        truth, answer = random_masks(seed)
        assert surface_dice(truth, answer, (0.8, 1.1, 2.3), tolerance) == pytest.approx(expected, abs=1e-9)
