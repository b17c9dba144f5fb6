"""Image files whose headers can't be true."""

from __future__ import annotations

import struct

import numpy as np


def nrrd(sizes, directions="(1,0,0) (0,1,0) (0,0,1)", origin="(0,0,0)", dimension=3, data=b"\0" * 64):
    return (
        f"NRRD0005\ntype: short\ndimension: {dimension}\nspace: left-posterior-superior\nsizes: {sizes}\n"
        f"space directions: {directions}\nkinds: {'domain ' * dimension}\nendian: little\nencoding: raw\n"
        f"space origin: {origin}\n\n"
    ).encode() + data


def nifti(sizes=(4, 4, 4), spacing=(1, 1, 1), **fields):
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *sizes, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, 4, 16)
    struct.pack_into("<8f", header, 76, 1, *spacing, 0, 0, 0, 0)
    struct.pack_into("<fff", header, 108, 352, 1, 0)
    struct.pack_into("<hh", header, 252, 0, fields.get("sform", 0))
    struct.pack_into("<12f", header, 280, *fields.get("rows", [0] * 12))
    header[344:348] = b"n+1\0"
    return bytes(header) + np.arange(64, dtype=np.int16).tobytes()


nan, inf = float("nan"), float("inf")
LYING_IMAGES = {
    "10^15 voxels.nrrd": nrrd("100000 100000 100000"),
    "2^66 voxels.nrrd": nrrd("4194304 4194304 4194304"),
    "more than an address can count.nrrd": nrrd("4294967296 4294967296 2"),
    "a negative length.nrrd": nrrd("-4 4 4"),
    "no length.nrrd": nrrd("0 4 4"),
    "2000^3 voxels.nrrd": nrrd("2000 2000 2000"),
    "2000^3 voxels.mha": b"NDims = 3\nDimSize = 2000 2000 2000\nElementType = MET_SHORT\n"
                         b"ElementDataFile = LOCAL\n" + bytes(64),
    "10^13 voxels.nii": nifti((32767, 32767, 9999)),
    "negative.nii": nifti((-4, 4, 4)),
    "flat directions.nrrd": nrrd("4 4 4", "(1,0,0) (1,0,0) (0,0,1)", data=bytes(range(128))),
    "zero directions.nrrd": nrrd("4 4 4", "(0,0,0) (0,0,0) (0,0,0)", data=bytes(range(128))),
    "not-a-number directions.nrrd": nrrd("4 4 4", "(nan,0,0) (0,1,0) (0,0,1)", data=bytes(range(128))),
    "a not-a-number origin.nrrd": nrrd("4 4 4", origin="(nan,0,0)", data=bytes(range(128))),
    "endless directions.nrrd": nrrd("4 4 4", "(inf,0,0) (0,1,0) (0,0,1)", data=bytes(range(128))),
    "vast voxels.nrrd": nrrd("4 4 4", "(1e12,0,0) (0,1e12,0) (0,0,1e12)", data=bytes(range(128))),
    "tiny voxels.nrrd": nrrd("4 4 4", "(1e-300,0,0) (0,1e-300,0) (0,0,1e-300)", data=bytes(range(128))),
    "uneven voxels.nrrd": nrrd("4 4 4", "(1e-12,0,0) (0,1e12,0) (0,0,1)", data=bytes(range(128))),
    "a far origin.nrrd": nrrd("4 4 4", origin="(1e300,0,0)", data=bytes(range(128))),
    "four dimensions.nrrd": nrrd("4 4 4 4", "none (1,0,0) (0,1,0) (0,0,1)", dimension=4, data=bytes(512)),
    "not-a-number rows.nii": nifti(sform=1, rows=[nan] * 12),
    "infinite rows.nii": nifti(sform=1, rows=[inf] * 12),
}  # fmt: skip
