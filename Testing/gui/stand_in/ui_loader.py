"""Qt's own loader of .ui files, and what it silently accepts told as a mistake."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QObject
from PySide6.QtUiTools import QUiLoader
from PySide6.QtWidgets import QWidget

from . import class_info, mistakes, signals

# The stand-in's widgets, by the name that a .ui file gives them.
CUSTOM_WIDGETS: dict[str, type[QWidget]] = {}


class UiLoader(QUiLoader):
    """Loads widgets of Slicer and CTK too."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        for each in CUSTOM_WIDGETS.values():
            self.registerCustomWidget(each)

    def load(self, device: QIODevice, parent: QWidget | None = None) -> QWidget:
        root = ElementTree.fromstring(device.readAll().data())
        # PySide6 has no MRML types in signatures: these connections are made below.
        connections = _taken_out(root)
        buffer = QBuffer()
        buffer.setData(QByteArray(ElementTree.tostring(root)))
        buffer.open(QIODevice.OpenModeFlag.ReadOnly)
        widget = super().load(buffer, parent)
        for element in root.iter("widget"):
            _check(element, widget)
        for each in connections:
            _connect(widget, each)
        return widget


def _taken_out(root: ElementTree.Element) -> list[dict[str, str]]:
    taken = []
    for group in root.iter("connections"):
        for each in list(group):
            parts = {part.tag: part.text or "" for part in each}
            if "vtk" in parts["signal"]:
                taken.append(parts)
                group.remove(each)
    return taken


def _named(widget: QWidget, name: str) -> QObject | None:
    return widget if widget.objectName() == name else widget.findChild(QObject, name)


def _connect(widget: QWidget, parts: dict[str, str]) -> None:
    sender, receiver = _named(widget, parts["sender"]), _named(widget, parts["receiver"])
    method = parts["slot"].partition("(")[0]
    if sender is None or receiver is None or class_info.kind_of(type(receiver), method) != class_info.METHOD:
        mistakes.note(f"The .ui file connects what is not there: {parts}")
    else:
        signals.connect(sender, parts["signal"], lambda node: getattr(receiver, method)(node))


def _check(element: ElementTree.Element, widget: QWidget) -> None:
    kind, name = element.get("class", ""), element.get("name", "")
    loaded = _named(widget, name)
    if loaded is None or loaded.metaObject().className() != kind:
        mistakes.note(f"The .ui file wants a {kind} named {name}; the loader made {loaded}")
        return
    for each in element.findall("property"):
        is_dynamic = each.get("stdset") == "0"
        known = class_info.is_property(type(loaded), each.get("name", ""))
        if not known and not is_dynamic:
            mistakes.note(f"The .ui file sets the property {each.get('name')} that {kind} does not have")
