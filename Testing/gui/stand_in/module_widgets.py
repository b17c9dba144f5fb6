"""The C++ side of a scripted module: its description and its panel."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Property, QObject, Signal
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QVBoxLayout, QWidget

from .ctk_widgets import held


class qSlicerAbstractCoreModule(QObject):
    """Read-only facts of a module, and its logic."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.fixed_path = ""
        self.fixed_name = ""

    path = Property(str, lambda self: self.fixed_path)
    name = Property(str, lambda self: self.fixed_name)

    def logic(self) -> Any:
        return None

    def mrmlScene(self) -> Any:
        import slicer

        return slicer.mrmlScene


class qSlicerAbstractModule(qSlicerAbstractCoreModule):
    """A module with a panel."""

    def widgetRepresentation(self) -> QWidget | None:
        return getattr(self, "panel", None)


class qSlicerLoadableModule(qSlicerAbstractModule):
    """A module in a library or script."""


class qSlicerScriptedLoadableModule(qSlicerLoadableModule):
    """A module in Python: the facts can be written."""

    title = held(str, "")
    categories = held(list, [])
    contributors = held(list, [])
    helpText = held(str, "")
    acknowledgementText = held(str, "")
    extensions = held("QVariantMap", {})
    icon = held(QIcon, QIcon())
    hidden = held(bool, False)
    dependencies = held(list, [])
    index = held(int, -1)


class qSlicerWidget(QWidget):
    """A widget that is told of the scene."""

    mrmlSceneChanged = Signal(object)

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self.__dict__.get("_scene"):
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


class qSlicerAbstractModuleWidget(qSlicerWidget):
    """A panel that is entered when the user selects its module, and left when another is selected."""

    isEntered = Property(bool, lambda self: self.__dict__.get("_is_entered", False))

    def enter(self) -> None:
        self._is_entered = True

    def exit(self) -> None:
        self._is_entered = False


class qSlicerScriptedLoadableModuleWidget(qSlicerAbstractModuleWidget):
    """The panel of a module in Python: calls the methods of its Python class."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        QVBoxLayout(self)
        self.python_self: Any = None

    def self(this) -> Any:
        return this.python_self

    def enter(self) -> None:
        super().enter()
        self._call("enter")

    def exit(self) -> None:
        super().exit()
        self._call("exit")

    def _call(self, method: str) -> None:
        found = getattr(self.python_self, method, None)
        if found is not None:
            found()
