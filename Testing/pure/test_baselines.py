"""The baselines fill their boxes, heed their prompts and answer whatever they are asked."""

import warnings

import numpy as np
import pytest
from ensam.challenge import ChallengeCase, boxes_from_labels
from ensam_training.baselines import (
    BASELINES,
    box_predictor,
    ellipsoid_predictor,
    growcut_predictor,
    random_walker_predictor,
    threshold_predictor,
)
from ensam_training.metrics import dice
from fuzzing import inputs
from hypothesis import given
from hypothesis import strategies as st

SHAPE = (24, 32, 40)


def ball(centre, radius, shape=SHAPE):
    z, y, x = np.ogrid[tuple(slice(-m, n - m) for m, n in zip(centre, shape, strict=True))]
    return z**2 + y**2 + x**2 <= radius**2


def two_balls():
    labels = np.zeros(SHAPE, np.uint8)
    labels[ball((12, 14, 10), 8.4)] = 1
    labels[ball((12, 16, 30), 6.4)] = 2
    return labels


def case_of(labels, clicks=(), seed=0):
    """A noisy image on which every object is bright."""
    noise = np.random.default_rng(seed).normal(0, 10, labels.shape)
    image = np.clip(60 + 120 * (labels > 0) + noise, 0, 255).astype(np.uint8)
    return ChallengeCase("case", image, (1.0, 1.0, 2.0), tuple(boxes_from_labels(labels)), tuple(clicks))


def of_each(labels, answer):
    return [dice(labels == label, answer == label) for label in range(1, labels.max() + 1)]


def test_the_box_is_filled_to_its_outermost_voxels():
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:9, 10:11, 20:40] = 1
    assert np.array_equal(box_predictor(case_of(labels)), labels)


def test_the_ellipsoid_is_a_ball_where_the_object_is_one():
    labels = two_balls()
    assert min(of_each(labels, ellipsoid_predictor(case_of(labels)))) > 0.9


def test_overlapping_boxes_share_the_voxels_between_their_centres():
    depth = {"z_min": 0, "z_max": 9, "z_mid": 5, "z_mid_y_min": 0, "z_mid_y_max": 9}
    boxes = [depth | {"z_mid_x_min": x, "z_mid_x_max": x + 19} for x in (0, 15)]
    case = ChallengeCase("case", np.zeros((10, 10, 40), np.uint8), (1.0, 1.0, 1.0), tuple(boxes))
    row = box_predictor(case)[5, 5]
    assert row.tolist() == [1] * 17 + [2] * 18 + [0] * 5


SEEING = [threshold_predictor, random_walker_predictor, growcut_predictor]
SEEDED = [random_walker_predictor, growcut_predictor]


@pytest.mark.parametrize("predict", SEEING)
def test_bright_objects_are_found_by_whoever_looks_at_the_image(predict):
    labels = two_balls()
    assert min(of_each(labels, predict(case_of(labels)))) > 0.9


@pytest.mark.parametrize("predict", SEEING)
def test_dark_objects_are_found_as_bright_ones_are(predict):
    labels = two_balls()
    bright = case_of(labels)
    dark = ChallengeCase(bright.name, 255 - bright.image, bright.spacing, bright.boxes)
    assert np.mean(predict(dark) == predict(bright)) > 0.999


@pytest.mark.parametrize("predict", SEEDED)
def test_clicks_pull_the_mask_in_and_push_it_out(predict):
    labels = np.zeros(SHAPE, np.uint8)
    labels[ball((12, 14, 12), 7)] = 1
    beside = ball((12, 14, 30), 5)
    both = case_of((labels.astype(bool) | beside).astype(np.uint8))
    boxes = tuple(boxes_from_labels(labels))
    inside, outside = (12, 14, 30), (12, 14, 12)

    def answer(fg, bg):
        case = ChallengeCase("case", both.image, both.spacing, boxes, ({"fg": fg, "bg": bg},))
        return predict(case)

    assert answer((), ())[inside] == 0 and answer((inside,), ())[inside] == 1
    assert answer((), ())[outside] == 1 and answer((), (outside,))[outside] == 0


def test_growcut_stops_at_a_wall_that_is_not_as_wide_as_its_box():
    # Two halves of one grey with a thin bright wall between them; only the first is in the object's middle.
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:20, 4:28, 4:24] = 1
    image = np.full(SHAPE, 90, np.uint8)
    image[:, :, 24] = 200
    case = ChallengeCase("case", image, (1.0, 1.0, 1.0), tuple(boxes_from_labels(labels)))
    answer = growcut_predictor(case)
    assert answer[12, 16, 22] == 1 and not answer[:, :, 25:].any()


def test_a_click_teaches_the_threshold_a_new_grey_value():
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:20, 4:28, 4:36] = 1
    image = np.full(SHAPE, 20, np.uint8)
    image[labels == 1] = 120
    image[6:18, 6:26, 33:36] = 150  # a part of the object that its middle does not tell of
    boxes = tuple(boxes_from_labels(labels))
    clicks = ({"fg": ((12, 16, 34),), "bg": ()},)
    before = threshold_predictor(ChallengeCase("case", image, (1.0, 1.0, 1.0), boxes))
    after = threshold_predictor(ChallengeCase("case", image, (1.0, 1.0, 1.0), boxes, clicks))
    assert before[12, 16, 34] == 0 and before[12, 16, 10] == 1
    assert after[12, 16, 34] == 1 and after[12, 16, 10] == 1


def test_a_case_without_boxes_is_answered_with_background():
    labels = two_balls()
    case = case_of(labels)
    clicks = ({"fg": ((12, 14, 10),), "bg": ()}, {"fg": (), "bg": ()})
    unboxed = ChallengeCase(case.name, case.image, case.spacing, None, clicks)
    for predict in BASELINES.values():
        assert not predict(unboxed).any()


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 9), (2, 3, 2), (24, 24, 24)])
@pytest.mark.parametrize("grey", ["one", "noise"])
@pytest.mark.parametrize("predict", SEEDED)
def test_a_box_as_large_as_the_volume_is_answered(predict, shape, grey):
    image = np.random.default_rng(0).integers(0, 256, shape) if grey == "noise" else np.full(shape, 7)
    labels = np.ones(shape, np.uint8)
    middle = tuple(n // 2 for n in shape)
    for clicks in (), ({"fg": (), "bg": (middle,)},), ({"fg": (middle,), "bg": ()},):
        case = ChallengeCase(
            "case", image.astype(np.uint8), (1.0, 2.0, 3.0), tuple(boxes_from_labels(labels)), clicks
        )
        answer = predict(case)
        assert answer.shape == shape
        if clicks:
            assert answer[middle] == (1 if clicks[0]["fg"] else 0)


@inputs(25)
@given(st.integers(0, 10**6))
def test_every_baseline_answers_any_case_in_silence(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 24, 3))
    labels = np.zeros(shape, np.uint8)
    for number in (1, 2):
        labels[tuple(rng.integers(0, n) for n in shape)] = number
    present = np.unique(labels[labels > 0]).size
    clicks = []
    for _ in range(present):
        voxels = [tuple(int(rng.integers(0, n)) for n in shape) for _ in range(rng.integers(0, 5))]
        clicks.append({"fg": tuple(voxels[::2]), "bg": tuple(voxels[1::2])})
    case = case_of(labels, clicks, seed)
    for predict in BASELINES.values():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            answer = predict(case)
        assert answer.dtype == np.uint8 and answer.shape == shape and answer.max() <= present


def test_the_same_case_gets_the_same_answer():
    case = case_of(two_balls())
    for predict in BASELINES.values():
        assert np.array_equal(predict(case), predict(case))
