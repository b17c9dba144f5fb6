"""The image to segment, and files of images and of labels."""

from __future__ import annotations

import colorsys
import hashlib
import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ensam.errors import OutputError, VolumeError
from ensam.files import not_written, replacing
from ensam.geometry import Grid
from ensam.image_files import check_checksum, holds_its_voxels
from ensam.nifti import count_not_finite, is_nifti, without_neighbour
from ensam.preprocessing import IntensityRange, looks_like_ct, percentile_range

OUTPUT_SUFFIXES = (".seg.nrrd", ".nrrd", ".nii.gz", ".nii", ".mha")
MOST_VOXELS = 1 << 33  # 2048^3
_MOST_DEFLATED = 1100  # voxels a byte of a file that holds them: deflate makes at most 1032 bytes of one
_LARGEST = 1e30  # differences of larger values overflow
_FINDINGS = ("is_ct", "percentiles", "fingerprint")
_GOLDEN_RATIO = (1 + math.sqrt(5)) / 2
_silence = threading.Lock()


@dataclass(frozen=True, eq=False)
class Volume:
    """A 3D scalar image: `array` (z, y, x) of numbers on `grid`, with the `name` its user knows it by.

    The array isn't copied and must not change afterwards: its fingerprint is taken once.
    Raises `VolumeError` when the image isn't 3D or has a single slice along an axis, its values aren't
    real numbers, some aren't finite, or all are the same.
    """

    array: np.ndarray
    grid: Grid
    name: str

    def __post_init__(self) -> None:
        array = self.array.view()
        array.flags.writeable = False
        object.__setattr__(self, "array", array)
        if array.ndim != 3:
            raise VolumeError(f"'{self.name}' has {array.ndim} dimensions: choose a single 3D image.")
        if array.shape != self.grid.shape:
            raise ValueError(f"The array has the shape {array.shape} and the grid {self.grid.shape}.")
        if min(array.shape) < 2:
            raise VolumeError(f"'{self.name}' has a single slice: ENSAM needs a 3D volume.")
        if array.dtype.kind not in "iuf":
            raise VolumeError(f"'{self.name}' doesn't hold real numbers: choose a greyscale image.")
        lowest, highest = array.min(), array.max()
        if not (np.isfinite(lowest) and np.isfinite(highest)):
            raise _not_finite(self.name, array.size - np.count_nonzero(np.isfinite(array)))
        if max(-float(lowest), float(highest)) > _LARGEST:
            raise VolumeError(f"'{self.name}' holds values beyond {_LARGEST:g}: check what they mean.")
        if lowest == highest:
            raise VolumeError(f"'{self.name}' has the same value in every voxel: choose another image.")

    @property
    def findings(self) -> dict[str, object]:
        """What was found out so far by passes over all voxels: a few bytes that another copy can `adopt`."""
        return {name: value for name, value in vars(self).items() if name in _FINDINGS}

    def adopt(self, findings: Mapping[str, object]) -> None:
        """Spare the passes that another copy of the same voxels on the same grid has made."""
        vars(self).update(findings)

    @cached_property
    def is_ct(self) -> bool:
        """Whether the values look like Hounsfield units; kept, since every prompt asks."""
        return looks_like_ct(self.array)

    @cached_property
    def percentiles(self) -> IntensityRange:
        """The paper's grey range for everything but CT; kept, since it takes a pass over all voxels."""
        return percentile_range(self.array)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the voxel values, their type and the grid; volumes with the same one segment alike."""
        digest = hashlib.blake2b(self.voxel_fingerprint.encode(), digest_size=16)
        digest.update(self.grid.ijk_to_ras.tobytes())
        return digest.hexdigest()

    @cached_property
    def voxel_fingerprint(self) -> str:
        """A hash of the voxel values and their type alone: the same wherever the image lies, and however a
        reader rounds its position."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(repr((self.array.shape, self.array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(self.array).reshape(-1).data)
        return digest.hexdigest()


def read_volume(path: Path | str) -> Volume:
    """The image in a file that SimpleITK reads (NIfTI, NRRD, MetaImage and others), named after the file.

    Raises `VolumeError` when the file is missing, damaged, or not a 3D greyscale image.
    While ITK reads, the process's standard error is closed to it: its libraries print there by themselves.
    """
    path = Path(path)
    if os.path.isdir(path):
        raise VolumeError(
            f"'{path}' is a folder: give an image file; 3D Slicer can load a DICOM series and save it "
            "as .nrrd."
        )
    if not os.path.isfile(path):
        raise VolumeError(f"There is no image file '{path}': check the path.")
    if not _is_unicode(path):
        raise VolumeError(f"'{path}' isn't written in Unicode: rename the file or its folder.")
    reader = sitk.ImageFileReader()
    damaged = f"'{path.name}' can't be read: check that it is a complete 3D image, for example NRRD or NIfTI."
    try:
        with without_neighbour(path) as alone, _silent_itk():
            reader.SetFileName(str(alone))
            reader.ReadImageInformation()
            size, components = reader.GetSize(), reader.GetNumberOfComponents()
            _check_size(path, size, damaged)
            dimension = len(size)
            while dimension > 3 and size[dimension - 1] == 1:  # a series of one image
                dimension -= 1
            if dimension < len(size):
                reader.SetExtractSize((*size[:dimension], *[0] * (len(size) - dimension)))
            image = reader.Execute() if dimension == 3 and components == 1 else None
    except (RuntimeError, MemoryError) as error:
        if "only supports orthonormal" in str(error):
            raise VolumeError(f"'{path.name}' has axes that aren't at right angles: resample it.") from error
        raise VolumeError(damaged) from error
    if dimension < 3:
        raise VolumeError(f"'{path.name}' has a single slice: ENSAM needs a 3D volume.")
    if dimension > 3:
        raise VolumeError(f"'{path.name}' has {dimension} dimensions: save one of its 3D images by itself.")
    if image is None:
        raise VolumeError(f"'{path.name}' has {components} values a voxel: choose a greyscale image.")
    try:
        check_checksum(path)
        hidden = count_not_finite(path, image)
    except EOFError as error:
        raise VolumeError(damaged) from error
    if hidden:
        raise _not_finite(path.name, hidden)
    return Volume(sitk.GetArrayFromImage(image), Grid.from_itk(image), path.name)


def _not_finite(name: str, count: int) -> VolumeError:
    return VolumeError(f"'{name}' has {count} voxels that aren't finite numbers: replace them, say by 0.")


def _check_size(path: Path, size: Sequence[int], damaged: str) -> None:
    """Raise `VolumeError` for more voxels than a volume may have or the file can hold, before it is read."""
    voxels = math.prod(size)
    if voxels > MOST_VOXELS:
        raise VolumeError(
            f"'{path.name}' is said to have {voxels:.3g} voxels, more than ENSAM can segment: crop or "
            "resample it."
        )
    if holds_its_voxels(path) and voxels > _MOST_DEFLATED * path.stat().st_size:
        raise VolumeError(damaged)


def check_output_path(path: Path | str) -> None:
    """Raise `OutputError` when `write_labels` could not write to `path`; call it before any long work."""
    path = Path(path)
    if not path.name.endswith(OUTPUT_SUFFIXES):
        raise OutputError(f"'{path.name}' must end in one of {', '.join(OUTPUT_SUFFIXES)}: change its name.")
    if not _is_unicode(path):
        raise OutputError(f"'{path}' isn't written in Unicode: choose another name or folder.")
    if os.path.isdir(path):
        raise OutputError(f"'{path}' is a folder: give the name of a file.")
    if not os.path.isdir(path.parent):
        raise OutputError(f"There is no folder '{path.parent}': create it or choose another.")
    if not os.access(path.parent, os.W_OK):
        raise not_written(path, None)


def check_output_grid(path: Path | str, grid: Grid) -> None:
    """Raise `OutputError` when the format of `path` can't hold images on `grid`: NIfTI would unshear them."""
    path = Path(path)
    if grid.is_sheared and is_nifti(path):
        raise OutputError(
            f"'{path.name}' can't hold an image whose axes aren't at right angles: choose .nrrd or .mha."
        )


def write_labels(path: Path | str, labels: np.ndarray, grid: Grid, names: Sequence[str]) -> None:
    """Write a label image, compressed where the format can be, whole or not at all.

    `labels` is (z, y, x) uint8 or uint16 on `grid`, 0 the background and k the object `names[k - 1]`; the
    mask of a single object may be bool.
    The suffix chooses the format, one of `OUTPUT_SUFFIXES`; in `.seg.nrrd` 3D Slicer finds a segmentation
    with these names. Raises `OutputError`.
    """
    path = Path(path)
    check_output_path(path)
    check_output_grid(path, grid)
    if labels.dtype == bool:
        labels = labels.astype(np.uint8)
    if labels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"Labels are bool, uint8 or uint16, not {labels.dtype}.")
    if labels.max(initial=0) > len(names):
        raise ValueError(f"The label {labels.max()} has no name.")
    image = grid.to_itk(labels)
    if path.name.lower().endswith(".seg.nrrd"):
        for key, value in _segmentation_metadata(grid.shape, names).items():
            image.SetMetaData(key, value)
    _write_whole(path, image)


def write_image(path: Path | str, volume: Volume) -> None:
    """Write a volume as an image file, compressed where the format can be, whole or not at all.

    Raises `OutputError`.
    """
    check_output_path(path)
    check_output_grid(path, volume.grid)
    _write_whole(Path(path), volume.grid.to_itk(volume.array))


def _write_whole(path: Path, image: sitk.Image) -> None:
    """Write an image and read it back: ITK does not notice a full disk in every format."""
    with replacing(path) as temporary:
        try:
            with _silent_itk():
                sitk.WriteImage(image, str(temporary), useCompression=True)
                written = sitk.ReadImage(str(temporary))
            count_not_finite(temporary, written)
        except (RuntimeError, EOFError) as error:
            raise not_written(path, None) from error
        if not np.array_equal(*(sitk.GetArrayViewFromImage(one) for one in (written, image))):
            raise not_written(path, None)


def _segmentation_metadata(shape: tuple[int, int, int], names: Sequence[str]) -> dict[str, str]:
    """The header fields by which 3D Slicer knows a label image for a segmentation."""
    # Slicer cuts a layer to the extent of its first segment, so that each segment states the whole layer.
    extent = " ".join(f"0 {length - 1}" for length in reversed(shape))
    metadata = {
        # Slicer before 5.2 knows the source representation as the master representation.
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_SourceRepresentation": "Binary labelmap",
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_ConversionParameters": "",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    for index, name in enumerate(names):
        # Steps of the golden ratio round the colour wheel keep any number of colours apart.
        color = colorsys.hsv_to_rgb(index / _GOLDEN_RATIO % 1, 0.6, 0.9)
        fields = {
            "ID": f"Segment_{index + 1}",
            "Name": name,
            "NameAutoGenerated": "0",
            "Color": " ".join(f"{channel:.4f}" for channel in color),
            "ColorAutoGenerated": "1",
            "LabelValue": str(index + 1),
            "Layer": "0",
            "Extent": extent,
            "Tags": "|",
        }
        metadata |= {f"Segment{index}_{field}": value for field, value in fields.items()}
    return metadata


def _is_unicode(path: Path) -> bool:
    """Whether SimpleITK can be told this path: names of an older encoding end its process."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def _silent_itk() -> Iterator[None]:
    """Keep ITK and its C libraries from printing on standard error: the errors raised say it all.

    One thread after the other: two at once would take each other's closed standard error for the true one.
    """
    with _silence:
        warnings = sitk.ProcessObject.GetGlobalWarningDisplay()
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        try:
            kept = os.dup(2)
        except OSError:
            kept = None  # A windowed process has no standard error.
        try:
            if kept is not None:
                with open(os.devnull, "wb") as nowhere:
                    os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            if kept is not None:
                os.dup2(kept, 2)
                os.close(kept)
            sitk.ProcessObject.SetGlobalWarningDisplay(warnings)
