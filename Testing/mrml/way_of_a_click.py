"""Draws a picture strip of the sample case: a box, a click, the click dragged and undone.

All is done with the mouse in a slice view and with the starter weights. Where to click is taken from the
known answer, as a user would see it. Run it with ``PYTHONPATH=Testing python -m mrml.way_of_a_click``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import slicer
from ensam_training.interaction import bounds, simulate_click
from ENSAMSegmentLib.logic import ENSAMSegmentLogic
from ENSAMSegmentLib.prompt_nodes import BACKGROUND, BOX, FOREGROUND
from ENSAMSegmentLib.segments import read_segment
from ENSAMSegmentLib.volumes import volume_from_node

from .nodes import load_volume
from .rendering import Scope, add_text, check_rendering, set_contrast, write_png
from .slicer_core_scene import create_scene
from .views import SliceView

_ROOT = Path(__file__).resolve().parents[2]
_CASE = _ROOT / "ENSAMSegment" / "Resources" / "SampleCase"
_STRIP = _ROOT / "Resources" / "Screenshots" / "way-of-a-click.png"
_CEREBELLUM = 3  # its value in the label image
_LOOSENED_BY_VOXELS = 2
_PANEL_PIXELS = 400
_FIELD_OF_VIEW_MM = 46.0
_ASIDE = (4, 4)  # where the mouse covers nothing


class Strip:
    """The logic, one axial view of the sample case, and the pictures taken of it."""

    def __init__(self, application: slicer.vtkSlicerApplicationLogic) -> None:
        scene = application.GetMRMLScene()
        self.volume = load_volume(scene, _CASE / "image.nii.gz", "FetalBrain")
        label = load_volume(scene, _CASE / "label.nii.gz", "answer")
        self.truth = volume_from_node(label).array == _CEREBELLUM
        scene.RemoveNode(label)
        self.grid = volume_from_node(self.volume).grid
        lower, upper = bounds(self.truth)
        self.box_zyx = np.array((lower - _LOOSENED_BY_VOXELS, upper - 1 + _LOOSENED_BY_VOXELS))
        # A click must lie in the slice that is shown.
        self.slice = int(self.box_zyx.mean(axis=0)[0])
        center = self.grid.zyx_to_ras(np.array((self.slice, *self.box_zyx.mean(axis=0)[1:])))
        set_contrast(self.volume, Scope(tuple(center), _FIELD_OF_VIEW_MM, tuple(center)))
        self.view = SliceView(
            application, "Axial", self.volume, center, _FIELD_OF_VIEW_MM, size=_PANEL_PIXELS
        )
        self.logic = ENSAMSegmentLogic()
        self.logic.select(self.volume)
        segment_id = self.logic.add_segment("cerebellum")
        # Without Slicer's terminologies the colour is drawn by lot.
        self.logic.segmentation.GetSegmentation().GetSegment(segment_id).SetColor(0.2, 0.75, 1.0)
        self.pictures: list[np.ndarray] = []

    def mask(self) -> np.ndarray:
        """The segment, bool (z, y, x)."""
        crop = read_segment(self.logic.segmentation, self.logic.segment_id, self.logic.volume)
        return crop.laid_out(self.grid.shape)

    def wrong_place(self, foreground: bool | None = None, away_from: np.ndarray | None = None) -> tuple:
        """The middle of a large error in the slice: display position, and whether it is of the object."""
        shown = slice(self.slice, self.slice + 1)
        for rank in range(20):
            found = simulate_click(self.truth[shown], self.mask()[shown], rank=rank)
            if found is None:
                break
            at = np.array(self.view.display_of(self.grid.zyx_to_ras(np.array((self.slice, *found[0][1:])))))
            far = away_from is None or np.linalg.norm(at - away_from) > _PANEL_PIXELS / 8
            if far and foreground in (None, found[1]):
                return at, found[1]
        return np.add(away_from, (0, _PANEL_PIXELS / 8)), foreground

    def draw_box(self) -> None:
        """Click on two corners."""
        self.logic.start_placing(BOX)
        for row in self.box_zyx:
            self.view.click(
                self.view.display_of(self.grid.zyx_to_ras(np.array((self.slice, *row[1:]), float)))
            )

    def take(self, caption: str) -> None:
        """Take a picture of the view with a caption."""
        text = add_text(self.view.renderer, caption, (0.02, 0.98), (1.0, 1.0, 1.0), 16)
        self.pictures.append(self.view.pixels())
        self.view.renderer.RemoveViewProp(text)


def draw_strip(application: slicer.vtkSlicerApplicationLogic, path: Path) -> None:
    """Go through the steps and write the strip."""
    strip = Strip(application)
    logic, view = strip.logic, strip.view
    strip.draw_box()
    view.move(_ASIDE)
    strip.take("1  Two clicks draw a box")
    logic.wait()
    _let_tint_pass(logic)
    strip.take("2  The mask appears")
    first, foreground = strip.wrong_place()
    second, _ = strip.wrong_place(foreground, away_from=first)
    logic.start_placing(FOREGROUND if foreground else BACKGROUND)
    view.click(first)
    logic.stop_placing()
    logic.wait()
    view.move(_ASIDE)
    strip.take(f"3  A click {'on' if foreground else 'beside'} the object")
    _let_tint_pass(logic)
    view.drag(first, second)
    strip.take("4  The click dragged: it waits")
    view.release(second)
    view.move(_ASIDE)
    logic.wait()
    strip.take("5  The mask follows")
    logic.undo()
    logic.wait()
    strip.take("6  Undo: mask and click as they were")
    view.close()
    logic.cleanup()
    write_png(path, [strip.pictures[:3], strip.pictures[3:]])


def _let_tint_pass(logic: ENSAMSegmentLogic) -> None:
    while logic.poll(0.05) is not None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=_STRIP, metavar="PNG")
    options = parser.parse_args()
    check_rendering()
    with create_scene() as application:
        draw_strip(application, options.output)


if __name__ == "__main__":
    main()
