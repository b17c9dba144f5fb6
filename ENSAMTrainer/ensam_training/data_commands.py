"""The commands about data: check, collect, prepare, coreset and split."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ensam.errors import InputError, OutputError
from ensam.files import write_text

if TYPE_CHECKING:
    from ensam_training.cases import CaseFile
    from ensam_training.collection import Collection

_DATA = (
    "a folder of CASE/image.* and CASE/label.*, of images/ and labels/, of NAME.nii.gz beside "
    "NAME_label.nii.gz, nnU-Net's or of the challenge's .npz, or a CSV with the columns image and label"
)


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add them to the training command line."""
    run = commands.add_parser("check", help="read all cases and say what is wrong with them")
    run.add_argument("data", type=Path, help=_DATA)
    run.add_argument("-o", "--output", type=Path, metavar="CSV", help="for a line a case with all findings")
    _add_reading(run)
    run.set_defaults(run=_check)

    run = commands.add_parser("collect", help="copy cases into a collection, as the Slicer module keeps them")
    run.add_argument("data", type=Path, help=_DATA)
    run.add_argument("-o", "--output", type=Path, required=True, metavar="COLLECTION")
    run.set_defaults(run=_collect)

    run = commands.add_parser("prepare", help="check all cases and preprocess the good ones into a cache")
    run.add_argument("data", type=Path, help=_DATA)
    run.add_argument("-o", "--output", type=Path, required=True, metavar="CACHE", help="goes on where it was")
    _add_reading(run)
    run.set_defaults(run=_prepare)

    run = commands.add_parser("coreset", help="choose a share of the cases, evenly over datasets")
    run.add_argument("data", type=Path, help="a cache, or what check takes")
    run.add_argument("--share", type=float, default=0.1, help="of all cases, at most (%(default)s)")
    run.add_argument("--whole-groups", action="store_true", help="take all cases of a patient or none")
    _add_choice(run)
    run.set_defaults(run=_coreset)

    run = commands.add_parser("split", help="choose the cases to hold out, by patient, from every dataset")
    run.add_argument("data", type=Path, help="a cache, or what check takes")
    run.add_argument("--validation", type=float, default=0.15, help="share to hold out (%(default)s)")
    _add_choice(run)
    run.set_defaults(run=_split)


def _add_reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--instances", action="store_true", help="each connected component of a label is an object"
    )
    parser.add_argument("--workers", type=int, help="processes; by default as many as processors")


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, metavar="TXT", help="for one name a line; else printed")


def _check(options: argparse.Namespace) -> int:
    # SimpleITK and scipy take a while to load, which no other command should wait for.
    from ensam_training.checking import check_cases
    from ensam_training.discovery import find_cases

    files = find_cases(options.data)
    report = check_cases(files, instances=options.instances, workers=options.workers)
    if options.output:
        report.write_csv(options.output)
    print(report.text())
    if not report.usable:
        raise InputError(f"No case of '{options.data}' can be used: mend what is said of them above.")
    return 0


def _collect(options: argparse.Namespace) -> int:
    from ensam_training.collection import Collection
    from ensam_training.discovery import find_cases

    collection = Collection(options.output)
    source = options.data.resolve()  # folders elsewhere may have its name
    if source == options.output.resolve():
        raise InputError(f"'{options.data}' is the collection itself: choose another folder.")
    files, left_out = find_cases(options.data), []
    kept: set[str] = set()
    for file in files:
        try:
            kept.update(_collect_file(collection, file, source, kept))
        except OutputError:
            raise
        except InputError as error:
            print(f"{file.name} is left out: {error}")
            left_out.append(f"{file.name}: {error}")
    if not kept:
        raise InputError(f"No case of '{options.data}' can be used: mend what is said of them above.")
    # The last line is all that the Slicer module shows.
    more = f"; {len(left_out)} of {len(files)} left out, such as {left_out[0]}" if left_out else ""
    print(f"{len(kept)} cases in {options.output}{more}")
    return 0


def _collect_file(collection: Collection, file: CaseFile, source: Path, kept: set[str]) -> tuple[str, ...]:
    """Copies a case, and gives the names of the copies. Only a case of another collection has prompts, and
    other names of its labels than their numbers.

    kept: names of the cases that the same call of the command has copied. Raises InputError.
    """
    from ensam.masks import MaskCrop
    from ensam.volume import Volume
    from scipy import ndimage

    from ensam_training.cases import load
    from ensam_training.collection import NO_PROMPTS, NewSegment, read_facts

    volume, labels = load(file)
    facts = None if file.facts is None else read_facts(file.facts)
    volume = Volume(volume.array, volume.grid, file.name)
    same = [case for case in collection.cases() if case.facts.image == volume.voxel_fingerprint]
    # Another case's label 1 of the same image may be another organ, which this one must not replace.
    taken = {
        name
        for case in same
        if case.name in kept or not _is_same_folder(case.facts.source, source)
        for name in case.facts.segments
    }
    segments = []
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        known = facts is not None and label <= len(facts.segments)
        own = facts.segments[label - 1] if known else str(label)
        longer = f"{own} ({source.name}: {file.name}"
        names = itertools.chain((own, f"{longer})"), (f"{longer}, {n})" for n in itertools.count(2)))
        name = next(name for name in names if name not in taken)
        mask = MaskCrop(labels[box] == label, tuple(axis.start for axis in box))
        segments.append(NewSegment(name, mask, facts.prompts_of(label) if known else NO_PROMPTS))
    # What the name tells of the patient is a guess, and what is known of the image may have been stated.
    patient = same[0].facts.patient if same else file.group
    return collection.add(volume, segments, str(source), patient)


def _is_same_folder(noted: str, folder: Path) -> bool:
    """Whether a case was collected from this folder, perhaps before it was moved."""
    was_moved = Path(noted).name == folder.name and not Path(noted).exists()
    return noted == str(folder) or was_moved


def _prepare(options: argparse.Namespace) -> int:
    from ensam_training.cache import prepare
    from ensam_training.discovery import find_cases

    files = find_cases(options.data)
    cache = prepare(files, options.output, instances=options.instances, workers=options.workers)
    print(cache.report.text())
    if not cache.report.usable:
        raise InputError(f"No case of '{options.data}' can be used: mend what is said of them above.")
    print(f"\n{cache.size / 1e6:.1f} MB in {options.output}")
    return 0


def _coreset(options: argparse.Namespace) -> int:
    from ensam_training.coreset import coreset

    files = _files(options.data)
    chosen = coreset(files, options.share, options.seed, whole_groups=options.whole_groups)
    _give(chosen, files, options.output)
    return 0


def _split(options: argparse.Namespace) -> int:
    from ensam_training.coreset import split

    files = _files(options.data)
    _, validation = split(files, options.validation, options.seed)
    _give(validation, files, options.output)
    return 0


def _files(data: Path) -> list[CaseFile]:
    """The cases to choose from; those that are known to be of no use are named and left out."""
    from ensam_training.cache import Cache
    from ensam_training.discovery import find_cases

    if Cache.is_one(data):
        checks = Cache(data).report.checks
        known = [(check.file, check.reason) for check in checks]
    else:
        known = [(file, file.problem) for file in find_cases(data)]
    for file, problem in known:
        if problem:
            print(f"{file.name} is left out: {problem}", file=sys.stderr)
    return [file for file, problem in known if not problem]


def _give(chosen: Sequence[CaseFile], files: Sequence[CaseFile], output: Path | None) -> None:
    """The names to a file or standard output, how many cases each dataset gave, and how many patients there
    are, to standard error."""
    names = [file.name for file in chosen]
    of_all, of_chosen = (Counter(file.dataset for file in listed) for listed in (files, chosen))
    for dataset, count in sorted(of_all.items()):
        print(f"{dataset}: {of_chosen[dataset]} of {count}", file=sys.stderr)
    print(f"all: {of_chosen.total()} of {of_all.total()}", file=sys.stderr)
    patients, of_chosen_patients = (len({file.group for file in listed}) for listed in (files, chosen))
    print(f"patients: {of_chosen_patients} of {patients}", file=sys.stderr)
    text = "".join(f"{name}\n" for name in names)
    if output is None:
        print(text, end="")
    else:
        write_text(output, text)
