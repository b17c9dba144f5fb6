"""The names that the real classes show to Python, as read from their headers."""

from __future__ import annotations

import json
from pathlib import Path

_TABLES = json.loads(Path(__file__).with_name("names.json").read_text())

# Classes of CTK and Slicer: base, properties, methods, signals, enums, header.
CLASSES: dict[str, dict] = _TABLES["classes"]

# Classes of Qt: methods (beside slots and invokable methods), header.
QT_CLASSES: dict[str, dict] = _TABLES["qt"]

# What PythonQt itself gives to every QObject, see PythonQtStdDecorators.h and PythonQtInstanceWrapper.cpp.
_OF_EVERY_OBJECT = """
className children connect delete disconnect findChild findChildren help inherits metaObject parent property
setParent setProperty tr
"""
OF_EVERY_OBJECT = frozenset(_OF_EVERY_OBJECT.split())

# Slots and signals of Qt 6 that Slicer's Qt 5.15 lacks.
_ONLY_IN_QT6 = "checkStateChanged enabledChanged visibleChanged checkableChanged resetEnabled"
ONLY_IN_QT6 = frozenset(_ONLY_IN_QT6.split())
