"""What ENSAM Trainer keeps in Slicer's user settings.

Not in the scene: folder and device are this computer's, and a training outlives the scenes it learns from.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, MutableMapping
from dataclasses import asdict
from pathlib import Path

import slicer
from ENSAMSegmentGUI.user_files import user_folder
from ENSAMTrainerLib.values import TrainingChoice

TRAINING_FOLDER_KEY = "ENSAM/trainingFolder"
TRAINING_CHOICE_KEY = "ENSAM/trainingChoice"


class UserSettings(MutableMapping[str, str]):
    """Slicer's user settings as a mapping of texts, for a logic that knows no Qt."""

    def __getitem__(self, key: str) -> str:
        if not slicer.app.userSettings().contains(key):
            raise KeyError(key)
        return slicer.app.userSettings().value(key)

    def __setitem__(self, key: str, value: str) -> None:
        slicer.app.userSettings().setValue(key, value)

    def __delitem__(self, key: str) -> None:
        slicer.app.userSettings().remove(key)

    def __iter__(self) -> Iterator[str]:
        return iter(slicer.app.userSettings().allKeys())

    def __len__(self) -> int:
        return len(slicer.app.userSettings().allKeys())


def training_folder() -> Path:
    """The folder of cases, trainings and recipes: the user's choice, or one beside the installed models."""
    return Path(slicer.app.userSettings().value(TRAINING_FOLDER_KEY) or user_folder() / "Training")


def slicers_python() -> Path | None:
    """Slicer's Python for processes of their own, None where this Slicer has none."""
    found = shutil.which("PythonSlicer", path=str(Path(slicer.app.slicerHome) / "bin"))
    return Path(found) if found else None


def load_choice() -> TrainingChoice:
    """What was chosen last."""
    text = slicer.app.userSettings().value(TRAINING_CHOICE_KEY)
    if not text:
        return TrainingChoice()
    try:
        return TrainingChoice(**json.loads(text))
    except (ValueError, TypeError):
        # Of another version of ENSAM: nothing worth a message is lost.
        return TrainingChoice()


def save_choice(choice: TrainingChoice) -> None:
    """Keep it for the next time."""
    slicer.app.userSettings().setValue(TRAINING_CHOICE_KEY, json.dumps(asdict(choice)))
