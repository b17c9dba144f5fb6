"""What ITK gets wrong in NIfTI files: whose voxels it reads, whether all are there and finite."""

from __future__ import annotations

import gzip
import math
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk

_SUFFIXES = (".nii", ".nii.gz")
_FLOATS = {"16": np.float32, "64": np.float64}  # the header's codes of data types
_HEADER_BYTES = (348, 540)  # of NIfTI 1 and 2; the header starts with its length
_CHUNK_BYTES = 1 << 22


def is_nifti(path: Path) -> bool:
    """Whether a file is a NIfTI image by its name; a header with its voxels in an .img is none here."""
    return path.name.lower().endswith(_SUFFIXES)


@contextmanager
def without_neighbour(path: Path) -> Iterator[Path]:
    """The image file, or a copy of it by itself: of X.nii.gz ITK reads the voxels of an X.nii beside it.

    https://github.com/InsightSoftwareConsortium/ITK/issues/2243
    """
    if not path.name.lower().endswith(".nii.gz") or not path.with_suffix("").exists():
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copyfile(path, Path(folder, path.name)))


def count_not_finite(path: Path, image: sitk.Image) -> int:
    """Voxels of an image file that aren't finite numbers, which ITK reads as 0 from NIfTI files.

    `image` is what ITK made of the file; for every other format the answer is 0.
    Raises EOFError when voxels are missing or damaged, which ITK doesn't notice in NIfTI files either.
    """
    if not is_nifti(path) or not image.HasMetaDataKey("vox_offset"):
        return 0
    dtype = np.dtype(_FLOATS.get(image.GetMetaData("datatype"), np.uint8))
    left = math.prod(image.GetSize()) * int(image.GetMetaData("bitpix")) // 8
    count = 0
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
            if int.from_bytes(file.read(4), "little") not in _HEADER_BYTES:
                dtype = dtype.newbyteorder(">")
            file.seek(max(_HEADER_BYTES[0], int(float(image.GetMetaData("vox_offset")))))
            # To the end even of what is no voxel: only there gzip compares its checksum.
            while chunk := file.read(_CHUNK_BYTES):
                if dtype.kind == "f" and left > 0:
                    values = np.frombuffer(chunk, dtype, min(left, len(chunk)) // dtype.itemsize)
                    count += values.size - np.count_nonzero(np.isfinite(values))
                left -= len(chunk)
    except (gzip.BadGzipFile, zlib.error) as error:
        raise EOFError from error
    if left > 0:
        raise EOFError
    return count
