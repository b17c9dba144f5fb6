"""The second part of the panel: what to train, and how it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ENSAMSegmentGUI.choices import choose, chosen, device_choices, fill
from ENSAMSegmentGUI.colors import BAD, style
from ENSAMSegmentGUI.reporting import errors_shown
from slicer.i18n import tr as _

from .user_settings import save_choice

if TYPE_CHECKING:
    from ENSAMSegmentLib.status import Status
    from ENSAMTrainerLib.logic import ENSAMTrainerLogic

_PROGRESS_STEPS = 100


class Training:
    """Shows `logic.choice`, its estimate and `logic.status`, and starts, stops and resumes."""

    def __init__(self, ui: object, logic: ENSAMTrainerLogic) -> None:
        self._ui = ui
        self._logic = logic
        self._bases: tuple[tuple[str, str], ...] = ()
        fill(ui.unitComboBox, (("minutes", _("minutes")), ("epochs", _("epochs"))))
        fill(ui.deviceComboBox, device_choices())
        self.connections: tuple[tuple[object, str, Callable[..., None]], ...] = (
            (ui.baseComboBox, "currentIndexChanged(int)", self._on_choice),
            (ui.amountSpinBox, "valueChanged(double)", self._on_choice),
            (ui.unitComboBox, "currentIndexChanged(int)", self._on_choice),
            (ui.edgeSpinBox, "valueChanged(int)", self._on_choice),
            (ui.heldOutSpinBox, "valueChanged(int)", self._on_choice),
            (ui.deviceComboBox, "currentIndexChanged(int)", self._on_choice),
            (ui.nameLineEdit, "textEdited(QString)", self._on_choice),
            (ui.licenceLineEdit, "textEdited(QString)", self._on_choice),
            (ui.estimateButton, "clicked()", self._on_estimate),
            (ui.trainButton, "clicked()", self._on_train),
            (ui.stopButton, "clicked()", self._on_stop),
            (ui.resumeButton, "clicked()", self._on_resume),
            (ui.plotButton, "clicked()", self._on_plot),
        )

    def refresh(self) -> None:
        """Show choice, estimate and status as they are now."""
        ui, logic = self._ui, self._logic
        is_working = logic.status.kind == "working"
        self._show_choice()
        # What is chosen now wouldn't reach a training that runs.
        ui.choiceBox.enabled = not is_working
        ui.estimateButton.enabled = logic.has_cases and not is_working
        ui.estimateLabel.text = logic.estimate_text
        ui.trainButton.enabled = logic.can_start
        ui.stopButton.enabled = logic.can_stop
        ui.resumeButton.enabled = logic.can_resume
        ui.plotButton.enabled = logic.can_plot
        self.show(logic.status)

    def _show_choice(self) -> None:
        ui, choice = self._ui, self._logic.choice
        bases = tuple((known.path, known.name) for known in self._logic.checkpoints())
        if choice.base not in [path for path, _name in bases]:
            # It was taken back since: the logic says so when it is asked to train.
            bases += ((choice.base, Path(choice.base).stem),)
        if bases != self._bases:
            self._bases = bases
            fill(ui.baseComboBox, bases)
        for combo_box, word in (
            (ui.baseComboBox, choice.base),
            (ui.unitComboBox, choice.unit),
            (ui.deviceComboBox, choice.device),
        ):
            choose(combo_box, word)
        for spin_box, value in (
            (ui.amountSpinBox, choice.amount),
            (ui.edgeSpinBox, choice.edge),
            (ui.heldOutSpinBox, round(100 * choice.held_out)),
        ):
            # Setting what is there would write it anew for who is typing.
            if spin_box.value != value:
                blocked = spin_box.blockSignals(True)
                spin_box.value = value
                spin_box.blockSignals(blocked)
        for line_edit, text in ((ui.nameLineEdit, choice.name), (ui.licenceLineEdit, choice.licence)):
            if line_edit.text != text:
                line_edit.text = text

    def show(self, status: Status) -> None:
        """Show a sentence, what is behind it, and how far it is."""
        ui = self._ui
        ui.statusBox.visible = bool(status.text)
        ui.statusLabel.text = status.text
        ui.statusLabel.styleSheet = style(ui.statusBox, BAD) if status.kind == "error" else ""
        ui.detailLabel.text = status.detail
        ui.detailLabel.visible = bool(status.detail)
        ui.progressBar.visible = status.kind == "working"
        # From 0 to 0 the bar runs to and fro.
        ui.progressBar.maximum = 0 if status.progress is None else _PROGRESS_STEPS
        ui.progressBar.value = round(_PROGRESS_STEPS * (status.progress or 0))

    def _on_choice(self) -> None:
        ui = self._ui
        choice = replace(
            self._logic.choice,
            base=chosen(ui.baseComboBox),
            amount=ui.amountSpinBox.value,
            unit=chosen(ui.unitComboBox),
            edge=ui.edgeSpinBox.value,
            device=chosen(ui.deviceComboBox),
            held_out=ui.heldOutSpinBox.value / 100,
            name=ui.nameLineEdit.text,
            licence=ui.licenceLineEdit.text,
        )
        with errors_shown():
            self._logic.choice = choice
            save_choice(choice)
            ui.estimateLabel.text = self._logic.estimate_text

    def _on_estimate(self) -> None:
        with errors_shown():
            self._logic.estimate()

    def _on_train(self) -> None:
        with errors_shown():
            self._logic.start()

    def _on_stop(self) -> None:
        with errors_shown():
            self._logic.stop()

    def _on_resume(self) -> None:
        with errors_shown():
            self._logic.resume()

    def _on_plot(self) -> None:
        with errors_shown():
            self._logic.show_plot()
