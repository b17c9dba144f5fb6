"""Every geometry that Slicer offers, tried with a ball: drawn in the world, found and written in the volume.

The box round the ball is placed as a region of interest, read as a prompt and compared with where Slicer
itself sees the box in the volume. The ball's voxels are written to a segment, and the segment is compared
with the ball at points of the world. Run it from Testing with ``python -m mrml.geometries``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import slicer
import vtk
from ensam.geometry import Grid
from ensam.masks import MaskCrop
from ensam_training.metrics import dice
from ENSAMSegmentLib.markups import prompts_from_nodes
from ENSAMSegmentLib.segment_writer import SegmentWriter
from ENSAMSegmentLib.segments import add_segment, add_segmentation, read_segment
from slicer.util import arrayFromVTKMatrix
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from .nodes import add_roi, add_segment_editor, add_transform, add_volume
from .slicer_core_scene import create_scene

_CENTER = np.array((8.0, -6.0, 12.0))  # of the ball and of every volume, mm in the world
_RADIUS = 14.0
_WORLD_STEP = 0.7  # mm between the points at which segment and ball are compared

AddTransform = Callable[[slicer.vtkMRMLScene], slicer.vtkMRMLTransformNode]


def axes(
    angles_deg: tuple[float, float, float] = (0.0, 0.0, 0.0),
    scales: tuple[float, float, float] = (1.0, 1.0, 1.0),
    shear: float = 0.0,
) -> np.ndarray:
    """Scale along x, y and z, shear x along y, then turn about x, y and z: 3x3."""
    matrix = np.array([[1, shear, 0], [0, 1, 0], [0, 0, 1.0]]) * scales
    for axis, angle in enumerate(np.radians(angles_deg)):
        turn = np.eye(3)
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn[[first, second], [first, second]] = np.cos(angle)
        turn[second, first], turn[first, second] = np.sin(angle), -np.sin(angle)
        matrix = turn @ matrix
    return matrix


def centered(
    steps: np.ndarray, shape: tuple[int, int, int], shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> Grid:
    """The grid with that shape (z, y, x) and those steps in columns that has the ball in its middle."""
    matrix = np.eye(4)
    matrix[:3, :3] = steps
    matrix[:3, 3] = _CENTER + shift_mm - steps @ (np.array(shape[::-1]) - 1) / 2
    return Grid(shape, matrix)


_STRAIGHT = centered(axes(scales=(1.2, 1.2, 1.5)), (40, 48, 48))
_OBLIQUE = axes((20, -35, 50))


@dataclass(frozen=True)
class Geometry:
    """How a volume, its segmentation and the prompts lie.

    Attributes:
        name: What is special about it.
        volume: The volume's own grid.
        volume_transform: Adds the transform above the volume.
        segmentation: The segmentation's reference grid, the volume's by default.
        segmentation_transform: Adds the transform above the segmentation, the volume's by default.
        is_prompt_below: Whether the box lies under the volume's transform too; else it is in the world.
        is_box_exact: Whether the prompt reaches to the voxels that the box reaches to; else it may be larger.
    """

    name: str
    volume: Grid = _STRAIGHT
    volume_transform: AddTransform | None = None
    segmentation: Grid | None = None
    segmentation_transform: AddTransform | None = None
    is_prompt_below: bool = False
    is_box_exact: bool = True


@dataclass(frozen=True)
class Trial:
    """What came out.

    Attributes:
        box_short: How far the box stays behind the true bounds at the worst of its six sides, in voxels.
        box_beyond: How far it reaches beyond them at the worst, in voxels.
        dice: Between the segment and the ball, at points of the world.
        possible: The same for the ball's own voxels on the segmentation's grid: no mask there does better.
        read_back: Dice between the mask that was written and the one that is read, in voxels.
    """

    box_short: float
    box_beyond: float
    dice: float
    possible: float
    read_back: float


def _add_affine(matrix: np.ndarray, scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLTransformNode:
    """A linear transform that leaves the ball's centre where it is."""
    to_parent = np.eye(4)
    to_parent[:3, :3] = matrix
    to_parent[:3, 3] = _CENTER - matrix @ _CENTER
    return add_transform(scene, to_parent)


def _add_nested(
    inner: AddTransform, outer: AddTransform, scene: slicer.vtkMRMLScene
) -> slicer.vtkMRMLTransformNode:
    node = inner(scene)
    node.SetAndObserveTransformNodeID(outer(scene).GetID())
    return node


def _add_thin_plate(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLTransformNode:
    rng = np.random.default_rng(5)
    outer = np.array(np.meshgrid(*[(-50.0, 50.0)] * 3)).reshape(3, -1).T
    inner = np.array([(-12.0, 4, 3), (10, -9, 8), (4, 12, -14)])
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for point, reach in ((point, reach) for points, reach in ((outer, 2), (inner, 5)) for point in points):
        source.InsertNextPoint(_CENTER + point)
        target.InsertNextPoint(_CENTER + point + rng.uniform(-reach, reach, 3))
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetBasisToR()
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", "thin plate")
    node.SetAndObserveTransformToParent(spline)
    return node


def _add_displacement_grid(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLTransformNode:
    """Smooth waves of 4 mm on a grid of 8 mm; as registration stores it, from the parent."""
    count, step = 24, 8.0
    origin = _CENTER - step * (count - 1) / 2
    zyx = np.indices((count, count, count)).transpose(1, 2, 3, 0)
    waves = 4 * np.sin(zyx[..., [1, 2, 0]] * step / 18)
    image = vtk.vtkImageData()
    image.SetDimensions(count, count, count)
    image.SetSpacing(step, step, step)
    image.SetOrigin(origin)
    image.GetPointData().SetScalars(numpy_to_vtk(waves.reshape(-1, 3), deep=True))
    grid = slicer.vtkOrientedGridTransform()
    grid.SetDisplacementGridData(image)
    grid.SetInterpolationModeToCubic()
    node = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "displacements")
    node.SetAndObserveTransformFromParent(grid)
    return node


_RIGID = partial(_add_affine, axes((15, -25, 40)))
_SCALING = partial(_add_affine, axes(scales=(1.2, 0.8, 1.1)))
_SHEARING = partial(_add_affine, axes((10, 0, 20), shear=0.25))
_UNMOVED = partial(_add_affine, np.eye(3))

GEOMETRIES = (
    Geometry("straight"),
    Geometry("anisotropic voxels", centered(axes(scales=(0.8, 0.8, 4.0)), (16, 72, 72))),
    Geometry("oblique", centered(_OBLIQUE * (1.1, 1.3, 1.6), (40, 48, 48))),
    Geometry("left-handed", centered(_OBLIQUE * (-1.2, 1.2, 1.5), (40, 48, 48))),
    Geometry(
        "cropped volume",
        centered(axes(scales=(1.2, 1.2, 1.5)), (30, 36, 36), (1.2, -2.4, 1.5)),
        segmentation=_STRAIGHT,
    ),
    Geometry(
        "sheared voxels (tilted gantry)",
        centered(axes(scales=(1.2, 1.2, 1.5), shear=0.3), (40, 48, 60)),
    ),
    Geometry(
        "sheared voxels, sheared volume",
        centered(axes(scales=(1.2, 1.2, 1.5), shear=0.3), (40, 48, 60)),
        volume_transform=_SHEARING,
        is_box_exact=False,
    ),
    Geometry("volume turned", volume_transform=_RIGID),
    Geometry("volume and prompts turned", volume_transform=_RIGID, is_prompt_below=True),
    Geometry("volume scaled", volume_transform=_SCALING),
    Geometry("volume sheared", volume_transform=_SHEARING),
    Geometry("nested transforms", volume_transform=partial(_add_nested, _SCALING, _RIGID)),
    Geometry("volume warped (thin plate)", volume_transform=_add_thin_plate),
    Geometry("volume warped (displacements)", volume_transform=_add_displacement_grid),
    Geometry("warped and turned", volume_transform=partial(_add_nested, _add_thin_plate, _RIGID)),
    Geometry("segmentation turned", segmentation_transform=_RIGID),
    Geometry("segmentation sheared", segmentation_transform=_SHEARING),
    Geometry(
        "volume warped, not segmentation", volume_transform=_add_thin_plate, segmentation_transform=_UNMOVED
    ),
    Geometry("segmentation warped, not volume", segmentation_transform=_add_displacement_grid),
    Geometry(
        "coarser segmentation",
        segmentation=centered(axes(scales=(2.4, 2.4, 3.0)), (20, 24, 24)),
    ),
    Geometry("finer segmentation", segmentation=centered(axes(scales=(0.6, 0.6, 0.75)), (80, 96, 96))),
    Geometry("oblique segmentation", segmentation=centered(_OBLIQUE * 1.0, (48, 48, 48))),
    Geometry("smaller segmentation grid", segmentation=centered(axes(scales=(1.2, 1.2, 1.5)), (8, 8, 8))),
    Geometry("larger segmentation grid", segmentation=centered(axes(scales=(1.2, 1.2, 1.5)), (60, 68, 68))),
)


def attempt(geometry: Geometry) -> Trial:
    """Draw the ball, read its box, write its voxels, and compare both with the world."""
    with create_scene() as application:
        scene = application.GetMRMLScene()
        volume = _add_grid(scene, geometry.volume, "volume")
        if geometry.volume_transform is not None:
            volume.SetAndObserveTransformNodeID(geometry.volume_transform(scene).GetID())
        box = prompts_from_nodes(volume, _add_box(scene, volume, geometry)).box
        low, high = geometry.volume.box_bounds_zyx(box)
        true_low, true_high = _true_bounds(volume)

        segmentation = _add_segmentation(scene, volume, geometry)
        segment = add_segment(segmentation, "ball")
        mask = _is_in_ball(_to_world(volume, _voxel_positions(geometry.volume))).reshape(
            geometry.volume.shape
        )
        SegmentWriter(add_segment_editor(scene)).write(
            segmentation, volume, {segment: MaskCrop(mask, (0, 0, 0)).trimmed()}
        )
        read = read_segment(segmentation, segment, volume).laid_out(geometry.volume.shape)
        agreed, possible = _compare_in_world(segmentation, segment)
        return Trial(
            box_short=max(0.0, (low - true_low).max(), (true_high - high).max()),
            box_beyond=max(0.0, (true_low - low).max(), (high - true_high).max()),
            dice=agreed,
            possible=possible,
            read_back=dice(read, mask),
        )


def main() -> None:
    """Print a row for each geometry."""
    print(f"A ball of {2 * _RADIUS:.0f} mm, its box and its segment in {len(GEOMETRIES)} geometries.\n")
    print(f"{'geometry':<34}{'box short':>11}{'beyond':>9}{'Dice':>9}{'possible':>10}{'read back':>11}")
    for geometry in GEOMETRIES:
        trial = attempt(geometry)
        print(
            f"{geometry.name:<34}{trial.box_short:>11.2f}{trial.box_beyond:>9.2f}{trial.dice:>9.3f}"
            f"{trial.possible:>10.3f}{trial.read_back:>11.3f}"
        )
    print(
        "\nbox short, beyond: how far the prompt's box stays behind and reaches beyond the true one, voxels"
        "\nDice: of the segment with the ball, at points of the world; possible: of the ball's own voxels"
        "\nread back: Dice of the segment, read on the volume's grid, with the mask that was written"
    )


def _add_grid(scene: slicer.vtkMRMLScene, grid: Grid, name: str) -> slicer.vtkMRMLScalarVolumeNode:
    return add_volume(scene, np.zeros(grid.shape, np.int16), grid.ijk_to_ras, name)


def _add_box(
    scene: slicer.vtkMRMLScene, volume: slicer.vtkMRMLScalarVolumeNode, geometry: Geometry
) -> slicer.vtkMRMLMarkupsROINode:
    roi = add_roi(scene, _CENTER, (2 * _RADIUS,) * 3)
    if geometry.is_prompt_below:
        # Slicer moves the box against the transform, so that it stays where it is in the world.
        from_world = vtk.vtkGeneralTransform()
        volume.GetParentTransformNode().GetTransformFromWorld(from_world)
        roi.ApplyTransform(from_world)
        roi.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    return roi


def _add_segmentation(
    scene: slicer.vtkMRMLScene, volume: slicer.vtkMRMLScalarVolumeNode, geometry: Geometry
) -> slicer.vtkMRMLSegmentationNode:
    segmentation = add_segmentation(volume, "segmentation")
    if geometry.segmentation_transform is not None:
        transform = geometry.segmentation_transform(scene)
        segmentation.SetAndObserveTransformNodeID(transform.GetID())
    if geometry.segmentation is not None:
        reference = _add_grid(scene, geometry.segmentation, "reference")
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    return segmentation


def _true_bounds(volume: slicer.vtkMRMLScalarVolumeNode) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and largest (z, y, x) of the box's faces, as Slicer sees them in the volume."""
    steps = np.linspace(-_RADIUS, _RADIUS, 41)
    face = np.array(np.meshgrid(steps, steps, (-_RADIUS, _RADIUS))).reshape(3, -1).T
    faces = _CENTER + np.concatenate([np.roll(face, axis, axis=1) for axis in range(3)])
    ras_to_ijk = vtk.vtkMatrix4x4()
    volume.GetRASToIJKMatrix(ras_to_ijk)
    voxels = _apply(arrayFromVTKMatrix(ras_to_ijk), _from_world(volume, faces))[:, ::-1]
    return voxels.min(axis=0), voxels.max(axis=0)


def _compare_in_world(segmentation: slicer.vtkMRMLSegmentationNode, segment: str) -> tuple[float, float]:
    """Dice with the ball of the segment, and of the voxels of its grid that are in the ball."""
    reach = np.arange(-1.4 * _RADIUS, 1.4 * _RADIUS, _WORLD_STEP)
    points = _CENTER + np.array(np.meshgrid(reach, reach, reach)).reshape(3, -1).T
    labelmap = segmentation.GetSegmentation().GetSegment(segment).GetRepresentation("Binary labelmap")
    matrix = vtk.vtkMatrix4x4()
    labelmap.GetImageToWorldMatrix(matrix)
    ijk_to_local = arrayFromVTKMatrix(matrix)
    nearest = np.rint(_apply(np.linalg.inv(ijk_to_local), _from_world(segmentation, points))).astype(int)

    extent = np.array(labelmap.GetExtent())
    first, last = extent[::2], extent[1::2]
    values = vtk_to_numpy(labelmap.GetPointData().GetScalars()).reshape((last - first + 1)[::-1])
    inside = ((nearest >= first) & (nearest <= last)).all(axis=1)
    segmented = np.zeros(len(points), bool)
    segmented[inside] = values[tuple((nearest[inside] - first).T[::-1])] > 0

    ball = _is_in_ball(points)
    possible = _is_in_ball(_to_world(segmentation, _apply(ijk_to_local, nearest)))
    return dice(segmented, ball), dice(possible, ball)


def _voxel_positions(grid: Grid) -> np.ndarray:
    """Every voxel's centre in millimetres in the volume's own space, (N, 3)."""
    return _apply(grid.ijk_to_ras, np.indices(grid.shape).reshape(3, -1).T[:, ::-1])


def _is_in_ball(points: np.ndarray) -> np.ndarray:
    return ((points - _CENTER) ** 2).sum(axis=1) <= _RADIUS**2


def _to_world(node: slicer.vtkMRMLTransformableNode, points: np.ndarray) -> np.ndarray:
    transform = vtk.vtkGeneralTransform()
    if node.GetParentTransformNode() is not None:
        node.GetParentTransformNode().GetTransformToWorld(transform)
    return _transformed(transform, points)


def _from_world(node: slicer.vtkMRMLTransformableNode, points: np.ndarray) -> np.ndarray:
    transform = vtk.vtkGeneralTransform()
    if node.GetParentTransformNode() is not None:
        node.GetParentTransformNode().GetTransformFromWorld(transform)
    return _transformed(transform, points)


def _transformed(transform: vtk.vtkGeneralTransform, points: np.ndarray) -> np.ndarray:
    given, transformed = vtk.vtkPoints(), vtk.vtkPoints()
    given.SetData(numpy_to_vtk(np.ascontiguousarray(points, float), deep=True))
    transformed.SetDataTypeToDouble()
    transform.TransformPoints(given, transformed)
    return vtk_to_numpy(transformed.GetData()).copy()


def _apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


if __name__ == "__main__":
    main()
