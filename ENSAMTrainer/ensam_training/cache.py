"""Cases preprocessed once, so that training reads no compressed file and holds no volume in memory.

A cache is a folder of NAME.image.npy and NAME.labels.npy, opened memory-mapped, and index.json with the rest.
Everything but CT is stored in the paper's 256 steps of grey between its 0.5 and 99.5 percentiles (uint8). CT
keeps its Hounsfield units from -1024 to 3071, since its window is chosen by the object: as int16, or as
float16 where they aren't whole, which is finer than a grey step in every one of the paper's windows.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from ensam.errors import InputError
from ensam.files import make_folder, replacing, write_text
from ensam.planning import ObjectPrompts
from ensam.preprocessing import IntensityRange
from ensam.volume import Volume
from numpy.typing import NDArray
from scipy import ndimage

from ensam_training.cases import MINIMUM_VOXELS, Case, CaseFile
from ensam_training.checking import CaseCheck, DataReport, examine
from ensam_training.pool import run_all

VERSION = 1
INDEX = "index.json"
CT_RANGE = (-1024, 3071)
_STEPS = IntensityRange(0.0, 255.0, "0.5 to 99.5 percentile, in 256 steps")
_OPEN = 256  # arrays held open; each takes a file descriptor, of which a process may have 1024
_SAVE_SECONDS = 5.0
_DAMAGED = (
    OSError,
    ValueError,
    EOFError,
)  # what numpy raises of a file that is no array; the last of an empty
_TEMPORARY = ".????????-*.npy"  # what `replacing` calls files that are being written


class CachedCase(Case):
    """A case in a cache: its arrays are opened when they are looked at, read-only and memory-mapped.

    It is handed to another process by its path, and thousands of them don't use up the open files.
    """

    def __init__(self, folder: Path, stamp: str, **facts: Any) -> None:
        self.__dict__.update(facts, folder=folder, stamp=stamp)

    @property
    def image(self) -> NDArray:
        """(z, y, x): uint8 grey steps, or Hounsfield units as int16 or float16."""
        return _open(_paths(self.folder, self.name)[0], self.stamp)

    @property
    def labels(self) -> NDArray:
        """(z, y, x): uint8 or uint16."""
        return _open(_paths(self.folder, self.name)[1], self.stamp)

    @property
    def percentiles(self) -> IntensityRange:
        """The 256 steps themselves: the image was clipped to its percentiles when it was cached."""
        return _STEPS


@lru_cache(maxsize=_OPEN)
def _open(path: Path, stamp: str) -> NDArray:
    """`stamp` changes with the file's content, so that an old array isn't mistaken for a new one."""
    try:
        return np.load(path, mmap_mode="r")
    except _DAMAGED as error:
        raise InputError(f"'{path.name}' in the cache can't be read: delete it and prepare again.") from error


def close_arrays() -> None:
    """Closes what cases were looked at by, so that their files can be deleted: on Windows no open one can."""
    _open.cache_clear()


class Cache:
    """A folder that `prepare` has written. Raises `InputError` when it isn't one, or of another version."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        entries = _read_index(self.folder)
        if entries is None:
            raise InputError(f"'{folder}' isn't a cache of this version: make it with ensam-train prepare.")
        self._entries = entries

    @staticmethod
    def is_one(folder: Path) -> bool:
        """Whether a folder has been written by `prepare`, of whatever version."""
        return (Path(folder) / INDEX).is_file()

    @property
    def report(self) -> DataReport:
        """What was found in the cases when they were prepared, with those that were left out."""
        return DataReport.of(_check(entry) for entry in self._entries.values())

    @property
    def size(self) -> int:
        """Bytes of the arrays."""
        return sum(path.stat().st_size for path in self.folder.glob("*.npy"))

    def cases(self) -> list[CachedCase]:
        """Every case that could be used, in the order of their names."""
        return [self._case(file) for file in self.report.usable]

    def _case(self, file: CaseFile) -> CachedCase:
        entry = self._entries[file.name]
        sizes = dict(entry["sizes"])
        return CachedCase(
            self.folder,
            entry["stamp"],
            name=file.name,
            spacing=tuple(entry["spacing"]),
            objects={
                label: tuple(slice(start, stop) for start, stop in box)
                for label, box in entry["boxes"]
                if sizes[label] >= MINIMUM_VOXELS
            },
            is_ct=entry["is_ct"],
            dataset=file.dataset,
            group=file.group,
            modality=file.modality,
            # Caches that were prepared before there were collections hold none.
            prompts={label: _to_prompts(*values) for label, *values in entry.get("prompts", ())},
        )


def prepare(
    files: Sequence[CaseFile], folder: Path, *, instances: bool = False, workers: int | None = None
) -> Cache:
    """Check and cache cases; with `instances` each connected component of a label is an object.

    A case that is in the cache already isn't read again unless its files' sizes or times changed, or its
    arrays are gone or cut short; what the cache holds beyond `files` is removed. May be interrupted at any
    time. Cases that fail the check are left out, and `Cache.report` names them. Raises `InputError`,
    `OutputError`.
    """
    folder = Path(folder)
    old = _open_folder(folder)
    stamps = {file.name: _stamp(file, instances) for file in files}
    others = {name: entry for name, entry in old.items() if name not in stamps}
    entries = {
        # What a table says of a case may have changed although its files have not.
        file.name: old[file.name] | {"file": _facts(file)}
        for file in files
        if old.get(file.name, {}).get("stamp") == stamps[file.name]
        and (old[file.name]["reason"] or _are_whole(_paths(folder, file.name)))
    }
    missing = [file for file in files if file.name not in entries]
    saved = time.monotonic()
    try:
        for file, entry in run_all(_Prepare(folder, instances), missing, "prepare", workers):
            entries[file.name] = entry | {"stamp": stamps[file.name]}
            if time.monotonic() - saved > _SAVE_SECONDS:  # not each time: the index grows with the cases
                _write_index(folder, others | entries)
                saved = time.monotonic()
    finally:
        _write_index(folder, others | entries)
    _write_index(folder, entries)
    unused = [*others, *(name for name, entry in entries.items() if entry["reason"])]
    _remove(path for name in unused for path in _paths(folder, name))
    return Cache(folder)


@dataclass(frozen=True)
class _Prepare:
    """Checks a case and writes its arrays, in a form that another process can be given."""

    folder: Path
    instances: bool

    def __call__(self, file: CaseFile) -> dict[str, Any]:
        """The case's entry in the index, without its stamp."""
        examined = examine(file, instances=self.instances)
        entry = asdict(examined.check) | {"file": _facts(file), "boxes": []}
        entry["prompts"] = [(label, *_from_prompts(own)) for label, own in examined.prompts.items()]
        entry["sizes"] = list(examined.check.sizes.items())  # the keys of JSON's objects are strings
        if examined.labels is not None:
            image_path, labels_path = _paths(self.folder, file.name)
            _save(image_path, grey_steps(examined.volume))
            _save(labels_path, examined.labels)
            entry["boxes"] = [
                (label, [(axis.start, axis.stop) for axis in box])
                for label, box in enumerate(ndimage.find_objects(examined.labels), start=1)
                if box is not None
            ]
        return entry


def grey_steps(volume: Volume) -> NDArray:
    """The image as it is cached, (z, y, x): see the head of this file."""
    array = volume.array
    if volume.is_ct:
        clipped = np.clip(array, *CT_RANGE)
        whole = array.dtype.kind in "iu" or np.array_equal(clipped, np.rint(clipped))
        return clipped.astype(np.int16 if whole else np.float16)
    grey = volume.percentiles
    steps = np.empty(array.shape, np.uint8)
    for z, plane in enumerate(array):  # plane by plane: the volume in float64 may not fit in memory
        # The same operations as in `ensam.resampling.extract`, so that both round alike.
        scaled = ((plane.astype(np.float64) - grey.lower) / (grey.upper - grey.lower)).clip(0, 1)
        steps[z] = np.rint(scaled.astype(np.float32) * 255)
    return steps


def _paths(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.image.npy", folder / f"{name}.labels.npy"


def _are_whole(paths: Iterable[Path]) -> bool:
    """Whether arrays are there in their full length, which a power cut may have kept from the disk."""
    try:
        return all(np.load(path, mmap_mode="r").ndim == 3 for path in paths)
    except _DAMAGED:
        return False


def _save(path: Path, array: NDArray) -> None:
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array, allow_pickle=False)


def _stamp(file: CaseFile, instances: bool) -> str:
    """What a cached case was made from, without reading it."""
    return f"{file.problem}, {instances}, {file.stamp()}"


def _facts(file: CaseFile) -> dict[str, Any]:
    paths = {name: str(getattr(file, name)) for name in ("image", "label")}
    return asdict(file) | paths | {"facts": None if file.facts is None else str(file.facts)}


def _from_prompts(prompts: ObjectPrompts) -> tuple[Any, Any]:
    """Box and clicks as plain numbers."""
    box = None if prompts.box is None else prompts.box.tolist()
    return box, [[*voxel.tolist(), bool(foreground)] for voxel, foreground in prompts.clicks]


def _to_prompts(box: Any, clicks: Any) -> ObjectPrompts:
    own = tuple((np.array(voxel), foreground) for *voxel, foreground in clicks)
    return ObjectPrompts(None if box is None else np.array(box), own)


def _check(entry: dict[str, Any]) -> CaseCheck:
    file = CaseFile(**entry["file"])
    facts = None if file.facts is None else Path(file.facts)
    return CaseCheck(
        replace(file, image=Path(file.image), label=Path(file.label), facts=facts),
        entry["reason"],
        tuple(entry["warnings"]),
        tuple(entry["shape"]),
        tuple(entry["spacing"]),
        dict(entry["sizes"]),
        entry["is_ct"],
        entry["image"],
        entry["labels"],
    )


def _open_folder(folder: Path) -> dict[str, dict[str, Any]]:
    """The entries of a cache that is there already; otherwise makes a new one."""
    if folder.is_dir() and not Cache.is_one(folder) and any(folder.iterdir()):
        raise InputError(f"The folder '{folder}' holds something else than a cache: choose another.")
    make_folder(folder)
    entries = _read_index(folder) or {}
    _remove(folder.glob(_TEMPORARY))
    _write_index(folder, entries)
    return entries


def _read_index(folder: Path) -> dict[str, dict[str, Any]] | None:
    """The entries by case, or None where there is no index of this version."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return index["cases"] if index["version"] == VERSION else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _write_index(folder: Path, entries: dict[str, dict[str, Any]]) -> None:
    text = json.dumps({"version": VERSION, "cases": entries}, separators=(",", ":"))
    write_text(folder / INDEX, text)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        # A file that is held open elsewhere stays, and nothing refers to it.
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
