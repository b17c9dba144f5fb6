"""The widgets of CTK that the extension uses."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Property, QEvent, QObject, QRect, QSize, Qt, Signal, Slot
from PySide6.QtGui import QPainter, QPaintEvent, QShowEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QHBoxLayout,
    QStyle,
    QStyleOptionButton,
    QToolButton,
    QWidget,
)


def held(kind: type | str, default: Any) -> Property:
    """A property that only keeps its value."""
    key = object()

    def values(widget: QWidget) -> dict:
        return widget.__dict__.setdefault("_held_values", {})

    return Property(
        kind,
        lambda widget: values(widget).get(key, default),
        lambda widget, value: values(widget).__setitem__(key, value),
    )


class ctkCollapsibleButton(QAbstractButton):
    """A title bar; the children below it show only while it isn't collapsed and nobody has hidden them."""

    _BAR = 24

    contentsCollapsed = Signal(bool)
    flat = held(bool, False)

    def __init__(self, text: str | QWidget | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent if isinstance(text, str) else text)
        self.setText(text if isinstance(text, str) else "")
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, self._BAR, 0, 0)
        self.toggled.connect(self._on_toggled)
        self._is_forcing = False

    def _is_collapsed(self) -> bool:
        return not self.isChecked()

    def _set_collapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = Property(bool, _is_collapsed, _set_collapsed, notify=contentsCollapsed)

    def _on_toggled(self, opened: bool) -> None:
        self._show_children()
        self.updateGeometry()
        self.contentsCollapsed.emit(not opened)

    def _show_children(self) -> None:
        for child in self.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly):
            if child.property("visibilityToParent") is None:
                was_hidden = child.testAttribute(Qt.WidgetAttribute.WA_WState_ExplicitShowHide)
                child.setProperty("visibilityToParent", not (was_hidden and child.isHidden()))
                child.installEventFilter(self)
            self._show_child(child)

    def _show_child(self, child: QWidget) -> None:
        # As in CTK: before the button has been shown nothing is forced.
        if self.testAttribute(Qt.WidgetAttribute.WA_WState_Created):
            self._is_forcing = True
            child.setVisible(self.isChecked() and child.property("visibilityToParent"))
            if child.property("visibilityToParent"):
                # Or Qt would not tell when somebody hides it meanwhile.
                child.setAttribute(Qt.WidgetAttribute.WA_WState_ExplicitShowHide, False)
            self._is_forcing = False

    def showEvent(self, event: QShowEvent) -> None:
        self._show_children()

    def eventFilter(self, child: QObject, event: QEvent) -> bool:
        """Notice who shows or hides a child, for when the button is opened or closed."""
        if not self._is_forcing:
            if event.type() == QEvent.Type.ShowToParent:
                child.setProperty("visibilityToParent", True)
                self._show_child(child)
            elif event.type() == QEvent.Type.HideToParent:
                child.setProperty("visibilityToParent", False)
        return False

    def hitButton(self, position: Any) -> bool:
        return QRect(0, 0, self.width(), self._BAR).contains(position)

    def sizeHint(self) -> QSize:
        return self._with_bar(
            self.layout().totalSizeHint() if self.layout() and self.isChecked() else QSize()
        )

    def minimumSizeHint(self) -> QSize:
        return self._with_bar(
            self.layout().totalMinimumSize() if self.layout() and self.isChecked() else QSize()
        )

    def _with_bar(self, contents: QSize) -> QSize:
        title = self.fontMetrics().horizontalAdvance(self.text()) + 40
        return QSize(max(title, contents.width()), max(self._BAR, contents.height()))

    def paintEvent(self, event: QPaintEvent) -> None:
        option = QStyleOptionButton()
        option.initFrom(self)
        option.rect = QRect(0, 0, self.width(), self._BAR)
        painter = QPainter(self)
        self.style().drawControl(QStyle.ControlElement.CE_PushButtonBevel, option, painter, self)
        arrow = "\u25be" if self.isChecked() else "\u25b8"
        painter.drawText(
            option.rect.adjusted(8, 0, -8, 0), Qt.AlignmentFlag.AlignVCenter, f"{arrow}  {self.text()}"
        )


class ctkPathLineEdit(QWidget):
    """An editable path with a button that opens a dialog."""

    currentPathChanged = Signal(str)

    label = held(str, "")
    filters = held(int, 7)
    options = held(int, 0)
    settingKey = held(str, "")
    sizeAdjustPolicy = held(int, 0)
    nameFilters = held(list, [])

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._combo_box = QComboBox(self)
        self._combo_box.setEditable(True)
        self._button = QToolButton(self)
        self._button.setText("...")
        self._button.clicked.connect(self.browse)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo_box, 1)
        layout.addWidget(self._button)
        self._combo_box.currentTextChanged.connect(self.currentPathChanged)

    def _path(self) -> str:
        return self._combo_box.currentText()

    @Slot(str)
    def setCurrentPath(self, path: str) -> None:
        self._combo_box.setEditText(path)

    currentPath = Property(str, _path, setCurrentPath, user=True)

    @Slot()
    def browse(self) -> None:
        raise NotImplementedError("A file dialog can't be opened in a test: set currentPath")


CLASSES = (ctkCollapsibleButton, ctkPathLineEdit)
