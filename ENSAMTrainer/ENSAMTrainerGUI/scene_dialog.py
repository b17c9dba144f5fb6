"""Which image of the scene to train on, which of its segments, and whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

if TYPE_CHECKING:
    from ENSAMTrainerLib.values import SceneChoice

_UI_FILE = Path(__file__).resolve().parents[1] / "Resources" / "UI" / "ENSAMSceneChoice.ui"


class SceneDialog:
    """Asks once. At first the segments with prompts are ticked; where none has any, all are."""

    def __init__(self, choices: Sequence[SceneChoice]) -> None:
        self._choices = choices
        self.dialog = qt.QDialog(slicer.util.mainWindow())
        self.dialog.windowTitle = _("Add from scene")
        contents = slicer.util.loadUI(str(_UI_FILE))
        self.ui = slicer.util.childWidgetVariables(contents)
        self.dialog.setLayout(qt.QVBoxLayout())
        self.dialog.layout().addWidget(contents)
        for choice in choices:
            self.ui.choiceComboBox.addItem(
                _("{image} with {segmentation}").format(
                    image=choice.volume_name, segmentation=choice.segmentation_name
                )
            )
        self._connections = (
            (self.ui.choiceComboBox, "currentIndexChanged(int)", self._fill),
            (self.ui.segmentList, "itemChanged(QListWidgetItem*)", self._enable_ok),
            (self.ui.buttonBox, "accepted()", self.dialog.accept),
            (self.ui.buttonBox, "rejected()", self.dialog.reject),
        )
        for sender, signal, slot in self._connections:
            sender.connect(signal, slot)
        self._fill()

    def ask(self) -> tuple[str, str, tuple[str, ...], str] | None:
        """Ids of the image, of the segmentation and of its ticked segments, and the patient, "" if none was
        named; None if the user gave up."""
        accepted = self.dialog.exec_() == qt.QDialog.Accepted
        choice = self._choice()
        patient = self.ui.patientLineEdit.text.strip()
        answer = (choice.volume_id, choice.segmentation_id, self._ticked(), patient)
        for sender, signal, slot in self._connections:
            sender.disconnect(signal, slot)
        self.dialog.deleteLater()
        return answer if accepted else None

    def _choice(self) -> SceneChoice:
        return self._choices[self.ui.choiceComboBox.currentIndex]

    def _fill(self) -> None:
        segments = self._choice().segments
        any_prompts = any(segment.prompts for segment in segments)
        segment_list = self.ui.segmentList
        blocked = segment_list.blockSignals(True)
        segment_list.clear()
        for segment in segments:
            text = segment.name
            if segment.prompts:
                text = _("{name} ({count} prompts)").format(name=segment.name, count=segment.prompts)
            item = qt.QListWidgetItem(text)
            is_ticked = bool(segment.prompts) or not any_prompts
            item.setCheckState(qt.Qt.Checked if is_ticked else qt.Qt.Unchecked)
            segment_list.addItem(item)
        segment_list.blockSignals(blocked)
        self._enable_ok()

    def _ticked(self) -> tuple[str, ...]:
        return tuple(
            segment.id
            for at, segment in enumerate(self._choice().segments)
            if self.ui.segmentList.item(at).checkState() == qt.Qt.Checked
        )

    def _enable_ok(self) -> None:
        self.ui.buttonBox.button(qt.QDialogButtonBox.Ok).enabled = bool(self._ticked())
