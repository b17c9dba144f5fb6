"""What is done to logits before they become masks."""

from __future__ import annotations

import numpy as np
from ensam.postprocessing import obey_clicks
from hypothesis import given
from hypothesis import strategies as st

SHAPE = (9, 10, 11)
SIGMA = (1.5, 1.5, 3.0)


def noise(seed):
    return np.random.default_rng(seed).normal(0, 2, SHAPE).astype(np.float32)


voxels = st.tuples(*(st.integers(0, n - 1) for n in SHAPE))
clicks = st.dictionaries(voxels, st.booleans(), max_size=6).map(
    lambda found: [(np.array(voxel, float), foreground) for voxel, foreground in found.items()]
)


@given(st.integers(0, 99), clicks)
def test_every_clicked_voxel_ends_on_the_asked_side(seed, own):
    obedient = obey_clicks(noise(seed), own, SIGMA)
    assert all((obedient[tuple(voxel.astype(int))] > 0) == foreground for voxel, foreground in own)


@given(st.integers(0, 99), clicks)
def test_the_order_of_the_clicks_does_not_matter(seed, own):
    assert np.allclose(
        obey_clicks(noise(seed), own, SIGMA), obey_clicks(noise(seed), own[::-1], SIGMA), atol=1e-5
    )


def test_clicks_that_the_network_obeys_change_nothing():
    logits = noise(0)
    own = [(np.array(v, float), bool(logits[v] > 0)) for v in ((1, 2, 3), (8, 9, 10), (0, 0, 0))]
    assert obey_clicks(logits, own, SIGMA) is logits


def test_the_mask_follows_a_click_as_a_ball_and_nowhere_else():
    logits = np.full((40, 40, 40), -1, np.float32)
    kept = logits.copy()
    mask = obey_clicks(logits, [(np.array((20.2, 19.8, 20.0)), True)], SIGMA) > 0
    z, y, x = (np.ptp(hits) + 1 for hits in np.nonzero(mask))
    assert mask[20, 20, 20] and 1 < z == y < x < 9
    assert np.array_equal(logits, kept)
    far = obey_clicks(logits, [(np.array((20.0, 20, 20)), True)], SIGMA)
    assert np.array_equal(far[:, :, :10], logits[:, :, :10])


def test_a_click_at_the_face_of_the_volume_is_obeyed():
    logits = np.full(SHAPE, 1, np.float32)
    assert obey_clicks(logits, [(np.array((-0.5, 9.4, 10.5)), False)], SIGMA)[0, 9, 10] < 0
