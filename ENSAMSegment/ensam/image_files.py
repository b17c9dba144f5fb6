"""In which files an image lies, and whether they are whole: some formats put the voxels beside the header."""

from __future__ import annotations

import os
import re
import zlib
from pathlib import Path

from ensam.nifti import is_nifti

# By which a header leaves the voxels to another file, and its name.
_OTHER_FILE = re.compile(rb"(?im)^(?:data ?file:(?!=)|ElementDataFile\s*=(?!\s*LOCAL))([^\r\n]*)")
_PAIR = re.compile(r"(?i)\.(hdr|img|img\.gz)$")  # the header has one of these names, the voxels another
_HEADER_BYTES = 1 << 16  # in which it does so
_COMPRESSED = re.compile(rb"(?im)^(?:encoding:\s*gz|CompressedData\s*=\s*True)")
_NRRD_END, _META_END = re.compile(rb"\r?\n\r?\n"), re.compile(rb"(?im)^ElementDataFile.*\n")
_HEADER_END = {".nrrd": _NRRD_END, ".nhdr": _NRRD_END, ".mha": _META_END, ".mhd": _META_END}
_CHUNK_BYTES = 1 << 16  # which hold at most a thousand times as much


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


def check_checksum(path: Path) -> None:
    """Raises EOFError where the compressed voxels of a NRRD or MetaImage file don't have their checksum.

    ITK makes of damaged ones what it can, mostly without an error. Raises OSError.
    """
    if path.suffix.lower() not in _HEADER_END:
        return
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    found = _HEADER_END[path.suffix.lower()].search(head)
    end = found.end() if found else len(head)
    other = _other_file(path)
    if not _COMPRESSED.search(head, 0, end) or not os.path.isfile(other or path):
        return
    stream = zlib.decompressobj(zlib.MAX_WBITS | 32)  # of gzip and of zlib alike
    with (other or path).open("rb") as file:
        file.seek(0 if other else end)
        while not stream.eof:
            chunk = file.read(_CHUNK_BYTES)
            if not chunk:
                raise EOFError
            try:
                stream.decompress(chunk)
            except zlib.error as error:
                raise EOFError from error


def _other_file(path: Path) -> Path | None:
    """The file to which the header in a NRRD or MetaImage file leaves the voxels."""
    with path.open("rb") as file:
        found = _OTHER_FILE.search(file.read(_HEADER_BYTES))
    return path.parent / found[1].decode(errors="surrogateescape").strip() if found else None
