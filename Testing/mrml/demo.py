"""Segments the sample case with ENSAM in a real MRML scene, as a user would: a box, then clicks.

The box is an ROI node, the clicks are control points, the result is a segment; the clicks are simulated
from the known answer. Needs the ``slicer-core`` wheel. Run it with ``make demo``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import slicer
from ensam.errors import InputError
from ensam.masks import MaskCrop
from ensam.prompts import Box, PromptSet, SegmentPrompts, write_prompts
from ensam.volume import Volume
from ensam_training.interaction import bounds, simulate_click
from ensam_training.metrics import dice
from ENSAMSegmentLib.markups import prompts_from_nodes
from ENSAMSegmentLib.segment_writer import SegmentWriter
from ENSAMSegmentLib.segments import add_segmentation, read_segment
from ENSAMSegmentLib.volumes import volume_from_node

from .nodes import add_points, add_roi, add_segment_editor, load_volume, save
from .rendering import (
    RenderingError,
    Scope,
    check_rendering,
    save_views,
    style_prompts,
    style_segmentation,
)
from .slicer_core_scene import create_scene

if TYPE_CHECKING:
    from ensam.segmentation import Segmentation
    from ensam.session import InteractiveSession

_SAMPLE_CASE = Path(__file__).resolve().parents[2] / "ENSAMSegment" / "Resources" / "SampleCase"
_CLICKS = 3
_LOOSENED_BY_VOXELS = 2


@dataclass(frozen=True)
class Case:
    """The sample case: an image, and one of its labels as the known answer.

    Attributes:
        title: What the image shows.
        label: The object's value in the label image.
        segment: The object's name.
        licence: The image's licence.
        source: Where the image comes from.
        folder: Holds image.nii.gz and label.nii.gz.
    """

    title: str
    label: int
    segment: str
    licence: str
    source: str
    folder: Path


class Scene:
    """The nodes of the demo, and one step of the user in it."""

    def __init__(self, scene: slicer.vtkMRMLScene, case: Case) -> None:
        """Load the case and put an ROI round the object; no click is there yet."""
        self.volume_node = load_volume(scene, case.folder / "image.nii.gz", case.title)
        self.volume = volume_from_node(self.volume_node)
        self.truth = _truth(scene, case, self.volume)
        box = _box_around(self.truth, self.volume)
        self.roi = add_roi(scene, box.center_ras, box.size_mm, "Box")
        self.foreground = add_points(scene, (), "Foreground")
        self.background = add_points(scene, (), "Background")
        self.segmentation = add_segmentation(self.volume_node, "ENSAM")
        self.segment = self.segmentation.GetSegmentation().AddEmptySegment("", case.segment, (0.2, 0.75, 1.0))
        self._writer = SegmentWriter(add_segment_editor(scene))

    def prompts(self) -> PromptSet:
        """Read the prompts that the nodes hold now."""
        return prompts_from_nodes(self.volume_node, self.roi, self.foreground, self.background)

    def mask(self) -> np.ndarray:
        """Read the segment back, bool (z, y, x) on the volume's grid."""
        crop = read_segment(self.segmentation, self.segment, self.volume_node)
        return crop.laid_out(self.volume.grid.shape)

    def write(self, result: Segmentation) -> float:
        """Write a mask to the segment and give the seconds that it took."""
        start = time.perf_counter()
        mask = MaskCrop(result.mask, result.offset)
        self._writer.write(self.segmentation, self.volume_node, {self.segment: mask})
        return time.perf_counter() - start

    def click(self) -> str | None:
        """Click where the segment is most wrong and say how; None when nothing is wrong."""
        found = simulate_click(self.truth, self.mask())
        if found is None:
            return None
        position_zyx, on_object = found
        node = self.foreground if on_object else self.background
        node.AddControlPoint(*self.volume.grid.zyx_to_ras(np.array(position_zyx, float)))
        return "click on the object" if on_object else "click beside the object"


def main() -> int:
    """Run the demo; 0 when it is done, 2 when something is wrong that the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", type=Path, default=_SAMPLE_CASE, metavar="DIR")
    parser.add_argument("--output", type=Path, default=Path("demo-output"), metavar="DIR")
    options = parser.parse_args()
    # After the arguments: it takes seconds to import torch.
    from ensam.session import InteractiveSession

    try:
        case = read_case(options.case)
        run(case, options.output, InteractiveSession(None, device="auto"))
    except (InputError, RenderingError, OSError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    return 0


def run(case: Case, output: Path, session: InteractiveSession) -> None:
    """Segment the case with the session, print a table and write the results to the output folder.

    Raises:
        InputError: The case can't be segmented.
        RenderingError: The picture can't be drawn; the other results are written.
        OSError: A file can't be read or written.
    """
    output.mkdir(parents=True, exist_ok=True)
    with create_scene() as application:
        scene = Scene(application.GetMRMLScene(), case)
        _print_heading(case, scene)
        _segment(scene, session)
        ellipsoid = dice(_ellipsoid(scene.prompts().box, scene.volume), scene.truth)
        print(f"\n  For comparison, an ellipsoid that fills the box reaches {ellipsoid:.3f}.")

        print(f"\nWritten to {output}/")
        save(scene.segmentation, output / "segmentation.seg.nrrd")
        print("  segmentation.seg.nrrd   the segment; open it in 3D Slicer")
        write_prompts(output / "prompts.json", [SegmentPrompts(case.segment, scene.prompts())])
        print("  prompts.json            the box and the clicks, in millimetres")
        check_rendering()
        _draw(application, scene, output / "views.png")
        print("  views.png               Slicer's slice views and 3D view")


def _segment(scene: Scene, session: InteractiveSession) -> None:
    """Box, then clicks; a row of the table for each."""
    session.set_volume(scene.volume)
    print(f"\n  {'prompt':<26}{'Dice':>8}{'encode':>10}{'decode':>10}{'MRML write':>13}")
    _segment_once(scene, session, "box")
    for _ in range(_CLICKS):
        click = scene.click()
        if click is None:
            break
        _segment_once(scene, session, click)


def _segment_once(scene: Scene, session: InteractiveSession, prompt: str) -> None:
    result = session.segment(scene.prompts())
    write_s = scene.write(result)
    encode = f"{result.timings.encode_s:.2f} s" if result.encoder_ran else "cached"
    print(
        f"  {prompt:<26}{dice(scene.mask(), scene.truth):>8.3f}{encode:>10}"
        f"{result.timings.decode_s:>8.2f} s{1000 * write_s:>10.0f} ms",
        flush=True,
    )
    for note in result.notes if result.encoder_ran else ():
        print(f"      {note}")


def read_case(folder: Path) -> Case:
    """Read the facts in a case's folder. Raises InputError when they are missing or not as they should be."""
    try:
        return Case(folder=folder, **json.loads((folder / "case.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"'{folder}' is no sample case, its case.json can't be used: {error}.") from error


def _truth(scene: slicer.vtkMRMLScene, case: Case, volume: Volume) -> np.ndarray:
    node = load_volume(scene, case.folder / "label.nii.gz", "label")
    labels = volume_from_node(node)
    scene.RemoveNode(node)
    if not np.allclose(labels.grid.ijk_to_ras, volume.grid.ijk_to_ras, atol=1e-4):
        raise InputError("The case's label image has another grid than its image: resample it.")
    return labels.array == case.label


def _box_around(truth: np.ndarray, volume: Volume) -> Box:
    """The label's bounds, loosened: a box along R, A and S as a user draws it."""
    first, behind = bounds(truth)
    low, high = first - 0.5 - _LOOSENED_BY_VOXELS, behind - 0.5 + _LOOSENED_BY_VOXELS
    corners = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, 8).T
    corners_ras = volume.grid.zyx_to_ras(corners)
    return Box.from_bounds_ras(corners_ras.min(axis=0), corners_ras.max(axis=0))


def _ellipsoid(box: Box, volume: Volume) -> np.ndarray:
    """The voxels of the ellipsoid that touches the box's six faces."""
    shape = volume.grid.shape
    voxels = np.indices(shape).reshape(3, -1).T
    away = (volume.grid.zyx_to_ras(voxels) - box.center_ras) @ np.array(box.axes_ras).T
    return (np.square(away / np.divide(box.size_mm, 2)).sum(axis=1) <= 1).reshape(shape)


def _draw(application: slicer.vtkSlicerApplicationLogic, scene: Scene, path: Path) -> None:
    style_prompts(scene.roi, scene.foreground, scene.background)
    style_segmentation(scene.segmentation)
    prompts = scene.prompts()
    center = np.array(prompts.box.center_ras)
    # Through a click if there is one, so that it's seen on its slices; the nearest to the middle shows most.
    clicks = np.array([point.position_ras for point in prompts.points if point.foreground] or [center])
    nearest = clicks[np.linalg.norm(clicks - center, axis=1).argmin()]
    save_views(
        application, path, scene.volume_node, Scope(tuple(center), 1.7 * max(prompts.box.size_mm), nearest)
    )


def _print_heading(case: Case, scene: Scene) -> None:
    grid = scene.volume.grid
    size = " x ".join(str(length) for length in reversed(grid.shape))
    spacing = " x ".join(f"{length:.2f}" for length in reversed(grid.spacing_zyx))
    millilitres = np.count_nonzero(scene.truth) * np.prod(grid.spacing_zyx) / 1000
    print(f"\n{case.title}: {size} voxels of {spacing} mm ({case.licence}; {case.source})")
    print(f"Object: {case.segment}, {millilitres:.1f} mL")
    print(f"Box: the known answer's bounds, loosened by {_LOOSENED_BY_VOXELS} voxels on each side.")
    print(f"Clicks: simulated, each where the segment is most wrong, {_CLICKS} at most.")
