"""The decorator: typed attributes over a parameter node, and their bond to widgets."""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import qt
import slicer
import vtk

from .annotations import Default, Validator, first, split
from .connectors import Connector, connector_for
from .serializers import Serializer, serializer_for

SlicerParameterNamePropertyName = "SlicerParameterName"


@dataclass
class Parameter:
    """One attribute of a wrapped class."""

    basename: str
    serializer: Serializer
    default: Default
    unalteredType: Any
    validators: list[Validator]

    def read(self, node: Any) -> Any:
        if not self.serializer.is_in(node, self.basename):
            self.serializer.write(node, self.basename, self.default.value)
        return self.serializer.read(node, self.basename)

    def write(self, node: Any, value: Any) -> None:
        self.serializer.check(value)
        for each in self.validators:
            each.validate(value)
        with slicer.util.NodeModify(node):
            self.serializer.write(node, self.basename, value)


def parameterNodeWrapper(classtype: type | None = None) -> Any:
    """Class decorator, with or without parentheses."""
    return _wrapped if classtype is None else _wrapped(classtype)


def isParameterNodeWrapper(classOrObj: Any) -> bool:
    return getattr(classOrObj, "_is_parameter_node_wrapper", False)


def findChildWidgetForParameter(widget: Any, parameter: str) -> Any:
    found = (
        w for w in widget.findChildren(qt.QWidget) if w.property(SlicerParameterNamePropertyName) == parameter
    )
    return next(found, None)


def _wrapped(classtype: type) -> type:
    parameters = {}
    for name, hint in typing.get_type_hints(classtype, include_extras=True).items():
        kind, annotations = split(hint)
        serializer = serializer_for(kind)
        if hasattr(classtype, name):
            default = Default(getattr(classtype, name))
        else:
            default = first(annotations, Default) or Default(serializer.default())
        validators = [each for each in annotations if isinstance(each, Validator)]
        parameters[name] = Parameter(name, serializer, default, hint, validators)
        setattr(classtype, name, _attribute(name))
    added = {"allParameters": parameters, "_is_parameter_node_wrapper": True} | {
        name: member for name, member in vars(_Methods).items() if not name.startswith("__")
    }
    for name, member in added.items():
        if hasattr(classtype, name):
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
        setattr(classtype, name, member)
    classtype.__init__ = _initialize
    return classtype


def _attribute(name: str) -> property:
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))


def _initialize(self: Any, parameterNode: Any, prefix: str | None = None) -> None:
    self.parameterNode = parameterNode
    self._connectors: dict[int, dict[str, Connector]] = {}
    self._observations: dict[int, int] = {}
    self._nextTag = 0
    self._isUpdating = False
    for parameter in self.allParameters.values():
        parameter.read(parameterNode)


class _Methods:
    """What a wrapped class has beside its parameters."""

    def default(self, paramName: str) -> Default:
        return self._parameter(paramName).default

    def dataType(self, paramName: str) -> Any:
        return self._parameter(paramName).unalteredType

    def getValue(self, name: str) -> Any:
        return self._parameter(name).read(self.parameterNode)

    def setValue(self, name: str, value: Any) -> None:
        self._parameter(name).write(self.parameterNode, value)

    def connectGui(self, gui: Any) -> int:
        widgets = (
            gui.findChildren(qt.QWidget)
            if getattr(gui, "isWidgetType", lambda: False)()
            else vars(gui).values()
        )
        named = ((each.property(SlicerParameterNamePropertyName), each) for each in widgets)
        return self.connectParametersToGui({name: each for name, each in named if name})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        for name in mapping:
            self._parameter(name)
        tag = self._nextTag
        self._nextTag += 1
        self._connectors[tag] = {
            name: connector_for(each, self.dataType(name)) for name, each in mapping.items()
        }
        for name, connector in self._connectors[tag].items():
            connector.write(self.getValue(name))
            connector.on_changed(self._callback(name, connector))
        self._observations[tag] = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._updateGui())
        return tag

    def disconnectGui(self, guiTag: int) -> None:
        for connector in self._connectors.pop(guiTag, {}).values():
            connector.on_changed(None)
        if guiTag in self._observations:
            self.RemoveObserver(self._observations.pop(guiTag))

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified: int) -> int:
        return self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event: Any, callback: Callable, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()

    def _parameter(self, name: str) -> Parameter:
        if name not in self.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {name}")
        return self.allParameters[name]

    def _callback(self, name: str, connector: Connector) -> Callable[[], None]:
        def changed() -> None:
            if not self._isUpdating:
                self.setValue(name, connector.read())

        return changed

    def _updateGui(self) -> None:
        if self._isUpdating:
            return
        self._isUpdating = True
        try:
            with slicer.util.NodeModify(self):
                for connectors in self._connectors.values():
                    for name, connector in connectors.items():
                        connector.write(self.getValue(name))
        finally:
            self._isUpdating = False
