"""Slicer's four views of a scene, drawn off-screen by Slicer's own displayable managers into one picture."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer
import vtk
from ensam.prompts import Box
from ENSAMSegmentLib.volumes import volume_from_node
from vtk.util.numpy_support import numpy_to_vtk

from .views import SliceView, ThreeDView, View, off_screen_window

GAP = 4
_TEXT = (0.85, 0.85, 0.85)
# Colours of Slicer's layout; what lies at the left, right, top and bottom of a slice as radiologists hang it.
_SLICES = {
    "Axial": ((0.96, 0.30, 0.27), "RLAP"),
    "Coronal": ((0.43, 0.69, 0.29), "RLSI"),
    "Sagittal": ((0.93, 0.84, 0.30), "APSI"),
}


class RenderingError(RuntimeError):
    """The machine can't draw off-screen. The message says what to install."""


def check_rendering() -> None:
    """Raise RenderingError where drawing off-screen would fail; VTK itself would crash."""
    advice = "install the packages libegl1 and libgl1-mesa-dri (apt-get install libegl1 libgl1-mesa-dri)."
    if sys.platform.startswith("linux"):
        try:
            ctypes.CDLL("libEGL.so.1")
        except OSError as error:
            raise RenderingError(f"Nothing can be drawn without libEGL.so.1: {advice}") from error
    window, _ = off_screen_window()
    # VTK would fill the screen with its attempts; the one sentence below is enough.
    verbosity = vtk.vtkLogger.GetCurrentVerbosityCutoff()
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)
    supported = window.SupportsOpenGL()
    vtk.vtkLogger.SetStderrVerbosity(verbosity)
    if not supported:
        raise RenderingError(f"Nothing can be drawn without an OpenGL driver: {advice}")


@dataclass(frozen=True)
class Scope:
    """What the views show.

    Attributes:
        center_ras: The point in the middle of each view, in millimetres.
        field_of_view_mm: Width and height of each view.
        slices_through_ras: The point through which the three slices go.
    """

    center_ras: tuple[float, float, float]
    field_of_view_mm: float
    slices_through_ras: tuple[float, float, float]


def save_views(
    application: slicer.vtkSlicerApplicationLogic,
    path: Path,
    volume: slicer.vtkMRMLScalarVolumeNode,
    scope: Scope,
) -> None:
    """Write axial, coronal and sagittal slices and the 3D view of all that the scene shows to a PNG file.

    Args:
        application: The application logic of the scene.
        path: The file to write, 2x2 views.
        volume: The slices' background.
        scope: What part of the world to show.
    """
    set_contrast(volume, scope)
    axial, coronal, sagittal = (
        _slice_pixels(application, orientation, volume, scope) for orientation in _SLICES
    )
    three_d = _three_d_pixels(application, scope)
    write_png(path, [[axial, three_d], [coronal, sagittal]])


def style_prompts(
    box: slicer.vtkMRMLMarkupsROINode,
    foreground: slicer.vtkMRMLMarkupsFiducialNode,
    background: slicer.vtkMRMLMarkupsFiducialNode,
) -> None:
    """Draw the box as a thin frame and the points small, green on the object and red beside it."""
    frame = box.GetDisplayNode()
    _set_color(frame, (1.0, 0.85, 0.3))
    frame.SetFillVisibility(False)
    frame.SetGlyphScale(0.0)
    frame.SetHandlesInteractive(False)
    frame.SetPropertiesLabelVisibility(False)
    frame.SetPointLabelsVisibility(False)
    for points, color in ((foreground, (0.25, 1.0, 0.35)), (background, (1.0, 0.25, 0.25))):
        display = points.GetDisplayNode()
        _set_color(display, color)
        display.SetPointLabelsVisibility(False)
        display.SetGlyphScale(2.0)
        # Clicks on other slices show too, faintly.
        display.SetSliceProjection(True)
        display.SetSliceProjectionUseFiducialColor(True)
        display.SetSliceProjectionOpacity(0.4)
        # Clicks lie inside the object: in 3D they shine through.
        display.SetOccludedVisibility(True)
        display.SetOccludedOpacity(0.6)


def style_segmentation(segmentation: slicer.vtkMRMLSegmentationNode) -> None:
    """Show the segments as an outline with a light fill, and as surfaces in 3D."""
    display = segmentation.GetDisplayNode()
    display.SetOpacity2DFill(0.15)
    display.SetOpacity2DOutline(1.0)
    display.SetSliceIntersectionThickness(2)
    segmentation.CreateClosedSurfaceRepresentation()


def set_contrast(volume: slicer.vtkMRMLScalarVolumeNode, scope: Scope) -> None:
    """Spread the greys over the intensities in the scope, but for the rarest."""
    image = volume_from_node(volume)
    half = np.full(3, scope.field_of_view_mm / 2)
    box = Box.from_bounds_ras(scope.center_ras - half, scope.center_ras + half)
    low, high = (np.clip(bound, 0, image.grid.shape).astype(int) for bound in image.grid.box_bounds_zyx(box))
    voxels = image.array[tuple(map(slice, low, high))]
    display = volume.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(*np.percentile(voxels, (1, 99.5)))


def _set_color(display: slicer.vtkMRMLMarkupsDisplayNode, color: tuple[float, float, float]) -> None:
    display.SetSelectedColor(*color)
    display.SetColor(*color)
    display.SetActiveColor(*color)


def _slice_pixels(
    application: slicer.vtkSlicerApplicationLogic,
    orientation: str,
    volume: slicer.vtkMRMLScalarVolumeNode,
    scope: Scope,
) -> np.ndarray:
    view = SliceView(application, orientation, volume, scope.center_ras, scope.field_of_view_mm)
    view.node.JumpSliceByOffsetting(*scope.slices_through_ras)
    color, letters = _SLICES[orientation]
    add_text(view.renderer, orientation, (0.02, 0.97), color, 20)
    for letter, place in zip(letters, ((0.02, 0.5), (0.97, 0.5), (0.5, 0.97), (0.5, 0.05)), strict=True):
        add_text(view.renderer, letter, place, _TEXT, 18)
    return _taken(view)


def _three_d_pixels(application: slicer.vtkSlicerApplicationLogic, scope: Scope) -> np.ndarray:
    view = ThreeDView(application, scope.center_ras, scope.field_of_view_mm)
    add_text(view.renderer, "3D", (0.02, 0.97), (0.55, 0.65, 0.95), 20)
    return _taken(view)


def _taken(view: View) -> np.ndarray:
    pixels = view.pixels()
    view.close()
    return pixels


def add_text(
    renderer: vtk.vtkRenderer,
    text: str,
    place: tuple[float, float],
    color: tuple[float, float, float],
    font_size: int,
) -> vtk.vtkTextActor:
    """Write on a view; `place` from 0 to 1 along width and height is the text's upper left corner."""
    actor = vtk.vtkTextActor()
    actor.SetInput(text)
    style = actor.GetTextProperty()
    style.SetFontSize(font_size)
    style.SetColor(color)
    style.SetShadow(True)
    style.SetVerticalJustificationToTop()
    actor.GetPositionCoordinate().SetCoordinateSystemToNormalizedViewport()
    actor.SetPosition(*place)
    renderer.AddViewProp(actor)
    return actor


def write_png(path: Path, rows: list[list[np.ndarray]]) -> None:
    """Write views of one size as a sheet, the first row at the top."""
    size = len(rows[0][0])
    step = size + GAP
    sheet = np.full((len(rows) * step - GAP, len(rows[0]) * step - GAP, 3), 40, np.uint8)
    for row, views in enumerate(reversed(rows)):
        for column, view in enumerate(views):
            sheet[row * step : row * step + size, column * step : column * step + size] = view
    image = vtk.vtkImageData()
    image.SetDimensions(sheet.shape[1], sheet.shape[0], 1)
    image.GetPointData().SetScalars(numpy_to_vtk(sheet.reshape(-1, 3), deep=True))
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(str(path))
    writer.SetInputData(image)
    writer.Write()
