"""The third part of the panel: is the result better?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

import qt
import slicer
from ENSAMSegmentGUI.colors import BAD, GOOD, color_in, style
from ENSAMSegmentGUI.reporting import errors_shown
from slicer.i18n import tr as _

from .words import dice_color, dice_text

if TYPE_CHECKING:
    from ENSAMTrainerLib.logic import ENSAMTrainerLogic
    from ENSAMTrainerLib.values import ComparisonRow


class Judging:
    """Shows `logic.judgement` with the mean of its comparisons, and a row of these in the views."""

    def __init__(self, ui: object, logic: ENSAMTrainerLogic) -> None:
        self._ui = ui
        self._logic = logic
        self._rows: tuple[ComparisonRow, ...] = ()
        self.connections: tuple[tuple[object, str, Callable[..., None]], ...] = (
            (ui.comparisonTable, "cellClicked(int,int)", self._on_click),
        )

    def refresh(self) -> None:
        """Show the judgement as it is now."""
        ui, judgement = self._ui, self._logic.judgement
        ui.verdictLabel.text = judgement.verdict or _(
            "Nothing to judge yet. A training compares the held-out cases here, before and after."
        )
        is_better, rows = judgement.is_better, judgement.comparisons
        color = GOOD if is_better else BAD
        ui.verdictLabel.styleSheet = "" if is_better is None else style(ui.comparisonTable, color)
        ui.cautionLabel.text = judgement.caution
        ui.cautionLabel.visible = bool(judgement.caution)
        if rows != self._rows:
            self._rows = rows
            self.fill()
        ui.comparisonTable.visible = bool(rows)

    def fill(self) -> None:
        """Write the table anew, in colours that can be read on what the window looks like now."""
        table = self._ui.comparisonTable
        table.setRowCount(len(self._rows) + 1 if self._rows else 0)
        for at, row in enumerate(self._rows):
            self._fill_row(at, row.case, row.segment, [row])
        if self._rows:
            self._fill_row(len(self._rows), _("Mean"), "", self._rows, is_bold=True)
            table.resizeColumnToContents(2)

    def _fill_row(
        self, at: int, case: str, segment: str, rows: Sequence[ComparisonRow], is_bold: bool = False
    ) -> None:
        box = fmean(row.before_box for row in rows), fmean(row.after_box for row in rows)
        clicks = fmean(row.before_clicks for row in rows), fmean(row.after_clicks for row in rows)
        cells = (
            (case, None),
            (segment, None),
            (dice_text(*box), dice_color(*box)),
            (dice_text(*clicks), dice_color(*clicks)),
        )
        for column, (text, color) in enumerate(cells):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(text)
            if color:
                item.setForeground(qt.QBrush(qt.QColor(color_in(self._ui.comparisonTable, color))))
            if is_bold:
                font = item.font()
                font.setBold(True)
                item.setFont(font)
            self._ui.comparisonTable.setItem(at, column, item)

    def _on_click(self, row: int, column: int) -> None:
        # The last row is the mean: there is nothing to see of it.
        if row < len(self._rows):
            with errors_shown(), slicer.util.WaitCursor():
                self._logic.show_comparison(self._rows[row])
