"""The user's own cases: a folder that grows by what was corrected, and that training reads as it is.

Each case is a folder NAME with image.nrrd, label.nrrd and case.json, which tells the names of the labels,
where the case came from, the patient, and the prompts with which its segments were made. Nothing is loaded
here but numpy and SimpleITK, so that it runs where training can't.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from ensam.errors import InputError, PromptError
from ensam.files import ABANDONED_SECONDS, not_written, write_text
from ensam.masks import MaskCrop
from ensam.prompts import PromptSet, SegmentPrompts, from_json, one_line, to_json
from ensam.volume import Volume, read_volume, write_image, write_labels

IMAGE, LABEL, FACTS = "image.nrrd", "label.nrrd", "case.json"
VERSION = 1
DATASET = "collection"  # what sampling is balanced by: all of a collection counts as one
MOST_SEGMENTS = 255
NO_PROMPTS = PromptSet()


@dataclass(frozen=True, eq=False)
class NewSegment:
    """An object to collect: its mask on the image's grid, and the prompts in the image's RAS mm."""

    name: str
    mask: MaskCrop
    prompts: PromptSet = NO_PROMPTS


@dataclass(frozen=True)
class CaseFacts:
    """What case.json says. segments: the names of the labels 1, 2, ...; added: the ISO date; patient:
    what must stay together when cases are held out; image: the voxel fingerprint of the volume."""

    source: str
    added: str
    patient: str
    image: str
    segments: tuple[str, ...]
    prompts: tuple[SegmentPrompts, ...]

    def prompts_of(self, label: int) -> PromptSet:
        """The prompts of a label, empty if it has none."""
        name = self.segments[label - 1] if label <= len(self.segments) else ""
        return next((one.prompts for one in self.prompts if one.name == name), NO_PROMPTS)


@dataclass(frozen=True)
class CollectedCase:
    """A case of a collection."""

    name: str
    folder: Path
    facts: CaseFacts

    @property
    def image(self) -> Path:
        return self.folder / IMAGE

    @property
    def label(self) -> Path:
        return self.folder / LABEL


class Collection:
    """A folder of cases.

    >>> collection = Collection(Path("my-cases"))
    >>> liver = MaskCrop(mask, (0, 0, 0))  # of bool (z, y, x) on the volume's whole grid
    >>> collection.add(volume, [NewSegment("liver", liver, prompts)], source="study.mrb")
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def cases(self) -> tuple[CollectedCase, ...]:
        """All cases by name, but the `unreadable`. Raises InputError for a folder that can't be read."""
        return tuple(one for one in self._read().values() if isinstance(one, CollectedCase))

    def unreadable(self) -> dict[str, InputError]:
        """Why a case can't be used, by its name: its case.json is damaged, or of another version.

        Raises InputError for a folder that can't be read.
        """
        return {name: one for name, one in self._read().items() if isinstance(one, InputError)}

    def _read(self) -> dict[str, CollectedCase | InputError]:
        try:
            if not self.folder.is_dir():
                return {}
            folders = sorted(path for path in self.folder.iterdir() if not path.name.startswith("."))
        except OSError as error:
            raise InputError(f"The folder '{self.folder}' can't be read: check your permissions.") from error
        found: dict[str, CollectedCase | InputError] = {}
        for path in folders:
            if (path / FACTS).is_file():
                try:
                    found[path.name] = CollectedCase(path.name, path, read_facts(path / FACTS))
                except InputError as error:
                    found[path.name] = error
        return found

    @property
    def is_empty(self) -> bool:
        """Whether there is no case; reads none, since a panel asks at every turn."""
        try:
            return next(self.folder.glob(f"[!.]*/{FACTS}"), None) is None
        except OSError:
            return True

    def case(self, name: str) -> CollectedCase:
        """The case of that name. Raises InputError if there is none, or it is unreadable."""
        found = self._read().get(name) or _no_case(name)
        if isinstance(found, InputError):
            raise found
        return found

    def add(
        self, volume: Volume, segments: Sequence[NewSegment], source: str, patient: str = ""
    ) -> tuple[str, ...]:
        """Keeps a copy of a volume and its segments, whole or not at all, and gives the names of the cases.

        Usually that is one. A label image can't hold overlapping segments: each further layer of them
        becomes a case of its own, of the same patient. Cases of the same image that hold a segment of one of
        these names are replaced, and what else they hold is carried over: whoever corrects on adds again.
        patient: what must stay together when cases are held out, which then holds for all cases of the
        image; by default what they say already, and for a new image one of its own.
        Raises InputError when no segment has a voxel in the image, VolumeError, OutputError.
        """
        segments = _named_apart([s for s in _trimmed(segments, volume) if s.mask.mask.any()])
        if not segments:
            raise InputError(f"No segment has a voxel in '{volume.name}': segment something first.")
        self._remove_leftovers()
        added, image = datetime.now(UTC).date().isoformat(), volume.voxel_fingerprint
        new = {one.name.casefold() for one in segments}
        same = [case for case in self.cases() if case.facts.image == image]
        replaced = [case.name for case in same if any(n.casefold() in new for n in case.facts.segments)]
        others = [one for case in same if case.name in replaced for one in _segments_of(case, new)]
        layers = _layers(_named_apart([*segments, *others]))
        patient = patient or (same[0].facts.patient if same else image)
        written = [self.folder / f".adding-{uuid.uuid4().hex[:8]}" for _ in layers]
        names = [*replaced[: len(layers)], *self._free_names(volume.name, len(layers) - len(replaced))]
        try:
            for folder, layer in zip(written, layers, strict=True):
                facts = CaseFacts(
                    source,
                    added,
                    patient,
                    image,
                    tuple(one.name for one in layer),
                    tuple(SegmentPrompts(s.name, s.prompts) for s in layer if not s.prompts.is_empty),
                )
                _write(folder, volume, layer, facts)
            self._swap_in(written, names, replaced)
            for case in same:
                if case.name not in replaced and case.facts.patient != patient:
                    write_facts(case.folder / FACTS, replace(case.facts, patient=patient))
        except OSError as error:
            raise not_written(self.folder, error.strerror) from error
        finally:
            for folder in written:
                shutil.rmtree(folder, ignore_errors=True)
        return tuple(names)

    def remove(self, name: str) -> None:
        """Deletes a case, also an unreadable one.

        Raises InputError if there is none, OutputError if it can't be deleted.
        """
        folder = self.folder / name
        if not (folder / FACTS).is_file():
            raise _no_case(name)
        self._remove_leftovers()
        # Renamed first: a case that is half deleted must not look like one.
        aside = self.folder / f".removed-{uuid.uuid4().hex[:8]}"
        try:
            folder.rename(aside)
            shutil.rmtree(aside)
        except OSError as error:
            raise not_written(folder, error.strerror) from error

    def _remove_leftovers(self) -> None:
        """What a process left that was killed while it added, or that found a file open while it removed.

        Cases that it had moved aside and not yet replaced come back. What is younger than an hour stays:
        another process may be writing it.
        """
        for kind in (".adding-*", ".removed-*", ".replaced-*"):
            for path in self.folder.glob(kind):
                with contextlib.suppress(OSError):  # gone, or still open: it is in nobody's way
                    if time.time() - path.stat().st_mtime < ABANDONED_SECONDS:
                        continue
                    for case in path.iterdir() if kind == ".replaced-*" else ():
                        if not (self.folder / case.name).exists():
                            case.rename(self.folder / case.name)
                    shutil.rmtree(path, ignore_errors=True)

    def _swap_in(self, written: Sequence[Path], names: Sequence[str], replaced: Sequence[str]) -> None:
        """Gives folders their names; the cases that they replace go only when all are there."""
        aside = self.folder / f".replaced-{uuid.uuid4().hex[:8]}"
        aside.mkdir()
        moves = [(self.folder / name, aside / name) for name in replaced]
        moves += [(folder, self.folder / name) for folder, name in zip(written, names, strict=True)]
        done: list[tuple[Path, Path]] = []
        try:
            for place, other in moves:
                place.rename(other)
                done.append((place, other))
        except OSError:
            for place, other in reversed(done):
                other.rename(place)
            aside.rmdir()
            raise
        # By another name: what stays of it, where a file is open, must not come back as a case.
        removed = self.folder / f".removed-{uuid.uuid4().hex[:8]}"
        with contextlib.suppress(OSError):
            aside.rename(removed)
        shutil.rmtree(removed, ignore_errors=True)

    def _free_names(self, volume_name: str, count: int) -> list[str]:
        stem = re.sub(r"[^A-Za-z0-9-]+", "_", re.sub(r"\.(nii|nii\.gz|nrrd|mha)$", "", volume_name))
        stem = stem.strip("_-")[:60] or "case"
        numbered = itertools.chain([stem], (f"{stem}_{number}" for number in itertools.count(2)))
        free = (name for name in numbered if not (self.folder / name).exists())
        return list(itertools.islice(free, max(0, count)))


def _no_case(name: str) -> InputError:
    return InputError(f"There is no case '{name}' in the collection any more: look at the list again.")


def read_facts(path: Path) -> CaseFacts:
    """What a case.json says. Raises InputError when it is damaged."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["version"] != VERSION:
            raise InputError(f"The case '{path.parent.name}' is of another version of ENSAM: update ENSAM.")
        texts = [document[key] for key in ("source", "added", "patient", "image")]
        segments = document["segments"]
        if not all(isinstance(text, str) for text in (*texts, *segments)):
            raise TypeError("not text")
        return CaseFacts(*texts, tuple(segments), from_json(json.dumps(document["prompts"])))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, PromptError) as error:
        raise InputError(
            f"'{path.name}' of the case '{path.parent.name}' is damaged: remove the case and add it again."
        ) from error


def write_facts(path: Path, facts: CaseFacts) -> None:
    """Writes a case.json, whole or not at all. Raises OutputError."""
    document: dict[str, Any] = {
        "version": VERSION,
        "source": facts.source,
        "added": facts.added,
        "patient": facts.patient,
        "image": facts.image,
        "segments": facts.segments,
        "prompts": json.loads(to_json(facts.prompts)),
    }
    write_text(path, json.dumps(document, indent=1, ensure_ascii=False))


def _write(folder: Path, volume: Volume, layer: Sequence[NewSegment], facts: CaseFacts) -> None:
    labels = np.zeros(volume.grid.shape, np.uint8)
    for number, one in enumerate(layer, start=1):
        labels[one.mask.slices][one.mask.mask] = number
    folder.mkdir(parents=True)
    write_image(folder / IMAGE, volume)
    write_labels(folder / LABEL, labels, volume.grid, facts.segments)
    write_facts(folder / FACTS, facts)


def _segments_of(case: CollectedCase, without: Set[str]) -> Iterator[NewSegment]:
    """A case's segments but those of some names, in small letters. Raises VolumeError for damaged labels."""
    named = enumerate(case.facts.segments, start=1)
    left = [(label, name) for label, name in named if name.casefold() not in without]
    labels = read_volume(case.label).array if left else None
    for label, name in left:
        mask = MaskCrop(labels == label, (0, 0, 0)).trimmed()
        if mask.mask.any():
            yield NewSegment(name, mask, case.facts.prompts_of(label))


def _trimmed(segments: Sequence[NewSegment], volume: Volume) -> Iterator[NewSegment]:
    for one in segments:
        yield NewSegment(one.name, one.mask.within(volume.grid.shape).trimmed(), one.prompts)


def _named_apart(segments: Sequence[NewSegment]) -> list[NewSegment]:
    """Names of one line each, and each once: prompts are bound to them."""
    taken: set[str] = set()
    named = []
    for one in segments:
        name = one_line(one.name).strip() or "segment"
        number, free = 1, name
        while free in taken:
            number += 1
            free = f"{name} {number}"
        taken.add(free)
        named.append(NewSegment(free, one.mask, one.prompts))
    return named


def _layers(segments: Sequence[NewSegment]) -> list[list[NewSegment]]:
    """The segments in as few groups without overlap as taking them in their order gives."""
    layers: list[list[NewSegment]] = []
    for one in segments:
        for layer in layers:
            apart = not any(other.mask.meets(one.mask) for other in layer)
            if apart and len(layer) < MOST_SEGMENTS:
                layer.append(one)
                break
        else:
            layers.append([one])
    return layers
