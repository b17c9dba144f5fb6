"""A tiny random checkpoint and a volume to try it on. What they segment means nothing; how is what counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from ensam.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ensam.geometry import Grid
from ensam.network import ENSAM, NetworkConfig
from ensam.prompts import Box, Point
from ensam.volume import Volume

TINY = NetworkConfig(widths=(8, 16, 16), blocks=(1, 1, 1), groups=4, heads=2, mlp_width=16)
BUDGET = 24**3


def write_checkpoint(path: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    network = ENSAM(TINY)
    torch.nn.init.normal_(network.mask_decoder.head.weight)
    save_checkpoint(path, network, BUDGET, {"name": f"tiny {seed}"})
    return path


def tiny_checkpoint(folder: Path, seed: int = 0) -> Checkpoint:
    return load_checkpoint(write_checkpoint(folder / f"tiny{seed}.safetensors", seed))


def blob_volume(shape: tuple[int, int, int] = (40, 48, 56), seed: int = 0, name: str = "blob") -> Volume:
    """A bright ball in noise, 2 x 1 x 1 mm, with its first voxel at RAS (10, 20, 30)."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices(shape)
    centre = np.array(shape) / 2
    ball = (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < 64
    array = (100 * ball + rng.normal(0, 5, shape)).astype(np.float32)
    matrix = np.diag([1.0, 1.0, 2.0, 1.0])
    matrix[:3, 3] = 10, 20, 30
    return Volume(array, Grid(shape, matrix), name)


def ct_volume() -> Volume:
    """Air, tissue and bone in Hounsfield units, 1 mm."""
    rng = np.random.default_rng(0)
    array = rng.normal(40, 60, (40, 40, 40))
    array[:, :16] = rng.normal(-850, 20, (40, 16, 40))
    array[0, 0, :5] = 1200
    return Volume(array.astype(np.int16), Grid((40, 40, 40), np.eye(4)), "CT")


def box_of(volume: Volume, lower: tuple, upper: tuple) -> Box:
    """The box over the voxels lower..upper, (z, y, x), faces at voxel edges."""
    corners = volume.grid.zyx_to_ras(np.array([np.subtract(lower, 0.5), np.add(upper, 0.5)]))
    return Box.from_bounds_ras(corners.min(axis=0), corners.max(axis=0))


def point_at(volume: Volume, voxel: tuple, foreground: bool = True) -> Point:
    return Point(tuple(float(v) for v in volume.grid.zyx_to_ras(np.array(voxel, float))), foreground)
