"""How a value of each type is kept in a parameter node."""

from __future__ import annotations

import enum
import pathlib
import types
import typing
from typing import Any

import slicer


class Serializer:
    """Keeps values of one type, as text."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind

    def default(self) -> Any:
        return self.kind()

    def check(self, value: Any) -> None:
        if value is None:
            raise ValueError("Value must not be None")
        wanted = (int, float) if self.kind is float else self.kind
        if not isinstance(value, wanted):
            raise TypeError(f"Value must be of type '{self.kind}', is type '{type(value)}' value '{value}'")

    def is_in(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(name))

    def write(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, str(value))

    def read(self, node: Any, name: str) -> Any:
        return self.kind(node.GetParameter(name))


class BoolSerializer(Serializer):
    def read(self, node: Any, name: str) -> bool:
        return node.GetParameter(name) == "True"


class EnumSerializer(Serializer):
    def default(self) -> Any:
        return next(iter(self.kind))

    def write(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, value.name)

    def read(self, node: Any, name: str) -> Any:
        return self.kind[node.GetParameter(name)]


class NodeSerializer(Serializer):
    """A reference, by a role that has the parameter's name."""

    def default(self) -> None:
        return None

    def check(self, value: Any) -> None:
        if value is not None:
            super().check(value)

    def write(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node: Any, name: str) -> Any:
        return node.GetNodeReference(name)


def serializer_for(kind: Any) -> Serializer:
    """Of a union, only "a node or None" is known: the stand-in has no lists, packs or other unions."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kinds = tuple(each for each in typing.get_args(kind) if each is not type(None))
        if all(issubclass(each, slicer.vtkMRMLNode) for each in kinds):
            return NodeSerializer(kinds)
    elif isinstance(kind, type):
        if kind is bool:
            return BoolSerializer(kind)
        if kind in (int, float, str, pathlib.Path):
            return Serializer(kind)
        if issubclass(kind, enum.Enum):
            return EnumSerializer(kind)
        if issubclass(kind, slicer.vtkMRMLNode):
            return NodeSerializer(kind)
    raise NotImplementedError(f"The stand-in keeps no parameters of type {kind}")
