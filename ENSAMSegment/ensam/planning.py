"""What the network will look at for given prompts: the window and the grey range, before anything runs."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ensam.errors import PromptError
from ensam.geometry import Grid
from ensam.masks import MaskCrop
from ensam.preprocessing import (
    MARGIN_VOXELS,
    ROUNDING,
    IntensityChoice,
    IntensityRange,
    Window,
    cut_window,
    default_margin,
    fit_to_budget,
    intensity_range,
    place_cut,
)
from ensam.prompts import PromptSet
from ensam.volume import Volume

# Objects share a window as long as none is seen coarser than this many times its own window's voxel size.
COARSENING = 1.25

NEAR_MM = 10.0  # round foreground clicks without a box: what an automatic CT window is chosen by
CLICK_REACH = 5  # voxels of the window round a click that is obeyed by force: see `obey_clicks`
LEAST_DOUBT = 4.0  # a logit below minus this stays background, whatever details the image has there
ACTIVE_MARGIN = 8  # voxels of the window round box and clicks in which an answer may change

# The grey ranges found for boxes of a volume: every click on a box asks again, and large boxes take a while.
_known_ranges: WeakKeyDictionary[Volume, dict[Hashable, IntensityRange]] = WeakKeyDictionary()

# The memory of an answer: (bytes in any case, bytes a voxel of the window). Measured as the peak of the
# resident memory (VmHWM) over what a process held before it asked, by Testing/measure_memory.py in a process
# each: in half precision for 12 windows of 46^3 to 128^3 voxels, cubes and flat ones, which took 0.8 to 1.2
# times as much as is foreseen, in float32 for cubes of 46^3 to 160^3 voxels, 0.7 to 1. With the shipped
# network on a CPU with matrix units (torch 2.13); a graphics card, which was not measured, knows no slabs.
FULL_PRECISION = (120e6, 245)
HALF_PRECISION = (60e6, 165)
MEASURED_WIDTH = 16  # the channels that this network has at full resolution
CLICK_SHARE = 0.5  # of it that the decoder alone needs at most: 0.3 in half precision, up to 0.5 in float32
# A voxel of the window, for every object more in a decoder pass: 160 to 200 for 4 and 12 objects in 48^3 and
# 60^3. On a CPU large windows need none of it, since their objects are decoded one after the other.
OBJECT_BYTES = 200
# A voxel of a window whose features are kept, with the answer to a box: in half precision, and in float32.
KEPT_BYTES = (63, 106)
# A voxel of the volume that an answer is sure to take up: logits, twice where a click is obeyed by force, and
# masks before and after merging. Boxes of 128 to 380 voxels on a side took 0.5 to 0.8 of what is foreseen.
ANSWER_BYTES = 10


@dataclass(frozen=True, eq=False)
class ObjectPrompts:
    """The prompts of one object in voxels of the volume, (z, y, x): box faces (2, 3) cut to the volume or
    None, clicks ((z, y, x), is it foreground), and the mask to go on from, trimmed, or None."""

    box: NDArray | None
    clicks: tuple[tuple[NDArray, bool], ...]
    previous: MaskCrop | None = None


@dataclass(frozen=True)
class Plan:
    """A window of the volume and the grey range to show it in."""

    window: Window
    intensity: IntensityRange


@dataclass(frozen=True)
class Preview:
    """What an answer will take, told before anything runs.

    window_voxels: of the window the network sees, (z, y, x); voxel_mm: their size, (z, y, x); runs_encoder:
    False if only the decoder is left to run; memory_bytes: an estimate of the memory that the answer needs
    at its peak beyond what is in use, if the mask stays near its box; device: "cpu", "cuda" or "mps".
    """

    window_voxels: tuple[int, int, int]
    voxel_mm: tuple[float, float, float]
    runs_encoder: bool
    memory_bytes: int
    device: str


def to_voxels(volume: Volume, prompts: PromptSet, previous: MaskCrop | None = None) -> ObjectPrompts:
    """Prompts in voxels of the volume. Raises PromptError for prompts that can't be used on it.

    Background points alone can only correct: they need a previous mask with a voxel in the volume.
    """
    if not isinstance(prompts, PromptSet):
        raise PromptError("Prompts are given as a PromptSet, for example PromptSet(box).")
    if previous is not None and not (isinstance(previous, MaskCrop) and previous.mask.dtype == bool):
        raise PromptError(
            "A previous mask is given as a MaskCrop of bool, a whole one as MaskCrop(mask, (0, 0, 0))."
        )
    grid = volume.grid
    last = np.array(grid.shape) - 0.5
    if previous is not None:
        previous = previous.within(grid.shape).trimmed()
        previous = previous if previous.mask.size else None
    if not prompts.is_enough and (previous is None or prompts.is_empty):
        raise PromptError("There is nothing to segment yet: draw a box or click a foreground point.")
    clicks = []
    for point in prompts.points:
        voxel = grid.ras_to_zyx(np.array(point.position_ras))
        if not grid.contains_zyx(voxel):
            place = ", ".join(f"{v:.6g}" for v in point.position_ras)
            raise PromptError(f"The point at ({place}) lies outside '{volume.name}': move or delete it.")
        clicks.append((np.clip(voxel, -0.5, last), point.foreground))
    if prompts.box is None:
        return ObjectPrompts(None, tuple(clicks), previous)
    lower, upper = grid.box_bounds_zyx(prompts.box)
    faces = np.clip(np.stack((lower, upper)), -0.5, last)
    if not np.all(faces[1] - faces[0] > 0):  # not a number counts as outside
        raise PromptError(f"The box lies outside '{volume.name}': move it onto the image.")
    return ObjectPrompts(faces, tuple(clicks), previous)


def exclude_clicks(
    objects: Sequence[ObjectPrompts], everyone: Sequence[ObjectPrompts], window: Window, grid: Grid
) -> list[ObjectPrompts]:
    """The objects with the foreground clicks of all the others in the window as background clicks of their
    own, but for those on a voxel that the object has clicked itself."""
    clicked = [(other, voxel, grid.voxel_at(voxel)) for other in everyone for voxel in _foreground(other)]
    inside = [
        (other, voxel, at)
        for other, voxel, at in clicked
        if all(a <= v < b for a, v, b in zip(window.lower, at, window.upper, strict=True))
    ]
    excluding = []
    for one in objects:
        own = {grid.voxel_at(voxel) for voxel in _foreground(one)}
        theirs = ((voxel, False) for other, voxel, at in inside if other is not one and at not in own)
        excluding.append(replace(one, clicks=(*one.clicks, *theirs)))
    return excluding


def make_plan(
    volume: Volume, objects: Sequence[ObjectPrompts], budget: int, choice: IntensityChoice = "auto"
) -> Plan:
    """One window for all the objects: each one's box and margin, grown to hold every click and what is there
    already, and scaled to the budget. The grey range is the first object's."""
    return Plan(_window(volume, objects, budget), intensity_of(volume, objects[0], choice))


def intensity_of(volume: Volume, one: ObjectPrompts, choice: IntensityChoice) -> IntensityRange:
    """The grey range for one object: it follows its box, or without one its foreground clicks."""
    if choice == "percentile" or (choice == "auto" and not volume.is_ct):
        return volume.percentiles
    faces, where = [one.box], "in the box"
    if one.box is None:
        reach = np.divide(NEAR_MM, volume.grid.spacing_zyx)
        faces = [np.stack((at - reach, at + reach)) for at in _foreground(one)]
        where = "round the clicks"
    boxes = [_slices(own, volume.grid) for own in faces]
    key = choice, where, tuple((part.start, part.stop) for box in boxes for part in box)
    known = _known_ranges.setdefault(volume, {})
    if key not in known:
        values = np.concatenate([volume.array[box].ravel() for box in boxes]) if boxes else None
        known[key] = intensity_range(volume.array, choice, values, where)
    return known[key]


def group_objects(
    volume: Volume, objects: Sequence[ObjectPrompts], budget: int, choice: IntensityChoice = "auto"
) -> list[list[int]]:
    """Indices of the objects that share a window, and so an encoder pass, in their order.

    Objects far apart would be seen too coarsely in one window of the budget's size, and objects that ask for
    different grey ranges can't share one image.
    """
    if len(objects) == 1:
        return [[0]]
    ranges = [intensity_of(volume, one, choice) for one in objects]
    bounds = np.array([_bounds(volume, [one], budget) for one in objects])  # (N, lower and upper, 3)

    def coarseness(size: NDArray) -> float:
        # By the budget alone: rounding to whole strides would part what lies close.
        return float(np.max(np.divide(size, fit_to_budget(size, volume.grid.spacing_zyx, budget))))

    groups: list[list[int]] = []
    # Of each group: the bounds of all its members, and how coarse a window they bear.
    united, borne = np.empty_like(bounds), np.empty(len(objects))
    for index, (lower, upper) in enumerate(bounds):
        bears = COARSENING * coarseness(place_cut(lower, upper, volume.grid.shape)[1])
        known = len(groups)
        lowers, uppers = np.minimum(united[:known, 0], lower), np.maximum(united[:known, 1], upper)
        _, sizes = place_cut(lowers, uppers, volume.grid.shape)
        limits = np.minimum(borne[:known], bears)
        # The least that a window of so many voxels can be thinned by, which tells of most without a search.
        least = (sizes.prod(axis=1) / budget) ** (1 / 3)
        fitting = (
            place
            for place in np.flatnonzero(least <= limits + 1e-6)
            if ranges[index] == ranges[groups[place][0]] and coarseness(sizes[place]) <= limits[place]
        )
        place = next(fitting, None)
        if place is None:
            groups.append([index])
            united[known], borne[known] = (lower, upper), bears
        else:
            groups[place].append(index)
            united[place], borne[place] = (lowers[place], uppers[place]), limits[place]
    return groups


def estimate_memory(window: Window, at_once: int, half: bool, runs_encoder: bool, width: int) -> int:
    """Bytes that answers in a window need at their peak beside themselves, beyond what is in use.

    at_once: the objects in a decoder pass; half: whether the network runs in half precision; width: its
    channels at full resolution.
    """
    fixed, each = HALF_PRECISION if half else FULL_PRECISION
    voxels = math.prod(window.shape)
    network = (fixed + each * voxels) * width / MEASURED_WIDTH * (1 if runs_encoder else CLICK_SHARE)
    return round(network + OBJECT_BYTES * voxels * (at_once - 1))


def kept_memory(window: Window, half: bool, width: int) -> int:
    """Bytes that stay with a window once it was looked at; half and width as for `estimate_memory`."""
    return round(KEPT_BYTES[0 if half else 1] * math.prod(window.shape) * width / MEASURED_WIDTH)


def own_region(one: ObjectPrompts, grid: Grid) -> tuple[slice, slice, slice] | None:
    """Where an object must have at least one voxel of the volume: its box, else its first foreground click.
    None if it has neither: its background clicks may take away all that there was."""
    if one.box is not None:
        return _slices(one.box, grid)
    first = next(_foreground(one), None)
    return None if first is None else tuple(slice(at, at + 1) for at in grid.voxel_at(first))


def answered_part(
    one: ObjectPrompts, window: Window, grid: Grid, logits: NDArray[np.float32] | None = None
) -> tuple[slice, slice, slice]:
    """The part of the window's crop that an object's answer takes up: beyond it all is background.

    It holds the box, what clicks may reach, and the voxels that may become foreground by their logits
    (z, y, x), which are on the window's voxels; without logits the mask to go on from stands for those.
    """
    zoom = np.divide(window.size, window.shape)
    clicks = np.array([grid.voxel_at(voxel) for voxel, _ in one.clicks]).reshape(-1, 3)
    places = [clicks - CLICK_REACH * zoom, clicks + CLICK_REACH * zoom + 1]
    region = own_region(one, grid)
    if region is not None:
        # With neighbours: where many objects have one voxel for a box, each gets one.
        faces, wide = np.array([[s.start, s.stop] for s in region]).T, np.maximum(zoom, 3)
        places += [faces - wide, faces + wide]
    if logits is not None and (likely := logits > -LEAST_DOUBT).any():
        hits = [np.flatnonzero(likely.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
        places.append(np.array([[hit[0] - 1, hit[-1] + 2] for hit in hits]).T * zoom + window.lower)
    elif logits is None and one.previous is not None:
        places.append(np.add(one.previous.offset, [[0, 0, 0], one.previous.mask.shape]))
    corners = np.concatenate(places) - window.lower
    lower, upper = np.floor(corners.min(axis=0) + ROUNDING), np.ceil(corners.max(axis=0) - ROUNDING)
    return tuple(
        slice(max(0, int(a)), min(n, int(b))) for a, b, n in zip(lower, upper, window.size, strict=True)
    )


def active_region(
    faces: NDArray, clicks: Sequence[NDArray], shape: tuple[int, int, int]
) -> list[tuple[int, int]]:
    """The part of a window that clicks on a box are answered in: the box, the clicks and a margin.

    faces (2, 3) and clicks (3,) in voxels of the window, (z, y, x); shape: the window's. First voxel and one
    past the last, along each axis.
    """
    places = np.stack([*faces, *clicks])
    lower = np.floor(places.min(axis=0) - ACTIVE_MARGIN).astype(int)
    upper = np.ceil(places.max(axis=0) + ACTIVE_MARGIN).astype(int) + 1
    return [(max(0, int(a)), min(n, int(b))) for a, b, n in zip(lower, upper, shape, strict=True)]


def along_axes(values: Sequence[float]) -> str:
    """Counts or sizes (z, y, x) as people read them, x first: "96 x 96 x 64"."""
    return " x ".join(f"{v:.2g}" if isinstance(v, float) else str(v) for v in reversed(values))


def voxel_mm(window: Window, volume: Volume) -> tuple[float, float, float]:
    """Size of the voxels that the network sees, (z, y, x)."""
    z, y, x = np.multiply(volume.grid.spacing_zyx, np.divide(window.size, window.shape))
    return float(z), float(y), float(x)


def _foreground(one: ObjectPrompts) -> Iterator[NDArray]:
    return (voxel for voxel, is_foreground in one.clicks if is_foreground)


def _window(volume: Volume, objects: Sequence[ObjectPrompts], budget: int) -> Window:
    lower, upper = _bounds(volume, objects, budget)
    return cut_window(lower, upper, volume.grid.shape, volume.grid.spacing_zyx, budget)


def _bounds(volume: Volume, objects: Sequence[ObjectPrompts], budget: int) -> tuple[NDArray, NDArray]:
    """Lower and upper voxel coordinates that a window for all the objects reaches to."""
    bounds = [_prompts_bounds(volume, one, budget) for one in objects]
    for one in objects:
        if one.previous is not None:
            first = np.subtract(one.previous.offset, 0.5)
            bounds.append((first, first + one.previous.mask.shape))
    return np.min([b[0] for b in bounds], axis=0), np.max([b[1] for b in bounds], axis=0)


def _slices(faces: NDArray, grid: Grid) -> tuple[slice, slice, slice]:
    """The voxels of the volume that a box covers by at least half, at least one along each axis."""
    last = np.subtract(grid.shape, 1)
    first = np.clip(np.floor(faces[0] + 1 - ROUNDING), 0, last).astype(int)
    stop = np.clip(np.floor(faces[1] + ROUNDING) + 1, first + 1, last + 1).astype(int)
    return tuple(slice(int(a), int(b)) for a, b in zip(first, stop, strict=True))


def _prompts_bounds(volume: Volume, one: ObjectPrompts, budget: int) -> tuple[NDArray, NDArray]:
    """Lower and upper voxel coordinates that a window for one object's prompts reaches to."""
    points = np.array([voxel for voxel, _ in one.clicks]).reshape(-1, 3)
    if one.box is None:
        # Nothing tells the object's size: as much of the neighbourhood as the budget shows at about full
        # resolution, as a cube in millimetres.
        spacing = np.array(volume.grid.spacing_zyx)
        margin = budget ** (1 / 3) / 2 * float(np.prod(spacing)) ** (1 / 3) / spacing
        lower, upper = points.min(axis=0) - margin, points.max(axis=0) + margin
    else:
        margin = default_margin(one.box[1] - one.box[0])
        lower, upper = one.box[0] - margin, one.box[1] + margin
        if len(points):
            lower = np.minimum(lower, points.min(axis=0) - MARGIN_VOXELS)
            upper = np.maximum(upper, points.max(axis=0) + MARGIN_VOXELS)
    return lower, upper
