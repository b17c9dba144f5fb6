"""What the segment editor shows: selectors, segments, effects, options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from PySide6.QtCore import Qt
from PySide6.QtGui import QIcon, QPixmap
from PySide6.QtWidgets import (
    QFormLayout,
    QFrame,
    QGridLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from .mrml_widgets import qMRMLNodeComboBox


class SegmentEditorPanel:
    """The widgets; they decide nothing."""

    def __init__(self, owner: QWidget) -> None:
        self.segmentations = qMRMLNodeComboBox()
        self.segmentations.nodeTypes = ["vtkMRMLSegmentationNode"]
        self.volumes = qMRMLNodeComboBox()
        self.volumes.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        self.volumes.noneEnabled = True
        self.volumes.noneDisplay = "Select source volume to enable editing"
        self.add, self.remove = QPushButton("Add"), QPushButton("Remove")
        self.show_3d, self.switch = QPushButton("Show 3D"), QPushButton("Segmentations...")
        self.geometry, self.masking = QToolButton(), QGroupBox("Masking")
        self.segments = QListWidget()
        self.segments.setMaximumHeight(120)
        self.undo, self.redo = QToolButton(), QToolButton()
        self.undo.setText("Undo")
        self.redo.setText("Redo")
        self.add_remove, self.undo_redo = _row(self.add, self.remove), _row(self.undo, self.redo)
        self._effects = QGridLayout()
        self._buttons: dict[str, QToolButton] = {}
        self._options_box = QGroupBox()
        self.options = QVBoxLayout(self._options_box)
        self._options_box.hide()
        selectors = QFormLayout()
        selectors.addRow(QLabel("Segmentation:"), self.segmentations)
        selectors.addRow(QLabel("Source volume:"), _row(self.volumes, self.geometry))
        layout = QVBoxLayout(owner)
        layout.addLayout(selectors)
        layout.addWidget(_row(self.add_remove, self.show_3d, self.switch))
        for each in (self.add_remove, self.undo_redo):
            each.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        layout.addWidget(self.segments)
        layout.addLayout(self._effects)
        for each in (self.undo_redo, self._options_box, self.masking):
            layout.addWidget(each)
        layout.addStretch(1)
        self.masking.hide()

    def fill(self, segments: list[tuple[str, str, QPixmap]], selected: str) -> None:
        self.segments.clear()
        for segment_id, name, colour in segments:
            item = QListWidgetItem(QIcon(colour), name, self.segments)
            item.setData(Qt.ItemDataRole.UserRole, segment_id)
            if segment_id == selected:
                self.segments.setCurrentItem(item)

    def selected_segment(self) -> str:
        items = self.segments.selectedItems()
        return items[0].data(Qt.ItemDataRole.UserRole) if items else ""

    def show_effects(self, effects: list[Any], choose: Callable[[Any], None]) -> None:
        for button in self._buttons.values():
            button.deleteLater()
        self._buttons.clear()
        for at, effect in enumerate(effects):
            button = QToolButton()
            button.setText(effect.title if effect is not None else "None")
            button.setCheckable(True)
            if effect is not None:
                button.setIcon(effect.icon())
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            button.clicked.connect(lambda _checked=False, effect=effect: choose(effect))
            self._effects.addWidget(button, at // 4, at % 4)
            self._buttons[effect.name if effect is not None else ""] = button

    def show_active(self, effect: Any) -> None:
        self._options_box.setVisible(effect is not None)
        self.masking.setVisible(effect is not None)
        self._options_box.setTitle(effect.title if effect is not None else "")
        for name, button in self._buttons.items():
            button.setChecked(name == (effect.name if effect is not None else ""))

    def enable_effects(self, enabled: bool) -> None:
        for each in (*self._buttons.values(), self._options_box):
            each.setEnabled(enabled)


def is_listed(node: Any, segment: Any) -> bool:
    """Whether the list's filter, by text and by state, lets a segment of a segmentation node be seen."""
    if not node.GetSegmentListFilterEnabled():
        return True
    pairs = (part.split(":") for part in node.GetSegmentListFilterOptions().split(";"))
    options = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
    text, states = options.get("text", ""), options.get("status", "")
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    state = logic.GetSegmentStatusAsMachineReadableString(logic.GetSegmentStatus(segment))
    return text.lower() in segment.GetName().lower() and (not states or state in states.split(","))


def _row(*widgets: QWidget) -> QFrame:
    row = QFrame()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for each in widgets:
        layout.addWidget(each)
    return row
