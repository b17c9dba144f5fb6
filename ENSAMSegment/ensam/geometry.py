"""Where voxels lie in the patient: the one place where axes are converted.

Arrays and voxel coordinates are (z, y, x), prompts are (R, A, S) in millimetres, ITK counts in (x, y, z)
and LPS. Voxel centres are at whole coordinates, so voxel 0 covers -0.5 to 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk

from ensam.errors import VolumeError
from ensam.prompts import Box

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SHEAR_TOLERANCE = 1e-4
_ROUNDING = 1e-6  # voxels
_LARGEST_MM = 1e9  # of a voxel or an origin, and the inverse of the smallest voxel; no image is beyond


@dataclass(frozen=True, eq=False)
class Grid:
    """The voxel grid of a volume; equal grids compare and hash alike.

    `shape` is (z, y, x). `ijk_to_ras` is (4, 4) float64 and takes (i, j, k, 1) = (x, y, z, 1) in voxels to
    RAS in mm; it is copied and read-only. It may be oblique, left-handed or sheared.
    Raises `VolumeError` when the shape is not three positive numbers, or the matrix is not an invertible
    affine transform.
    """

    shape: tuple[int, int, int]
    ijk_to_ras: np.ndarray
    _ras_to_ijk: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        shape = tuple(int(length) for length in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise VolumeError("The image has no voxels along one of its three axes: load it again.")
        matrix = np.array(self.ijk_to_ras, dtype=np.float64)
        if not _is_invertible_affine(matrix):
            raise VolumeError("The image's position in space is not valid: check its spacing and transforms.")
        inverse = np.linalg.inv(matrix)
        for array in (matrix, inverse):
            array.flags.writeable = False
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "ijk_to_ras", matrix)
        object.__setattr__(self, "_ras_to_ijk", inverse)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Grid):
            return NotImplemented
        return self.shape == other.shape and np.array_equal(self.ijk_to_ras, other.ijk_to_ras)

    def __hash__(self) -> int:
        # Adding zero makes -0.0 and 0.0, which are equal, hash alike.
        return hash((self.shape, (self.ijk_to_ras + 0.0).tobytes()))

    @classmethod
    def from_itk(cls, image: sitk.Image) -> Grid:
        """The grid of a 3D SimpleITK image."""
        direction = np.array(image.GetDirection()).reshape(3, 3)
        ijk_to_lps = np.eye(4)
        ijk_to_lps[:3, :3] = direction * np.array(image.GetSpacing())
        ijk_to_lps[:3, 3] = image.GetOrigin()
        return cls(image.GetSize()[::-1], _LPS_TO_RAS @ ijk_to_lps)

    @property
    def spacing_zyx(self) -> tuple[float, float, float]:
        """Distance in mm between neighbouring voxel centres along z, y and x."""
        x, y, z = np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0)
        return float(z), float(y), float(x)

    @property
    def is_sheared(self) -> bool:
        """Whether the axes aren't at right angles, by more than headers are rounded by."""
        axes = self.ijk_to_ras[:3, :3] / np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0)
        return not np.allclose(axes.T @ axes, np.eye(3), rtol=0, atol=_SHEAR_TOLERANCE)

    def ras_to_zyx(self, points_ras: np.ndarray) -> np.ndarray:
        """Continuous voxel coordinates (z, y, x) of points in RAS mm; (N, 3) or (3,), the shape is kept."""
        return _apply(self._ras_to_ijk, points_ras)[..., ::-1]

    def zyx_to_ras(self, points_zyx: np.ndarray) -> np.ndarray:
        """RAS mm of continuous voxel coordinates (z, y, x); (N, 3) or (3,), the shape is kept."""
        return _apply(self.ijk_to_ras, np.asarray(points_zyx)[..., ::-1])

    def contains_zyx(self, points_zyx: np.ndarray) -> np.ndarray:
        """Whether each point, (N, 3) or (3,), lies at most half a voxel beyond the outer centres; bool."""
        points = np.asarray(points_zyx)
        # A point on the volume's face must survive the rounding of an oblique grid.
        outer = np.array(self.shape) - 0.5 + _ROUNDING
        return np.all((points >= -0.5 - _ROUNDING) & (points <= outer), axis=-1)

    def voxel_at(self, point_zyx: np.ndarray) -> tuple[int, int, int]:
        """The voxel (z, y, x) in which a point (3,) lies, for one outside the volume the nearest.

        A point on the face between two voxels lies in the upper one: whoever asks must get the same.
        """
        z, y, x = np.clip(np.floor(np.add(point_zyx, 0.5)), 0, np.subtract(self.shape, 1))
        return int(z), int(y), int(x)

    def box_bounds_zyx(self, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """The smallest and largest continuous voxel coordinates (z, y, x) that an oriented box reaches.

        All eight corners count: two opposite ones miss most of a box that is oblique to the grid.
        The bounds may lie outside the volume.
        """
        corners = self.ras_to_zyx(box.corners_ras())
        return corners.min(axis=0), corners.max(axis=0)

    def to_itk(self, array: np.ndarray) -> sitk.Image:
        """A SimpleITK image of `array` (z, y, x) on this grid."""
        if array.shape != self.shape:
            raise ValueError(f"The array has the shape {array.shape} and the grid {self.shape}.")
        ijk_to_lps = _LPS_TO_RAS @ self.ijk_to_ras
        spacing = np.linalg.norm(ijk_to_lps[:3, :3], axis=0)
        direction = ijk_to_lps[:3, :3] / spacing
        image = sitk.GetImageFromArray(array)
        image.SetOrigin(ijk_to_lps[:3, 3].tolist())
        image.SetSpacing(spacing.tolist())
        image.SetDirection(direction.ravel().tolist())
        return image


def _is_invertible_affine(matrix: np.ndarray) -> bool:
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or not np.array_equal(matrix[3], (0, 0, 0, 1)):
        return False
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if not (lengths.min() > 1 / _LARGEST_MM and np.abs(matrix).max() < _LARGEST_MM):
        return False
    # Unit columns make the test independent of the spacing, which may be micrometres.
    return bool(abs(np.linalg.det(matrix[:3, :3] / lengths)) > 1e-9)


def _apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):  # whoever asks sees that it isn't in the volume
        return np.asarray(points, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
