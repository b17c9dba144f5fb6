"""Labelled volumes: an image, its integer labels, where each object lies and where the case comes from."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cc3d
import numpy as np
from ensam.errors import ChallengeFileError, InputError, VolumeError
from ensam.geometry import Grid
from ensam.image_files import image_files
from ensam.npz import read_members
from ensam.planning import ObjectPrompts
from ensam.preprocessing import (
    IntensityRange,
    automatic_ct_window,
    ct_range,
    looks_like_ct,
    percentile_range,
)
from ensam.volume import Volume, read_volume
from numpy.typing import NDArray
from scipy import ndimage

MINIMUM_VOXELS = 20  # of an object, in the volume and in a window
MAX_LABEL = 65535
_OFF_GRID = 0.5  # voxels by which a label may lie off its image, for headers are rounded
_UNLIKE = 0.01  # share by which spacings must differ to be named as the reason

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class CaseFile:
    """Where a case lies and what is known of it without reading it.

    `image` and `label` are the same path for the challenge's .npz. `note` says what the reader of a report
    should know ("the first of 4 channels"); `problem` why the case can't be used, empty if it can; `facts`
    the case.json of a collection, which holds the prompts that its user made; `ignored` a value of the label
    that marks no object, but voxels that nobody judged.
    """

    name: str
    image: Path
    label: Path
    dataset: str
    group: str
    modality: str = ""
    note: str = ""
    problem: str = ""
    facts: Path | None = None
    ignored: int | None = None

    def stamp(self) -> str:
        """What tells whether it has changed since: sizes and times of its files, and the ignored value."""
        parts = [] if self.ignored is None else [f"without {self.ignored}"]
        for path in (self.image, self.label, *([] if self.facts is None else [self.facts])):
            try:
                found = [one.stat() for one in image_files(path)]
            except OSError:
                found = []
            parts += [f"{status.st_size} {status.st_mtime_ns}" for status in found] or ["missing"]
        return ", ".join(parts)


@dataclass(frozen=True, eq=False)
class Case:
    """One labelled volume: image and labels (z, y, x), spacing (z, y, x) in mm, where each label lies.

    `dataset` is what sampling is balanced by, `group` the patient or whatever else must not be divided
    between training and validation, `modality` free text such as "CT" or "MR", empty where unknown.
    `prompts` are a user's real box and clicks for some of the labels.
    """

    name: str
    image: NDArray
    labels: NDArray
    spacing: tuple[float, float, float]
    objects: dict[int, Box] = field(repr=False)
    is_ct: bool
    dataset: str = ""
    group: str = ""
    modality: str = ""
    prompts: Mapping[int, ObjectPrompts] = field(default_factory=dict, repr=False)

    @classmethod
    def from_arrays(cls, name: str, image: NDArray, labels: NDArray, spacing: Sequence[float]) -> Case:
        """A case whose objects are the labels above 0 of at least `MINIMUM_VOXELS` voxels.

        The name tells the dataset and the group.
        """
        found = ndimage.find_objects(labels)
        counts = np.bincount(labels.ravel(), minlength=len(found) + 1)
        objects = {
            index + 1: box
            for index, box in enumerate(found)
            if box is not None and counts[index + 1] >= MINIMUM_VOXELS
        }
        return cls(
            name,
            image,
            labels,
            tuple(spacing),
            objects,
            looks_like_ct(image),
            dataset_of(name),
            group_of(name),
        )

    @cached_property
    def percentiles(self) -> IntensityRange:
        """The paper's grey range for everything but CT; kept, since it takes a pass over all voxels."""
        return percentile_range(self.image)

    def intensity(self, box: Box) -> IntensityRange:
        """The grey range that inference chooses by itself for prompts that reach over `box` (voxels)."""
        if not self.is_ct:
            return self.percentiles
        return ct_range(automatic_ct_window(self.image[box]), "chosen by the values in the box")


def load(file: CaseFile) -> tuple[Volume, NDArray]:
    """The image and its labels (z, y, x), uint8 or uint16, of which at least one voxel is not 0.

    Voxels of the ignored value are 0.
    Raises `InputError` when either can't be read or used, or they lie on different grids.
    """
    if file.problem:
        raise InputError(file.problem)
    if file.image.suffix == ".npz":
        return _load_npz(file.image)
    volume, label = read_volume(file.image), _read_label(file.label)
    difference = grid_difference(volume.grid, label.grid)
    if difference:
        raise InputError(f"Image and label {difference}: resample one of them.")
    labels = label.array
    if file.ignored is not None:
        labels = np.where(labels == file.ignored, labels.dtype.type(0), labels)
    return volume, _integers(labels)


def grid_difference(image: Grid, label: Grid) -> str:
    """In what two grids differ by more than headers are rounded by, as words; empty if in nothing."""
    if image.shape != label.shape:
        one, other = (" x ".join(str(n) for n in grid.shape[::-1]) for grid in (image, label))
        return f"have different shapes ({one} and {other} voxels)"
    corners = np.array(list(itertools.product(*((0, n - 1) for n in image.shape))))
    off = np.abs(image.ras_to_zyx(label.zyx_to_ras(corners)) - corners)
    if off.max() <= _OFF_GRID:
        return ""
    if not np.allclose(image.spacing_zyx, label.spacing_zyx, rtol=_UNLIKE):
        one, other = (" x ".join(f"{s:.4g}" for s in grid.spacing_zyx[::-1]) for grid in (image, label))
        return f"have different spacings ({one} and {other} mm)"
    if off[0].max() > _OFF_GRID:
        one, other = (", ".join(f"{v:.4g}" for v in grid.zyx_to_ras(np.zeros(3))) for grid in (image, label))
        return f"have different origins ({one} and {other} mm)"
    return "have different directions"


def _read_label(path: Path) -> Volume:
    try:
        return read_volume(path)
    except VolumeError as error:
        # To segment such an image is impossible; of a label it means something else.
        if "same value" in str(error):
            raise InputError(
                f"'{path.name}' has the same value in every voxel: there is nothing to mark."
            ) from error
        if "values a voxel" in str(error) and path.name.lower().endswith(".seg.nrrd"):
            raise InputError(
                f"The segments in '{path.name}' overlap, which no label can hold: save them with their image "
                "as a scene in 3D Slicer, and add that by Add saved scenes... in ENSAM Trainer."
            ) from error
        raise


def _integers(labels: NDArray) -> NDArray:
    """Labels as uint8 or uint16. Raises `InputError` unless they are whole, 0 to 65535 and not all 0."""
    lowest, highest = labels.min(), labels.max()
    if not lowest >= 0 or not highest <= MAX_LABEL:  # so that a NaN fails as well
        raise InputError(f"The label holds values from {lowest} to {highest}: use 0 to {MAX_LABEL}.")
    if labels.dtype.kind == "f" and not np.array_equal(labels, np.rint(labels)):
        raise InputError("The label holds values that aren't whole numbers: mark objects by 1, 2, 3, ...")
    if highest == 0:
        raise InputError("The label is empty: mark an object or leave the case out.")
    return labels.astype(np.uint8 if highest < 256 else np.uint16)


def _load_npz(path: Path) -> tuple[Volume, NDArray]:
    """A case of the challenge with its truth, `gts`; its spacing is (x, y, z)."""
    members = read_members(path, ("imgs", "gts", "spacing"))
    missing = [name for name in ("imgs", "gts", "spacing") if not isinstance(members.get(name), np.ndarray)]
    if missing:
        raise ChallengeFileError(f"The challenge file '{path.name}' lacks {' and '.join(missing)}: add it.")
    image, labels, spacing = (members[name] for name in ("imgs", "gts", "spacing"))
    if spacing.shape != (3,) or not (np.isfinite(spacing).all() and spacing.min() > 0):
        raise ChallengeFileError(f"The spacing in '{path.name}' isn't three lengths in mm: repair it.")
    if image.ndim != 3 or image.shape != labels.shape:
        one, other = (" x ".join(str(n) for n in array.shape[::-1]) for array in (image, labels))
        raise ChallengeFileError(
            f"Image and label have different shapes ({one} and {other} voxels) or aren't 3D: repair them."
        )
    if labels.dtype.kind not in "biuf":
        raise ChallengeFileError(f"The labels in '{path.name}' aren't numbers: repair them.")
    volume = Volume(image, Grid(image.shape, np.diag([*spacing.astype(float), 1.0])), path.name)
    return volume, _integers(labels)


def split_instances(labels: NDArray) -> NDArray:
    """Each connected component (26 neighbours) of each value as a value of its own, from 1 on.

    The result is uint8 or uint16. Raises `InputError` for over 65535 components.
    """
    split, count = cc3d.connected_components(labels, connectivity=26, return_N=True)
    if count > MAX_LABEL:
        raise InputError(f"The label falls into {count} components: use at most {MAX_LABEL}.")
    return split.astype(np.uint8 if count < 256 else np.uint16)


def dataset_of(name: str) -> str:
    """The dataset that a case belongs to: its name up to the first part that holds a digit."""
    parts = name.split("_")
    stop = next((i for i, part in enumerate(parts) if any(c.isdigit() for c in part)), len(parts))
    tail = parts[stop].rstrip("0123456789") if stop < len(parts) else ""
    kind = parts[-1] if parts[-1] in ("flair", "t1") else ""
    return "_".join(p for p in (*parts[:stop], tail, kind) if p)


_MODALITIES = {
    "ct": "CT",
    "mr": "MR",
    "mri": "MR",
    "pet": "PET",
    "us": "US",
    "micro": "microscopy",
    "microscopy": "microscopy",
}


def modality_of(name: str) -> str:
    """What a name's first part says of the modality ("ct_liver_007": "CT"), empty if nothing."""
    return _MODALITIES.get(name.split("_")[0].lower(), "")


# What follows a patient's number and tells when the image was taken: a visit, a frame, a date. Longer
# numbers, and those behind a date, tell who it is of.
_OCCASION = re.compile(
    r"(?<=\d)[-_ ]((ses|session|visit|scan|frame|phase|tp|timepoint)(?![-_ ]?\d{3})[-_ ]?\d{0,2}"
    r"|(19|20)\d\d([-_.]?)(0[1-9]|1[0-2])\4(0[1-9]|[12]\d|3[01])(?!.*\d))(?![^-_ ])",
    re.IGNORECASE,
)


def group_of(name: str) -> str:
    """The patient that a case's name gives away, so that images of one patient stay together.

    Without a leading modality, up to the last part that is a number or holds one of two digits or more, but
    not into what tells of a visit, a frame or a date: "ct_sts001" and "pet_sts001" are "sts001",
    "mr_nichart_03_flair" is "nichart_03", "patient001_frame01" is "patient001"; of BIDS names the subject
    alone. A name without such a part is a group of its own. Only a guess: a table can state it.
    """
    parts = name.split("_")
    if modality_of(name) and len(parts) > 1:
        parts = parts[1:]
    for part in parts:
        if part.startswith("sub-"):
            return part
    parts = _OCCASION.split("_".join(parts), maxsplit=1)[0].split("_")
    numbered = [i for i, part in enumerate(parts) if part.isdigit() or _digits_in_a_row(part) >= 2]
    return "_".join(parts[: numbered[-1] + 1] if numbered else parts)


def _digits_in_a_row(part: str) -> int:
    return max((len(list(run)) for digit, run in itertools.groupby(part, str.isdigit) if digit), default=0)
