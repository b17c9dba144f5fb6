"""In which files an image lies: some formats put the voxels beside the header."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ensam.nifti import is_nifti

# By which a header leaves the voxels to another file, and its name.
_OTHER_FILE = re.compile(rb"(?im)^(?:data ?file:(?!=)|ElementDataFile\s*=(?!\s*LOCAL))([^\r\n]*)")
_PAIR = re.compile(r"(?i)\.(hdr|img|img\.gz)$")  # the header has one of these names, the voxels another
_HEADER_BYTES = 1 << 16  # in which it does so


def image_files(path: Path) -> list[Path]:
    """Those files of an image that are there: its own, and the voxels' where the header lies by itself.

    Where each slice has a file, these aren't among them. Raises OSError.
    """
    if not os.path.isfile(path):
        return []
    others: list[Path | None] = []
    if _PAIR.search(path.name):
        stem = _PAIR.sub("", path.name)
        others = [path.with_name(stem + suffix) for suffix in (".hdr", ".img", ".img.gz")]
    elif path.name.lower().endswith((".nrrd", ".nhdr", ".mha", ".mhd")):
        others = [_other_file(path)]
    return [path, *(one for one in others if one not in (None, path) and os.path.isfile(one))]


def holds_its_voxels(path: Path) -> bool:
    """Whether an image file is of a kind that does, and its header names no other file for them."""
    if path.name.lower().endswith((".nrrd", ".mha")):
        return _other_file(path) is None
    return is_nifti(path)


def _other_file(path: Path) -> Path | None:
    """The file to which the header in a NRRD or MetaImage file leaves the voxels."""
    with path.open("rb") as file:
        found = _OTHER_FILE.search(file.read(_HEADER_BYTES))
    return path.parent / found[1].decode(errors="surrogateescape").strip() if found else None
