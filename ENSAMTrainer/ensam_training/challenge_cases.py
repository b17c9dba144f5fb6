"""Labelled cases in the challenge's form: from .npz with the truth `gts`, or from images and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ensam.challenge import ChallengeCase, boxes_from_labels, read_case, write_case
from ensam.errors import ChallengeFileError, InputError
from ensam.npz import read_members
from ensam.preprocessing import ct_range, percentile_range
from numpy.typing import NDArray

from ensam_training.cases import CaseFile, dataset_of, load, modality_of
from ensam_training.discovery import find_cases

MAX_OBJECTS = 6
MINIMUM_JUDGED_VOXELS = 100
UNKNOWN = "unknown"
_CT_WINDOW = "soft tissue"


@dataclass(frozen=True, eq=False)
class LabelledCase:
    """A case as a method first gets it, and its truth: uint8 (z, y, x), the labels 1..K, each present."""

    case: ChallengeCase
    truth: NDArray[np.uint8]
    modality: str = UNKNOWN
    dataset: str = ""

    @property
    def count(self) -> int:
        """The number K of its objects."""
        return int(self.truth.max())

    def largest(self, count: int) -> LabelledCase:
        """The case with its `count` largest objects alone, numbered anew in the order that they had."""
        if self.count <= count:
            return self
        sizes = np.bincount(self.truth.ravel())[1:]
        kept = np.sort(np.argsort(-sizes, kind="stable")[:count])
        numbers = np.zeros(self.count + 1, np.uint8)
        numbers[kept + 1] = np.arange(1, count + 1)
        boxes = None if self.case.boxes is None else tuple(self.case.boxes[index] for index in kept)
        return replace(self, case=replace(self.case, boxes=boxes), truth=numbers[self.truth])

    @property
    def spacing_zyx(self) -> tuple[float, float, float]:
        """Distance in mm between neighbouring voxels along z, y and x."""
        return self.case.spacing[::-1]


def make_challenge_case(
    name: str,
    image: NDArray,
    labels: NDArray,
    spacing_xyz: Sequence[float],
    is_ct: bool,
    max_objects: int = MAX_OBJECTS,
) -> LabelledCase:
    """A case from an image and integer labels, both (z, y, x), with spacing (x, y, z) in mm.

    Grey values become 0..255: of CT the soft tissue window, of all else the 0.5 to 99.5 percentile. Of the
    labels of at least `MINIMUM_JUDGED_VOXELS` the `max_objects` largest are kept, the lower one where two are
    equal, and numbered 1..K in the order that they had. The boxes are exact.
    Raises InputError when the shapes differ, no label is large enough, or the image is constant.
    """
    if image.shape != labels.shape:
        raise InputError(f"The image and the labels of '{name}' have different shapes: resample one of them.")
    values, counts = np.unique(labels, return_counts=True)
    large = [(-n, v) for v, n in zip(values, counts, strict=True) if v > 0 and n >= MINIMUM_JUDGED_VOXELS]
    if not large:
        raise InputError(f"'{name}' has no label of {MINIMUM_JUDGED_VOXELS} voxels: leave the case out.")
    kept = sorted(value for _, value in sorted(large)[:max_objects])
    truth = np.zeros(labels.shape, np.uint8)
    for number, value in enumerate(kept, start=1):
        truth[labels == value] = number
    grey = ct_range(_CT_WINDOW) if is_ct else percentile_range(image)
    if not grey.lower < grey.upper:
        raise InputError(f"'{name}' has the same value in every voxel: leave the case out.")
    scaled = (image.astype(np.float32) - grey.lower) / (grey.upper - grey.lower)
    case = ChallengeCase(
        name,
        np.round(255 * scaled.clip(0, 1)).astype(np.uint8),
        tuple(float(length) for length in spacing_xyz),
        tuple(boxes_from_labels(truth)),
    )
    return LabelledCase(case, truth, modality_of(name) or UNKNOWN, dataset_of(name))


def write_labelled_case(path: Path | str, labelled: LabelledCase) -> None:
    """Write image, truth, spacing and boxes, whole or not at all. Raises `OutputError`."""
    case = labelled.case
    write_case(path, case.image, case.spacing, case.boxes, truth=labelled.truth)


def read_labels(path: Path | str) -> NDArray[np.uint8]:
    """The truth `gts` of a case, (z, y, x), its labels numbered 1..K in ascending order.

    Raises `ChallengeFileError` when it is missing, isn't 3D uint8 or uint16, or has no label or over 255.
    """
    path = Path(path)
    labels = read_members(path, ("gts",)).get("gts")
    if not isinstance(labels, np.ndarray) or labels.dtype not in (np.uint8, np.uint16) or labels.ndim != 3:
        raise ChallengeFileError(f"The challenge file '{path.name}' has no 3D labels 'gts': add its truth.")
    present = np.bincount(labels.ravel(), minlength=1) > 0
    present[0] = False
    if not 1 <= present.sum() <= 255:
        raise ChallengeFileError(
            f"The challenge file '{path.name}' has {present.sum()} labels: use a case with 1 to 255 of them."
        )
    return np.where(present, present.cumsum(), 0).astype(np.uint8)[labels]


def read_labelled_case(path: Path | str) -> LabelledCase:
    """A case and its truth, without clicks or an earlier answer. Raises `ChallengeFileError`."""
    path = Path(path)
    case, truth = read_case(path), read_labels(path)
    if case.image.shape != truth.shape:
        raise ChallengeFileError(
            f"The challenge file '{path.name}' has 'gts' of another shape than its image: make it again."
        )
    if case.boxes is not None and len(case.boxes) != truth.max():
        raise ChallengeFileError(
            f"The challenge file '{path.name}' has {len(case.boxes)} boxes for {truth.max()} labels: "
            "make it again."
        )
    bare = ChallengeCase(case.name, case.image, case.spacing, case.boxes)
    return LabelledCase(bare, truth, modality_of(case.name) or UNKNOWN, dataset_of(case.name))


def choose_cases(source: Path, names: Sequence[str] | None = None) -> list[CaseFile]:
    """The cases that `discovery.find_cases` sees, or those of that name once each, in that order; none is
    opened.

    Raises InputError when there are none, or not all of that name.
    """
    found = {file.name: file for file in find_cases(source)}
    missing = [name for name in names or () if name not in found]
    if missing:
        raise InputError(f"'{source}' has no case {', '.join(missing)}: mend the list of cases.")
    if not found:
        raise InputError(f"There are no cases in '{source}': check the path.")
    return list(found.values()) if names is None else [found[name] for name in dict.fromkeys(names)]


def open_case(file: CaseFile, max_objects: int | None = None) -> LabelledCase:
    """A case in the challenge's form with its largest objects.

    max_objects: without it all that an .npz holds, and `MAX_OBJECTS` otherwise. Raises InputError.
    """
    modality = file.modality or UNKNOWN
    if file.problem:
        raise InputError(file.problem)
    if file.image.suffix == ".npz":
        found = replace(read_labelled_case(file.image), modality=modality, dataset=file.dataset)
        found.case.volume()  # Methods may count on a volume that can be segmented.
        return found if max_objects is None else found.largest(max_objects)
    volume, labels = load(file)
    spacing_xyz = volume.grid.spacing_zyx[::-1]
    made = make_challenge_case(
        file.name, volume.array, labels, spacing_xyz, volume.is_ct, max_objects or MAX_OBJECTS
    )
    return replace(made, modality=modality, dataset=file.dataset)
