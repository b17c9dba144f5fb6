"""The shipped checkpoint, and the folder of those that a user has installed beside it."""

from __future__ import annotations

import filecmp
import itertools
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from ensam.errors import CheckpointError, OutputError
from ensam.files import make_folder, replacing, write_text

STARTER = Path(__file__).resolve().parent.parent / "Resources" / "Models" / "ensam-starter.safetensors"
_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class KnownCheckpoint:
    """A checkpoint that can be chosen: its name for people, and its path ("" for the shipped one)."""

    name: str
    path: str


class CheckpointStore:
    """Checkpoints as files in one folder, each with its card beside it. Nothing else is kept of them."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def installed(self) -> tuple[KnownCheckpoint, ...]:
        """What lies in the folder, by name. Opens no file; a folder that isn't there yet is empty."""
        if not self.folder.is_dir():
            return ()
        # A name with a dot in front is a file that is being written.
        paths = (p for p in self.folder.iterdir() if p.suffix == _SUFFIX and not p.name.startswith("."))
        return tuple(
            KnownCheckpoint(p.stem, str(p)) for p in sorted(paths, key=lambda p: p.stem) if p.is_file()
        )

    def install(self, path: Path | str) -> Path:
        """Copies a checkpoint and its card into the folder, and gives where it is now.

        It keeps its name; where another checkpoint has it already, it gets a number behind. A checkpoint that
        is there already isn't copied again. Loads torch, to make sure that the file can be used.
        Raises CheckpointError for a file that is none, OutputError if it can't be written.
        """
        from ensam.checkpoint import load_checkpoint

        path = Path(path)
        card = load_checkpoint(path).card
        target = self._place_for(path)
        make_folder(self.folder)
        is_new = not target.exists()
        if is_new:
            with replacing(target) as temporary:
                shutil.copyfile(path, temporary)
        try:
            # From inside the file, where it can't have been parted from the weights.
            write_text(target.with_suffix(".json"), json.dumps(card, indent=2, ensure_ascii=False) + "\n")
        except OutputError:
            if is_new:
                target.unlink(missing_ok=True)
            raise
        return target

    def remove(self, path: Path | str) -> None:
        """Deletes a checkpoint of this folder with its card; one that is gone already is no error.

        Raises CheckpointError for a file that isn't an installed checkpoint, OutputError if it can't be
        deleted.
        """
        path = Path(path)
        if path.suffix != _SUFFIX or path.resolve().parent != self.folder.resolve():
            raise CheckpointError(f"'{path}' is not an installed checkpoint: nothing was deleted.")
        try:
            path.unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"'{path.name}' can't be deleted ({error.strerror}): close what uses it and try again."
            ) from error

    def _place_for(self, path: Path) -> Path:
        names = itertools.chain([path.stem], (f"{path.stem}-{number}" for number in itertools.count(2)))
        places = (self.folder / f"{name}{_SUFFIX}" for name in names)
        return next(p for p in places if not p.exists() or filecmp.cmp(p, path, shallow=False))
