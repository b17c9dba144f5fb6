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
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

_SIZE = 560
_GAP = 4
_BACKGROUND = (0.05, 0.05, 0.06)
_TEXT = (0.85, 0.85, 0.85)
# Colours of Slicer's layout; what lies at the left, right, top and bottom of a slice as radiologists hang it.
_SLICES = {
    "Axial": ((0.96, 0.30, 0.27), "RLAP"),
    "Coronal": ((0.43, 0.69, 0.29), "RLSI"),
    "Sagittal": ((0.93, 0.84, 0.30), "APSI"),
}
_FROM_FRONT_AND_ABOVE = np.array((-0.7, 1.6, 0.8))
_SLICE_MANAGERS = (
    slicer.vtkMRMLSegmentationsDisplayableManager2D,
    slicer.vtkMRMLMarkupsDisplayableManager,
)
_THREE_D_MANAGERS = (
    slicer.vtkMRMLCameraDisplayableManager,
    slicer.vtkMRMLViewDisplayableManager,
    slicer.vtkMRMLModelDisplayableManager,
    slicer.vtkMRMLSegmentationsDisplayableManager3D,
    slicer.vtkMRMLMarkupsDisplayableManager,
    slicer.vtkMRMLOrientationMarkerDisplayableManager,
)


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
    window, _ = _window()
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
    _set_contrast(volume, scope)
    axial, coronal, sagittal = (
        _slice_pixels(application, orientation, volume, scope) for orientation in _SLICES
    )
    three_d = _three_d_pixels(application, scope)
    _write_png(path, [[axial, three_d], [coronal, sagittal]])


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


def _set_contrast(volume: slicer.vtkMRMLScalarVolumeNode, scope: Scope) -> None:
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
    window, renderer = _window()
    # In the application the widget draws the resliced volume. It must come before what is drawn over it.
    image = vtk.vtkImageMapper()
    image.SetColorWindow(255)
    image.SetColorLevel(127.5)
    actor = vtk.vtkActor2D()
    actor.SetMapper(image)
    actor.GetProperty().SetDisplayLocationToBackground()
    renderer.AddViewProp(actor)

    group = _displayable_managers(
        application, slicer.vtkMRMLSliceViewDisplayableManagerFactory, _SLICE_MANAGERS, renderer
    )
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(application)
    application.GetSliceLogics().AddItem(logic)
    logic.SetMRMLScene(application.GetMRMLScene())
    node = logic.AddSliceNode(orientation)
    group.SetMRMLDisplayableNode(node)
    node.SetOrientation(orientation)
    node.SetDimensions(_SIZE, _SIZE, 1)
    node.SetFieldOfView(scope.field_of_view_mm, scope.field_of_view_mm, 1.0)
    node.JumpSliceByCentering(*scope.center_ras)
    node.JumpSliceByOffsetting(*scope.slices_through_ras)
    logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
    image.SetInputConnection(logic.GetImageDataConnection())

    color, letters = _SLICES[orientation]
    _add_text(renderer, orientation, (0.02, 0.97), color, 20)
    for letter, place in zip(letters, ((0.02, 0.5), (0.97, 0.5), (0.5, 0.97), (0.5, 0.05)), strict=True):
        _add_text(renderer, letter, place, _TEXT, 18)
    return _pixels(window)


def _three_d_pixels(
    application: slicer.vtkSlicerApplicationLogic,
    scope: Scope,
) -> np.ndarray:
    window, renderer = _window()
    group = _displayable_managers(
        application, slicer.vtkMRMLThreeDViewDisplayableManagerFactory, _THREE_D_MANAGERS, renderer
    )
    logic = slicer.vtkMRMLViewLogic()
    logic.SetMRMLApplicationLogic(application)
    application.GetViewLogics().AddItem(logic)
    logic.SetMRMLScene(application.GetMRMLScene())
    node = logic.AddViewNode("3D")
    node.SetBoxVisible(False)
    node.SetAxisLabelsVisible(False)
    node.SetBackgroundColor(_BACKGROUND)
    node.SetBackgroundColor2(_BACKGROUND)
    node.SetOrientationMarkerType(slicer.vtkMRMLAbstractViewNode.OrientationMarkerTypeCube)
    node.SetOrientationMarkerSize(slicer.vtkMRMLAbstractViewNode.OrientationMarkerSizeSmall)
    group.SetMRMLDisplayableNode(node)

    camera = renderer.GetActiveCamera()
    camera.ParallelProjectionOn()
    camera.SetParallelScale(0.5 * scope.field_of_view_mm)
    camera.SetFocalPoint(scope.center_ras)
    camera.SetPosition(np.add(scope.center_ras, scope.field_of_view_mm * _FROM_FRONT_AND_ABOVE))
    camera.SetViewUp(0, 0, 1)
    renderer.ResetCameraClippingRange()
    _add_text(renderer, "3D", (0.02, 0.97), (0.55, 0.65, 0.95), 20)
    return _pixels(window)


def _window() -> tuple[vtk.vtkRenderWindow, vtk.vtkRenderer]:
    # Without a screen, and without looking for one where the platform has EGL.
    window = getattr(vtk, "vtkEGLRenderWindow", vtk.vtkRenderWindow)()
    window.SetOffScreenRendering(True)
    window.SetSize(_SIZE, _SIZE)
    renderer = vtk.vtkRenderer()
    renderer.SetBackground(_BACKGROUND)
    window.AddRenderer(renderer)
    # The displayable managers of markups and cameras want an interactor; it must not look for a screen.
    vtk.vtkGenericRenderWindowInteractor().SetRenderWindow(window)
    return window, renderer


def _displayable_managers(
    application: slicer.vtkSlicerApplicationLogic,
    factory_class: type[slicer.vtkMRMLDisplayableManagerFactory],
    managers: tuple[type[slicer.vtkMRMLAbstractDisplayableManager], ...],
    renderer: vtk.vtkRenderer,
) -> slicer.vtkMRMLDisplayableManagerGroup:
    factory = factory_class.GetInstance()
    for manager in managers:
        if not factory.IsDisplayableManagerRegistered(manager.__name__):
            factory.RegisterDisplayableManager(manager.__name__)
    group = slicer.vtkMRMLDisplayableManagerGroup()
    group.Initialize(factory, renderer)
    return group


def _add_text(
    renderer: vtk.vtkRenderer,
    text: str,
    place: tuple[float, float],
    color: tuple[float, float, float],
    font_size: int,
) -> None:
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


def _pixels(window: vtk.vtkRenderWindow) -> np.ndarray:
    """Render and give the colours, uint8 (row from the bottom, column, RGB)."""
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    pixels = vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars()).reshape(_SIZE, _SIZE, 3).copy()
    window.Finalize()
    return pixels


def _write_png(path: Path, rows: list[list[np.ndarray]]) -> None:
    side = 2 * _SIZE + _GAP
    sheet = np.full((side, side, 3), 40, np.uint8)
    for row, views in enumerate(reversed(rows)):
        for column, view in enumerate(views):
            top, left = row * (_SIZE + _GAP), column * (_SIZE + _GAP)
            sheet[top : top + _SIZE, left : left + _SIZE] = view
    image = vtk.vtkImageData()
    image.SetDimensions(side, side, 1)
    image.GetPointData().SetScalars(numpy_to_vtk(sheet.reshape(-1, 3), deep=True))
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(str(path))
    writer.SetInputData(image)
    writer.Write()
