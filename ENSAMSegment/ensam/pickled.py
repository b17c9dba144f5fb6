"""The objects in a pickled numpy array, read as data.

ENSAM never loads a pickle, because loading one runs whatever its author wrote. The challenge's files
nevertheless hold their boxes and clicks as pickled object arrays. This module walks through such a pickle
instruction by instruction and builds lists, dicts with text keys, tuples, text, bytes, numbers and numpy
arrays. Of all the callables a pickle may name it knows the three by which numpy stores arrays, data types
and numbers, and carries these out itself. Any other name or instruction is refused; nothing in a file is
imported or called.
"""

from __future__ import annotations

import math
import pickletools
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np


class RefusedPickleError(ValueError):
    """A pickle that is damaged, or that asks for more than plain data and numpy arrays."""


@dataclass(eq=False)
class PickledArray:
    """An array from a pickle: its `shape`, and its `items`, objects in a list or numbers in an array."""

    shape: tuple[int, ...] = ()
    items: list[Any] | np.ndarray | None = None


@dataclass(eq=False)
class _Type:
    code: str
    order: str = "="


class _Global(Enum):
    ARRAY = "ndarray"
    TYPE = "dtype"
    MAKE_ARRAY = "_reconstruct"
    MAKE_NUMBER = "scalar"


_MARK = object()
_MAX_DIMENSIONS = 64
_OBJECT_CODES = ("O", "O8")
_NUMBER_CODES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
_GLOBALS = {
    ("numpy", "ndarray"): _Global.ARRAY,
    ("numpy", "dtype"): _Global.TYPE,
    # The module's name in numpy 1, then in numpy 2.
    ("numpy.core.multiarray", "_reconstruct"): _Global.MAKE_ARRAY,
    ("numpy._core.multiarray", "_reconstruct"): _Global.MAKE_ARRAY,
    ("numpy.core.multiarray", "scalar"): _Global.MAKE_NUMBER,
    ("numpy._core.multiarray", "scalar"): _Global.MAKE_NUMBER,
}


def read_object_array(pickle: bytes) -> list[Any]:
    """The items of a one-dimensional numpy object array from its pickle (protocol 3 or 4, as numpy writes).

    Raises `RefusedPickleError`. A hostile pickle may use one item many times over or put a list into itself:
    follow the structure you expect and count as you go, instead of walking through all there is.
    """
    try:
        array = _Machine().run(pickle)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise RefusedPickleError("The pickle is damaged or holds more than plain data.") from error
    if not isinstance(array, PickledArray) or not isinstance(array.items, list):
        raise RefusedPickleError("The pickle isn't an array of objects.")
    if array.shape != (len(array.items),):
        raise RefusedPickleError("The pickled array isn't one-dimensional.")
    return array.items


class _Machine:
    """The stack and the memo of a pickle, and those instructions that build plain data."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, pickle: bytes) -> Any:
        for instruction, argument, _ in pickletools.genops(pickle):
            self.step(instruction.name, argument)
        (result,) = self.stack
        return result

    def step(self, name: str, argument: Any) -> None:
        stack = self.stack
        match name:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "BININT" | "BININT1" | "BININT2" | "BINFLOAT":
                stack.append(argument)
            case "BINUNICODE" | "SHORT_BINUNICODE" | "BINBYTES" | "SHORT_BINBYTES":
                stack.append(argument)
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(name == "NEWTRUE")
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_TUPLE":
                stack.append(())
            case "MARK":
                stack.append(_MARK)
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self.pop(int(name[-1]))))
            case "TUPLE":
                stack.append(tuple(self.pop_to_mark()))
            case "APPEND" | "APPENDS":
                items = self.pop(1) if name == "APPEND" else self.pop_to_mark()
                _expect(stack[-1], list).extend(items)
            case "SETITEM" | "SETITEMS":
                items = self.pop(2) if name == "SETITEM" else self.pop_to_mark()
                # Text keys only: the hash of a nest of shared tuples would take for ever.
                keys = [_expect(key, str) for key in items[::2]]
                _expect(stack[-1], dict).update(zip(keys, items[1::2], strict=True))
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "GLOBAL":
                stack.append(_GLOBALS[tuple(argument.split(" "))])
            case "STACK_GLOBAL":
                module, function = self.pop(2)
                stack.append(_GLOBALS[_expect(module, str), _expect(function, str)])
            case "REDUCE":
                stack.append(_make(*self.pop(2)))
            case "BUILD":
                (state,) = self.pop(1)
                _set_state(stack[-1], state)
            case _:
                raise RefusedPickleError(f"The pickle has the instruction {name}.")

    def pop(self, count: int) -> list[Any]:
        items = self.stack[-count:]
        if len(items) < count or any(item is _MARK for item in items):
            raise RefusedPickleError("The pickle's stack is too short.")
        del self.stack[-count:]
        return items

    def pop_to_mark(self) -> list[Any]:
        items = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]


def _make(function: Any, arguments: Any) -> PickledArray | _Type | float:
    """Carry out one of numpy's three callables."""
    _expect(arguments, tuple)
    if function is _Global.MAKE_ARRAY and arguments == (_Global.ARRAY, (0,), b"b"):
        return PickledArray()
    if function is _Global.TYPE and arguments[0] in _OBJECT_CODES + _NUMBER_CODES:
        return _Type(arguments[0])
    if function is _Global.MAKE_NUMBER:
        kind, data = arguments
        return np.frombuffer(_expect(data, bytes), _number_type(kind), count=1).item()
    raise RefusedPickleError("The pickle calls something other than numpy's array, type and number.")


def _set_state(target: Any, state: Any) -> None:
    """Complete an array or a data type by the state that numpy stored with it."""
    _expect(state, tuple)
    if isinstance(target, _Type):
        target.order = {"<": "<", ">": ">", "|": "="}[_expect(state[1], str)]
        return
    array = _expect(target, PickledArray)
    _, shape, kind, is_fortran, items = state
    if len(_expect(shape, tuple)) > _MAX_DIMENSIONS:
        raise RefusedPickleError("The pickled array has too many dimensions.")
    array.shape = tuple(_expect(length, int) for length in shape)
    if _expect(kind, _Type).code in _OBJECT_CODES:
        array.items = _expect(items, list)
    elif math.prod(array.shape) == 0:
        # numpy makes no array from no bytes, and an empty one may claim any length along its other axes.
        array.items = np.empty(0, _number_type(kind))
    else:
        # A view, not a copy: a small pickle may build arrays from the same bytes a million times.
        numbers = np.frombuffer(_expect(items, bytes), _number_type(kind))
        array.items = numbers.reshape(array.shape, order="F" if is_fortran else "C")


def _number_type(kind: Any) -> np.dtype:
    if _expect(kind, _Type).code not in _NUMBER_CODES:
        raise RefusedPickleError("The pickle has a number of a type that isn't one.")
    return np.dtype(kind.code).newbyteorder(kind.order)


def _expect(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise RefusedPickleError(f"The pickle has something other than {kind.__name__} in its place.")
    return value
