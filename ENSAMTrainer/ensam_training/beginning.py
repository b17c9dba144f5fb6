"""What a training was begun with: one that goes on with other data could judge by what it was trained on.

It is no part of the state, whose weights may be passed on, since names of cases may be those of patients.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ensam.errors import InputError
from ensam.files import write_text

from ensam_training.cases import Case
from ensam_training.run_folder import BEST, STATE

BEGINNING = "beginning.json"
SIDES = ("trained_on", "held_out", "judges")  # where an object may stand
_MUST_STAY = {
    "base": "another checkpoint",
    "held_out": "other held-out objects",
    "judges": "other objects to judge it by",
}


def objects_of(cases: Sequence[Case]) -> list[list[Any]]:
    """The name and the label of every object, and a digest of its voxels and of the image in its box, as JSON
    gives them back."""
    return sorted([case.name, int(label), _digest(case, label)] for case in cases for label in case.objects)


def names_of(cases: Sequence[Case]) -> list[list[Any]]:
    """The same without the digests, for which all voxels would be read."""
    return sorted([case.name, int(label)] for case in cases for label in case.objects)


def _digest(case: Case, label: int) -> str:
    box = case.objects[label]
    digest = hashlib.blake2b(digest_size=8)
    for array in (case.image[box], case.labels[box] == label):
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def beginning(folder: Path) -> dict[str, Any]:
    """What is noted of the training that can go on in a folder; empty where none can, or nothing is noted.

    Raises InputError when the note is damaged.
    """
    path = folder / BEGINNING
    if not any((folder / name).is_file() for name in (STATE, BEST)):
        return {}
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        noted = None
    if not _is_whole(noted):
        raise InputError(f"'{path}' is damaged: start the training again in another folder.")
    return noted


def _is_whole(noted: Any) -> bool:
    """Whether it is such a note, of which each part may be missing."""
    if not isinstance(noted, dict) or not isinstance(noted.get("base", ""), str):
        return False
    lists = [noted.get(side, []) for side in SIDES]
    return all(isinstance(objects, list) and all(map(_is_object, objects)) for objects in lists)


def _is_object(one: Any) -> bool:
    return isinstance(one, list) and tuple(map(type, one[:2])) == (str, int)


def hold_to_beginning(folder: Path, facts: Mapping[str, Any]) -> None:
    """Notes what a training is begun with. One that goes on is compared with that instead.

    facts: for JSON. "held_out", "judges" (both see `objects_of`) and "base", a digest, must stay the same;
    "trained_on" (see `names_of`) may become others. Raises InputError where one of the others isn't the same,
    OutputError.
    """
    noted = beginning(folder)
    if not noted:
        write_text(folder / BEGINNING, json.dumps(facts))
        return
    for name, another in _MUST_STAY.items():
        was, now = noted.get(name), facts.get(name)
        if was != now:
            lost = [] if name == "base" else [one for one in was or [] if one not in (now or [])]
            which = f", among them one of '{lost[0][0]}' as it was then" if lost else ""
            raise InputError(
                f"The training in '{folder}' was begun with {another}{which}: give it the same, or start a "
                "new one."
            )
