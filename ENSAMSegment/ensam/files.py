"""Writing a result whole or not at all, and reading texts of a size that texts have."""

from __future__ import annotations

import contextlib
import errno
import os
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from ensam.errors import OutputError

MOST_TEXT_BYTES = 64 << 20
ABANDONED_SECONDS = 3600.0  # after which nobody writes on: a result takes seconds


def read_text(path: Path | str) -> str:
    """All of a UTF-8 file, without a byte-order mark.

    Raises OSError for a file that can't be read, isn't a plain one (a pipe would never end) or is over
    `MOST_TEXT_BYTES`, and UnicodeDecodeError.
    """
    path = Path(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(errno.ENOENT, "There is no such file", str(path))
    if path.stat().st_size > MOST_TEXT_BYTES:
        raise OSError(errno.EFBIG, "The file is too large", str(path))
    return path.read_text(encoding="utf-8-sig")


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A temporary file in the folder of `path` that takes its place when the block ends well.

    The temporary name has the same full suffix, since writers choose the format by it. When the block
    fails, what was at `path` stays as it was and the temporary file is removed.
    Raises `OutputError` when the operating system refuses to write.
    """
    path = Path(path)
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise not_written(path, error.strerror) from error
    finally:
        # Whatever stopped the writing is being reported; a file that can't be removed must not hide it.
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_text(path: Path | str, text: str) -> None:
    """A text file in UTF-8, whole or not at all. Raises `OutputError`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def make_folder(path: Path) -> Path:
    """The folder, made with those above it where it isn't there yet. Raises `OutputError`."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_written(path, error.strerror) from error
    return path


def remove_unfinished(folder: Path, names: Collection[str]) -> None:
    """Removes what a process that was killed in `replacing` has left of files of these names.

    What is younger than an hour stays: another process may be writing it.
    """
    for path in folder.glob(".????????-*"):
        if path.name[10:] in names:
            with contextlib.suppress(OSError):  # gone, or open elsewhere: it is in nobody's way
                if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                    path.unlink()


def not_written(path: Path, reason: str | None) -> OutputError:
    """The error for a file that could not be written, with the operating system's reason if it gave one."""
    because = f" ({reason})" if reason else ""
    return OutputError(
        f"'{path.name}' can't be written in '{path.parent}'{because}: choose a folder that you may write to "
        "and that has room."
    )
