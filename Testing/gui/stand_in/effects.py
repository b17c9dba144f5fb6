"""The C++ side of Segment Editor effects, and their registry."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import slicer
from PySide6.QtCore import Property, QObject, Signal
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QFormLayout, QFrame, QLayout, QSizePolicy, QWidget

from . import mistakes
from .ctk_widgets import held
from .effect_parameters import EffectParameters


class qSlicerSegmentEditorAbstractEffect(EffectParameters, QObject):
    """What all effects share. The editor sets ``editor``."""

    name = held(str, "")
    perSegment = held(bool, True)
    requireSegments = held(bool, True)
    showEffectCursorInSliceView = held(bool, True)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.editor: Any = None
        self._title = ""
        self._node: Any = None
        self._is_active = False
        self._frame = QFrame()
        QFormLayout(self._frame).setContentsMargins(4, 4, 4, 4)

    def _set_title(self, title: str) -> None:
        self._title = title

    title = Property(str, lambda self: self._title or self.name, _set_title)

    def activate(self) -> None:
        self._frame.setVisible(True)
        self._is_active = True
        self.updateGUIFromMRML()

    def deactivate(self) -> None:
        self._frame.setVisible(False)
        self._is_active = False

    def active(self) -> bool:
        return self._is_active

    def optionsFrame(self) -> QFrame:
        return self._frame

    def optionsLayout(self) -> QFormLayout:
        return self._frame.layout()

    def addOptionsWidget(self, added: QWidget | QLayout) -> None:
        if isinstance(added, QWidget):
            self._adopt(added)
        self.optionsLayout().addRow(added)

    def _adopt(self, widget: QWidget) -> None:
        widget.setParent(self._frame)
        widget.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.MinimumExpanding)

    def scene(self) -> Any:
        return self._node.GetScene() if self._node is not None else None

    def parameterSetNode(self) -> Any:
        return self._node

    def setParameterSetNode(self, node: Any) -> None:
        self._node = node

    def selectEffect(self, name: str) -> None:
        if self.editor is not None:
            self.editor.setActiveEffectByName(name)

    def saveStateForUndo(self) -> None:
        if self.editor is not None:
            self.editor.saveStateForUndo()

    def interactionNodeModified(self, node: Any) -> None:
        """By default an effect gives way to the placing of markups."""
        if (
            node is not None
            and node.GetCurrentInteractionMode() != slicer.vtkMRMLInteractionNode.ViewTransform
        ):
            self.selectEffect("")


class qSlicerSegmentEditorScriptedEffect(qSlicerSegmentEditorAbstractEffect):
    """An effect in Python: calls the methods of its Python class."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.name = "UnnamedScriptedEffect"
        self._python_self: Any = None
        self._source = ""

    def self(this) -> Any:
        return this._python_self

    def setPythonSource(self, source: str) -> bool:
        """The folder's name is the module's, the file's name (with "Effect" at its end) the class's."""
        from .wrapping import wrap

        if not source.endswith(".py"):
            return False
        path = Path(source)
        module_name = path.parent.name
        class_name = path.stem if path.stem.endswith("Effect") else f"{path.stem}Effect"
        if not hasattr(sys.modules.get(module_name), class_name):
            # The file alone takes the package's name: relative imports in it fail.
            spec = spec_from_file_location(module_name, path)
            module = module_from_spec(spec)
            sys.modules[module_name] = module
            spec.loader.exec_module(module)
        self._python_self = getattr(sys.modules[module_name], class_name)(wrap(self))
        self._source = source
        setattr(slicer, module_name, self._python_self)
        return True

    def call(self, method: str, *arguments: Any) -> tuple[bool, Any]:
        """Call a method of the Python class. Returns whether there was one, and its result."""
        found = getattr(self._python_self, method, None)
        return (False, None) if found is None else (True, found(*arguments))

    def clone(self) -> qSlicerSegmentEditorScriptedEffect:
        from .wrapping import implementation_of

        there, cloned = self.call("clone")
        if not there or cloned is None:
            raise NotImplementedError(f"{self._source}: clone() is mandatory and must return an effect")
        return implementation_of(cloned)

    def icon(self) -> QIcon:
        from .conversion import to_qt

        there, icon = self.call("icon")
        return to_qt(icon) if there else QIcon()

    def helpText(self) -> str:
        there, text = self.call("helpText")
        if there and not isinstance(text, str):
            mistakes.note(f"{self._source}: Function 'helpText' is expected to return a string!")
        return text if isinstance(text, str) else ""

    def activate(self) -> None:
        super().activate()
        self.call("activate")

    def deactivate(self) -> None:
        super().deactivate()
        self.call("deactivate")

    def setup_options_frame(self) -> None:
        self.call("setupOptionsFrame")

    def set_mrml_defaults(self) -> None:
        self.call("setMRMLDefaults")

    def source_volume_node_changed(self) -> None:
        self.call("sourceVolumeNodeChanged")
        self.call("masterVolumeNodeChanged")

    def interactionNodeModified(self, node: Any) -> None:
        there, _ = self.call("interactionNodeModified", node)
        if not there:
            super().interactionNodeModified(node)

    def process_interaction_events(self, interactor: Any, event: int, view_widget: Any) -> bool:
        there, result = self.call("processInteractionEvents", interactor, event, view_widget)
        if there and not isinstance(result, bool):
            mistakes.note(f"{self._source}: 'processInteractionEvents' is expected to return a boolean")
        return result is True

    def updateGUIFromMRML(self) -> None:
        if self.active():
            self.call("updateGUIFromMRML")

    def updateMRMLFromGUI(self) -> None:
        self.call("updateMRMLFromGUI")

    def cleanup(self) -> None:
        self.call("cleanup")


class qSlicerSegmentEditorEffectFactory(QObject):
    """The effects that editors copy."""

    effectRegistered = Signal(str)
    _singleton: qSlicerSegmentEditorEffectFactory | None = None

    def __init__(self) -> None:
        super().__init__()
        self.effects: list[qSlicerSegmentEditorScriptedEffect] = []

    @staticmethod
    def instance() -> qSlicerSegmentEditorEffectFactory:
        cls = qSlicerSegmentEditorEffectFactory
        cls._singleton = cls._singleton or cls()
        return cls._singleton

    @classmethod
    def forget(cls) -> None:
        """Begin without effects."""
        cls._singleton = None

    def registerEffect(self, effect: qSlicerSegmentEditorScriptedEffect) -> bool:
        if not effect.name:
            mistakes.note("Segment editor effect cannot be registered with empty name!")
            return False
        if effect.name in [each.name for each in self.effects]:
            return False
        self.effects.append(effect)
        self.effectRegistered.emit(effect.name)
        return True

    def registeredEffects(self) -> list[QObject]:
        return list(self.effects)


CLASSES = (
    qSlicerSegmentEditorAbstractEffect,
    qSlicerSegmentEditorScriptedEffect,
    qSlicerSegmentEditorEffectFactory,
)
