"""Methods that PythonQt adds to every QObject, and static methods that differ from those of PySide6."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import shiboken6
from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import QObject

from . import mistakes, signals
from .conversion import from_qt, to_qt


def connect(sender: QObject, signal: str, receiver: Any, slot: str | None = None) -> bool:
    return signals.connect(sender, signal, receiver if slot is None else to_qt(receiver), slot)


def disconnect(sender: QObject, signal: str, receiver: Any = None, slot: str | None = None) -> bool:
    return signals.disconnect(sender, signal, receiver if slot is None else to_qt(receiver), slot)


def parent(target: QObject) -> QObject | None:
    return target.parent()


def setParent(target: QObject, new_parent: Any) -> None:
    target.setParent(to_qt(new_parent))


def children(target: QObject) -> list[QObject]:
    return target.children()


def findChildren(target: QObject, kind: Any, name: str | None = None) -> list[QObject]:
    found = target.findChildren(QObject)
    if isinstance(kind, str):
        found = [each for each in found if each.inherits(kind)]
    else:
        wanted = getattr(kind, "_implementation", None)
        if wanted is None:
            return []
        found = [each for each in found if isinstance(each, wanted)]
    return [each for each in found if name is None or each.objectName() == name]


def findChild(target: QObject, kind: Any, name: str | None = None) -> QObject | None:
    return next(iter(findChildren(target, kind, name)), None)


def property(target: QObject, name: str) -> Any:
    return target.property(name)


def setProperty(target: QObject, name: str, value: Any) -> bool:
    return target.setProperty(name, to_qt(value))


def className(target: QObject) -> str:
    return target.metaObject().className()


def inherits(target: QObject, name: str) -> bool:
    return target.inherits(name)


def delete(target: QObject) -> None:
    shiboken6.delete(target)


def tr(target: QObject, text: str) -> str:
    return text


def _single_shot(milliseconds: int, receiver: Callable, member: str | None = None) -> None:
    # Slicer replaces PythonQt's by one with a timer of its own (slicerqt.py).
    timer = QtCore.QTimer(QtCore.QCoreApplication.instance())
    timer.setSingleShot(True)
    if member is None:
        signals.connect(timer, "timeout()", receiver)
    else:
        signals.connect(timer, "timeout()", to_qt(receiver), member)
    timer.timeout.connect(timer.deleteLater)
    timer.start(milliseconds)


def _asked(kind: str) -> Callable:
    def refused(*arguments: Any) -> Any:
        mistakes.note(f"{kind} was opened: a test would wait for ever. Replace it in the test.")
        return ""

    return refused


STATIC: dict[tuple[str, str], Callable] = {
    ("QTimer", "singleShot"): _single_shot,
    ("QObject", "connect"): lambda sender, *rest: connect(to_qt(sender), *rest),
    ("QObject", "disconnect"): lambda sender, *rest: disconnect(to_qt(sender), *rest),
    ("QApplication", "instance"): lambda: from_qt(QtWidgets.QApplication.instance()),
    **{
        (kind, name): _asked(f"{kind}.{name}")
        for kind, static in {
            "QMessageBox": "question information warning critical about",
            "QFileDialog": "getOpenFileName getOpenFileNames getSaveFileName getExistingDirectory",
        }.items()
        for name in static.split()
    },
}
