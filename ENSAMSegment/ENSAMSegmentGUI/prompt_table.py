"""The list of the selected segment's prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import qt

from .icons import sign_icon
from .reporting import errors_shown
from .words import position_text, prompt_name

if TYPE_CHECKING:
    from ENSAMSegmentLib.logic import ENSAMSegmentLogic
    from ENSAMSegmentLib.prompt_nodes import PromptRow


class PromptTable:
    """Shows `logic.prompt_rows()` and passes on what is done to a row: tick, change sign, delete, jump."""

    def __init__(self, ui: object, logic: ENSAMSegmentLogic) -> None:
        self.logic = logic
        self._ui = ui
        self._table = ui.promptTable
        self._rows: tuple[PromptRow, ...] | None = None
        self._icons = {kind: sign_icon(kind) for kind in ("box", "foreground", "background")}
        self._delete_key = qt.QShortcut(qt.QKeySequence(qt.Qt.Key_Delete), self._table)
        self._delete_key.setContext(qt.Qt.WidgetShortcut)
        self._connections = (
            (self._table, "cellChanged(int,int)", self._on_cell_changed),
            (self._table, "cellDoubleClicked(int,int)", self._on_double_click),
            (self._table, "itemSelectionChanged()", self._enable_buttons),
            (self._delete_key, "activated()", self._on_delete),
            (ui.flipButton, "clicked()", self._on_flip),
            (ui.deleteButton, "clicked()", self._on_delete),
            (ui.clearButton, "clicked()", self._on_clear),
        )
        for sender, signal, slot in self._connections:
            sender.connect(signal, slot)

    def refresh(self) -> None:
        """Show the prompts as they are now."""
        rows = self.logic.prompt_rows()
        if rows != self._rows:
            self._rows = rows
            self._fill(rows)
        self._enable_buttons()

    def cleanup(self) -> None:
        """Cut all connections."""
        for sender, signal, slot in self._connections:
            sender.disconnect(signal, slot)

    def _fill(self, rows: tuple[PromptRow, ...]) -> None:
        table = self._table
        selected = table.currentRow()
        # Filling is not ticking.
        blocked = table.blockSignals(True)
        table.setRowCount(len(rows))
        for at, row in enumerate(rows):
            name = self._item(at, 0)
            name.setText(prompt_name(row.kind, row.index))
            name.setIcon(self._icons[row.kind])
            name.setCheckState(qt.Qt.Unchecked if row.muted else qt.Qt.Checked)
            self._item(at, 1).setText(position_text(row.position_ras))
        if 0 <= selected < len(rows):
            table.selectRow(selected)
        else:
            table.setCurrentCell(-1, -1)
        table.blockSignals(blocked)

    def _item(self, at: int, column: int) -> qt.QTableWidgetItem:
        # An item is kept and changed: it may be the one whose tick is being handled.
        if self._table.item(at, column) is None:
            self._table.setItem(at, column, qt.QTableWidgetItem())
        return self._table.item(at, column)

    def _enable_buttons(self) -> None:
        row = self._selected()
        self._ui.flipButton.enabled = row is not None and row.kind != "box"
        self._ui.deleteButton.enabled = row is not None
        self._ui.clearButton.enabled = bool(self._rows)

    def _selected(self) -> PromptRow | None:
        at = self._table.currentRow()
        return self._rows[at] if self._rows and 0 <= at < len(self._rows) else None

    def _on_cell_changed(self, at: int, column: int) -> None:
        if column == 0:
            muted = self._table.item(at, 0).checkState() != qt.Qt.Checked
            with errors_shown():
                self.logic.set_muted(self._rows[at], muted)

    def _on_double_click(self, at: int, column: int) -> None:
        with errors_shown():
            self.logic.jump_to(self._rows[at])

    def _on_flip(self) -> None:
        self._do_with_selected(self.logic.flip)

    def _on_delete(self) -> None:
        self._do_with_selected(self.logic.remove)

    def _on_clear(self) -> None:
        with errors_shown():
            self.logic.clear_prompts()

    def _do_with_selected(self, action: object) -> None:
        row = self._selected()
        if row is not None:
            with errors_shown():
                action(row)
