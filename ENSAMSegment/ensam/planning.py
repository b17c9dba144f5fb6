"""What the network will look at for given prompts: the window and the grey range, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensam.errors import PromptError
from ensam.masks import MaskCrop
from ensam.preprocessing import (
    MARGIN_VOXELS,
    ROUNDING,
    IntensityChoice,
    IntensityRange,
    Window,
    cut_window,
    default_margin,
    intensity_range,
)
from ensam.prompts import PromptSet
from ensam.volume import Volume

# Objects share a window as long as none is seen coarser than this many times its own window's voxel size.
COARSENING = 1.25


@dataclass(frozen=True, eq=False)
class ObjectPrompts:
    """The prompts of one object in voxels of the volume, (z, y, x): box faces (2, 3) cut to the volume or
    None, and clicks ((z, y, x), is it foreground)."""

    box: NDArray | None
    clicks: tuple[tuple[NDArray, bool], ...]


@dataclass(frozen=True)
class Plan:
    """A window of the volume and the grey range to show it in."""

    window: Window
    intensity: IntensityRange


def to_voxels(volume: Volume, prompts: PromptSet) -> ObjectPrompts:
    """Prompts in voxels of the volume. Raises PromptError for prompts that can't be used on it."""
    grid = volume.grid
    last = np.array(grid.shape) - 0.5
    if prompts.box is None and not len(prompts.foreground_ras):
        raise PromptError("There is nothing to segment yet: draw a box or click a foreground point.")
    clicks = []
    for point in prompts.points:
        voxel = grid.ras_to_zyx(np.array(point.position_ras))
        if not grid.contains_zyx(voxel):
            place = ", ".join(f"{v:.1f}" for v in point.position_ras)
            raise PromptError(f"The point at ({place}) lies outside '{volume.name}': move or delete it.")
        clicks.append((np.clip(voxel, -0.5, last), point.foreground))
    if prompts.box is None:
        return ObjectPrompts(None, tuple(clicks))
    lower, upper = grid.box_bounds_zyx(prompts.box)
    faces = np.clip(np.stack((lower, upper)), -0.5, last)
    if np.any(faces[1] - faces[0] <= 0):
        raise PromptError(f"The box lies outside '{volume.name}': move it onto the image.")
    return ObjectPrompts(faces, tuple(clicks))


def make_plan(
    volume: Volume,
    objects: Sequence[ObjectPrompts],
    budget: int,
    choice: IntensityChoice = "auto",
    previous: MaskCrop | None = None,
) -> Plan:
    """One window for all the objects: each one's box and margin, grown to hold every click and what is there
    already, and scaled to the budget. The grey range follows the first object's box."""
    return Plan(_window(volume, objects, budget, previous), _intensity(volume, objects[0], choice))


def group_objects(
    volume: Volume, objects: Sequence[ObjectPrompts], budget: int, choice: IntensityChoice = "auto"
) -> list[list[int]]:
    """Indices of the objects that share a window, and so an encoder pass, in their order.

    Objects far apart would be seen too coarsely in one window of the budget's size, and objects that ask for
    different grey ranges can't share one image.
    """
    ranges = [_intensity(volume, one, choice) for one in objects]

    def coarseness(members: Sequence[ObjectPrompts]) -> float:
        window = _window(volume, members, budget, None)
        return float(np.max(np.divide(window.size, window.shape)))

    own = [coarseness([one]) for one in objects]
    groups: list[list[int]] = []
    for index in range(len(objects)):
        for group in groups:
            members = [*group, index]
            if ranges[index] != ranges[group[0]]:
                continue
            shared = coarseness([objects[i] for i in members])
            if all(shared <= COARSENING * own[i] for i in members):
                group.append(index)
                break
        else:
            groups.append([index])
    return groups


def _window(
    volume: Volume, objects: Sequence[ObjectPrompts], budget: int, previous: MaskCrop | None
) -> Window:
    bounds = [_object_bounds(volume, one, budget) for one in objects]
    if previous is not None and previous.mask.size:
        first = np.subtract(previous.offset, 0.5)
        bounds.append((first, first + previous.mask.shape))
    lower, upper = np.min([b[0] for b in bounds], axis=0), np.max([b[1] for b in bounds], axis=0)
    return cut_window(lower, upper, volume.grid.shape, volume.grid.spacing_zyx, budget)


def _intensity(volume: Volume, one: ObjectPrompts, choice: IntensityChoice) -> IntensityRange:
    if choice == "percentile" or (choice == "auto" and not volume.is_ct):
        return volume.percentiles
    return intensity_range(volume.array, choice, None if one.box is None else _slices(one.box, volume))


def _slices(faces: NDArray, volume: Volume) -> tuple[slice, slice, slice]:
    """The voxels of the volume that a box covers by at least half, at least one along each axis."""
    last = np.subtract(volume.grid.shape, 1)
    first = np.clip(np.floor(faces[0] + 1 - ROUNDING), 0, last).astype(int)
    stop = np.clip(np.floor(faces[1] + ROUNDING) + 1, first + 1, last + 1).astype(int)
    return tuple(slice(int(a), int(b)) for a, b in zip(first, stop, strict=True))


def _object_bounds(volume: Volume, one: ObjectPrompts, budget: int) -> tuple[NDArray, NDArray]:
    """Lower and upper voxel coordinates that one object's window reaches to."""
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
