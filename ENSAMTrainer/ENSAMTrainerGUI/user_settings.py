"""What ENSAM Trainer keeps in Slicer's user settings.

Not in the scene: folder and device are this computer's, and a training outlives the scenes it learns from.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import slicer
from ENSAMSegmentGUI.user_files import user_folder
from ENSAMTrainerLib.values import TrainingChoice

TRAINING_FOLDER_KEY = "ENSAM/trainingFolder"
TRAINING_CHOICE_KEY = "ENSAM/trainingChoice"


class UserSettings:
    """Slicer's user settings, for a logic that knows no Qt."""

    def get(self, key: str) -> str:
        """A setting, "" if there is none."""
        return slicer.app.userSettings().value(key) or ""

    def set(self, key: str, value: str) -> None:
        """Keep a setting."""
        slicer.app.userSettings().setValue(key, value)


def training_folder() -> Path:
    """The folder of cases, trainings and recipes: the user's choice, or one beside the installed models."""
    return Path(slicer.app.userSettings().value(TRAINING_FOLDER_KEY) or user_folder() / "Training")


def slicers_python() -> Path:
    """Slicer's Python for processes of their own. Where this Slicer has none, starting one says so."""
    folder = Path(slicer.app.slicerHome) / "bin"
    return Path(shutil.which("PythonSlicer", path=str(folder)) or folder / "PythonSlicer")


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
