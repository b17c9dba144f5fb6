"""Parameters of an effect: attributes and references of the segment editor node."""

from __future__ import annotations

from typing import Any

from . import mistakes


class EffectParameters:
    """Part of an effect; ``name`` is the effect's, ``_node`` the segment editor node."""

    name: str
    _node: Any = None

    def parameter(self, name: str) -> str:
        if self._node is None:
            return ""
        value = self._node.GetAttribute(f"{self.name}.{name}") or self._node.GetAttribute(name)
        if value is None:
            mistakes.note(f"Parameter named {name} cannot be found for effect {self.name}")
        return value or ""

    def integerParameter(self, name: str) -> int:
        return int(self._number(name, int))

    def doubleParameter(self, name: str) -> float:
        return self._number(name, float)

    def _number(self, name: str, kind: type) -> float:
        text = self.parameter(name)
        try:
            return kind(text)
        except ValueError:
            mistakes.note(f"Parameter named {name} cannot be converted to a number: {text!r}")
            return 0

    def setParameter(self, name: str, value: str | float) -> None:
        self.setCommonParameter(f"{self.name}.{name}", value)

    def setParameterDefault(self, name: str, value: str | float) -> None:
        if not self.parameterDefined(name):
            self.setParameter(name, value)

    def setCommonParameter(self, name: str, value: str | float) -> None:
        if not isinstance(value, str | int | float):
            raise ValueError(f"A parameter is a string or a number, not {value!r}")
        if self._node is None:
            mistakes.note(f"Invalid segment editor parameter set node set to effect {self.name}")
            return
        text = value if isinstance(value, str) else str(int(value) if isinstance(value, bool) else value)
        if (self._node.GetAttribute(name) or "") == text:
            return
        disabled = self._node.GetDisableModifiedEvent()
        self._node.SetDisableModifiedEvent(1)
        self._node.SetAttribute(name, text)
        self._node.SetDisableModifiedEvent(disabled)
        self._node.InvokeCustomModifiedEvent(self._node.EffectParameterModified)

    def parameterDefined(self, name: str) -> bool:
        return self.commonParameterDefined(f"{self.name}.{name}")

    def commonParameterDefined(self, name: str) -> bool:
        return self._node is not None and bool(self._node.GetAttribute(name))
