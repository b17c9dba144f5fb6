"""The pictures of a scene show the patient as radiologists hang it."""

import numpy as np
import pytest
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from .nodes import add_points, add_roi, add_volume
from .rendering import Scope, save_views, style_prompts
from .slicer_core_scene import create_scene

CENTER = (0.0, 0.0, 0.0)
pytestmark = pytest.mark.usefixtures("off_screen_rendering")


def _read_png(path):
    """Rows from the top, columns from the left, RGB."""
    reader = vtk.vtkPNGReader()
    reader.SetFileName(str(path))
    reader.Update()
    columns, rows, _ = reader.GetOutput().GetDimensions()
    pixels = vtk_to_numpy(reader.GetOutput().GetPointData().GetScalars())
    return pixels.reshape(rows, columns, 3)[::-1].astype(int)


def _quarters(sheet):
    """Axial, 3D, coronal and sagittal, without the texts at their edges."""
    half = len(sheet) // 2
    inside = slice(60, half - 60)
    return [sheet[row:, column:][inside, inside] for row in (0, half) for column in (0, half)]


@pytest.mark.parametrize(
    ("bright_ras", "axial", "coronal", "sagittal"),
    [
        ((12, 0, 0), (0, -1), (0, -1), None),
        ((0, 12, 0), (-1, 0), None, (0, -1)),
        ((0, 0, 12), None, (-1, 0), (-1, 0)),
    ],
    ids=["the patient's right is left", "anterior is up or left", "superior is up"],
)
def test_slices_are_hung_as_radiologists_do(tmp_path, bright_ras, axial, coronal, sagittal):
    voxels = np.zeros((41, 41, 41), np.int16)
    r, a, s = bright_ras
    voxels[17 + s : 24 + s, 17 + a : 24 + a, 17 + r : 24 + r] = 100
    with create_scene() as application:
        matrix = np.eye(4)
        matrix[:3, 3] = -20
        volume = add_volume(application.GetMRMLScene(), voxels, matrix)
        volume.CreateDefaultDisplayNodes()
        save_views(application, tmp_path / "views.png", volume, Scope(CENTER, 40.0, CENTER))

    shown = _quarters(_read_png(tmp_path / "views.png"))
    for view, expected in ((shown[0], axial), (shown[2], coronal), (shown[3], sagittal)):
        bright = np.argwhere(view.sum(axis=2) > 600)
        if expected is None:
            assert not len(bright)
        else:
            offset = bright.mean(axis=0) - np.array(view.shape[:2]) / 2
            np.testing.assert_allclose(offset / np.abs(offset).max(), expected, atol=0.05)


def test_prompts_are_drawn_in_every_view(tmp_path):
    with create_scene() as application:
        scene = application.GetMRMLScene()
        matrix = np.eye(4)
        matrix[:3, 3] = -20
        volume = add_volume(scene, np.random.default_rng(0).integers(0, 9, (41, 41, 41), np.int16), matrix)
        volume.CreateDefaultDisplayNodes()
        style_prompts(
            add_roi(scene, CENTER, (20, 20, 20)), add_points(scene, [CENTER]), add_points(scene, [(6, 6, 6)])
        )
        save_views(application, tmp_path / "views.png", volume, Scope(CENTER, 40.0, CENTER))

    for view in _quarters(_read_png(tmp_path / "views.png")):
        red, green, blue = view[..., 0], view[..., 1], view[..., 2]
        assert ((red > 200) & (green > 150) & (blue < 120)).sum() > 300, "the box's frame"
        assert ((green > red + 60) & (green > blue + 60)).any(), "the foreground point"
        assert ((red > green + 40) & (red > blue + 40) & (abs(green - blue) < 30)).any(), (
            "the background point"
        )
