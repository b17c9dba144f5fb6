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
# Names of slices by number, with the first, the last and the step.
_NUMBERED = re.compile(r"([^%]*%0?\d{0,2}d[^%]*?)\s+(\d{1,9})\s+(\d{1,9})\s+(\d{1,9})(\s+\d+)?")
_HEADER_BYTES = 1 << 22  # at most: 255 segments with Slicer's terms take some 150 KB
_LIST_BYTES = 1 << 22  # of names of slices behind a header
_MOST_SLICES = 1 << 16
_COMPRESSED = re.compile(rb"(?im)^(?:encoding:\s*gz|CompressedData\s*=\s*True)")
# Of compressed voxels that begin behind so many lines or bytes; NRRD's byte skip is one of what they hold.
_SKIP = re.compile(rb"(?im)^(?:line ?skip:\s*[1-9]|HeaderSize\s*=\s*-?[1-9])")
_NRRD_END, _META_END = re.compile(rb"\r?\n"), re.compile(rb"(?i)ElementDataFile")
_LAST_LINE = {".nrrd": _NRRD_END, ".nhdr": _NRRD_END, ".mha": _META_END, ".mhd": _META_END}
_CHUNK_BYTES = 1 << 16  # which hold at most a thousand times as much


def image_files(path: Path) -> list[Path]:
    """Those files of an image that are there: its own, and the voxels' where the header lies by itself, be
    it one or one a slice. Raises OSError."""
    if not os.path.isfile(path):
        return []
    others: list[Path] = []
    if _PAIR.search(path.name):
        stem = _PAIR.sub("", path.name)
        others = [path.with_name(stem + suffix) for suffix in (".hdr", ".img", ".img.gz")]
    elif path.suffix.lower() in _LAST_LINE:
        others = _other_files(path)
    return [path, *(one for one in others if one != path and os.path.isfile(one))]


def holds_its_voxels(path: Path) -> bool:
    """Whether an image file is of a kind that does, and its header names no other file for them."""
    if path.suffix.lower() in (".nrrd", ".mha"):
        return _said_to_lie_in(path) is None
    return is_nifti(path)


def check_checksum(path: Path) -> None:
    """Raises EOFError where the compressed voxels of a NRRD or MetaImage file don't have their checksum.

    ITK makes of damaged ones what it can, mostly without an error. Those behind a skip aren't checked.
    Raises OSError.
    """
    if path.suffix.lower() not in _LAST_LINE:
        return
    head = _header(path)
    if not _COMPRESSED.search(head) or _SKIP.search(head):
        return
    others = _other_files(path)
    for voxels in others or [path]:
        if os.path.isfile(voxels):
            _check_stream(voxels, 0 if others else len(head))


def _check_stream(path: Path, start: int) -> None:
    """Raises EOFError where what is compressed from that byte on is damaged or cut short."""
    stream = zlib.decompressobj(zlib.MAX_WBITS | 32)  # of gzip and of zlib alike
    with path.open("rb") as file:
        file.seek(start)
        while not stream.eof:
            chunk = file.read(_CHUNK_BYTES)
            if not chunk:
                raise EOFError
            try:
                stream.decompress(chunk)
            except zlib.error as error:
                raise EOFError from error


def _header(path: Path) -> bytes:
    """What a NRRD or MetaImage file holds before its voxels, nothing where that has no end."""
    head, is_last = bytearray(), _LAST_LINE[path.suffix.lower()].match
    with path.open("rb") as file:
        while len(head) < _HEADER_BYTES:
            line = file.readline(_HEADER_BYTES)
            head += line
            if not line or is_last(line):
                return bytes(head)
    return b""


def _said_to_lie_in(path: Path) -> re.Match[bytes] | None:
    """Where the header in a NRRD or MetaImage file leaves the voxels to others, and their name."""
    return _OTHER_FILE.search(_header(path))


def _other_files(path: Path) -> list[Path]:
    """The files in which a NRRD or MetaImage file leaves the voxels to lie, be they there or not."""
    found = _said_to_lie_in(path)
    if found is None:
        return []
    name = _text(found[1])
    names = [name]
    if name.split()[:1] == ["LIST"]:
        with path.open("rb") as file:
            file.seek(found.end())
            names = _text(file.read(_LIST_BYTES)).splitlines()
    elif numbered := _NUMBERED.fullmatch(name):
        first, last, step = map(int, numbered.group(2, 3, 4))
        names = [numbered[1] % n for n in range(first, last + 1, max(1, step))[:_MOST_SLICES]]
    return [path.parent / one.strip() for one in names]


def _text(name: bytes) -> str:
    return name.decode(errors="surrogateescape").strip()
