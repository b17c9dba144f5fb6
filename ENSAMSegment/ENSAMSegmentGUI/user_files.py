"""Where ENSAM keeps what belongs to the user and this computer: beside Slicer's own user settings."""

from __future__ import annotations

from pathlib import Path

import slicer


def user_folder() -> Path:
    """The folder of all of it. It needs not exist yet."""
    return Path(slicer.app.slicerUserSettingsFilePath).parent / "ENSAM"


def models_folder() -> Path:
    """The folder of the installed checkpoints, for `ensam.checkpoint_store.CheckpointStore`."""
    return user_folder() / "Models"
