"""Slicer's slice view and 3D view of a scene, off-screen, with a mouse and a keyboard.

Drawing and interaction are done by Slicer's own displayable managers. What is here is the part of the Qt
widgets round them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

SIZE = 560
BACKGROUND = (0.05, 0.05, 0.06)
_FROM_FRONT_AND_ABOVE = np.array((-0.7, 1.6, 0.8))
_DRAG_STEPS = 4
_KEY_CODES = {"Delete": "\x7f", "BackSpace": "\x08"}
_SLICE_MANAGERS = (
    slicer.vtkMRMLCrosshairDisplayableManager,
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

Position = Sequence[float]  # (x, y) in pixels from the lower left corner


def off_screen_window(size: int = SIZE) -> tuple[vtk.vtkRenderWindow, vtk.vtkRenderer]:
    """Without a screen, and without looking for one where the platform has EGL."""
    window = getattr(vtk, "vtkEGLRenderWindow", vtk.vtkRenderWindow)()
    window.SetOffScreenRendering(True)
    window.SetSize(size, size)
    renderer = vtk.vtkRenderer()
    renderer.SetBackground(BACKGROUND)
    window.AddRenderer(renderer)
    # The displayable managers of markups and cameras want an interactor; it must not look for a screen.
    vtk.vtkGenericRenderWindowInteractor().SetRenderWindow(window)
    return window, renderer


class View:
    """What slice views and 3D views share: a square window, the mouse and the keyboard."""

    def __init__(
        self,
        factory_class: type[slicer.vtkMRMLDisplayableManagerFactory],
        managers: Sequence[type[slicer.vtkMRMLAbstractDisplayableManager]],
        fallback: vtk.vtkInteractorStyle,
        size: int,
    ) -> None:
        """fallback: gets the events that no displayable manager wants, as in the application's widget."""
        self.size = size
        self.window, self.renderer = off_screen_window(size)
        self._add_background()
        self._interactor = self.window.GetInteractor()
        self._interactor.SetInteractorStyle(fallback)
        factory = factory_class.GetInstance()
        for manager in managers:
            if not factory.IsDisplayableManagerRegistered(manager.__name__):
                factory.RegisterDisplayableManager(manager.__name__)
        self._group = slicer.vtkMRMLDisplayableManagerGroup()
        self._group.Initialize(factory, self.renderer)
        self._style: slicer.vtkMRMLViewInteractorStyle | None = None
        self.is_pressed = False  # whether a button is down

    def _add_background(self) -> None:
        """What must come before anything that the displayable managers draw."""

    def _start(self, style: slicer.vtkMRMLViewInteractorStyle) -> None:
        style.SetDisplayableManagers(self._group)
        style.SetInteractor(self._interactor)
        self._style = style
        # As in the application: pickers need a context.
        self.window.Render()

    def close(self) -> None:
        """Give the window back; the scene stays."""
        self._style.SetInteractor(None)
        self._group.SetMRMLDisplayableNode(None)
        self.window.Finalize()

    def pixels(self) -> np.ndarray:
        """Render and give the colours, uint8 (row from the bottom, column, RGB)."""
        self.window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self.window)
        grab.ReadFrontBufferOff()
        grab.Update()
        colors = vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars())
        return colors.reshape(self.size, self.size, 3).copy()

    def move(self, to: Position) -> None:
        """Move the mouse."""
        self._event("MouseMoveEvent", to)

    def press(self, at: Position, button: str = "Left") -> None:
        """Move there and press a button."""
        self.move(at)
        self.is_pressed = True
        self._event(f"{button}ButtonPressEvent", at)

    def release(self, at: Position, button: str = "Left") -> None:
        """Let the button go."""
        self.is_pressed = False
        self._event(f"{button}ButtonReleaseEvent", at)

    def click(self, at: Position, button: str = "Left") -> None:
        """Move there, press and release."""
        self.press(at, button)
        self.release(at, button)

    def drag(self, start: Position, end: Position) -> None:
        """Press at the start and move to the end; the button stays down."""
        self.press(start)
        for part in np.linspace(0, 1, _DRAG_STEPS + 1)[1:]:
            self.move(np.add(start, part * np.subtract(end, start)))

    def key(self, name: str, at: Position) -> None:
        """Press and release a key with the mouse at a position; `name` is VTK's key symbol."""
        self._event("KeyPressEvent", at, name)
        self._event("KeyReleaseEvent", at, name)

    @contextmanager
    def alt(self) -> Iterator[None]:
        """With the Alt key held down."""
        self._interactor.SetAltKey(1)
        yield
        self._interactor.SetAltKey(0)

    def _event(self, name: str, at: Position, key: str | None = None) -> None:
        x, y = (round(float(p)) for p in at)
        code = _KEY_CODES.get(key, key if key is not None and len(key) == 1 else "\0")
        self._interactor.SetEventInformation(x, y, 0, 0, code, int(key is not None), key)
        self._interactor.InvokeEvent(name)


class SliceView(View):
    """One slice view, of a volume."""

    def __init__(
        self,
        application: slicer.vtkSlicerApplicationLogic,
        orientation: str,
        volume: slicer.vtkMRMLScalarVolumeNode,
        center_ras: Sequence[float],
        field_of_view_mm: float,
        size: int = SIZE,
    ) -> None:
        """center_ras: what the view is centred on; the slice goes through it. size: in pixels."""
        super().__init__(
            slicer.vtkMRMLSliceViewDisplayableManagerFactory,
            _SLICE_MANAGERS,
            vtk.vtkInteractorStyleUser(),
            size,
        )
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(application)
        application.GetSliceLogics().AddItem(logic)
        logic.SetMRMLScene(application.GetMRMLScene())
        self.node = logic.AddSliceNode(orientation)
        self._group.SetMRMLDisplayableNode(self.node)
        self.node.SetOrientation(orientation)
        self.node.SetDimensions(size, size, 1)
        self.node.SetFieldOfView(field_of_view_mm, field_of_view_mm, 1.0)
        self.node.JumpSliceByCentering(*center_ras)
        logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
        self._image.SetInputConnection(logic.GetImageDataConnection())
        # Handles are 3D actors in the view's own coordinates.
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        style = slicer.vtkMRMLSliceViewInteractorStyle()
        style.SetSliceLogic(logic)
        self._start(style)

    def _add_background(self) -> None:
        # In the application the widget draws the resliced volume.
        self._image = vtk.vtkImageMapper()
        self._image.SetColorWindow(255)
        self._image.SetColorLevel(127.5)
        actor = vtk.vtkActor2D()
        actor.SetMapper(self._image)
        actor.GetProperty().SetDisplayLocationToBackground()
        self.renderer.AddViewProp(actor)

    def display_of(self, position_ras: Sequence[float]) -> tuple[float, float]:
        """Where a point of the world is shown."""
        ras_to_xy = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.node.GetXYToRAS(), ras_to_xy)
        return ras_to_xy.MultiplyPoint((*position_ras, 1.0))[:2]

    def ras_of(self, at: Position) -> np.ndarray:
        """The point of the world that is shown at a display position."""
        return np.array(self.node.GetXYToRAS().MultiplyPoint((*map(float, at), 0.0, 1.0))[:3])


class ThreeDView(View):
    """The 3D view, from in front of the patient and above."""

    def __init__(
        self,
        application: slicer.vtkSlicerApplicationLogic,
        center_ras: Sequence[float],
        field_of_view_mm: float,
        size: int = SIZE,
    ) -> None:
        super().__init__(
            slicer.vtkMRMLThreeDViewDisplayableManagerFactory,
            _THREE_D_MANAGERS,
            vtk.vtkInteractorStyle3D(),
            size,
        )
        logic = slicer.vtkMRMLViewLogic()
        logic.SetMRMLApplicationLogic(application)
        application.GetViewLogics().AddItem(logic)
        logic.SetMRMLScene(application.GetMRMLScene())
        self.node = logic.AddViewNode("3D")
        self.node.SetBoxVisible(False)
        self.node.SetAxisLabelsVisible(False)
        self.node.SetBackgroundColor(BACKGROUND)
        self.node.SetBackgroundColor2(BACKGROUND)
        self.node.SetOrientationMarkerType(slicer.vtkMRMLAbstractViewNode.OrientationMarkerTypeCube)
        self.node.SetOrientationMarkerSize(slicer.vtkMRMLAbstractViewNode.OrientationMarkerSizeSmall)
        self._group.SetMRMLDisplayableNode(self.node)

        camera = self.renderer.GetActiveCamera()
        camera.ParallelProjectionOn()
        camera.SetParallelScale(0.5 * field_of_view_mm)
        camera.SetFocalPoint(center_ras)
        camera.SetPosition(np.add(center_ras, field_of_view_mm * _FROM_FRONT_AND_ABOVE))
        camera.SetViewUp(0, 0, 1)
        self.renderer.ResetCameraClippingRange()
        self._start(slicer.vtkMRMLThreeDViewInteractorStyle())

    def display_of(self, position_ras: Sequence[float]) -> tuple[float, float]:
        """Where a point of the world is shown, hidden or not."""
        self.renderer.SetWorldPoint(*position_ras, 1.0)
        self.renderer.WorldToDisplay()
        return self.renderer.GetDisplayPoint()[:2]
