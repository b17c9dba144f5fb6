"""Saving a run so that neither a crash nor a full disk costs more than the time since the last save."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
from pathlib import Path
from typing import Any

import torch
from ensam.device import is_out_of_memory
from ensam.errors import InputError, OutputError
from ensam.files import not_written


def save_whole(value: Any, path: Path) -> None:
    """Writes tensors and plain values beside `path`, to the disk, and only then takes its place.

    Raises OutputError when the disk is full or refuses; what was at `path` stays as it was.
    """
    buffer = io.BytesIO()  # torch's own writer reports a full disk as an internal error
    torch.save(value, buffer)
    beside = path.with_name(f"{path.name}.part")
    try:
        with beside.open("wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise not_written(path, error.strerror) from error


def try_to_save(value: Any, path: Path) -> str | None:
    """Saves, or says in one sentence why not: a run goes on without its state sooner than end."""
    try:
        save_whole(value, path)
    except OutputError as error:
        return f"{error} Training goes on; the last saved state stays."
    return None


def load_state(path: Path, device: torch.device | str = "cpu", mmap: bool = False) -> dict[str, Any]:
    """The network and what else of a run `save_whole` has written. Raises InputError for any other file."""
    if not path.is_file():
        raise InputError(f"There is no file '{path}': check the path.")
    state = None
    try:
        state = torch.load(path, map_location=device, weights_only=True, mmap=mmap)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, OSError) as error:
        if is_out_of_memory(error):
            raise
    if not (isinstance(state, dict) and {"architecture", "network"} <= state.keys()):
        raise InputError(
            f"'{path}' is damaged, or no state that ensam-train has written: give another, or move it away "
            "to start anew."
        )
    return state
