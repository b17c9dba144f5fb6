"""Draws the module's panel with the sample case in it, for the README and to be looked at.

Run it with ``.venv/bin/python -m gui.render_panel`` in ``Testing``; it needs the network, as the demo does.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MODULES = ROOT / "ENSAMSegment"
WIDTH = 430  # as Slicer's module panel is at first
_CASE = MODULES / "Resources" / "SampleCase"


def main() -> int:
    """Write the pictures of the module and of the effect to a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "Resources" / "Screenshots", metavar="DIR")
    parser.add_argument("--effect", action="store_true", help="the Segment Editor effect too")
    options = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from .stand_in.installation import installed

    drawings = {"panel.png": draw_module, **({"effect.png": draw_effect} if options.effect else {})}
    for name, draw in drawings.items():
        with tempfile.TemporaryDirectory() as folder, installed(Path(folder)) as application:
            draw(application, load_case(application), options.output / name)
    return 0


def load_case(application: Any) -> Any:
    """The sample case's image, in the scene and in a slice view."""
    from mrml.nodes import add_slice_view, load_volume

    volume = load_volume(application.scene, _CASE / "image.nii.gz", "Fetal brain, T2")
    composite, _view = add_slice_view(application.scene)
    composite.SetBackgroundVolumeID(volume.GetID())
    return volume


def segment(logic: Any) -> None:
    """A box round the case's object, then a click on it and one beside it, each with its answer."""
    import numpy as np
    from ensam.prompts import Box
    from ensam.volume import read_volume

    case = json.loads((_CASE / "case.json").read_text(encoding="utf-8"))
    label = read_volume(_CASE / "label.nii.gz")
    inside = np.argwhere(label.array == case["label"])
    corners = label.grid.zyx_to_ras(np.array([inside.min(axis=0) - 2.0, inside.max(axis=0) + 2.0]))
    box = Box.from_bounds_ras(corners.min(axis=0), corners.max(axis=0))
    middle = label.grid.zyx_to_ras(np.median(inside, axis=0))
    logic.add_segment(case["segment"])
    logic.set_box(box.center_ras, box.size_mm)
    logic.wait()
    logic.add_point(tuple(middle), True)
    logic.wait()
    logic.add_point(tuple(corners[0]), False)
    logic.wait()


def draw_module(application: Any, volume: Any, path: Path) -> None:
    """The whole panel of the module."""
    widget = application.open_module(MODULES / "ENSAMSegment.py")
    widget.parent.enter()
    segment(widget.logic)
    save(application, widget.parent, path)
    widget.parent.exit()
    widget.cleanup()


def draw_effect(application: Any, volume: Any, path: Path) -> None:
    """A segment editor in which the effect is active."""
    import slicer

    application.load_module(MODULES / "SegmentEditorENSAM.py")
    application.finish_start()
    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLSegmentEditorNode(application.scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    editor.setMRMLScene(application.scene)
    editor.setSegmentationNode(application.scene.AddNewNodeByClass("vtkMRMLSegmentationNode"))
    editor.setSourceVolumeNode(volume)
    editor.setActiveEffectByName("ENSAM")
    effect = editor.activeEffect().self()
    segment(effect.logic)
    save(application, editor, path)
    editor.setActiveEffect(None)
    effect.cleanup()


def save(application: Any, widget: Any, path: Path) -> None:
    """Draw a widget as wide as Slicer's panel and as high as it needs to be."""
    widget.show()
    widget.resize(WIDTH, widget.sizeHint.height())
    application.pump(0.1)
    if not widget.grab().save(str(path)):
        sys.exit(f"'{path}' could not be written.")
    print(path)


if __name__ == "__main__":
    sys.exit(main())
