"""The effects of one segment editor: its own copies, their order, and which is active."""

from __future__ import annotations

import slicer
from PySide6.QtCore import QObject

from . import mistakes
from .effects import qSlicerSegmentEditorEffectFactory


class EditorEffects:
    """Part of the segment editor."""

    def updateEffectList(self) -> None:
        have = [each.name for each in self._effects]
        for original in qSlicerSegmentEditorEffectFactory.instance().effects:
            if original.name in have:
                continue
            effect = original.clone()
            effect.editor = self
            self._effects.append(effect)
            if self._node is not None:
                effect.setParameterSetNode(self._node)
                effect.set_mrml_defaults()
                self._of_node.add(self._node, self._node.EffectParameterModified, effect.updateGUIFromMRML)
            effect.setup_options_frame()
            effect.optionsFrame().setVisible(False)
            self._panel.options.addWidget(effect.optionsFrame())
        ordered = [each for name in self._order for each in self._effects if each.name == name]
        rest = [each for each in self._effects if each not in ordered] if self._unordered_visible else []
        self._panel.show_effects([None, *ordered, *rest], self.setActiveEffect)

    def activeEffect(self) -> QObject | None:
        return self._active

    def setActiveEffect(self, effect: QObject | None) -> None:
        if self._node is None:
            if effect is not None:
                mistakes.note(
                    "qMRMLSegmentEditorWidget::setActiveEffect: Invalid segment editor parameter set node"
                )
            return
        self._node.SetActiveEffectName(effect.name if effect is not None else "")

    def setActiveEffectByName(self, name: str) -> None:
        self.setActiveEffect(self.effectByName(name))

    def effectByName(self, name: str | None) -> QObject | None:
        return next((each for each in self._effects if each.name == name), None)

    def effectByIndex(self, index: int) -> QObject | None:
        return self._effects[index - 1] if 0 < index <= len(self._effects) else None

    def availableEffectNames(self) -> list[str]:
        return [each.name for each in self._effects]

    def effectNameOrder(self) -> list[str]:
        return self._order

    def setEffectNameOrder(self, order: list[str]) -> None:
        self._order = list(order)
        self.updateEffectList()

    def _show_unordered(self, visible: bool) -> None:
        self._unordered_visible = visible
        self.updateEffectList()

    def _follow_effect(self) -> None:
        self._panel.enable_effects(self._node.GetSourceVolumeNode() is not None)
        wanted = self.effectByName(self._node.GetActiveEffectName())
        if wanted is self._active:
            return
        if self._active is not None:
            self._active.deactivate()
        if wanted is not None and not self._logic.SetSourceRepresentationToBinaryLabelMap():
            wanted = None
        if wanted is not None:
            transform = slicer.vtkMRMLInteractionNode.ViewTransform
            # Whoever was placing markups stops.
            if self._interaction is not None and self._interaction.GetCurrentInteractionMode() != transform:
                self._interaction.SetCurrentInteractionMode(transform)
            wanted.activate()
        self._last_active, self._active = self._active, wanted
        self._panel.show_active(wanted)

    def toggle_last_effect(self) -> None:
        self.setActiveEffect(self._last_active)
