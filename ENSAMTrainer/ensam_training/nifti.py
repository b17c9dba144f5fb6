"""What ITK hides of a NIfTI file: its reader turns values that aren't finite into 0."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import SimpleITK as sitk

_FLOATS = {"16": np.float32, "64": np.float64}  # the header's codes of data types
_HEADER_BYTES = (348, 540)  # of NIfTI 1 and 2; the header starts with its length
_CHUNK_BYTES = 1 << 22


def count_not_finite(path: Path) -> int:
    """Voxels of a complete image file that aren't finite numbers; 0 for every format but NIfTI."""
    name = path.name.lower()
    if not name.endswith((".nii", ".nii.gz")):
        return 0
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    if not reader.HasMetaDataKey("datatype") or reader.GetMetaData("datatype") not in _FLOATS:
        return 0
    dtype = np.dtype(_FLOATS[reader.GetMetaData("datatype")])
    left = int(np.prod(reader.GetSize())) * dtype.itemsize
    count = 0
    with gzip.open(path) if name.endswith(".gz") else open(path, "rb") as file:
        if int.from_bytes(file.read(4), "little") not in _HEADER_BYTES:
            dtype = dtype.newbyteorder(">")
        file.seek(int(float(reader.GetMetaData("vox_offset"))))
        while left and (chunk := file.read(min(left, _CHUNK_BYTES))):
            values = np.frombuffer(chunk, dtype, len(chunk) // dtype.itemsize)
            count += values.size - int(np.isfinite(values).sum())
            left -= len(chunk)
    return count
