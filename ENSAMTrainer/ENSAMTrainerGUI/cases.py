"""The first part of the panel: the collection of cases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import qt
import slicer
from ENSAMSegmentGUI.colors import color_in
from ENSAMSegmentGUI.reporting import errors_shown
from slicer.i18n import tr as _

from .scene_dialog import SceneDialog
from .user_settings import TRAINING_FOLDER_KEY
from .words import case_text, cases_text, state_color, state_text

if TYPE_CHECKING:
    from ENSAMTrainerLib.logic import ENSAMTrainerLogic
    from ENSAMTrainerLib.values import CaseRow


class Cases:
    """Shows `logic.rows()`, and adds, checks, shows and removes cases."""

    def __init__(self, ui: object, logic: ENSAMTrainerLogic) -> None:
        self._ui = ui
        self._logic = logic
        self._table = ui.caseTable
        self._rows: tuple[CaseRow, ...] = ()
        self._scene_has_cases = False
        self.connections: tuple[tuple[object, str, Callable[..., None]], ...] = (
            (self._table, "cellClicked(int,int)", self._on_click),
            (self._table, "itemSelectionChanged()", self._show_selected),
            (ui.addFromSceneButton, "clicked()", self._on_add_from_scene),
            (ui.addScenesButton, "clicked()", self._on_add_scenes),
            (ui.addFolderButton, "clicked()", self._on_add_folder),
            (ui.checkButton, "clicked()", self._on_check),
            (ui.removeButton, "clicked()", self._on_remove),
            (ui.folderButton, "clicked()", self._on_folder),
        )

    def refresh(self) -> None:
        """Show the cases as they are now."""
        rows = self._logic.rows()
        if rows != self._rows or not self._ui.casesLabel.text:
            self._rows = rows
            self.fill()
        self._ui.casesLabel.text = cases_text(rows)
        self._table.visible = bool(rows)
        ending = Path(*self._logic.folder.parts[-2:])
        self._ui.folderLabel.text = _("Kept in {folder}").format(folder=ending)
        self._ui.folderLabel.toolTip = str(self._logic.folder)
        self._show_selected()

    def look_at_scene(self) -> None:
        """The scene may offer other cases now."""
        with errors_shown():
            self._scene_has_cases = bool(self._logic.scene_choices())
        self._show_selected()

    def fill(self) -> None:
        """Write the table anew, in colours that can be read on what the window looks like now."""
        selected = self._selected()
        blocked = self._table.blockSignals(True)
        self._table.setRowCount(len(self._rows))
        for at, case in enumerate(self._rows):
            texts = (case.name, ", ".join(case.segments), state_text(case))
            for column, text in enumerate(texts):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(case_text(case))
                color = state_color(case.state) if column == len(texts) - 1 else None
                if color:
                    item.setForeground(qt.QBrush(qt.QColor(color_in(self._table, color))))
                self._table.setItem(at, column, item)
        self._table.blockSignals(blocked)
        self._select(selected)

    def _select(self, name: str) -> None:
        names = [case.name for case in self._rows]
        if name in names:
            self._table.selectRow(names.index(name))
        else:
            self._table.setCurrentCell(-1, -1)

    def _selected(self) -> str:
        """The selected case's name, "" where none is."""
        item = self._table.item(self._table.currentRow(), 0)
        return item.text() if item is not None else ""

    def _show_selected(self) -> None:
        is_working = self._logic.status.kind == "working"
        name = self._selected()
        case = next((case for case in self._rows if case.name == name), None)
        self._ui.remarkLabel.text = case_text(case) if case else ""
        self._ui.remarkLabel.visible = case is not None
        self._ui.removeButton.enabled = case is not None and not is_working
        self._ui.checkButton.enabled = bool(self._rows) and not is_working
        self._ui.addFromSceneButton.enabled = self._scene_has_cases and not is_working
        for button in (self._ui.addScenesButton, self._ui.addFolderButton, self._ui.folderButton):
            button.enabled = not is_working

    def _on_click(self, row: int, column: int) -> None:
        with errors_shown(), slicer.util.WaitCursor():
            self._logic.show_case(self._rows[row].name)

    def _on_add_from_scene(self) -> None:
        with errors_shown():
            chosen = SceneDialog(self._logic.scene_choices()).ask()
            if chosen:
                with slicer.util.WaitCursor():
                    name = self._logic.add_from_scene(*chosen)
                self._select(name)

    def _on_add_scenes(self) -> None:
        paths = qt.QFileDialog.getOpenFileNames(
            slicer.util.mainWindow(), _("Add saved scenes"), "", _("Scenes") + " (*.mrb *.mrml)"
        )
        for path in paths:
            # One that can't be read doesn't keep the others out.
            with errors_shown(), slicer.util.WaitCursor():
                self._logic.add_scene_file(path)

    def _on_add_folder(self) -> None:
        path = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Add a folder of cases"))
        if path:
            with errors_shown():
                self._logic.add_folder(path)

    def _on_check(self) -> None:
        with errors_shown():
            self._logic.check()

    def _on_remove(self) -> None:
        name = self._selected()
        # Slicer's log gets the question, and must not get the name.
        kept = _("'{name}' is deleted here; what it was copied from stays as it is.").format(name=name)
        if slicer.util.confirmOkCancelDisplay(_("Delete the copy of this case?"), informativeText=kept):
            with errors_shown():
                self._logic.remove(name)

    def _on_folder(self) -> None:
        path = qt.QFileDialog.getExistingDirectory(
            slicer.util.mainWindow(), _("Folder of the cases and trainings"), str(self._logic.folder)
        )
        if path:
            with errors_shown():
                self._logic.folder = Path(path)
                slicer.app.userSettings().setValue(TRAINING_FOLDER_KEY, path)
