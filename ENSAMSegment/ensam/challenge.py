"""Cases and answers of the CVPR 2025 challenge on interactive segmentation of 3D biomedical images.

A case is an .npz archive: `imgs` uint8 (z, y, x), `spacing`, and `boxes`, `clicks` and `prev_pred` as far as
the rounds have come. Boxes and clicks are pickled objects; `ensam.pickled` reads them without unpickling.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from ensam.errors import ChallengeFileError
from ensam.files import replacing
from ensam.geometry import Grid
from ensam.npz import read_members
from ensam.pickled import PickledArray
from ensam.prompts import Box, Point, PromptSet
from ensam.volume import Volume

ChallengeBox = Mapping[str, int]
Clicks = Mapping[str, Sequence[tuple[int, int, int]]]

_BOUNDS = (("z_min", "z_max"), ("z_mid_y_min", "z_mid_y_max"), ("z_mid_x_min", "z_mid_x_max"))
_MAX_OBJECTS = 255
_MAX_CLICKS = 10_000


@dataclass(frozen=True, eq=False)
class ChallengeCase:
    """One image of the challenge with the prompts of its objects, in ascending order of their labels.

    `image` is uint8 (z, y, x). `spacing` is (x, y, z) in mm, the order of SimpleITK, with which the
    challenge's data was prepared. The challenge itself doesn't state the order, and its evaluation takes the
    numbers in the order of the array's axes, so that NSD may differ from ours where slices are thick.
    `boxes` holds one dict an object of the inclusive voxel indices `z_min`, `z_max`, `z_mid` and, of the
    slice `z_mid` alone, `z_mid_x_min`, `z_mid_y_min`, `z_mid_x_max`, `z_mid_y_max`; None without boxes.
    `clicks` holds one dict an object of all its clicks so far, {'fg': ((z, y, x), ...), 'bg': ...}; empty
    before the first click. `previous` is the labels of the round before, uint8 (z, y, x), or None.
    """

    name: str
    image: np.ndarray
    spacing: tuple[float, float, float]
    boxes: tuple[ChallengeBox, ...] | None = None
    clicks: tuple[Clicks, ...] = ()
    previous: np.ndarray | None = None

    @property
    def grid(self) -> Grid:
        """The image's grid, with x, y and z along R, A and S: the files don't say how the patient lies."""
        return Grid(self.image.shape, np.diag([*self.spacing, 1.0]))

    def volume(self) -> Volume:
        """The image as a volume. Raises `VolumeError` when it can't be segmented."""
        return Volume(self.image, self.grid, self.name)

    def prompt_sets(self) -> tuple[PromptSet, ...]:
        """The prompts of each object; a box covers its outermost voxels whole."""
        grid = self.grid
        boxes = self.boxes or (None,) * len(self.clicks)
        clicks = self.clicks or ({"fg": (), "bg": ()},) * len(boxes)
        return tuple(
            PromptSet(box and _box_ras(box, grid), _points_ras(of_object, grid))
            for box, of_object in zip(boxes, clicks, strict=True)
        )


class _InvalidCaseError(Exception):
    """What is wrong with a case, as the end of a sentence that starts with the file's name."""


def read_case(path: Path | str) -> ChallengeCase:
    """Read a case, whatever its bytes are. Raises `ChallengeFileError` when it isn't a valid case."""
    path = Path(path)
    members = read_members(path, ("imgs", "spacing", "boxes", "clicks", "prev_pred"))
    try:
        image = _labels_or_image(members, "imgs")
        previous = _labels_or_image(members, "prev_pred") if "prev_pred" in members else None
        if previous is not None and previous.shape != image.shape:
            raise _InvalidCaseError("has a 'prev_pred' of another shape than its image: ask for it again.")
        boxes = _objects(members, "boxes")
        clicks = _objects(members, "clicks")
        if boxes and clicks and len(boxes) != len(clicks):
            raise _InvalidCaseError("has boxes and clicks of different numbers of objects: ask for it again.")
        return ChallengeCase(
            path.stem,
            image,
            _spacing(members.get("spacing")),
            tuple(_box(item, image.shape) for item in boxes) if "boxes" in members else None,
            tuple(_clicks(item, image.shape) for item in clicks),
            previous,
        )
    except _InvalidCaseError as error:
        raise ChallengeFileError(f"The challenge file '{path.name}' {error}") from error


def write_case(
    path: Path | str,
    image: np.ndarray,
    spacing: Sequence[float],
    boxes: Sequence[ChallengeBox] | None = None,
    clicks: Sequence[Clicks] = (),
    previous: np.ndarray | None = None,
    truth: np.ndarray | None = None,
) -> None:
    """Write a case as the challenge does, whole or not at all; the arguments are as in `ChallengeCase`.

    truth: what is to be found, labels (z, y, x) of uint8. Raises `OutputError`.
    """
    members = {"imgs": image, "spacing": np.asarray(spacing, dtype=np.float64)}
    if boxes is not None:
        members["boxes"] = np.array([dict(box) for box in boxes], dtype=object)
    if clicks:
        members["clicks"] = np.array([dict(of_object) for of_object in clicks], dtype=object)
    arrays = {"prev_pred": previous, "gts": truth}
    members |= {name: array for name, array in arrays.items() if array is not None}
    _write_npz(path, members)


def write_segmentation(path: Path | str, segs: np.ndarray) -> None:
    """Write an answer, the labels `segs` (z, y, x) uint8, whole or not at all. Raises `OutputError`."""
    if segs.dtype != np.uint8:
        raise ValueError(f"The challenge wants uint8 labels, not {segs.dtype}.")
    _write_npz(path, {"segs": segs})


def boxes_from_labels(labels: np.ndarray) -> list[dict[str, int]]:
    """The exact challenge box of each label in an integer array (z, y, x), in ascending order of the labels.

    The middle slice is the middle one of those slices that hold the object.
    """
    boxes = []
    for label, where in enumerate(ndimage.find_objects(labels), start=1):
        if where is None:
            continue
        found = labels[where] == label
        z_start, y_start, x_start = (axis.start for axis in where)
        slices = np.flatnonzero(found.any(axis=(1, 2)))
        middle = slices[len(slices) // 2]
        rows = np.flatnonzero(found[middle].any(axis=1))
        columns = np.flatnonzero(found[middle].any(axis=0))
        boxes.append(
            {
                "z_min": z_start,
                "z_max": where[0].stop - 1,
                "z_mid": z_start + int(middle),
                "z_mid_x_min": x_start + int(columns[0]),
                "z_mid_y_min": y_start + int(rows[0]),
                "z_mid_x_max": x_start + int(columns[-1]),
                "z_mid_y_max": y_start + int(rows[-1]),
            }
        )
    return boxes


def _write_npz(path: Path | str, members: dict[str, np.ndarray]) -> None:
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **members)


def _box_ras(box: ChallengeBox, grid: Grid) -> Box:
    lower = grid.zyx_to_ras([box[low] - 0.5 for low, _ in _BOUNDS])
    upper = grid.zyx_to_ras([box[high] + 0.5 for _, high in _BOUNDS])
    return Box.from_bounds_ras(lower, upper)


def _points_ras(clicks: Clicks, grid: Grid) -> tuple[Point, ...]:
    return tuple(
        Point(tuple(grid.zyx_to_ras(position)), foreground=key == "fg")
        for key in ("fg", "bg")
        for position in clicks[key]
    )


def _labels_or_image(members: Mapping[str, Any], name: str) -> np.ndarray:
    array = members.get(name)
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.ndim != 3 or array.size == 0:
        raise _InvalidCaseError(f"has no 3D uint8 array '{name}': ask for it again.")
    return array


def _spacing(array: Any) -> tuple[float, float, float]:
    numbers = array.tolist() if isinstance(array, np.ndarray) and array.shape == (3,) else []
    if not numbers or not all(math.isfinite(number) and number > 0 for number in numbers):
        raise _InvalidCaseError("has no 'spacing' of three positive numbers: ask for it again.")
    return tuple(float(number) for number in numbers)


def _objects(members: Mapping[str, Any], name: str) -> list[Any]:
    objects = members.get(name, [])
    if isinstance(objects, np.ndarray) and objects.size == 0:
        return []  # numpy stores an empty list as an empty array of numbers.
    if not isinstance(objects, list) or len(objects) > _MAX_OBJECTS:
        raise _InvalidCaseError(f"has '{name}' that aren't one a label: ask for it again.")
    return objects


def _box(item: Any, shape: tuple[int, ...]) -> dict[str, int]:
    keys = ("z_mid", *(key for bounds in _BOUNDS for key in bounds))
    if not isinstance(item, dict) or not all(type(item.get(key)) is int for key in keys):
        raise _InvalidCaseError("has a box without its seven whole numbers: ask for it again.")
    for (low, high), length in zip(_BOUNDS, shape, strict=True):
        if not 0 <= item[low] <= item[high] < length:
            raise _InvalidCaseError("has a box that is empty or outside its image: ask for it again.")
    return {key: item[key] for key in keys}


def _clicks(item: Any, shape: tuple[int, ...]) -> dict[str, tuple[tuple[int, int, int], ...]]:
    if not isinstance(item, dict) or "fg" not in item or "bg" not in item:
        raise _InvalidCaseError("has clicks that aren't sorted into 'fg' and 'bg': ask for it again.")
    clicks = {key: tuple(_voxel(click, shape) for click in _items(item[key])) for key in ("fg", "bg")}
    if set(clicks["fg"]) & set(clicks["bg"]):
        raise _InvalidCaseError("has a click in both 'fg' and 'bg': ask for it again.")
    return clicks


def _voxel(click: Any, shape: tuple[int, ...]) -> tuple[int, int, int]:
    voxel = tuple(_items(click))
    if len(voxel) != 3 or not all(type(index) is int for index in voxel):
        raise _InvalidCaseError("has a click that isn't three whole numbers: ask for it again.")
    if not all(0 <= index < length for index, length in zip(voxel, shape, strict=True)):
        raise _InvalidCaseError("has a click outside its image: ask for it again.")
    return voxel


def _items(sequence: Any) -> Sequence[Any]:
    """The items of a list, a tuple or a pickled array, refused when there are too many to be clicks."""
    items = sequence.items if isinstance(sequence, PickledArray) else sequence
    if isinstance(items, np.ndarray) and items.size <= 3 * _MAX_CLICKS:
        items = items.tolist()
    if not isinstance(items, list | tuple) or len(items) > _MAX_CLICKS:
        raise _InvalidCaseError("has clicks that aren't lists of voxels: ask for it again.")
    return items
