"""From saved scenes of corrected segmentations to an installed checkpoint, by the trainer's logic alone.

Run it with ``.venv/bin/python -m mrml.retrain DATA --cases NAME NAME NAME -o FOLDER`` in ``Testing``; DATA is
a folder of labelled cases, which stand in for what a user has corrected in Slicer. The training is real.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import slicer
from ensam.checkpoint_store import CheckpointStore
from ensam.masks import MaskCrop
from ensam.prompts import Box, PromptSet
from ensam_training.cases import load
from ensam_training.discovery import find_cases
from ENSAMSegmentLib.segment_state import SegmentState, write_state
from ENSAMSegmentLib.segment_writer import SegmentWriter
from ENSAMSegmentLib.segments import add_segment, add_segmentation
from ENSAMTrainerLib.logic import ENSAMTrainerLogic
from ENSAMTrainerLib.values import TrainingChoice

from .nodes import add_segment_editor, load_volume
from .slicer_core_scene import create_scene
from .trainer_cases import FakeSettings


def main() -> int:
    """Write the scene, collect it, train, judge, install, and say what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--cases", nargs="+", required=True, help="names of cases to put into the scene")
    parser.add_argument("-o", "--output", type=Path, required=True, help="scene, collection, runs, models")
    parser.add_argument("--minutes", type=float, default=3.0)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    bundle = options.output / "corrected.mrb"
    write_scene(options.data, options.cases, bundle)
    with create_scene():
        return retrain(bundle, options.output, options.minutes)


def write_scene(data: Path, names: list[str], bundle: Path) -> None:
    """A saved scene with these images, their labels as corrected segments, and a box with each."""
    with create_scene() as application:
        scene = application.GetMRMLScene()
        cache = slicer.vtkCacheManager()
        cache.SetMRMLScene(scene)
        cache.SetRemoteCacheDirectory(str(bundle.parent / "scene-cache"))
        scene.GetDataIOManager().SetCacheManager(cache)
        editor = add_segment_editor(scene)
        for file in (file for file in find_cases(data) if file.name in names):
            image, labels = load(file)
            volume = load_volume(scene, file.image, file.name)
            segmentation = add_segmentation(volume, f"{file.name} corrected")
            editor.GetSegmentEditorNode().SetAndObserveSegmentationNode(segmentation)
            for label in np.unique(labels[labels > 0]):
                segment_id = add_segment(segmentation, f"label {label}")
                mask = MaskCrop(labels == label, (0, 0, 0)).trimmed()
                SegmentWriter(editor).write(segmentation, volume, {segment_id: mask})
                ends = np.stack((np.array(mask.offset) - 1.0, np.add(mask.offset, mask.mask.shape)))
                corners = image.grid.zyx_to_ras(ends)
                box = Box.from_bounds_ras(corners.min(axis=0), corners.max(axis=0))
                segment = segmentation.GetSegmentation().GetSegment(segment_id)
                write_state(segment, SegmentState(PromptSet(box)))
        if not scene.WriteToMRB(str(bundle.resolve()), None):
            sys.exit(f"'{bundle}' could not be written.")


def retrain(bundle: Path, folder: Path, minutes: float) -> int:
    """Collects, trains, judges and installs; gives the exit code."""
    settings = FakeSettings()
    logic = ENSAMTrainerLogic(
        folder / "training", CheckpointStore(folder / "models"), settings, Path(sys.executable)
    )
    started = time.perf_counter()
    print("collected:", *logic.add_scene_file(bundle))
    logic.check()
    logic.wait()
    print("checked:", *(f"{row.name} {row.state}" for row in logic.rows()))
    logic.choice = TrainingChoice(
        amount=minutes, held_out=0.34, name="retrained", licence="CC-BY-SA-4.0, as the starter weights"
    )
    logic.estimate()
    logic.wait()
    print("estimate:", logic.estimate_text)
    logic.start()
    logic.wait()
    for row in logic.judgement.comparisons:
        print(
            f"{row.case} {row.segment}: {row.before_box:.3f} > {row.after_box:.3f} after the box, "
            f"{row.before_clicks:.3f} > {row.after_clicks:.3f} after the clicks"
        )
    print(logic.judgement.verdict)
    if logic.can_install:
        logic.install()
        print("installed:", *(one.name for one in logic.checkpoints()))
    print(f"{(time.perf_counter() - started) / 60:.1f} minutes in all")
    logic.cleanup()
    return 0


if __name__ == "__main__":
    sys.exit(main())
