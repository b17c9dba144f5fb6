"""Connections by signature, as PythonQt makes them."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable
from typing import Any

import shiboken6
from PySide6.QtCore import SIGNAL, SLOT, QMetaObject, QObject

from . import class_info, mistakes, names
from .conversion import from_qt

# By the address of the sender: (signature, callable, connection). The callables are held, as in PythonQt.
_connections: dict[int, list[tuple[str, Callable, QMetaObject.Connection]]] = {}


def forget_all() -> None:
    """End all connections: the application outlives a test."""
    for kept in _connections.values():
        for _signature, _receiver, connection in kept:
            QObject.disconnect(connection)
    _connections.clear()


def signature_of(sender: QObject, signal: str) -> str | None:
    """The signature by which PySide6 knows a signal, or None if the real class has no such signal."""
    wanted = bytes(QMetaObject.normalizedSignature(signal.lstrip("2"))).decode()
    declared = {each for owner in _slicer_classes(sender) for each in names.CLASSES[owner]["signals"]}
    if wanted in declared:
        ours = re.sub(r"\w+\*", "PyObject", wanted)
        if sender.metaObject().indexOfSignal(ours) < 0:
            raise NotImplementedError(
                f"{type(sender).__name__} has the signal {wanted}, the stand-in lacks it"
            )
        return ours
    index = sender.metaObject().indexOfSignal(wanted)
    if index < 0 or wanted.partition("(")[0] in names.ONLY_IN_QT6:
        return None
    # A signal that a class of the stand-in declares must be one of the header.
    is_ours = index >= _first_own_method(sender)
    return None if is_ours else wanted


def connect(sender: QObject, signal: str, receiver: Any, slot: str | None = None) -> bool:
    signature = signature_of(sender, signal)
    if signature is None:
        kind = sender.metaObject().className()
        mistakes.note(f"PythonQt: QObject::connect() signal '{signal}' does not exist on {kind}")
        return False
    if slot is not None:
        return bool(QObject.connect(sender, SIGNAL(signature), receiver, SLOT(slot)))

    def called(*arguments: Any) -> None:
        receiver(*(from_qt(each) for each in arguments[: _taken_by(receiver, len(arguments))]))

    address = shiboken6.getCppPointer(sender)[0]
    if address not in _connections:
        _connections[address] = []
        sender.destroyed.connect(lambda: _connections.pop(address, None))
    connection = QObject.connect(sender, SIGNAL(signature), called)
    _connections[address].append((signature, receiver, connection))
    return True


def disconnect(sender: QObject, signal: str, receiver: Any = None, slot: str | None = None) -> bool:
    signature = signature_of(sender, signal)
    if signature is None:
        kind = sender.metaObject().className()
        mistakes.note(f"PythonQt: QObject::disconnect() signal '{signal}' does not exist on {kind}")
        return False
    if slot is not None:
        return bool(QObject.disconnect(sender, SIGNAL(signature), receiver, SLOT(slot)))
    kept = _connections.get(shiboken6.getCppPointer(sender)[0], [])
    ended = [each for each in kept if each[0] == signature and receiver in (None, each[1])]
    if receiver is not None:
        ended = ended[:1]
    for entry in ended:
        QObject.disconnect(entry[2])
        kept.remove(entry)
    return bool(ended)


def _taken_by(receiver: Any, given: int) -> int:
    # Only functions and bound methods of Python have their arguments counted. Others get all of them.
    function = receiver.__func__ if isinstance(receiver, types.MethodType) else receiver
    if not isinstance(function, types.FunctionType) or function.__code__.co_flags & inspect.CO_VARARGS:
        return given
    return min(given, function.__code__.co_argcount - (function is not receiver))


def _slicer_classes(sender: QObject) -> list[str]:
    return [each.__name__ for each in type(sender).__mro__ if each.__name__ in names.CLASSES]


def _first_own_method(sender: QObject) -> int:
    """Where the methods of the stand-in's classes begin in the meta object."""
    return class_info.method_count(type(sender))


class Signal:
    """``widget.clicked``: a signal bound to its object. Its first overload counts, as in PythonQt."""

    def __init__(self, sender: QObject, name: str) -> None:
        self._sender = sender
        self._name = name
        declared = [s for owner in _slicer_classes(sender) for s in names.CLASSES[owner]["signals"]]
        meta = sender.metaObject()
        known = [meta.method(i).methodSignature().data().decode() for i in range(meta.methodCount())]
        self._signature = next(each for each in declared + known if each.partition("(")[0] == name)

    def connect(self, receiver: Callable) -> bool:
        return connect(self._sender, self._signature, receiver)

    def disconnect(self, receiver: Callable | None = None) -> bool:
        return disconnect(self._sender, self._signature, receiver)

    def emit(self, *arguments: Any) -> None:
        from .conversion import to_qt

        getattr(self._sender, self._name).emit(*(to_qt(each) for each in arguments))

    __call__ = emit
