"""Labelled volumes: an image, its integer labels, where each object lies and where the case comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ensam.errors import InputError
from ensam.preprocessing import looks_like_ct
from ensam.volume import read_volume
from numpy.typing import NDArray
from scipy import ndimage

MINIMUM_VOXELS = 20  # of an object, in the volume and in a window


@dataclass(frozen=True, eq=False)
class Case:
    """One labelled volume: image and labels (z, y, x), spacing (z, y, x) in mm, where each label lies.

    `dataset` is what sampling is balanced by, `group` the patient or whatever else must not be divided
    between training and validation, `modality` free text such as "CT" or "MR", empty where unknown.
    """

    name: str
    image: NDArray
    labels: NDArray
    spacing: tuple[float, float, float]
    objects: dict[int, tuple[slice, slice, slice]] = field(repr=False)
    is_ct: bool
    dataset: str = ""
    group: str = ""
    modality: str = ""

    @classmethod
    def from_arrays(
        cls,
        name: str,
        image: NDArray,
        labels: NDArray,
        spacing: Sequence[float],
        *,
        dataset: str | None = None,
        group: str | None = None,
        modality: str = "",
    ) -> Case:
        """A case whose objects are the labels above 0 of at least `MINIMUM_VOXELS` voxels.

        Without `dataset` the name tells it, and without `group` the case is a group of its own.
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
            dataset_of(name) if dataset is None else dataset,
            name if group is None else group,
            modality,
        )


def read_case(folder: Path) -> Case:
    """A folder with image.nii.gz and label.nii.gz on one grid. Raises InputError."""
    image, label = (read_volume(folder / name) for name in ("image.nii.gz", "label.nii.gz"))
    if image.array.shape != label.array.shape or not np.allclose(
        image.grid.ijk_to_ras, label.grid.ijk_to_ras, atol=1e-2
    ):
        raise InputError(f"Image and label of '{folder.name}' lie on different grids: resample one of them.")
    if label.array.dtype.kind not in "iu" or label.array.min() < 0:
        raise InputError(f"The label of '{folder.name}' holds other values than 0, 1, 2, ...: repair it.")
    return Case.from_arrays(folder.name, image.array, label.array.astype(np.int32), image.grid.spacing_zyx)


def dataset_of(name: str) -> str:
    """The dataset that a case belongs to: its name up to the first part that holds a digit."""
    parts = name.split("_")
    stop = next((i for i, part in enumerate(parts) if any(c.isdigit() for c in part)), len(parts))
    tail = parts[stop].rstrip("0123456789") if stop < len(parts) else ""
    kind = parts[-1] if parts[-1] in ("flair", "t1") else ""
    return "_".join(p for p in (*parts[:stop], tail, kind) if p)
