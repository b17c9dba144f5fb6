"""Which names a C++ class shows in PythonQt, and of which kind each is."""

from __future__ import annotations

import enum
from functools import cache
from typing import NamedTuple

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets
from PySide6.QtCore import QMetaMethod, QObject

from . import names
from .conversion import EnumValue


class _MetaObject(NamedTuple):
    """What a class of Qt declares."""

    properties: frozenset[str]
    signals: frozenset[str]
    methods: frozenset[str]
    method_count: int


def _read(implementation: type) -> _MetaObject:
    meta = implementation.staticMetaObject
    properties = [meta.property(index) for index in range(meta.propertyCount())]
    methods = [meta.method(index) for index in range(meta.methodCount())]
    is_signal = QMetaMethod.MethodType.Signal
    return _MetaObject(
        frozenset(each.name() for each in properties),
        frozenset(m.name().data().decode() for m in methods if m.methodType() == is_signal),
        frozenset(
            m.name().data().decode()
            for m in methods
            if m.methodType() != is_signal and m.access() == QMetaMethod.Access.Public
        ),
        len(methods),
    )


# Read in advance: PySide6 drops a class's meta object together with the first object that was asked for it.
_META_OBJECTS = {
    each: _read(each)
    for module in (QtCore, QtGui, QtWidgets, QtUiTools)
    for each in (getattr(module, name) for name in dir(module))
    if isinstance(each, type) and issubclass(each, QObject)
}

PROPERTY, METHOD, SIGNAL, ENUM = "Property", "Slot", "Signal", "EnumValue"


@cache
def kind_of(implementation: type, name: str) -> str | None:
    """The kind of member that ``name`` is, or None if the class shows no such name. Properties come first."""
    if issubclass(implementation, QObject):
        if is_property(implementation, name):
            return PROPERTY
        if name in names.OF_EVERY_OBJECT:
            return METHOD
    if name in _signals(implementation):
        return SIGNAL
    if name in _methods(implementation):
        return METHOD
    if enum_value(implementation, name) is not None:
        return ENUM
    if name.endswith("_") and name[:-1] in _methods(implementation):  # exec_
        return METHOD
    return None


def is_property(implementation: type, name: str) -> bool:
    # PythonQt hides it for the sake of the static method of the same name.
    if name == "singleShot" and implementation.__name__ == "QTimer":
        return False
    if any(name in names.CLASSES[each]["properties"] for each in _slicer_classes(implementation)):
        return True
    return name in _meta_object(implementation).properties


@cache
def enum_value(implementation: type, name: str) -> EnumValue | None:
    for each in _slicer_classes(implementation):
        if name in names.CLASSES[each]["enums"]:
            return EnumValue(names.CLASSES[each]["enums"][name])
    for base in implementation.__mro__:
        for member in vars(base).values():
            if isinstance(member, enum.EnumMeta) and name in member.__members__:
                return EnumValue(member[name])
    return None


@cache
def _methods(implementation: type) -> frozenset[str]:
    """Public methods: slots and invokable methods, and those that generated wrappers add to Qt's classes."""
    methods = {m for each in _slicer_classes(implementation) for m in names.CLASSES[each]["methods"]}
    for base in implementation.__mro__:
        methods.update(names.QT_CLASSES.get(base.__name__, {}).get("methods", ()))
    if issubclass(implementation, QObject):
        methods.update(_meta_object(implementation).methods)
    return frozenset(methods - names.ONLY_IN_QT6)


@cache
def _signals(implementation: type) -> frozenset[str]:
    if not issubclass(implementation, QObject):
        return frozenset()
    declared = {
        s.partition("(")[0]
        for each in _slicer_classes(implementation)
        for s in names.CLASSES[each]["signals"]
    }
    return (declared | _meta_object(implementation).signals) - names.ONLY_IN_QT6


def method_count(implementation: type) -> int:
    """How many methods Qt's own class declares."""
    return _meta_object(implementation).method_count


def _slicer_classes(implementation: type) -> list[str]:
    return [each.__name__ for each in implementation.__mro__ if each.__name__ in names.CLASSES]


def _meta_object(implementation: type) -> _MetaObject:
    return next(_META_OBJECTS[each] for each in implementation.__mro__ if each in _META_OBJECTS)
