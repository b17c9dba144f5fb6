"""Finding labelled cases in the layouts that people keep them in. Nothing but names and tables is read."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from ensam.errors import InputError

from ensam_training.cases import CaseFile, dataset_of, group_of, modality_of
from ensam_training.collection import DATASET, FACTS, read_facts

SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
_LABEL_MARKS = ("_label", "-label", "_labels", "_seg", "-seg", "_segmentation", "_mask", "-mask")
_LAYOUTS = (
    "a folder of CASE/image.* and CASE/label.*, images/ and labels/, NAME.nii.gz beside NAME_label.nii.gz, "
    "nnU-Net's imagesTr/ and labelsTr/, the challenge's .npz, or a CSV with the columns image and label"
)


def find_cases(source: Path) -> list[CaseFile]:
    """The cases of a folder or table, in the order of their names; their files are not opened.

    A folder may have a table beside it, FOLDER.csv, with a column `case` or `name` and any of `dataset`,
    `group` and `modality`; what it leaves open is read off the names. A case that lacks its image or label
    is returned with its `problem`. Raises `InputError` when the source is none of the layouts, or several.
    """
    source = Path(source)
    if source.is_file() and source.suffix.lower() == ".csv":
        cases = _from_table(source)
    elif source.is_dir():
        cases = _from_folder(source)
    else:
        raise InputError(f"There are no cases at '{source}': give {_LAYOUTS}.")
    twice = [name for name, count in Counter(case.name for case in cases).items() if count > 1]
    if twice:
        raise InputError(
            f"In '{source}' {len(twice)} names occur more than once, such as '{twice[0]}': give each case "
            "its own, in a table by the column name."
        )
    return sorted(cases, key=lambda case: case.name)


def stem_of(path: Path) -> str:
    """A file's name without its image suffix; the whole name if it has none."""
    suffix = _suffix(path)
    return path.name[: -len(suffix)] if suffix else path.name


def _suffix(path: Path) -> str:
    return next((s for s in SUFFIXES if path.name.lower().endswith(s)), "")


def _listing(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"The folder '{folder}' can't be read: check your permissions.") from error


def _images(folder: Path) -> list[Path]:
    return [path for path in _listing(folder) if _suffix(path) and path.is_file()]


def _from_folder(source: Path) -> list[CaseFile]:
    entries = _listing(source)
    folders = {path.name: path for path in entries if path.is_dir()}
    layouts: dict[str, Callable[[], list[CaseFile]]] = {}
    known = _beside(source)
    if {"imagesTr", "labelsTr"} <= set(folders):
        layouts["nnU-Net's imagesTr and labelsTr"] = lambda: _from_nnunet(source, known)
    if {"images", "labels"} <= set(folders):
        layouts["images and labels"] = lambda: _pairs(
            _images(folders["images"]), _images(folders["labels"]), known
        )
    if any(stem_of(path) == "image" for folder in folders.values() for path in _images(folder)):
        layouts["folders with image.*"] = lambda: [
            _from_case_folder(folder, known) for folder in folders.values()
        ]
    if any(path.suffix == ".npz" for path in entries):
        layouts[".npz files"] = lambda: [
            _case(path.stem, path, path, known) for path in entries if path.suffix == ".npz"
        ]
    images = [path for path in entries if path.is_file() and _suffix(path)]
    if images:
        layouts["image files"] = lambda: _beside_each_other(images, known)
    if not layouts:
        raise InputError(
            f"'{source}' holds {len(folders)} folders and {len(entries) - len(folders)} files that are no "
            f"cases: give {_LAYOUTS}."
        )
    if len(layouts) > 1:
        raise InputError(f"'{source}' mixes {' and '.join(layouts)}: give one of them, or list all in a CSV.")
    return next(iter(layouts.values()))()


def _from_case_folder(folder: Path, known: dict[str, dict[str, str]]) -> CaseFile:
    found = _images(folder)
    paths, problems = [], []
    for what in ("image", "label"):
        of_kind = [path for path in found if stem_of(path) == what]
        paths.append(of_kind[0] if of_kind else folder / what)
        if len(of_kind) != 1:
            problems.append(f"{'several' if of_kind else 'no'} {what}.*")
    problem = f"The folder has {' and '.join(problems)}: keep one image and one label in it."
    facts = folder / FACTS
    if not facts.is_file() or _is_others(facts):
        return _case(folder.name, *paths, known, problem=problem if problems else "")
    try:
        row = {"dataset": DATASET, "group": read_facts(facts).patient}
    except InputError as error:
        row, problem, problems = {}, str(error), [str(error)]
    case = _case(folder.name, *paths, {folder.name: row}, problem=problem if problems else "")
    return replace(case, facts=facts)


def _is_others(facts: Path) -> bool:
    """Whether a case.json is another program's. One that can't be read may be ours: `read_facts` says so."""
    try:
        document = json.loads(facts.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    is_ours = isinstance(document, dict) and {"version", "segments"} <= document.keys()
    return bool(document) and not is_ours


def _from_nnunet(source: Path, known: dict[str, dict[str, str]]) -> list[CaseFile]:
    """https://github.com/MIC-DKFZ/nnUNet, documentation/dataset_format.md; of several channels the first."""
    facts = _dataset_json(source / "dataset.json")
    channels = facts.get("channel_names") or facts.get("modality") or {}
    modality = str(channels.get("0", "")) if isinstance(channels, dict) else ""
    values = facts.get("labels")
    ignored = values.get("ignore") if isinstance(values, dict) else None
    labels = _images(source / "labelsTr")
    labelled = {stem_of(path) for path in labels}

    def case_of(stem: str) -> str:
        # Datasets such as AMOS22 number their cases by four digits and name no channel.
        return stem if stem in labelled else _without_channel(stem)

    by_case: dict[str, list[Path]] = {}
    for path in _images(source / "imagesTr"):
        by_case.setdefault(case_of(stem_of(path)), []).append(path)
    notes = {
        name: f"the first of {len(paths)} channels" if len(paths) > 1 else ""
        for name, paths in by_case.items()
    }
    defaults = {
        name: {"dataset": source.resolve().name, "modality": modality, "note": notes.get(name, "")}
        | known.get(name, {})
        for name in {*by_case, *labelled}
    }
    cases = _pairs([paths[0] for paths in by_case.values()], labels, defaults, case_of)
    if not isinstance(ignored, int):
        return cases
    note = f"value {ignored} of the label is to be ignored and counts as background"
    return [replace(c, ignored=ignored, note="; ".join(filter(None, (c.note, note)))) for c in cases]


def _without_channel(stem: str) -> str:
    return stem[:-5] if len(stem) > 5 and stem[-5] == "_" and stem[-4:].isdigit() else stem


def _dataset_json(path: Path) -> dict:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' can't be read as JSON: repair or remove it.") from error
    return facts if isinstance(facts, dict) else {}


def _beside_each_other(paths: Iterable[Path], known: dict[str, dict[str, str]]) -> list[CaseFile]:
    """Images and labels in one folder, told apart by the labels' names."""
    labels = [path for path in paths if _is_label(path)]
    return _pairs([path for path in paths if not _is_label(path)], labels, known)


def _is_label(path: Path) -> bool:
    return _suffix(path) == ".seg.nrrd" or stem_of(path).lower().endswith(_LABEL_MARKS)


def _without_mark(stem: str) -> str:
    # Longest first: "_labels" must not leave "_label" behind.
    mark = next((m for m in sorted(_LABEL_MARKS, key=len)[::-1] if stem.lower().endswith(m)), "")
    return stem[: len(stem) - len(mark)]


def _pairs(
    images: Iterable[Path],
    labels: Iterable[Path],
    known: dict[str, dict[str, str]],
    rename: Callable[[str], str] = str,
) -> list[CaseFile]:
    """Images and labels of the same name; one without its other half is a case with a problem."""
    by_name: dict[str, tuple[list[Path], list[Path]]] = {}
    for path in images:
        by_name.setdefault(rename(stem_of(path)), ([], []))[0].append(path)
    for path in labels:
        stem = stem_of(path)
        by_name.setdefault(stem if stem in by_name else _without_mark(stem), ([], []))[1].append(path)
    cases = []
    for name, (of_image, of_label) in by_name.items():
        problems = [
            f"{'several' if found else 'no'} {what}"
            for what, found in (("image", of_image), ("label", of_label))
            if len(found) != 1
        ]
        problem = f"The case has {' and '.join(problems)}: keep one image and one label of each name."
        present = [*of_image, *of_label][0]
        image = of_image[0] if of_image else present
        label = of_label[0] if of_label else present
        cases.append(_case(name, image, label, known, problem=problem if problems else ""))
    return cases


def _from_table(path: Path) -> list[CaseFile]:
    columns, rows = _read_table(path)
    if not {"image", "label"} <= set(columns):
        raise InputError(
            f"The table '{path.name}' has the columns {', '.join(columns) or 'none'}: it needs image and "
            "label, and may have name, dataset, group and modality."
        )
    cases = []
    for number, row in enumerate(rows, start=2):
        if not row["image"] or not row["label"]:
            raise InputError(f"Line {number} of '{path.name}' lacks its image or label: fill it in.")
        image, label = (path.parent / row[what] for what in ("image", "label"))
        name = row.get("name") or (image.stem if image.suffix == ".npz" else stem_of(image))
        cases.append(_case(name, image, label, {name: row}))
    return cases


def _beside(folder: Path) -> dict[str, dict[str, str]]:
    """The rows of FOLDER.csv by case, empty if there is none or it has no column of names."""
    folder = folder.resolve()
    path = folder.with_name(f"{folder.name}.csv")
    if not path.is_file():
        return {}
    columns, rows = _read_table(path)
    key = next((name for name in ("case", "name") if name in columns), None)
    return {row[key]: row for row in rows} if key else {}


def _read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or ())
            rows = [{k: (v or "").strip() for k, v in row.items() if isinstance(k, str)} for row in reader
                    if any(row.values())]  # fmt: skip
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"The table '{path}' can't be read: check that it is a CSV in UTF-8.") from error
    return columns, rows


def _case(
    name: str, image: Path, label: Path, known: dict[str, dict[str, str]], *, problem: str = ""
) -> CaseFile:
    row = known.get(name, {})
    if any(character in name for character in "/\\:") or name.startswith("."):
        problem = problem or f"The name '{name}' can't be a file's: use letters, digits, '_' and '-'."
    return CaseFile(
        name,
        image,
        label,
        row.get("dataset") or dataset_of(name),
        row.get("group") or group_of(name),
        row.get("modality") or modality_of(name),
        row.get("note", ""),
        problem,
    )
