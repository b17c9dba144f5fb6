"""Values on their way between Python code and PySide6, as PythonQt converts them."""

from __future__ import annotations

import enum
from typing import Any

import shiboken6


class EnumValue(int):
    """An enum value: an int, as in PythonQt, that remembers what PySide6 wants in its place."""

    member: enum.Enum | int

    def __new__(cls, member: enum.Enum | int) -> EnumValue:
        value = super().__new__(cls, member.value if isinstance(member, enum.Enum) else member)
        value.member = member
        return value

    def __or__(self, other: int) -> int:
        if isinstance(other, EnumValue) and isinstance(self.member, enum.Flag):
            other_member = other.member
            if isinstance(other_member, type(self.member)):
                return EnumValue(self.member | other_member)
        return int(self) | int(other)


def to_qt(value: Any) -> Any:
    """What PySide6 takes for a value of Python code."""
    from .wrapping import ClassWrapper, InstanceWrapper, implementation_of

    if isinstance(value, InstanceWrapper):
        return implementation_of(value)
    if isinstance(value, EnumValue):
        return value.member
    if isinstance(value, ClassWrapper):
        return value._implementation
    if isinstance(value, list | tuple):
        return [to_qt(each) for each in value]
    if isinstance(value, dict):
        return {key: to_qt(each) for key, each in value.items()}
    return value


def from_qt(value: Any) -> Any:
    """What Python code gets for a value of PySide6: wrapped objects, tuples for lists, ints for enums."""
    from .wrapping import wrap

    if isinstance(value, enum.Enum):
        return EnumValue(value)
    if isinstance(value, list | tuple):
        return tuple(from_qt(each) for each in value)
    if isinstance(value, dict):
        return {key: from_qt(each) for key, each in value.items()}
    if isinstance(value, shiboken6.Shiboken.Object):
        return wrap(value)
    return value
