"""Small labelled volumes on disk, in the layouts that people keep them in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk


def an_image(seed: int = 0, shape: tuple[int, int, int] = (12, 14, 16)) -> np.ndarray:
    """Grey noise, (z, y, x) int16, that doesn't look like CT."""
    return np.random.default_rng(seed).integers(0, 900, shape, dtype=np.int16)


def a_label(shape: tuple[int, int, int] = (12, 14, 16)) -> np.ndarray:
    """One object of 64 voxels, (z, y, x) uint8."""
    label = np.zeros(shape, np.uint8)
    label[3:7, 4:8, 5:9] = 1
    return label


def write(path: Path, array: np.ndarray, spacing=(1.0, 1.0, 2.0), origin=(0.0, 0.0, 0.0)) -> Path:
    """Write an array (z, y, x) with spacing and origin (x, y, z)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    sitk.WriteImage(image, str(path))
    return path


def write_case(folder: Path, name: str, seed: int = 0, image=None, label=None) -> Path:
    """A folder NAME with image.nii.gz and label.nii.gz; gives the folder that holds it."""
    write(folder / name / "image.nii.gz", an_image(seed) if image is None else image)
    write(folder / name / "label.nii.gz", a_label() if label is None else label)
    return folder
