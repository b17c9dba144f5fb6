"""Cases of two objects whose scores can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from ensam.challenge import ChallengeCase, boxes_from_labels
from ensam_training.challenge_cases import LabelledCase, write_labelled_case

SHAPE = (12, 16, 20)
SPACING_XYZ = (1.0, 1.5, 3.0)
RNG = np.random.default_rng(0)


def labels_of_two():
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:8, 3:9, 2:8] = 1
    labels[4:10, 8:14, 11:18] = 2
    labels[7, 8, 7] = 0  # So that filling the box leaves an error.
    return labels


def a_case(name="one", boxed=True):
    truth = labels_of_two()
    image = RNG.integers(0, 256, SHAPE).astype(np.uint8)
    boxes = tuple(boxes_from_labels(truth)) if boxed else None
    return LabelledCase(ChallengeCase(name, image, SPACING_XYZ, boxes), truth)


def write_cases(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        write_labelled_case(folder / f"{name}.npz", a_case(name))
    return folder


def write_images(folder, *names):
    sitk = pytest.importorskip("SimpleITK")
    for name in names:
        (folder / name).mkdir(parents=True)
        for file, array in (("image", RNG.random(SHAPE) * 100), ("label", labels_of_two())):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing(SPACING_XYZ)
            sitk.WriteImage(image, str(folder / name / f"{file}.nii.gz"))
    return folder
