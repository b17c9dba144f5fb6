"""The collapsed part of the panel: grey values, device, weights, and prompts in files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import qt
import slicer
from ensam.checkpoint_store import CheckpointStore
from ensam.errors import InputError
from slicer.i18n import tr as _

from .choices import choose, chosen, device_choices, fill, intensity_choices
from .reporting import errors_shown
from .user_files import models_folder
from .weights import Weights

if TYPE_CHECKING:
    from ENSAMSegmentLib.logic import ENSAMSegmentLogic

# Where Slicer keeps what belongs to the user and this computer, not to a scene.
DEVICE_KEY = "ENSAM/device"


class Advanced:
    """Device and weights are kept in Slicer's settings, grey values by the host, with the scene."""

    def __init__(self, ui: object, logic: ENSAMSegmentLogic) -> None:
        self._logic = logic
        self._ui = ui
        fill(ui.intensityComboBox, intensity_choices())
        fill(ui.deviceComboBox, device_choices())
        self._weights = Weights(ui, logic, CheckpointStore(models_folder()), self._show_card)
        self._connections: tuple[tuple[object, str, Callable[..., None]], ...] = (
            (ui.deviceComboBox, "currentIndexChanged(int)", self._on_device),
            (ui.advancedButton, "contentsCollapsed(bool)", self._show_card),
            (ui.savePromptsButton, "clicked()", self._on_save_prompts),
            (ui.loadPromptsButton, "clicked()", self._on_load_prompts),
        )
        for sender, signal, slot in self._connections:
            sender.connect(signal, slot)

    def use(self, logic: ENSAMSegmentLogic) -> None:
        """Serve another logic from now on."""
        self._logic = self._weights.logic = logic
        self.load_settings()

    def load_settings(self) -> None:
        """Give the logic this user's device and weights."""
        self._logic.device = slicer.app.userSettings().value(DEVICE_KEY) or "auto"
        choose(self._ui.deviceComboBox, self._logic.device)
        self._weights.load()
        self._show_card()

    @property
    def intensity(self) -> str:
        """The grey values that are chosen, in the logic's words."""
        return chosen(self._ui.intensityComboBox)

    @intensity.setter
    def intensity(self, choice: str) -> None:
        choose(self._ui.intensityComboBox, choice)

    def cleanup(self) -> None:
        """Cut all connections."""
        for sender, signal, slot in self._connections:
            sender.disconnect(signal, slot)
        self._weights.cleanup()

    def _show_card(self) -> None:
        # The card is read from the file: not before someone looks.
        if self._ui.advancedButton.collapsed:
            return
        try:
            text = self._logic.card_text()
        except InputError as error:
            # A path is typed letter by letter: a dialog at each of them would be in the way.
            text = str(error)
        self._ui.cardLabel.text = text

    def _on_device(self) -> None:
        self._logic.device = chosen(self._ui.deviceComboBox)
        slicer.app.userSettings().setValue(DEVICE_KEY, self._logic.device)

    def _on_save_prompts(self) -> None:
        path = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(), _("Save prompts"), "prompts.json", _file_filter()
        )
        if path and Path(path).suffix.lower() != ".json":
            path += ".json"
            # The dialog has asked about the name that was typed.
            question = _("'{name}' is there already. Replace it?").format(name=Path(path).name)
            if Path(path).exists() and not slicer.util.confirmOkCancelDisplay(question):
                return
        if path:
            with errors_shown():
                self._logic.save_prompts(path)

    def _on_load_prompts(self) -> None:
        path = qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), _("Load prompts"), "", _file_filter())
        if path:
            with errors_shown():
                self._logic.load_prompts(path)


def _file_filter() -> str:
    return _("Prompts") + " (*.json)"
