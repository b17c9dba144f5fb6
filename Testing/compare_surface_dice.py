"""How far our surface Dice is from DeepMind's surface-distance, which the challenge uses.

    pip install surface-distance==0.1
    python Testing/compare_surface_dice.py [FOLDER OF LABELLED .npz]

Compares on random masks and, with a folder, on each object of its cases against the ellipsoid in its box.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ensam_training.baselines import ellipsoid_predictor
from ensam_training.challenge_cases import read_labelled_case
from ensam_training.metrics import surface_dice
from numpy.typing import NDArray
from scipy import ndimage

try:
    import surface_distance
except ModuleNotFoundError:
    sys.exit("The reference is missing: pip install surface-distance==0.1")

TOLERANCE_MM = 2.0
Pair = tuple[NDArray[np.bool_], NDArray[np.bool_], tuple[float, ...]]


def noise(count: int) -> Iterator[Pair]:
    """Two unrelated masks of single voxels, which hold all 256 surface elements."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        shape, spacing = rng.integers(4, 24, 3), tuple(rng.uniform(0.5, 5, 3))
        yield rng.random(shape) > rng.uniform(0.3, 0.97), rng.random(shape) > rng.uniform(0.3, 0.97), spacing


def blobs(count: int) -> Iterator[Pair]:
    """Two smooth masks that resemble one another."""
    rng = np.random.default_rng(1)
    for _ in range(count):
        shape, spacing = rng.integers(4, 24, 3), tuple(rng.uniform(0.5, 5, 3))
        shared, *own = rng.standard_normal((3, *shape))
        smooth = [ndimage.gaussian_filter(shared + 0.5 * one, 1.5) for one in own]
        yield *(one > np.quantile(one, 0.7) for one in smooth), spacing


def objects(folder: Path) -> Iterator[Pair]:
    """Every object of every case, and the ellipsoid in its box."""
    for path in sorted(folder.glob("*.npz")):
        case = read_labelled_case(path)
        answer = ellipsoid_predictor(case.case)
        for label in range(1, case.count + 1):
            yield case.truth == label, answer == label, case.spacing_zyx


def compare(name: str, pairs: Iterator[Pair]) -> None:
    differences = []
    for truth, answer, spacing in pairs:
        if truth.any() and answer.any():  # the reference has no number for two empty masks
            distances = surface_distance.compute_surface_distances(truth, answer, spacing)
            theirs = surface_distance.compute_surface_dice_at_tolerance(distances, TOLERANCE_MM)
            differences.append(abs(theirs - surface_dice(truth, answer, spacing, TOLERANCE_MM)))
    print(f"{name}: {len(differences)} pairs, max {max(differences):.1e}, mean {np.mean(differences):.1e}")


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)  # of the reference's use of SciPy
    compare("noise", noise(1000))
    compare("blobs", blobs(1000))
    if len(sys.argv) > 1:
        compare("objects", objects(Path(sys.argv[1])))
