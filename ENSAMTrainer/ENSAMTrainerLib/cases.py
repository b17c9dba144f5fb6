"""The collection's cases: listed with what the check found, and added from scenes."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import slicer
from ensam.errors import InputError
from ensam.volume import Volume
from ensam_training.collection import CollectedCase, Collection
from ensam_training.run_folder import Comparison
from ENSAMSegmentLib.translation import tr as _

from . import scene_cases, scene_files
from .remembered import Remembered
from .values import CaseRow, ComparisonRow, SceneChoice


class Cases:
    """The collection in `folder`/cases, and what a check wrote into `folder`/check.csv."""

    def __init__(self, folder: Path) -> None:
        self.collection = Collection(folder / "cases")
        self.report = folder / "check.csv"
        self._known: Remembered[tuple[CollectedCase, ...]] = Remembered()
        self._listed: Remembered[tuple[CaseRow, ...]] = Remembered()

    def rows(self) -> tuple[CaseRow, ...]:
        """All cases, with what the last check says of those that haven't changed since.

        They are read when cases have come or gone, or a check was made.
        """
        return self._listed.of(self._read_rows, self.collection.folder, self.report)

    def read_again(self) -> None:
        """Something was done to the files."""
        self._known.forget()
        self._listed.forget()

    def _read_rows(self) -> tuple[CaseRow, ...]:
        checked = _read_report(self.report)
        rows = []
        for case in self._cases():
            count = sum(len(p.prompts.points) + (p.prompts.box is not None) for p in case.facts.prompts)
            source = Path(case.facts.source).name  # of a folder the whole path is kept
            row = CaseRow(case.name, source, case.facts.segments, count, case.facts.added)
            rows.append(self._with_found(row, case, checked.get(case.name)))
        # They are shown, so that they can be removed.
        rows += [
            CaseRow(name, "", (), 0, "", "refused", str(error))
            for name, error in self.collection.unreadable().items()
        ]
        return tuple(sorted(rows, key=lambda row: row.name))

    def _cases(self) -> tuple[CollectedCase, ...]:
        return self._known.of(self.collection.cases, self.collection.folder)

    def _with_found(self, row: CaseRow, case: CollectedCase, found: tuple[str, str] | None) -> CaseRow:
        try:
            changed = case.label.stat().st_mtime
            if found is None or self.report.stat().st_mtime < changed:
                return row
        except OSError:
            return replace(row, remark=_("Its segments can't be read: remove the case and add it again."))
        return replace(row, state=found[0], remark=found[1])

    def compared(self, comparisons: Sequence[Comparison]) -> tuple[ComparisonRow, ...]:
        """Judged objects with the names of their segments; with their numbers where the case is gone."""
        known = {(case.name, n): s for case in self._cases()
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
        patient: str = "",
        file: Path | None = None,
    ) -> tuple[str, ...]:
        """Keeps a copy of an image and of segments of it; gives the names of the cases.

        patient: who it is of; "" for who DICOM or the collection says, or else the same one for all of the
        scene. file: of the scene, None for the one that is open. Raises InputError.
        """
        volume, segmentation = scene.GetNodeByID(volume_id), scene.GetNodeByID(segmentation_id)
        if volume is None or segmentation is None:
            raise InputError(_("The image or the segmentation is no longer in the scene: choose again."))
        image, segments = scene_cases.collect(volume, segmentation, segment_ids)
        patient = patient or scene_cases.patient_of(volume) or self._known_patient(image, volume)
        source, unknown = (file.name, file.stem) if file else (_("scene"), "")
        try:
            return self.collection.add(image, segments, source, patient or unknown)
        finally:
            self.read_again()

    def _known_patient(self, image: Volume, volume: slicer.vtkMRMLScalarVolumeNode) -> str:
        """What the collection says of an image, or else of any other one of its scene; "" if nothing."""
        known = {case.facts.image: case.facts.patient for case in self._cases()}
        images = itertools.chain([image], scene_cases.other_images(volume)) if known else ()
        return next((known[i.voxel_fingerprint] for i in images if i.voxel_fingerprint in known), "")

    def remove(self, name: str) -> None:
        """Deletes a case. Raises InputError if there is none, OutputError if it can't be deleted."""
        try:
            self.collection.remove(name)
        finally:
            self.read_again()

    def add_scene_file(
        self, path: Path, like: slicer.vtkMRMLScene
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Keeps a copy of each image that has a segmentation in a saved scene.

        Gives the names of the cases, and those of segmentations that were left out because they don't tell
        which of several images they were made on. Raises InputError when nothing is added.
        """
        names: list[str] = []
        with scene_files.opened(path, like) as scene:
            choices, unclear = _apart(scene_cases.choices(scene))
            for one in choices:
                ids = [segment.id for segment in one.segments]
                names += self.add_from_scene(scene, one.volume_id, one.segmentation_id, ids, file=path)
        if not names:
            text = _("'{name}' holds no segmentation of an image: segment something and save it again.")
            if unclear:
                text = _(
                    "The segmentations in '{name}' don't tell which image they were made on: open it and add"
                    " them from the scene."
                )
            raise InputError(text.format(name=path.name))
        return tuple(names), unclear


def _apart(choices: Sequence[SceneChoice]) -> tuple[list[SceneChoice], tuple[str, ...]]:
    """The choices whose image is certain, and the names of the segmentations of which it isn't."""
    images = Counter(one.segmentation_id for one in choices)
    clear = [one for one in choices if images[one.segmentation_id] == 1]
    unclear = {o.segmentation_id: o.segmentation_name for o in choices if images[o.segmentation_id] > 1}
    return clear, tuple(unclear.values())


def _read_report(path: Path) -> dict[str, tuple[str, str]]:
    """State and remark of each case that a check has read."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error):
        return {}
    found = {}
    for row in rows:
        reason, warnings = row.get("reason") or "", row.get("warnings") or ""
        state = "refused" if reason else "warned" if warnings else "good"
        found[row.get("name", "")] = (state, reason or warnings)
    return found
