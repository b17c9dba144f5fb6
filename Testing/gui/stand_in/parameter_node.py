"""``slicer.parameterNodeWrapper``, for parameters that are true or false, or text, and for check boxes."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk

__all__ = ["parameterNodeWrapper"]


def parameterNodeWrapper(classtype: type) -> type:
    """
    Raises:
        NotImplementedError: A parameter is neither bool nor str, or has no default: the stand-in lacks it.
        ValueError: A name is one of the wrapper's own.
    """
    kinds = typing.get_type_hints(classtype, include_extras=True)
    for name, kind in kinds.items():
        if kind not in (bool, str) or not hasattr(classtype, name):
            raise NotImplementedError(
                f"The stand-in keeps no parameters of type {kind}, or without a default"
            )
    for name in vars(classtype):
        if hasattr(_Wrapper, name) and not name.startswith("__"):
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
    defaults = {name: getattr(classtype, name) for name in kinds}
    attributes = {name: _attribute(name) for name in kinds}
    return type(
        classtype.__name__, (_Wrapper, classtype), {"_kinds": kinds, "_defaults": defaults, **attributes}
    )


def _attribute(name: str) -> property:
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))


class _Wrapper:
    """What a wrapped class has beside its parameters."""

    _kinds: dict[str, type]
    _defaults: dict[str, Any]

    def __init__(self, parameterNode: Any) -> None:
        self.parameterNode = parameterNode
        self._bound: dict[int, list[tuple[str, Any, Callable[[], None]]]] = {}  # by the tag of connectGui
        self._isUpdating = False
        for name in self._kinds:
            self.getValue(name)

    def getValue(self, name: str) -> Any:
        kind = self._kind(name)
        if not self.parameterNode.HasParameter(name):
            self.parameterNode.SetParameter(name, str(self._defaults[name]))
        text = self.parameterNode.GetParameter(name)
        return text == "True" if kind is bool else text

    def setValue(self, name: str, value: Any) -> None:
        kind = self._kind(name)
        if value is None:
            raise ValueError("Value must not be None")
        if not isinstance(value, kind):
            raise TypeError(f"Value must be of type '{kind}', is type '{type(value)}' value '{value}'")
        with slicer.util.NodeModify(self.parameterNode):
            self.parameterNode.SetParameter(name, str(value))

    def connectGui(self, gui: Any) -> int:
        named = ((each.property("SlicerParameterName"), each) for each in vars(gui).values())
        boxes = {name: each for name, each in named if name}
        for name, box in boxes.items():
            if (self._kind(name), type(box)) != (bool, qt.QCheckBox):
                raise RuntimeError(
                    f"Unable to create GUI connector from datatype '{self._kinds[name]}' to widget type "
                    f"'{type(box)}'."
                )
        bound = [(name, box, self._changing(name, box)) for name, box in boxes.items()]
        for name, box, changed in bound:
            box.checked = self.getValue(name)
            box.stateChanged.connect(changed)
        tag = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._updateGui())
        self._bound[tag] = bound
        return tag

    def disconnectGui(self, guiTag: int) -> None:
        for _name, box, changed in self._bound.pop(guiTag):
            box.stateChanged.disconnect(changed)
        self.RemoveObserver(guiTag)

    def AddObserver(self, event: Any, callback: Callable, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def _kind(self, name: str) -> type:
        if name not in self._kinds:
            raise ValueError(f"Cannot find a param with the given name: {name}")
        return self._kinds[name]

    def _changing(self, name: str, box: Any) -> Callable[[], None]:
        def changed() -> None:
            if not self._isUpdating:
                self.setValue(name, box.checked)

        return changed

    def _updateGui(self) -> None:
        if self._isUpdating:
            return
        self._isUpdating = True
        try:
            with slicer.util.NodeModify(self.parameterNode):
                for name, box, _changed in (each for bound in self._bound.values() for each in bound):
                    box.checked = self.getValue(name)
        finally:
            self._isUpdating = False
