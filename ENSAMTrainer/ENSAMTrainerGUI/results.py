"""The last parts of the panel: use the result here, or train on a bigger machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import qt
import slicer
from ensam.errors import InputError
from ENSAMSegmentGUI.reporting import errors_shown
from slicer.i18n import tr as _

if TYPE_CHECKING:
    from ENSAMTrainerLib.logic import ENSAMTrainerLogic


class Results:
    """Shows the result's card, installs it and takes it back, exports a recipe and imports its result."""

    def __init__(self, ui: object, logic: ENSAMTrainerLogic) -> None:
        self._ui = ui
        self._logic = logic
        self.connections: tuple[tuple[object, str, Callable[..., None]], ...] = (
            (ui.useButton, "clicked()", self._on_install),
            (ui.takeBackButton, "clicked()", self._on_take_back),
            (ui.exportButton, "clicked()", self._on_export),
            (ui.importButton, "clicked()", self._on_import),
        )

    def refresh(self) -> None:
        """Show the result as it is now."""
        ui, logic = self._ui, self._logic
        is_working = logic.status.kind == "working"
        ui.resultLabel.text = " ".join(filter(None, (self._sentence(), self._other_sentence())))
        ui.cardLabel.text = self._card()
        ui.cardLabel.visible = bool(ui.cardLabel.text)
        ui.useButton.enabled = logic.can_install
        ui.takeBackButton.enabled = bool(logic.last_installed)
        ui.exportButton.enabled = logic.has_cases and not is_working
        ui.importButton.enabled = not is_working

    def _card(self) -> str:
        try:
            return self._logic.card_text
        except InputError as error:
            # A result can be used whose card is not in order.
            return str(error)

    def _sentence(self) -> str:
        if self._logic.installed_result:
            return _("'{name}' is installed: ENSAM Interactive Segmentation lists it under Advanced.").format(
                name=self._logic.installed_result
            )
        if self._logic.can_install:
            return _("The new checkpoint is ready. ENSAM goes on as before until you install it.")
        return _("There is no new checkpoint. ENSAM goes on as before.")

    def _other_sentence(self) -> str:
        """What 'Take back' would take out, if it isn't this result."""
        name = self._logic.last_installed
        if name == self._logic.installed_result:
            return ""
        return _("'Take back' takes out '{name}', which was installed before.").format(name=name)

    def _on_install(self) -> None:
        with errors_shown(), slicer.util.WaitCursor():
            self._logic.install()

    def _on_take_back(self) -> None:
        with errors_shown():
            self._logic.take_back()

    def _on_export(self) -> None:
        path = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder for the recipe"))
        if path:
            with errors_shown():
                self._logic.export_recipe(path)

    def _on_import(self) -> None:
        path = qt.QFileDialog.getOpenFileName(
            slicer.util.mainWindow(), _("Import a result"), "", _("Weights") + " (*.safetensors)"
        )
        if path:
            with errors_shown(), slicer.util.WaitCursor():
                self._logic.import_result(path)
