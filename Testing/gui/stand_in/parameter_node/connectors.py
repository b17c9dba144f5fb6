"""Binds widgets to parameters, by the exact classes that Slicer knows."""

from __future__ import annotations

import enum
import pathlib
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ctk
import qt
import slicer

from .annotations import Choice, Decimals, Maximum, Minimum, SingleStep, WithinRange, first, split


@dataclass
class Connector:
    """Reads and writes one widget."""

    read: Callable[[], Any]
    write: Callable[[Any], None]
    signal: Any = None
    callback: Callable[[], None] | None = None

    def changed(self) -> None:
        if self.callback is not None:
            self.callback()

    def on_changed(self, callback: Callable[[], None] | None) -> None:
        self.callback = callback
        if self.signal is None:
            return
        if callback is None:
            self.signal.disconnect(self.changed)
        else:
            self.signal.connect(self.changed)


def connector_for(widget: Any, datatype: Any) -> Connector:
    """
    Raises:
        RuntimeError: Slicer binds no such widget to this type.
    """
    kind, annotations = split(datatype)
    for widgets, accepts, make in _known():
        if type(widget) in widgets and accepts(kind):
            return make(widget, kind, annotations)
    raise RuntimeError(
        f"Unable to create GUI connector from datatype '{datatype}' to widget type '{type(widget)}'."
    )


def _known() -> list[tuple[tuple[type, ...], Callable[[Any], bool], Callable[..., Connector]]]:
    combo_boxes = (qt.QComboBox, ctk.ctkComboBox)
    return [
        ((qt.QCheckBox,), _is(bool), _checkbox),
        ((qt.QPushButton,), _is(bool), _button),
        ((qt.QSlider, qt.QSpinBox), _is(int), _number),
        ((qt.QDoubleSpinBox, ctk.ctkSliderWidget), _is(int, float), _number),
        (combo_boxes, _is(int, float, str, bool), _choices),
        (combo_boxes, lambda kind: isinstance(kind, type) and issubclass(kind, enum.Enum), _enum),
        ((qt.QLineEdit,), _is(str), _line),
        ((qt.QLabel,), _is(str), _label),
        ((ctk.ctkPathLineEdit,), _is(pathlib.Path), _path),
        ((slicer.qMRMLNodeComboBox,), _is_node, _node),
    ]


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda kind: kind in kinds


def _is_node(kind: Any) -> bool:
    kinds = typing.get_args(kind) or (kind,)
    return all(each is type(None) or issubclass(each, slicer.vtkMRMLNode) for each in kinds)


def _setting(widget: Any, name: str) -> Callable[[Any], None]:
    return lambda value: setattr(widget, name, value)


def _checkbox(widget: Any, kind: Any, annotations: tuple) -> Connector:
    return Connector(lambda: widget.checked, _setting(widget, "checked"), widget.stateChanged)


def _button(widget: Any, kind: Any, annotations: tuple) -> Connector:
    widget.checkable = True
    return Connector(lambda: widget.checked, _setting(widget, "checked"), widget.toggled)


def _number(widget: Any, kind: Any, annotations: tuple) -> Connector:
    within = first(annotations, WithinRange)
    minimum = within or first(annotations, Minimum)
    maximum = within or first(annotations, Maximum)
    is_slider = type(widget) in (qt.QSlider, ctk.ctkSliderWidget)
    if is_slider and not (minimum and maximum):
        raise RuntimeError("Cannot have a connection to a slider where the number is unbounded.")
    if type(widget) in (qt.QDoubleSpinBox, ctk.ctkSliderWidget):
        decimals = first(annotations, Decimals)
        if kind is int:
            widget.decimals = 0
        elif decimals:
            widget.decimals = decimals.value
    step = first(annotations, SingleStep)
    if step:
        widget.singleStep = step.value
    # Slicer takes the widest range there is when nothing is said, whatever the .ui file says.
    widest = 2**31 - 1
    widget.minimum = minimum.minimum if minimum else -widest
    widget.maximum = maximum.maximum if maximum else widest
    return Connector(lambda: kind(widget.value), _setting(widget, "value"), widget.valueChanged)


def _choices(widget: Any, kind: Any, annotations: tuple) -> Connector:
    choice = first(annotations, Choice)
    if choice is None:
        raise RuntimeError("A combo box requires the Choice annotation.")
    # Slicer replaces the items.
    return _items(widget, [str(each) for each in choice.choices], list(choice.choices))


def _enum(widget: Any, kind: Any, annotations: tuple) -> Connector:
    label = getattr(kind, "label", lambda each: each.name)
    return _items(widget, [label(each) for each in kind], list(kind))


def _items(widget: Any, labels: list[str], values: list) -> Connector:
    widget.clear()
    widget.addItems(labels)

    def write(value: Any) -> None:
        if value not in values:
            raise ValueError(f"Unable to find value {value} in choices {values}")
        widget.currentIndex = values.index(value)

    return Connector(lambda: values[widget.currentIndex], write, widget.currentIndexChanged)


def _line(widget: Any, kind: Any, annotations: tuple) -> Connector:
    def write(value: str) -> None:
        # Writing the same text would move the cursor.
        if value != widget.text:
            widget.text = value

    return Connector(lambda: widget.text, write, widget.textChanged)


def _label(widget: Any, kind: Any, annotations: tuple) -> Connector:
    return Connector(lambda: widget.text, _setting(widget, "text"))


def _path(widget: Any, kind: Any, annotations: tuple) -> Connector:
    def write(value: pathlib.Path) -> None:
        widget.currentPath = str(value)

    return Connector(lambda: kind(widget.currentPath), write, widget.currentPathChanged)


def _node(widget: Any, kind: Any, annotations: tuple) -> Connector:
    kinds = [each for each in typing.get_args(kind) or (kind,) if each is not type(None)]
    widget.nodeTypes = [each().GetClassName() for each in kinds]
    return Connector(widget.currentNode, widget.setCurrentNode, widget.currentNodeChanged)
