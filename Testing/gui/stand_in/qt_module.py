"""The flat module ``qt``: classes of QtCore, QtGui, QtWidgets and QtUiTools by one name."""

from __future__ import annotations

import types

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from . import names
from .ui_loader import UiLoader
from .wrapping import ClassWrapper, class_wrapper


def make() -> types.ModuleType:
    """Only classes in ``names.json`` are there; ``qt.Signal`` and ``qt.Slot`` don't exist in PythonQt."""
    module = types.ModuleType("qt", "Stand-in for PythonQt's module qt")
    for name in names.QT_CLASSES:
        found = next(
            (getattr(m, name) for m in (QtCore, QtGui, QtWidgets, QtUiTools) if hasattr(m, name)), None
        )
        if found is not None:
            setattr(module, name, class_wrapper(found))
    module.QUiLoader = class_wrapper(UiLoader)
    module.Qt = _namespace()
    return module


def _namespace() -> ClassWrapper:
    return class_wrapper(QtCore.Qt)
