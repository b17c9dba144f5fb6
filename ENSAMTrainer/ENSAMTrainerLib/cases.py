"""The collection's cases: listed with what the check found, and added from scenes."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import slicer
from ensam.errors import InputError
from ensam_training.collection import Collection
from ensam_training.run_folder import Comparison
from ENSAMSegmentLib.translation import tr as _

from . import scene_cases, scene_files
from .values import CaseRow, ComparisonRow


class Cases:
    """The collection in `folder`/cases, and what a check wrote into `folder`/check.csv."""

    def __init__(self, folder: Path) -> None:
        self.collection = Collection(folder / "cases")
        self.report = folder / "check.csv"

    def rows(self) -> tuple[CaseRow, ...]:
        """All cases, with what the last check says of those that haven't changed since."""
        checked = _read_report(self.report)
        rows = []
        for case in self.collection.cases():
            count = sum(len(p.prompts.points) + (p.prompts.box is not None) for p in case.facts.prompts)
            row = CaseRow(case.name, case.facts.source, case.facts.segments, count, case.facts.added)
            found = checked.get(case.name)
            if found is not None and self.report.stat().st_mtime >= case.label.stat().st_mtime:
                row = replace(row, state=found[0], remark=found[1])
            rows.append(row)
        return tuple(rows)

    def compared(self, comparisons: Sequence[Comparison]) -> tuple[ComparisonRow, ...]:
        """Judged objects with the names of their segments; with their numbers where the case is gone."""
        known = {(case.name, n): s for case in self.collection.cases()
                 for n, s in enumerate(case.facts.segments, start=1)}  # fmt: skip
        return tuple(
            ComparisonRow(
                c.case,
                c.label,
                known.get((c.case, c.label), str(c.label)),
                c.before[0],
                c.after[0],
                c.before[-1],
                c.after[-1],
            )
            for c in comparisons
        )

    def add_from_scene(
        self,
        scene: slicer.vtkMRMLScene,
        volume_id: str,
        segmentation_id: str,
        segment_ids: Sequence[str],
        source: str = "",
        patient: str = "",
    ) -> tuple[str, ...]:
        """Keeps a copy of an image and of segments of it; gives the names of the cases.

        source: where the scene is from, by default the one that is open. patient: who it is of unless the
        scene tells. Raises InputError.
        """
        volume, segmentation = scene.GetNodeByID(volume_id), scene.GetNodeByID(segmentation_id)
        if volume is None or segmentation is None:
            raise InputError(_("The image or the segmentation is no longer in the scene: choose again."))
        image, segments = scene_cases.collect(volume, segmentation, segment_ids)
        patient = scene_cases.patient_of(volume) or patient
        return self.collection.add(image, segments, source or _("scene"), patient)

    def add_scene_file(self, path: Path, like: slicer.vtkMRMLScene) -> tuple[str, ...]:
        """Keeps a copy of each image that has a segmentation in a saved scene; gives the cases' names.

        Raises InputError.
        """
        names: list[str] = []
        with scene_files.opened(path, like) as scene:
            for one in scene_cases.choices(scene):
                ids = [segment.id for segment in one.segments]
                # A scene is of one patient, unless it says otherwise.
                names += self.add_from_scene(
                    scene, one.volume_id, one.segmentation_id, ids, path.name, path.stem
                )
        if not names:
            text = _("'{name}' holds no segmentation of an image: segment something and save it again.")
            raise InputError(text.format(name=path.name))
        return tuple(names)


def _read_report(path: Path) -> dict[str, tuple[str, str]]:
    """State and remark of each case that a check has read."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError:
        return {}
    found = {}
    for row in rows:
        reason, warnings = row.get("reason") or "", row.get("warnings") or ""
        state = "refused" if reason else "warned" if warnings else "good"
        found[row.get("name", "")] = (state, reason or warnings)
    return found
