"""What is wrong with cases, found before training and told in a table: none is left out silently."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from ensam.errors import InputError, PromptError
from ensam.files import replacing
from ensam.planning import ObjectPrompts, to_voxels
from ensam.volume import Volume
from numpy.typing import NDArray

from ensam_training.cases import MINIMUM_VOXELS, CaseFile, load, split_instances
from ensam_training.collection import read_facts
from ensam_training.pool import run_all

LEAST_VOXELS = 8  # along each axis: one voxel of the network's latent
_VERY_LARGE = 512**3  # voxels
_CUT_OFF = 0.5  # of the voxels at the largest value of their type: no image has so many by nature
_SHOWN = 12  # lines of a kind in the text; the CSV has them all
SIZE_CLASSES = (MINIMUM_VOXELS, 100, 1_000, 10_000, 100_000)  # voxels of an object


@dataclass(frozen=True)
class CaseCheck:
    """What was found in one case.

    `reason` says why it is left out and is empty for a good case; `warnings` are what its user should know.
    Of a case that could be read: `shape` (z, y, x), `spacing` (z, y, x) in mm, `sizes` the voxels of each
    label, `is_ct` whether it looks like CT, and hashes of the voxels of the `image` and of the `labels`.
    """

    file: CaseFile
    reason: str = ""
    warnings: tuple[str, ...] = ()
    shape: tuple[int, int, int] = (0, 0, 0)
    spacing: tuple[float, float, float] = (0.0, 0.0, 0.0)
    sizes: dict[int, int] = field(default_factory=dict)
    is_ct: bool = False
    image: str = ""
    labels: str = ""


@dataclass(frozen=True)
class Examined:
    """A case's check with its arrays (z, y, x), which are None where the check failed, and the prompts that
    its user made for some of the labels."""

    check: CaseCheck
    volume: Volume | None = None
    labels: NDArray | None = None
    prompts: dict[int, ObjectPrompts] = field(default_factory=dict)


def check_cases(
    files: Sequence[CaseFile], *, instances: bool = False, workers: int | None = None
) -> DataReport:
    """Read every case and say which can be trained on. `instances` is as in `examine`."""
    work = _Check(instances)
    return DataReport.of(check for _, check in run_all(work, files, "check", workers))


@dataclass(frozen=True)
class _Check:
    """`examine` in a form that another process can be given; arrays stay there."""

    instances: bool

    def __call__(self, file: CaseFile) -> CaseCheck:
        return examine(file, instances=self.instances).check


def examine(file: CaseFile, *, instances: bool) -> Examined:
    """Read a case and judge it; with `instances` each connected component of a label is an object."""
    try:
        volume, labels = load(file)
        if instances:
            labels = split_instances(labels)
    except InputError as error:
        return Examined(CaseCheck(file, str(error)))
    counts = np.bincount(labels.ravel())
    sizes = {int(value): int(counts[value]) for value in np.flatnonzero(counts) if value > 0}
    # Of instances nobody knows which the prompts were made for.
    prompts, unusable = ({}, []) if instances or file.facts is None else _prompts(file.facts, volume, sizes)
    check = CaseCheck(
        file,
        _reason(labels.shape, sizes),
        (*_warnings(file, volume, sizes), *unusable),
        labels.shape,
        volume.grid.spacing_zyx,
        sizes,
        volume.is_ct,
        volume.voxel_fingerprint,
        hashlib.blake2b(np.ascontiguousarray(labels).data, digest_size=16).hexdigest(),
    )
    return Examined(check) if check.reason else Examined(check, volume, labels, prompts)


def _prompts(path: Path, volume: Volume, sizes: dict[int, int]) -> tuple[dict[int, ObjectPrompts], list[str]]:
    """The prompts of a case.json in voxels, by label, and what can't be used of them."""
    facts, found, unusable = read_facts(path), {}, []
    for label in sizes:
        prompts = facts.prompts_of(label)
        if prompts.is_empty:
            continue
        try:
            found[label] = to_voxels(volume, prompts)
        except PromptError as error:
            unusable.append(f"the prompts of label {label} are not used: {error}")
    return found, unusable


def _reason(shape: tuple[int, ...], sizes: dict[int, int]) -> str:
    if min(shape) < LEAST_VOXELS:
        return f"The volume is {min(shape)} voxels thin: {LEAST_VOXELS} or more are needed along each axis."
    if max(sizes.values()) == 1:
        return "No label has more than one voxel: mark whole objects."
    if max(sizes.values()) < MINIMUM_VOXELS:
        return f"No label has {MINIMUM_VOXELS} voxels, the least to learn from: leave the case out."
    return ""


def _warnings(file: CaseFile, volume: Volume, sizes: dict[int, int]) -> Iterator[str]:
    if file.note:
        yield file.note
    small = [label for label, size in sizes.items() if size < MINIMUM_VOXELS]
    if small:
        shown = ", ".join(str(label) for label in small[:5]) + (", ..." if len(small) > 5 else "")
        yield f"{len(small)} of {len(sizes)} labels under {MINIMUM_VOXELS} voxels, not asked for: {shown}"
    if volume.array.size > _VERY_LARGE:
        yield f"very large: {volume.array.size / 1e6:.0f} million voxels"
    if file.modality and (file.modality.upper() == "CT") != volume.is_ct:
        is_or_not = "look like" if volume.is_ct else "don't look like"
        yield f"said to be {file.modality}, but its values {is_or_not} CT"
    # In 8 bits a white background is usual.
    if volume.array.dtype.kind in "iu" and volume.array.itemsize > 1:
        largest = np.iinfo(volume.array.dtype).max
        share = np.count_nonzero(volume.array == largest) / volume.array.size
        if share > _CUT_OFF:
            yield (
                f"{share:.0%} of the voxels are {largest}, the largest value of their type: the image was "
                "cut off in a conversion; convert it again, or leave it out"
            )


@dataclass(frozen=True)
class DataReport:
    """The checks of all cases, in the order of their names."""

    checks: tuple[CaseCheck, ...]

    @classmethod
    def of(cls, checks: Iterable[CaseCheck]) -> DataReport:
        """The report of checks in any order; adds what only shows between cases: the same image twice.

        Groups that share an image become one, so that nobody is trained on and held out at the same time.
        """
        checks = sorted(checks, key=lambda check: check.file.name)
        joined = {check.file.group: check.file.group for check in checks}
        first: dict[str, CaseCheck] = {}
        noted = []
        for check in checks:
            other = first.setdefault(check.image, check) if check.image else check
            if other is not check:
                check = replace(check, warnings=(*check.warnings, _duplicate(check, other)))
                own, its = joined[check.file.group], joined[other.file.group]
                if own != its:
                    joined = {group: its if one == own else one for group, one in joined.items()}
            noted.append(check)
        return cls(tuple(replace(c, file=replace(c.file, group=joined[c.file.group])) for c in noted))

    @property
    def usable(self) -> list[CaseFile]:
        """The cases that can be trained on."""
        return [check.file for check in self.checks if not check.reason]

    def text(self) -> str:
        """Totals by dataset and modality, then what was left out and why, then warnings."""
        good = [check for check in self.checks if not check.reason]
        bad = [check for check in self.checks if check.reason]
        groups = len({check.file.group for check in good})
        lines = [
            f"{len(self.checks)} cases: {len(good)} usable of {groups} patients or other groups, "
            f"{len(bad)} left out",
            "",
            *_table(self.checks),
        ]
        lines += _section("Left out", [f"{check.file.name}: {check.reason}" for check in bad])
        warned = [f"{check.file.name}: {warning}" for check in good for warning in check.warnings]
        return "\n".join(lines + _section("To know", warned, _SHOWN))

    def write_csv(self, path: Path | str) -> None:
        """One line a case with all that was found. Raises `OutputError`."""
        with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            rows = [_row(check) for check in self.checks]
            writer = csv.DictWriter(file, list(_row(CaseCheck(CaseFile("", Path(), Path(), "", "")))))
            writer.writeheader()
            writer.writerows(rows)


def _duplicate(check: CaseCheck, other: CaseCheck) -> str:
    what = "image and labels" if check.labels == other.labels else "image"
    apart = "" if check.file.group == other.file.group else ": both count as one patient's"
    return f"has the same {what} as {other.file.name}{apart}"


def _section(title: str, entries: list[str], shown: int | None = None) -> list[str]:
    if not entries:
        return []
    lines = ["", f"{title} ({len(entries)}):", *(f"  {entry}" for entry in entries[:shown])]
    hidden = len(entries) - len(entries[:shown])
    return [*lines, f"  and {hidden} more, all in the CSV"] if hidden else lines


def _table(checks: Sequence[CaseCheck]) -> list[str]:
    classes = [f"<{SIZE_CLASSES[0]} voxels", *(f">={edge:g}" for edge in SIZE_CLASSES)]
    head = ["dataset", "modality", "cases", "left out", "objects", *classes, "million voxels"]
    keys = sorted({(check.file.dataset, check.file.modality) for check in checks})
    rows = []
    for dataset, modality in keys:
        members = [c for c in checks if (c.file.dataset, c.file.modality) == (dataset, modality)]
        rows.append([dataset, modality or "?", *_totals(members)])
    rows.append(["all", "", *_totals(checks)])
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    # The two columns of words are flush left, figures flush right.
    return [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [head, *rows]
    ]


def _totals(checks: Sequence[CaseCheck]) -> list[str]:
    good = [check for check in checks if not check.reason]
    sizes = [size for check in good for size in check.sizes.values()]
    classes = np.bincount(np.searchsorted(SIZE_CLASSES, sizes, "right"), minlength=len(SIZE_CLASSES) + 1)
    voxels = sum(float(np.prod(check.shape)) for check in good)
    figures = [len(good), len(checks) - len(good), len(sizes), *classes]
    return [*(str(figure) for figure in figures), f"{voxels / 1e6:.1f}"]


def _row(check: CaseCheck) -> dict[str, object]:
    file, sizes = check.file, check.sizes.values()
    return {
        "name": file.name,
        "usable": "no" if check.reason else "yes",
        "reason": check.reason,
        "warnings": "; ".join(check.warnings),
        "dataset": file.dataset,
        "group": file.group,
        "modality": file.modality,
        "looks_like_ct": "yes" if check.is_ct else "no",
        "shape_zyx": "x".join(str(n) for n in check.shape),
        "spacing_zyx_mm": "x".join(f"{s:.5g}" for s in check.spacing),
        "objects": len(sizes),
        "objects_under_20_voxels": sum(size < MINIMUM_VOXELS for size in sizes),
        "smallest_object": min(sizes, default=0),
        "largest_object": max(sizes, default=0),
        "fingerprint": check.image,
        "image": str(file.image),
        "label": str(file.label),
    }
