"""What a training was begun with: one that goes on with other data could judge by what it was trained on.

It is no part of the state, whose weights may be passed on, since names of cases may be those of patients.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ensam.errors import InputError
from ensam.files import replacing

from ensam_training.cases import Case
from ensam_training.run_folder import BEST, STATE

BEGINNING = "beginning.json"
_MUST_STAY = {
    "base": "another checkpoint",
    "held_out": "other held-out objects",
    "judges": "other objects to judge it by",
}


def objects_of(cases: Sequence[Case]) -> list[list[Any]]:
    """The name and the label of every object, as JSON gives them back."""
    return sorted([case.name, int(label)] for case in cases for label in case.objects)


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
    kinds = {"base": str, "cases": list, "held_out": list, "judges": list}
    if not isinstance(noted, dict) or any(not isinstance(noted.get(k, v()), v) for k, v in kinds.items()):
        raise InputError(f"'{path}' is damaged: start the training again in another folder.")
    return noted


def hold_to_beginning(folder: Path, facts: Mapping[str, Any]) -> None:
    """Notes what a training is begun with. One that goes on is compared with that instead.

    facts: for JSON. "held_out", "judges" (both see `objects_of`) and "base", a digest, must stay the same;
    "cases" are the names of all. Raises InputError where one doesn't stay the same, OutputError.
    """
    noted = beginning(folder)
    if not noted:
        with replacing(folder / BEGINNING) as temporary:
            temporary.write_text(json.dumps(facts), encoding="utf-8")
        return
    for name, another in _MUST_STAY.items():
        if noted.get(name) != facts.get(name):
            raise InputError(
                f"The training in '{folder}' was begun with {another}: give it the same, or start a new one."
            )
