"""Widgets that show nodes of the scene."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6.QtCore import Property, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QWidget

from .ctk_widgets import held
from .observation import Observations


class qMRMLWidget(QWidget):
    """A widget that knows the scene."""

    mrmlSceneChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


class qMRMLNodeComboBox(QWidget):
    """Chooses a node. Without "None", the first node of a scene that is set is chosen, as in Slicer."""

    currentNodeChanged = Signal((object,), (bool,))
    currentNodeIDChanged = Signal(str)

    showHidden = held(bool, False)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._types: list[str] = []
        self._none_enabled = False
        self._none_display = "None"
        self._observations = Observations()
        self._combo_box = QComboBox(self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo_box)
        self._combo_box.currentIndexChanged.connect(self._emit_current)
        self.setEnabled(False)

    def _set_types(self, types: list[str]) -> None:
        self._types = list(types)
        self._refresh()

    nodeTypes = Property(list, lambda self: self._types, _set_types)

    def _enable_none(self, enabled: bool) -> None:
        self._none_enabled = enabled
        self._refresh()

    noneEnabled = Property(bool, lambda self: self._none_enabled, _enable_none)

    def _display_none(self, text: str) -> None:
        self._none_display = text
        self._refresh()

    noneDisplay = Property(str, lambda self: self._none_display, _display_none)

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        self._observations.clear()
        self._scene = scene
        if scene is not None:
            for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent):
                self._observations.add(scene, event, self._refresh)
            self._observations.add(scene, scene.EndImportEvent, self._fill_anew)
        self._refresh(selects_first=True)
        self.setEnabled(scene is not None)

    def currentNode(self) -> Any:
        return self._node_at(self._combo_box.currentIndex())

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentNodeID(node if isinstance(node, str) else node.GetID() if node is not None else "")

    def setCurrentNodeID(self, node_id: str) -> None:
        self._combo_box.setCurrentIndex(self._combo_box.findData(node_id))

    def _current_id(self) -> str:
        return self._combo_box.currentData() or ""

    currentNodeID = Property(str, _current_id, setCurrentNodeID)

    def _node_at(self, index: int) -> Any:
        node_id = self._combo_box.itemData(index) if self._scene is not None else None
        return self._scene.GetNodeByID(node_id) if node_id else None

    def _refresh(self, selects_first: bool = False) -> None:
        before, row = self._combo_box.currentData(), self._combo_box.currentIndex()
        wanted = [("", self._none_display)] if self._none_enabled else []
        if self._scene is not None:
            for kind in self._types:
                for node in slicer.util.getNodesByClass(kind, self._scene):
                    if self.showHidden or not node.GetHideFromEditors():
                        wanted.append((node.GetID(), node.GetName()))
        blocked = self._combo_box.blockSignals(True)
        self._combo_box.clear()
        for node_id, name in wanted:
            self._combo_box.addItem(name, node_id)
        at = self._combo_box.findData(before) if before is not None else -1
        if at < 0 and (before is not None or self._none_enabled or selects_first):
            # Qt goes to the neighbour of a row that is gone.
            at = min(max(row, 0), len(wanted) - 1)
        self._combo_box.setCurrentIndex(at)
        self._combo_box.blockSignals(blocked)
        if self._combo_box.currentData() != before:
            self._emit_current()

    def _fill_anew(self) -> None:
        """After an import Slicer's model removes all rows and adds them again: the choice is lost."""
        self._combo_box.setCurrentIndex(0 if self._none_enabled else -1)
        self._refresh()

    def _emit_current(self) -> None:
        node = self.currentNode()
        self.currentNodeChanged[object].emit(node)
        self.currentNodeChanged[bool].emit(node is not None)
        self.currentNodeIDChanged.emit(node.GetID() if node is not None else "")


CLASSES = (qMRMLWidget, qMRMLNodeComboBox)
