"""What each click does to an answer: does it help, is it obeyed, and how far from it does the mask move.

    session = InteractiveSession(checkpoint)
    steps = [step for file in choose_cases(folder, names) for step in play_case(session, file, ClickTrial())]

It plays a box and five clicks an object through `InteractiveSession`, as a user does, on the grey values as
they are, one object at a time; the challenge's protocol with its shared answers is in `evaluation`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from ensam.geometry import Grid
from ensam.masks import MaskCrop
from ensam.prompts import Box, Point, PromptSet
from ensam.segmentation import Segmentation
from ensam.session import InteractiveSession
from ensam.volume import Volume
from numpy.typing import NDArray
from scipy import ndimage

from ensam_training.cases import CaseFile, load
from ensam_training.challenge_cases import MINIMUM_JUDGED_VOXELS, UNKNOWN
from ensam_training.conditions import CONDITIONS, EXACT, Scene, exact_scene
from ensam_training.evaluation import CLICK_ROUNDS
from ensam_training.interaction import Click, simulate_click
from ensam_training.metrics import dice

FAR_SHARE = 0.25  # of the object's longest edge in mm: what lies farther than that from a click is far
BOX, CLICK, CONFIRMING = "box", "click", "confirming"
_MARGIN = 2  # voxels round the masks, in which their edges are looked for


@dataclass(frozen=True)
class ClickTrial:
    """What is tried on every object; `far_mm` is a second measure of far, beside `FAR_SHARE`."""

    conditions: tuple[str, ...] = tuple(CONDITIONS)
    max_objects: int = 3
    far_mm: float = 20.0
    seed: int = 0


@dataclass(frozen=True)
class Change:
    """How an answer changed by a click.

    changed: voxels that changed sides; far: of these, those farther from the click than `FAR_SHARE` of the
    object; beyond: those farther than `far_mm`; far_worse: those far and now wrong. far_edge: voxels of the
    earlier answer's edge that are far; edge_moved: of these, those with no edge left within a voxel.
    """

    changed: int = 0
    far: int = 0
    beyond: int = 0
    far_worse: int = 0
    far_edge: int = 0
    edge_moved: int = 0


@dataclass(frozen=True)
class Step:
    """One answer. kind: `BOX` for the box alone, `CLICK` for the next click on the largest error, and
    `CONFIRMING` for a click in the middle of what the box alone got right, which should change nothing.

    before, dsc: Dice coefficient before and after; obeyed: whether the clicked voxel ends on the asked side;
    all_obeyed: whether those of all clicks so far do; voxels: of the earlier answer; see `Change`.
    """

    kind: str
    round: int
    foreground: bool
    before: float
    dsc: float
    obeyed: bool
    all_obeyed: bool
    voxels: int
    changed: int
    far: int
    beyond: int
    far_worse: int
    far_edge: int
    edge_moved: int
    seconds: float
    case: str = ""
    modality: str = UNKNOWN
    label: int = 0
    condition: str = EXACT


def play_case(session: InteractiveSession, file: CaseFile, trial: ClickTrial) -> list[Step]:
    """The steps of a case's largest objects under all conditions. Raises InputError."""
    volume, labels = load(file)
    spacing = volume.grid.spacing_zyx
    # Boxes lie along the voxels whatever the patient's orientation, so a straight grid does.
    plain = plain_volume(volume.array, spacing, file.name)
    steps = []
    for label in _largest(labels, trial.max_objects):
        scene = exact_scene(volume.array, labels == label, spacing)
        for name in trial.conditions:
            rng = np.random.default_rng((trial.seed, zlib.crc32(file.name.encode()), label))
            worse = CONDITIONS[name](scene, rng)
            if worse is None:
                continue
            same = worse.image is scene.image
            session.set_volume(plain if same else plain_volume(worse.image, worse.spacing, file.name))
            about = {"case": file.name, "modality": file.modality or UNKNOWN}
            for step, _ in play_object(session, worse, trial.far_mm):
                steps.append(replace(step, **about, label=label, condition=name))
    return steps


def play_object(
    session: InteractiveSession, scene: Scene, far_mm: float
) -> Iterator[tuple[Step, Segmentation]]:
    """The box, the confirming click, then up to `CLICK_ROUNDS` clicks on the largest error, with the answers.

    The session has the scene's image as its volume. An object that is right to the last voxel gets no more
    clicks.
    """
    grid = session.volume.grid
    truth = MaskCrop(scene.truth, (0, 0, 0)).trimmed()
    extent_mm = float(np.max((scene.faces[1] - scene.faces[0]) * scene.spacing))
    prompts = PromptSet(Box.from_bounds_ras(*(grid.zyx_to_ras(face) for face in scene.faces)))
    clicks: list[Click] = []

    def step(
        kind: str, before: Segmentation, after: Segmentation, own: Sequence[Click]
    ) -> tuple[Step, Segmentation]:
        masks, lower = _laid_out((truth, before, after), grid.shape)
        obeyed = [_is_in(masks[2], _minus(voxel, lower)) == asked for voxel, asked in own] or [True]
        change = Change()
        if kind != BOX:
            voxel = _minus(own[-1][0], lower)
            change = compare(*masks, voxel, scene.spacing, FAR_SHARE * extent_mm, far_mm)
        told = Step(
            kind,
            len(own),
            foreground=bool(own) and own[-1][1],
            before=dice(masks[0], masks[1]),
            dsc=dice(masks[0], masks[2]),
            obeyed=bool(obeyed[-1]),
            all_obeyed=bool(all(obeyed)),
            voxels=int(np.count_nonzero(masks[1])),
            **asdict(change),
            seconds=after.timings.total_s,
        )
        return told, after

    answer = session.segment(prompts)
    yield step(BOX, answer, answer, ())
    (wanted, found), lower = _laid_out((truth, answer), grid.shape)
    middle = simulate_click(wanted & found, np.zeros_like(found))
    if middle is not None:
        click = _plus(middle[0], lower), True
        yield step(CONFIRMING, answer, session.segment(_with(prompts, click, grid)), (click,))
    for _ in range(CLICK_ROUNDS):
        (wanted, found), lower = _laid_out((truth, answer), grid.shape)
        corrective = simulate_click(wanted, found)
        if corrective is None:
            return
        clicks.append((_plus(corrective[0], lower), corrective[1]))
        prompts = _with(prompts, clicks[-1], grid)
        before, answer = answer, session.segment(prompts)
        yield step(CLICK, before, answer, clicks)


def compare(
    truth: NDArray[np.bool_],
    before: NDArray[np.bool_],
    after: NDArray[np.bool_],
    voxel: tuple[int, int, int],
    spacing: Sequence[float],
    far: float,
    beyond: float,
) -> Change:
    """How an answer changed by a click on `voxel`, all (z, y, x); spacing and the two distances in mm."""
    axes = np.ogrid[tuple(slice(n) for n in truth.shape)]
    squares = [((axis - at) * s) ** 2 for axis, at, s in zip(axes, voxel, spacing, strict=True)]
    distance = np.sqrt(squares[0] + squares[1] + squares[2])
    changed, is_far = before != after, distance > far
    far_edge = _edge(before) & is_far
    near_new_edge = ndimage.binary_dilation(_edge(after), np.ones((3, 3, 3)))
    counted = (
        changed,
        changed & is_far,
        changed & (distance > beyond),
        changed & is_far & (after != truth),
        far_edge,
        far_edge & ~near_new_edge,
    )
    return Change(*(int(np.count_nonzero(mask)) for mask in counted))


def _edge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels of the mask with a neighbour outside of it; the array's border is no edge."""
    return mask & ~ndimage.binary_erosion(mask, border_value=1)


def _largest(labels: NDArray, count: int) -> list[int]:
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    order = np.argsort(-sizes, kind="stable")[:count]
    return sorted(int(label) for label in order if sizes[label] >= MINIMUM_JUDGED_VOXELS)


def plain_volume(image: NDArray, spacing: Sequence[float], name: str) -> Volume:
    """An image (z, y, x) on a straight grid; spacing (z, y, x) in mm."""
    return Volume(image, Grid(image.shape, np.diag([*spacing[::-1], 1.0])), name)


def _with(prompts: PromptSet, click: Click, grid: Grid) -> PromptSet:
    voxel, foreground = click
    return prompts.with_point(Point(tuple(grid.zyx_to_ras(voxel)), foreground))


def _laid_out(
    crops: Sequence[MaskCrop], shape: tuple[int, int, int]
) -> tuple[list[NDArray[np.bool_]], tuple[int, int, int]]:
    """The masks on one region of the volume that holds them all and a margin, and its first voxel."""
    trimmed = [crop.trimmed() for crop in crops]
    filled = [crop for crop in trimmed if crop.mask.size]
    lower = np.min([crop.offset for crop in filled], axis=0) - _MARGIN
    upper = np.max([np.add(crop.offset, crop.mask.shape) for crop in filled], axis=0) + _MARGIN
    lower, upper = np.maximum(lower, 0), np.minimum(upper, shape)
    first = tuple(int(i) for i in lower)
    size = tuple(int(n) for n in upper - lower)
    masks = [MaskCrop(crop.mask, _minus(crop.offset, first)).laid_out(size) for crop in trimmed]
    return masks, first


def _is_in(mask: NDArray[np.bool_], voxel: tuple[int, int, int]) -> bool:
    """Whether a voxel is of the mask; it may lie outside of the region, where there is none."""
    inside = all(0 <= at < size for at, size in zip(voxel, mask.shape, strict=True))
    return inside and bool(mask[voxel])


def _plus(voxel: Sequence[int], other: Sequence[int]) -> tuple[int, int, int]:
    return tuple(int(a + b) for a, b in zip(voxel, other, strict=True))


def _minus(voxel: Sequence[int], other: Sequence[int]) -> tuple[int, int, int]:
    return tuple(int(a - b) for a, b in zip(voxel, other, strict=True))
