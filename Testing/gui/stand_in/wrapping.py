"""Wrapped objects and classes that behave as PythonQt's do.

Properties are attributes, an attribute that isn't a property can't be set, and classes don't inherit from one
another: ``isinstance(qt.QPushButton(), qt.QWidget)`` is False. All this follows PythonQtInstanceWrapper.cpp.
"""

from __future__ import annotations

import types
from typing import Any
from weakref import WeakValueDictionary

import shiboken6
from PySide6.QtCore import QObject

from . import class_info, methods_of_objects, names, signals
from .class_info import ENUM, METHOD, PROPERTY, SIGNAL
from .conversion import from_qt, to_qt

_classes: dict[type, ClassWrapper] = {}
_instances: WeakValueDictionary[int, InstanceWrapper] = WeakValueDictionary()


class Method:
    """A bound method of a wrapped object: arguments and result are converted, keywords aren't known."""

    def __init__(self, owner: Any, name: str) -> None:
        self._owner = owner
        self._name = name

    def __call__(self, *arguments: Any) -> Any:
        extra = getattr(methods_of_objects, self._name, None) if isinstance(self._owner, QObject) else None
        if extra is not None and self._name in names.OF_EVERY_OBJECT:
            return from_qt(extra(self._owner, *arguments))
        name = self._name.removesuffix("_")  # exec_
        if not hasattr(self._owner, name):
            raise NotImplementedError(
                f"{_name_of(self._owner)} has the method {name}(), the stand-in lacks it"
            )
        return from_qt(getattr(self._owner, name)(*(to_qt(each) for each in arguments)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Method) and (self._owner, self._name) == (other._owner, other._name)

    def __hash__(self) -> int:
        return hash((id(self._owner), self._name))


class ClassWrapper(type):
    """The type of wrapped classes. ``_implementation`` is the class behind it."""

    _implementation: type

    def __new__(cls, name: str, bases: tuple, namespace: dict) -> ClassWrapper:
        parent = next((each for each in bases if isinstance(each, ClassWrapper)), None)
        if parent is not None and "_implementation" not in namespace:
            namespace["_implementation"] = _derived(name, parent._implementation, namespace)
            namespace["_is_python_class"] = True
        elif parent is not None:
            namespace["__slots__"] = ()
        return super().__new__(cls, name, bases, namespace)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        kind = class_info.kind_of(cls._implementation, name)
        if kind == ENUM:
            return class_info.enum_value(cls._implementation, name)
        if kind == METHOD and hasattr(cls._implementation, name):
            function = getattr(cls._implementation, name)
            special = methods_of_objects.STATIC.get((cls.__name__, name))
            if special is not None:
                return special
            return lambda *arguments: from_qt(function(*(to_qt(each) for each in arguments)))
        raise AttributeError(f"type object '{cls.__name__}' has no attribute '{name}'")


class InstanceWrapper(metaclass=ClassWrapper):
    """A wrapped object."""

    __slots__ = ("__weakref__", "_qt_object")
    _implementation = object
    _is_python_class = False

    def __init__(self, *arguments: Any) -> None:
        implementation = type(self)._implementation
        _take(self, implementation(*(to_qt(each) for each in arguments)))
        if self._is_python_class:
            # A C++ object with a parent outlives its Python variable, and the Python part with it.
            implementation_of(self)._python_part = self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        implementation = type(self)._implementation
        if name == "name" and not class_info.is_property(implementation, "name"):
            name = "objectName"
        kind = class_info.kind_of(implementation, name)
        target = implementation_of(self)
        if kind == PROPERTY:
            return from_qt(_read_property(target, name))
        if kind == METHOD:
            return Method(target, name)
        if kind == SIGNAL:
            return signals.Signal(target, name)
        if kind == ENUM:
            return class_info.enum_value(implementation, name)
        if isinstance(target, QObject) and name in _dynamic_properties(target):
            return from_qt(target.property(name))
        raise AttributeError(f"{_name_of(target)} has no attribute named '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        implementation = type(self)._implementation
        if name == "name" and not class_info.is_property(implementation, "name"):
            name = "objectName"
        kind = class_info.kind_of(implementation, name)
        target = implementation_of(self)
        if kind == PROPERTY:
            _write_property(target, name, value)
        elif kind is not None:
            raise AttributeError(f"{kind} '{name}' can not be overwritten on {type(self).__name__} object")
        elif isinstance(target, QObject) and name in _dynamic_properties(target):
            target.setProperty(name, to_qt(value))
        elif self._is_python_class:
            object.__setattr__(self, name, value)
        else:
            raise AttributeError(
                f"'{name}' does not exist on {type(self).__name__} and creating new attributes on C++ "
                "objects is not allowed"
            )

    def __bool__(self) -> bool:
        return shiboken6.isValid(self._qt_object)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, InstanceWrapper):
            return NotImplemented
        if isinstance(self._qt_object, QObject):
            return self._qt_object is other._qt_object
        return self._qt_object == other._qt_object

    def __hash__(self) -> int:
        return id(self._qt_object)

    def __add__(self, other: Any) -> Any:
        return from_qt(self._qt_object + to_qt(other))

    def __sub__(self, other: Any) -> Any:
        return from_qt(self._qt_object - to_qt(other))

    def __mul__(self, other: Any) -> Any:
        return from_qt(self._qt_object * to_qt(other))

    def __repr__(self) -> str:
        return f"{type(self).__name__} (stand-in, wraps {self._qt_object!r})"


def implementation_of(wrapper: InstanceWrapper) -> Any:
    """The object of PySide6 behind a wrapper.

    Raises:
        ValueError: The C++ object is gone.
    """
    try:
        target = object.__getattribute__(wrapper, "_qt_object")
    except AttributeError:
        raise ValueError(f"{type(wrapper).__name__}.__init__ was not called") from None
    if not shiboken6.isValid(target):
        raise ValueError(f"Trying to use a destroyed {type(wrapper).__name__} object")
    return target


def class_wrapper(implementation: type) -> ClassWrapper:
    """The class that Python code sees for a class of PySide6 or of the stand-in."""
    if implementation not in _classes:
        _classes[implementation] = ClassWrapper(
            implementation.__name__, (InstanceWrapper,), {"_implementation": implementation}
        )
    return _classes[implementation]


def wrap(target: Any) -> InstanceWrapper:
    """The wrapper of an object of PySide6: always the same one while it lives."""
    python_part = getattr(target, "_python_part", None)
    if python_part is not None:
        return python_part
    address = shiboken6.getCppPointer(target)[0] if isinstance(target, QObject) else id(target)
    known = _instances.get(address)
    if known is not None and known._qt_object is target:
        return known
    shown = next(each for each in type(target).__mro__ if _is_shown(each))
    wrapper = class_wrapper(shown).__new__(class_wrapper(shown))
    _take(wrapper, target)
    return wrapper


def _is_shown(implementation: type) -> bool:
    return implementation.__name__ in names.CLASSES or implementation.__name__ in names.QT_CLASSES or (
        implementation.__module__.startswith("PySide6.") and not issubclass(implementation, QObject)
    )  # fmt: skip


def _take(wrapper: InstanceWrapper, target: Any) -> None:
    object.__setattr__(wrapper, "_qt_object", target)
    if isinstance(target, QObject):
        _instances[shiboken6.getCppPointer(target)[0]] = wrapper


def _derived(name: str, implementation: type, namespace: dict) -> type:
    """A class of PySide6 that calls what the Python class overrides."""

    def forwarding(method: str) -> types.FunctionType:
        def forward(self: Any, *arguments: Any) -> Any:
            return to_qt(getattr(self._python_part, method)(*(from_qt(each) for each in arguments)))

        return forward

    overridden = [
        each
        for each, value in namespace.items()
        if isinstance(value, types.FunctionType)
        and not each.startswith("_")
        and hasattr(implementation, each)
    ]
    return type(implementation)(name, (implementation,), {each: forwarding(each) for each in overridden})


def _read_property(target: QObject, name: str) -> Any:
    if target.metaObject().indexOfProperty(name) < 0:
        raise NotImplementedError(f"{_name_of(target)} has the property {name}, the stand-in lacks it")
    capital = name[0].upper() + name[1:]
    for getter in (name, f"is{capital}", f"has{capital}"):
        found = getattr(target, getter, None)
        if callable(found):
            return found()
    return target.property(name)


def _write_property(target: QObject, name: str, value: Any) -> None:
    index = target.metaObject().indexOfProperty(name)
    if index < 0:
        raise NotImplementedError(f"{_name_of(target)} has the property {name}, the stand-in lacks it")
    prop = target.metaObject().property(index)
    if not prop.isWritable():
        raise AttributeError(f"Property '{name}' of {_name_of(target)} object is not writable")
    expected = {"QString": str, "bool": int, "int": (int, float), "double": (int, float)}.get(
        prop.typeName(), object
    )
    refused = AttributeError(
        f"Property '{name}' of type '{prop.typeName()}' does not accept an object of type "
        f"{type(value).__name__} ({value!r})"
    )
    if not isinstance(value, expected):
        raise refused
    if prop.typeName() == "int":
        value = value if isinstance(value, int) else int(value)
    setter = getattr(target, f"set{name[0].upper()}{name[1:]}", None)
    try:
        if callable(setter):
            setter(bool(value) if prop.typeName() == "bool" else to_qt(value))
        elif not target.setProperty(name, to_qt(value)):
            raise refused
    except TypeError as error:
        raise refused from error


def _dynamic_properties(target: QObject) -> list[str]:
    return [each.data().decode() for each in target.dynamicPropertyNames()]


def _name_of(target: Any) -> str:
    return target.metaObject().className() if isinstance(target, QObject) else type(target).__name__
