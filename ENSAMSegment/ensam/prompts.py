"""What the user says about an object: at most one box and any number of points, in RAS millimetres.

A `PromptSet` is a value: the same prompts in another order are the same set, so that a mask depends on
the prompts alone and never on their history.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ensam.errors import PromptError
from ensam.files import MOST_TEXT_BYTES, read_text, write_text

Vector = tuple[float, float, float]

JSON_VERSION = 1
IDENTITY_AXES: tuple[Vector, Vector, Vector] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_AXES_TOLERANCE = 1e-4
_CLOSE_MM = 1e-3
_LONGEST_SHOWN = 40  # characters
_LABELS = {"foreground": True, "background": False}
# Of Unicode: controls, surrogates, ends of lines and of paragraphs.
_NOT_IN_A_LINE = {"Cc", "Cs", "Zl", "Zp"}


@dataclass(frozen=True)
class Point:
    """A click: `position_ras` in mm, on the object (`foreground`) or beside it.

    Raises `PromptError` when a coordinate is not a finite number, or `foreground` neither True nor False.
    """

    position_ras: Vector
    foreground: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "position_ras", _vector(self.position_ras, "A point's position"))
        if not isinstance(self.foreground, bool | np.bool_):  # "background" would count as true
            raise PromptError("A point is on the object, foreground=True, or beside it, foreground=False.")
        object.__setattr__(self, "foreground", bool(self.foreground))


@dataclass(frozen=True)
class Box:
    """A box round the object, in any orientation.

    `center_ras` in mm; `size_mm[i]` is the full length along the unit direction `axes_ras[i]`.
    Raises `PromptError` when a number is not finite, the box is empty, or the axes are not orthonormal.
    """

    center_ras: Vector
    size_mm: Vector
    axes_ras: tuple[Vector, Vector, Vector] = IDENTITY_AXES

    def __post_init__(self) -> None:
        object.__setattr__(self, "center_ras", _vector(self.center_ras, "The box's centre"))
        object.__setattr__(self, "size_mm", _vector(self.size_mm, "The box's size"))
        axes = tuple(_vector(axis, "Each axis of the box") for axis in self.axes_ras)
        object.__setattr__(self, "axes_ras", axes)
        if min(self.size_mm) <= 0:
            raise PromptError("The box is empty: give it a length above 0 mm along each of its axes.")
        if len(axes) != 3 or not _is_orthonormal(np.array(axes)):
            raise PromptError("The box's axes are not three unit directions at right angles: draw it again.")

    @classmethod
    def from_bounds_ras(cls, lower: Sequence[float], upper: Sequence[float]) -> Box:
        """The box along R, A and S between two opposite corners in mm, `lower` below `upper` on each axis."""
        low = np.array(_vector(lower, "The box's lower corner"))
        high = np.array(_vector(upper, "The box's upper corner"))
        # Halving first keeps the centre finite for any two finite corners.
        return cls(tuple(low / 2 + high / 2), tuple(high - low))

    def corners_ras(self) -> np.ndarray:
        """The eight corners in mm, (8, 3) float64."""
        signs = np.array(np.meshgrid(*[(-0.5, 0.5)] * 3, indexing="ij")).reshape(3, 8).T
        with np.errstate(over="ignore", invalid="ignore"):  # of a box beyond all numbers, which is refused
            return np.array(self.center_ras) + (signs * np.array(self.size_mm)) @ np.array(self.axes_ras)

    def contains_ras(self, position_ras: Sequence[float]) -> bool:
        """Whether a position in mm lies in the box or on its surface."""
        along = np.array(self.axes_ras) @ (np.array(position_ras, dtype=float) - self.center_ras)
        return bool(np.all(np.abs(along) <= np.array(self.size_mm) / 2))


@dataclass(frozen=True)
class PromptSet:
    """All prompts of one object. Points are kept sorted and once each, whatever order they came in.

    Raises `PromptError` when one position is marked both foreground and background.
    """

    box: Box | None = None
    points: tuple[Point, ...] = ()

    def __post_init__(self) -> None:
        points = sorted(set(self.points), key=lambda point: (point.position_ras, point.foreground))
        for point, following in pairwise(points):
            if point.position_ras == following.position_ras:
                place = ", ".join(f"{value:.6g}" for value in point.position_ras)
                raise PromptError(
                    f"The point at R, A, S = {place} mm is marked both foreground and background: delete one."
                )
        object.__setattr__(self, "points", tuple(points))

    @property
    def is_empty(self) -> bool:
        """Whether there is neither a box nor a point."""
        return self.box is None and not self.points

    @property
    def is_enough(self) -> bool:
        """Whether an object can be segmented by them alone, without a mask to go on from."""
        return self.box is not None or any(point.foreground for point in self.points)

    def with_point(self, point: Point) -> PromptSet:
        """The same prompts and one point more."""
        return replace(self, points=(*self.points, point))

    def added_to(self, before: PromptSet) -> PromptSet:
        """What these have more than those before; nothing where one of those is gone or moved."""
        if not set(before.points) <= set(self.points):
            return PromptSet()
        box = self.box if before.box is None else None
        return PromptSet(box, tuple(set(self.points) - set(before.points)))

    def is_close(self, other: PromptSet) -> bool:
        """Whether both are the same prompts, each corner and point to within `_CLOSE_MM`."""
        if (self.box is None) != (other.box is None) or len(self.points) != len(other.points):
            return False
        if self.box is not None:
            missed = np.linalg.norm(self.box.corners_ras() - other.box.corners_ras(), axis=1)
            if missed.max() > _CLOSE_MM:
                return False
        return all(
            any(
                point.foreground == one.foreground
                and math.dist(point.position_ras, one.position_ras) <= _CLOSE_MM
                for one in other.points
            )
            for point in self.points
        )

    def joined(self, others: PromptSet) -> PromptSet:
        """These, and of the others what they leave room for: a box, and points at other places."""
        places = {point.position_ras for point in self.points}
        more = (point for point in others.points if point.position_ras not in places)
        return PromptSet(self.box or others.box, (*self.points, *more))


@dataclass(frozen=True)
class SegmentPrompts:
    """The prompts of the segment called `name`.

    Raises `PromptError` when the name isn't one line of text.
    """

    name: str
    prompts: PromptSet

    def __post_init__(self) -> None:
        _check_name(self.name)


def to_json(segments: Iterable[SegmentPrompts]) -> str:
    """The prompts as JSON text, version 1; `from_json` gives back equal values.

    Raises `PromptError` when two segments have one name.
    """
    segments = tuple(segments)
    _check_names(segments)
    document = {"version": JSON_VERSION, "segments": [_segment_to_dict(segment) for segment in segments]}
    return json.dumps(document, ensure_ascii=False, allow_nan=False)


def from_json(text: str) -> tuple[SegmentPrompts, ...]:
    """The prompts that a JSON text of version 1 holds. Raises `PromptError` for anything else."""
    try:
        document = json.loads(text, object_pairs_hook=_no_key_twice)
    except (ValueError, RecursionError) as error:
        raise PromptError("The prompts are not JSON: use a file that ENSAM wrote.") from error
    _check_keys(document, "The prompts document", required={"version", "segments"})
    version = document["version"]
    if type(version) is not int or version != JSON_VERSION:
        raise PromptError(
            f"The prompts have a format version other than {JSON_VERSION}: update ENSAM or save them again."
        )
    segments = tuple(
        _segment_from_dict(item, f"Segment {number}")
        for number, item in enumerate(_list(document["segments"], "'segments'"), start=1)
    )
    _check_names(segments)
    return segments


def read_prompts(path: Path | str) -> tuple[SegmentPrompts, ...]:
    """The prompts in a JSON file. Raises `PromptError` when it can't be read or isn't valid."""
    path = Path(path)
    try:
        text = read_text(path)
    except FileNotFoundError as error:
        raise PromptError(f"There is no prompts file '{path}': check the path.") from error
    except OSError as error:
        raise PromptError(
            f"The prompts file '{path.name}' can't be opened: check that you may read it, and that it is of "
            f"at most {MOST_TEXT_BYTES >> 20} MB."
        ) from error
    except UnicodeDecodeError as error:
        raise PromptError(f"The prompts file '{path.name}' isn't text: use one that ENSAM wrote.") from error
    try:
        return from_json(text)
    except PromptError as error:
        raise PromptError(f"'{path.name}': {error}") from error


def write_prompts(path: Path | str, segments: Iterable[SegmentPrompts]) -> None:
    """Write the prompts as a JSON file, whole or not at all. Raises as `to_json`, and `OutputError`."""
    write_text(path, to_json(segments))


def one_line(text: str) -> str:
    """The text with a space for each character that the name of a segment may not hold."""
    return "".join(" " if unicodedata.category(c) in _NOT_IN_A_LINE else c for c in text)


def _segment_to_dict(segment: SegmentPrompts) -> dict[str, Any]:
    box = segment.prompts.box
    return {
        "name": segment.name,
        "box": box and {"center_ras": box.center_ras, "size_mm": box.size_mm, "axes_ras": box.axes_ras},
        "points": [
            {"position_ras": point.position_ras, "label": "foreground" if point.foreground else "background"}
            for point in segment.prompts.points
        ],
    }


def _segment_from_dict(item: Any, where: str) -> SegmentPrompts:
    # Unknown keys are refused: a misspelt 'points' would otherwise lose the user's clicks in silence.
    _check_keys(item, where, required={"name"}, optional={"box", "points"})
    name = item["name"]
    _check_name(name)
    box = None if item.get("box") is None else _box_from_dict(item["box"], f"The box of '{name}'")
    points = [
        _point_from_dict(entry, f"Point {number} of '{name}'")
        for number, entry in enumerate(_list(item.get("points", []), f"'points' of '{name}'"), start=1)
    ]
    return SegmentPrompts(name, PromptSet(box, tuple(points)))


def _box_from_dict(item: Any, where: str) -> Box:
    _check_keys(item, where, required={"center_ras", "size_mm", "axes_ras"})
    center = _vector(item["center_ras"], f"{where}: 'center_ras'")
    size = _vector(item["size_mm"], f"{where}: 'size_mm'")
    axes = [_vector(axis, f"{where}: each of 'axes_ras'") for axis in _list(item["axes_ras"], "'axes_ras'")]
    return Box(center, size, tuple(axes))


def _point_from_dict(item: Any, where: str) -> Point:
    _check_keys(item, where, required={"position_ras", "label"})
    label = item["label"]
    if not isinstance(label, str) or label not in _LABELS:
        raise PromptError(f"{where} has the label {_shown(label)}: use 'foreground' or 'background'.")
    return Point(_vector(item["position_ras"], f"{where}: 'position_ras'"), _LABELS[label])


def _check_names(segments: Iterable[SegmentPrompts]) -> None:
    for name, count in Counter(segment.name for segment in segments).items():
        if count > 1:
            raise PromptError(f"Two segments are called '{name}': give each segment a name of its own.")


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name.strip() or one_line(name) != name:
        raise PromptError("Each segment needs a name of one line of text.")


def _shown(value: Any) -> str:
    """A value as a sentence can hold it."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a key that is there twice JSON keeps the last: clicks would be lost in silence."""
    for key, count in Counter(key for key, _value in pairs).items():
        if count > 1:
            raise PromptError(f"The prompts have the key {_shown(key)} twice in one place: join them.")
    return dict(pairs)


def _check_keys(item: Any, where: str, required: set[str], optional: Iterable[str] = ()) -> None:
    if not isinstance(item, dict):
        raise PromptError(f"{where} is not a JSON object: use a file that ENSAM wrote.")
    missing = sorted(required - item.keys())
    if missing:
        raise PromptError(f"{where} lacks '{missing[0]}': add it.")
    unknown = sorted(item.keys() - required - set(optional))
    if unknown:
        raise PromptError(
            f"{where} has the unknown key {_shown(unknown[0])}: remove it or mend its spelling."
        )


def _list(item: Any, where: str) -> list[Any]:
    if not isinstance(item, list):
        raise PromptError(f"{where} is not a JSON list: use a file that ENSAM wrote.")
    return item


def _vector(values: Any, what: str) -> Vector:
    """Three finite floats. A negative zero becomes zero, so that equal values are also written alike."""
    try:
        numbers = tuple(math.nan if isinstance(value, str | bool) else float(value) + 0.0 for value in values)
    except (TypeError, ValueError, OverflowError):
        numbers = ()
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise PromptError(f"{what} must be three finite numbers.")
    return numbers


def _is_orthonormal(axes: np.ndarray) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        gram = axes @ axes.T
    # Far sooner than allclose, for several boxes at each click; what is no number is refused as well.
    return bool(np.abs(gram - np.eye(3)).max() <= _AXES_TOLERANCE)
