"""What MRML adds to a click: read the prompts, read the segment, save an undo state, write the segment.

On a volume of 512 x 512 x 400 voxels, for a ball in a cube of 64, 128 and 256 voxels, in milliseconds (the
median of several clicks). Run it from Testing with ``python -m mrml.benchmark``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np
import slicer
import vtk
from ensam.masks import MaskCrop
from ENSAMSegmentLib.markups import prompts_from_nodes
from ENSAMSegmentLib.segment_writer import SegmentWriter
from ENSAMSegmentLib.segments import add_segment, add_segmentation, read_segment
from vtk.util.numpy_support import numpy_to_vtk

from .nodes import add_points, add_roi, add_segment_editor, add_volume
from .slicer_core_scene import create_scene

_SHAPE = (400, 512, 512)
_EDGES = (64, 128, 256)
_CLICKS = 7
_STEPS = ("prompts", "read", "undo state", "write", "together")
_LESION = 16

Offset = tuple[int, int, int]


def main() -> None:
    """Print a table for segments on labelmaps of their own, and one for segments that share theirs."""
    with create_scene() as application:
        scene = application.GetMRMLScene()
        volume = add_volume(scene, np.zeros(_SHAPE, np.int16), np.diag((0.8, 0.8, 1.0, 1.0)))
        print(f"Milliseconds for a click on {' x '.join(map(str, reversed(_SHAPE)))} voxels, medians.")
        own = _table(volume, "A labelmap for each segment, as ENSAM adds and writes them", own_labelmap=True)
        shared = _table(volume, "One labelmap for all, as Slicer adds them and paints", own_labelmap=False)
    print("\nShared, compared with own:")
    for (name, edge), together in own.items():
        print(f"  {name:<24}{edge:>4}{shared[name, edge] / together:>8.1f} x")


def _table(
    volume: slicer.vtkMRMLScalarVolumeNode, title: str, own_labelmap: bool
) -> dict[tuple[str, int], float]:
    print(f"\n{title}:")
    print(f"  {'':<24}{'edge':>4}" + "".join(f"{step:>12}" for step in _STEPS))
    together = {}
    for name, others in _neighbours().items():
        for edge in _EDGES:
            times = _click(volume, edge, others, own_labelmap)
            print(f"  {name:<24}{edge:>4}" + "".join(f"{times[step]:>12.1f}" for step in _STEPS), flush=True)
            together[name, edge] = times["together"]
    return together


def _neighbours() -> dict[str, list[Offset]]:
    """Where the other segments lie."""
    rng = np.random.default_rng(0)
    # The object lies in the first 256 + 20 voxels of each axis; the lesions keep out of it.
    lesions = []
    while len(lesions) < 30:
        offset = tuple(int(rng.integers(limit - _LESION)) for limit in _SHAPE)
        if max(offset) >= 280:
            lesions.append(offset)
    return {"alone": [], "beside a far neighbour": [(330, 440, 440)], "among 30 lesions": lesions}


def _click(
    volume: slicer.vtkMRMLScalarVolumeNode, edge: int, others: list[Offset], own_labelmap: bool
) -> dict[str, float]:
    """The median milliseconds of each step."""
    scene = volume.GetScene()
    segmentation = add_segmentation(volume, "segmentation")
    editor = add_segment_editor(scene)
    editor.GetSegmentEditorNode().SetAndObserveSegmentationNode(segmentation)
    writer = SegmentWriter(editor)
    roi = add_roi(scene, (100, 100, 100), (80, 80, 80))
    points = add_points(scene, np.random.default_rng(0).uniform(0, 100, (10, 3)))
    write = _write if own_labelmap else _paint
    for offset in others:
        other = _add(segmentation, own_labelmap)
        write(writer, editor, segmentation, volume, other, MaskCrop(_ball(_LESION), offset))
    segment = _add(segmentation, own_labelmap)
    # Two in turn, so that each click changes the segment all over its surface.
    masks = [MaskCrop(_ball(edge, smaller), (10, 10, 10)) for smaller in (0, 1)]
    write(writer, editor, segmentation, volume, segment, masks[0])

    times: dict[str, list[float]] = {step: [] for step in _STEPS}
    for click in range(_CLICKS):
        mask = masks[(click + 1) % 2]
        steps = {
            "prompts": lambda: prompts_from_nodes(volume, roi, points),
            "read": lambda: read_segment(segmentation, segment, volume),
            "undo state": editor.SaveStateForUndo,
            "write": lambda mask=mask: write(writer, editor, segmentation, volume, segment, mask),
        }
        click_times = {step: _milliseconds(run) for step, run in steps.items()}
        click_times["together"] = sum(click_times.values())
        for step, duration in click_times.items():
            times[step].append(duration)
    # The undo states of a whole volume would add up.
    editor.ClearUndoState()
    segmentation.GetSegmentation().RemoveAllSegments()
    return {step: median(durations) for step, durations in times.items()}


def _add(segmentation: slicer.vtkMRMLSegmentationNode, own_labelmap: bool) -> str:
    if own_labelmap:
        return add_segment(segmentation, "segment")
    return segmentation.GetSegmentation().AddEmptySegment()


def _write(
    writer: SegmentWriter,
    _editor: slicer.vtkSlicerSegmentEditorLogic,
    segmentation: slicer.vtkMRMLSegmentationNode,
    volume: slicer.vtkMRMLScalarVolumeNode,
    segment: str,
    mask: MaskCrop,
) -> None:
    # The state is saved already, in a step of its own, so that this saves none.
    writer.write(segmentation, volume, {segment: mask})


def _paint(
    _writer: SegmentWriter,
    editor: slicer.vtkSlicerSegmentEditorLogic,
    segmentation: slicer.vtkMRMLSegmentationNode,
    volume: slicer.vtkMRMLScalarVolumeNode,
    segment: str,
    mask: MaskCrop,
) -> None:
    """Write as Slicer's own effects do, without what ENSAM's writer does to keep segments apart."""
    modifier = slicer.vtkOrientedImageData()
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    modifier.SetGeometryFromImageToWorldMatrix(matrix)
    spans = zip(reversed(mask.offset), reversed(mask.mask.shape), strict=True)
    modifier.SetExtent([end for at, size in spans for end in (at, at + size - 1)])
    modifier.GetPointData().SetScalars(numpy_to_vtk(mask.mask.ravel().astype(np.uint8), deep=True))
    editor.ModifySegmentByLabelmap(segmentation, segment, modifier, editor.ModificationModeSet, True, False)


def _ball(edge: int, smaller: int = 0) -> np.ndarray:
    zyx = np.ogrid[:edge, :edge, :edge]
    away = sum((axis - (edge - 1) / 2) ** 2 for axis in zyx)
    return away <= (edge / 2 - smaller) ** 2


def _milliseconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()
