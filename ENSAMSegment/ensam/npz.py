"""Reading the challenge's .npz archives without trusting them."""

from __future__ import annotations

import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from ensam.errors import ChallengeFileError
from ensam.pickled import RefusedPickleError, read_object_array

MAX_BYTES = 4 << 30
MAX_OBJECT_BYTES = 4 << 20

_HEADER_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
# What zipfile, zlib and numpy's header parser raise for damaged bytes.
_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_members(path: Path | str, names: Iterable[str]) -> dict[str, np.ndarray | list[Any]]:
    """Those of the named arrays that the archive holds: numbers as arrays, objects as lists of plain data.

    At most `MAX_BYTES` in all and `MAX_OBJECT_BYTES` an object array are read; `ensam.pickled` says what the
    lists may hold and how far to trust them. Raises `ChallengeFileError`.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            present = set(archive.namelist())
            entries = {name: archive.getinfo(f"{name}.npy") for name in names if f"{name}.npy" in present}
            if sum(entry.file_size for entry in entries.values()) > MAX_BYTES:
                raise ChallengeFileError(
                    f"The challenge file '{path.name}' is over {MAX_BYTES >> 30} GiB: use a smaller case."
                )
            return {name: _read_member(archive, entry) for name, entry in entries.items()}
    except RefusedPickleError as error:
        raise ChallengeFileError(
            f"The challenge file '{path.name}' holds more than arrays, boxes and clicks: don't use it."
        ) from error
    except _DAMAGE as error:
        raise ChallengeFileError(
            f"The challenge file '{path.name}' can't be read: check that it exists and is complete."
        ) from error


def _read_member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray | list[Any]:
    # The other methods let a small file ask for gigabytes before the first byte comes out.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("The archive is neither stored nor deflated.")
    with archive.open(entry) as file:
        shape, _, dtype = _HEADER_READERS[npy.read_magic(file)](file)
        if dtype.kind == "O":
            if entry.file_size > MAX_OBJECT_BYTES:
                raise RefusedPickleError("The object array is too large.")
            return read_object_array(file.read())
        if dtype.kind not in "biuf" or file.tell() + math.prod(shape) * dtype.itemsize != entry.file_size:
            raise ValueError("The header does not describe the data.")
    with archive.open(entry) as file:
        return npy.read_array(file, allow_pickle=False)
