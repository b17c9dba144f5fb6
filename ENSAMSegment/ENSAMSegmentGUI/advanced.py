"""The collapsed part of the panel: grey values, device, weights, and prompts in files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import ctk
import qt
import slicer
from ensam.errors import InputError
from slicer.i18n import tr as _

from .reporting import errors_shown

if TYPE_CHECKING:
    from ENSAMSegmentLib.logic import ENSAMSegmentLogic

# Where Slicer keeps what belongs to the user and this computer, not to a scene.
DEVICE_KEY = "ENSAM/device"
CHECKPOINT_KEY = "ENSAM/checkpoint"


class Advanced:
    """Device and weights are kept in Slicer's settings, grey values by the host, with the scene."""

    def __init__(self, ui: object, logic: ENSAMSegmentLogic) -> None:
        self.logic = logic
        self._ui = ui
        _fill(ui.intensityComboBox, intensity_choices())
        _fill(ui.deviceComboBox, device_choices())
        ui.checkpointPathLineEdit.filters = ctk.ctkPathLineEdit.Files
        self._connections: tuple[tuple[object, str, Callable[..., None]], ...] = (
            (ui.deviceComboBox, "currentIndexChanged(int)", self._on_device),
            (ui.checkpointPathLineEdit, "currentPathChanged(QString)", self._on_checkpoint),
            (ui.shippedButton, "clicked()", self._on_shipped),
            (ui.advancedButton, "contentsCollapsed(bool)", self._show_card),
            (ui.savePromptsButton, "clicked()", self._on_save_prompts),
            (ui.loadPromptsButton, "clicked()", self._on_load_prompts),
        )
        for sender, signal, slot in self._connections:
            sender.connect(signal, slot)

    def load_settings(self) -> None:
        """Give the logic this user's device and weights."""
        settings = slicer.app.userSettings()
        self.logic.device = settings.value(DEVICE_KEY) or "auto"
        self.logic.checkpoint = settings.value(CHECKPOINT_KEY) or ""
        for widget, show in (
            (self._ui.deviceComboBox, lambda: _choose(self._ui.deviceComboBox, self.logic.device)),
            (self._ui.checkpointPathLineEdit, self._show_checkpoint),
        ):
            blocked = widget.blockSignals(True)
            show()
            widget.blockSignals(blocked)
        self._show_card()

    @property
    def intensity(self) -> str:
        """The grey values that are chosen, in the logic's words."""
        return self._ui.intensityComboBox.itemData(self._ui.intensityComboBox.currentIndex)

    @intensity.setter
    def intensity(self, choice: str) -> None:
        blocked = self._ui.intensityComboBox.blockSignals(True)
        _choose(self._ui.intensityComboBox, choice)
        self._ui.intensityComboBox.blockSignals(blocked)

    def cleanup(self) -> None:
        """Cut all connections."""
        for sender, signal, slot in self._connections:
            sender.disconnect(signal, slot)

    def _show_checkpoint(self) -> None:
        self._ui.checkpointPathLineEdit.currentPath = self.logic.checkpoint
        self._ui.shippedButton.enabled = bool(self.logic.checkpoint)

    def _show_card(self) -> None:
        # The card is read from the file: not before someone looks.
        if self._ui.advancedButton.collapsed:
            return
        try:
            text = self.logic.card_text()
        except InputError as error:
            # A path is typed letter by letter: a dialog at each of them would be in the way.
            text = str(error)
        self._ui.cardLabel.text = text

    def _on_device(self) -> None:
        self.logic.device = self._ui.deviceComboBox.itemData(self._ui.deviceComboBox.currentIndex)
        slicer.app.userSettings().setValue(DEVICE_KEY, self.logic.device)

    def _on_checkpoint(self) -> None:
        self.logic.checkpoint = self._ui.checkpointPathLineEdit.currentPath.strip()
        slicer.app.userSettings().setValue(CHECKPOINT_KEY, self.logic.checkpoint)
        self._ui.shippedButton.enabled = bool(self.logic.checkpoint)
        self._show_card()

    def _on_shipped(self) -> None:
        self._ui.checkpointPathLineEdit.currentPath = ""

    def _on_save_prompts(self) -> None:
        path = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(), _("Save prompts"), "prompts.json", _file_filter()
        )
        if path:
            with errors_shown():
                self.logic.save_prompts(Path(path).with_suffix(".json"))

    def _on_load_prompts(self) -> None:
        path = qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), _("Load prompts"), "", _file_filter())
        if path:
            with errors_shown():
                self.logic.load_prompts(path)


def intensity_choices() -> tuple[tuple[str, str], ...]:
    """The logic's word for each window of grey values, and the user's."""
    return (
        ("auto", _("Automatic")),
        ("percentile", _("All but the extremes (MR, PET, others)")),
        ("soft tissue", _("CT soft tissue")),
        ("lung", _("CT lung")),
        ("brain", _("CT brain")),
        ("bone", _("CT bone")),
    )


def device_choices() -> tuple[tuple[str, str], ...]:
    """The logic's word for each device, and the user's."""
    return (
        ("auto", _("Automatic")),
        ("cpu", _("Processor (CPU)")),
        ("cuda", _("NVIDIA graphics card (CUDA)")),
        ("mps", _("Apple graphics (MPS)")),
    )


def _file_filter() -> str:
    return _("Prompts") + " (*.json)"


def _fill(combo_box: object, choices: tuple[tuple[str, str], ...]) -> None:
    for word, label in choices:
        combo_box.addItem(label, word)


def _choose(combo_box: object, word: str) -> None:
    combo_box.currentIndex = max(0, combo_box.findData(word))
