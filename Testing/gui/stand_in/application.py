"""``slicer.app`` and the module manager."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import shiboken6
from PySide6.QtCore import Property, QObject, QSettings, Signal
from PySide6.QtWidgets import QApplication


class qSlicerModuleManager(QObject):
    """Knows the modules that a test loaded."""

    moduleAboutToBeUnloaded = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, QObject] = {}

    def module(self, name: str) -> QObject | None:
        return self._modules.get(name)

    def modulesNames(self) -> list[str]:
        return list(self._modules)

    def add(self, name: str, module: QObject) -> None:
        self._modules[name] = module


class qSlicerCoreApplication(QApplication):
    """What works without widgets. There is one for all tests; each test calls :meth:`begin`."""

    mrmlSceneChanged = Signal(object)

    def begin(self, logic: Any, folder: Path) -> None:
        """Start afresh with the scene of ``logic`` and settings in ``folder``."""
        self.setApplicationName("Slicer")
        self.setOrganizationName("stand-in")
        QSettings.setDefaultFormat(QSettings.Format.IniFormat)
        QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(folder / "settings"))
        self._logic = logic
        self._folder = folder
        self._settings = QSettings()
        self._module_manager = qSlicerModuleManager()
        self.is_testing = False
        self.paused_renders = 0
        # Outside any window: where tests put what they add to the application.
        while QApplication.overrideCursor() is not None:
            QApplication.restoreOverrideCursor()

    def unload_modules(self) -> None:
        """As at exit."""
        for name in self._module_manager.modulesNames():
            self._module_manager.moduleAboutToBeUnloaded.emit(name)

    def end(self) -> None:
        for widget in QApplication.topLevelWidgets():
            # One may be another's part, and gone with it.
            if shiboken6.isValid(widget):
                widget.close()
                widget.deleteLater()
        self.sendPostedEvents(None, 52)  # QEvent::DeferredDelete
        self._logic = None

    def applicationLogic(self) -> Any:
        return self._logic

    def mrmlScene(self) -> Any:
        return self._logic.GetMRMLScene()

    def moduleManager(self) -> QObject:
        return self._module_manager

    def settings(self) -> QSettings:
        return self._settings

    userSettings = settings

    def testingEnabled(self) -> bool:
        return self.is_testing

    def pauseRender(self) -> None:
        self.paused_renders += 1

    def resumeRender(self) -> None:
        self.paused_renders -= 1

    def moduleDocumentationUrl(self, name: str) -> str:
        return f"https://slicer.readthedocs.io/en/latest/user_guide/modules/{name.lower()}.html"

    temporaryPath = Property(str, lambda self: str(self._folder))
    slicerHome = Property(str, lambda self: str(self._folder))
    slicerUserSettingsFilePath = Property(str, lambda self: self._settings.fileName())


class qSlicerApplication(qSlicerCoreApplication):
    """What needs widgets. There is neither a main window nor a layout manager, as with --no-main-window."""

    startupCompleted = Signal()

    def layoutManager(self) -> None:
        return None


def the_application() -> qSlicerApplication:
    return QApplication.instance() or qSlicerApplication([])
