"""The whole way in the trainer's panel, by its buttons alone, with processes that really check and train."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def slicers_python(an_application):
    """Slicer's program for Python in a process of its own."""
    import slicer

    program = Path(slicer.app.slicerHome) / "bin" / "PythonSlicer"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    program.chmod(0o755)


@pytest.fixture
def a_tiny_checkpoint(an_application):
    """Installed, so that it is offered to start from: with it a training takes seconds."""
    from ENSAMSegmentGUI.user_files import models_folder
    from pure.tiny import write_checkpoint

    models_folder().mkdir(parents=True)
    return write_checkpoint(models_folder() / "tiny.safetensors")


@pytest.fixture
def a_module(an_application, slicers_python, a_tiny_checkpoint):
    pytest.importorskip("monai")
    pytest.importorskip("ENSAMTrainerLib.logic")
    widget = an_application.open_module(ROOT / "ENSAMTrainer" / "ENSAMTrainer.py")
    widget.parent.enter()
    yield widget
    widget.parent.exit()
    widget.cleanup()


@pytest.fixture
def accepting(monkeypatch):
    """The user presses OK in the dialog for the scene, each time with the next image."""
    from ENSAMTrainerGUI import cases, scene_dialog

    numbers = iter(range(9))

    class Accepting(scene_dialog.SceneDialog):
        def ask(self):
            import qt

            self.ui.choiceComboBox.currentIndex = next(numbers)
            qt.QTimer.singleShot(0, self.dialog.accept)
            return super().ask()

    monkeypatch.setattr(cases, "SceneDialog", Accepting)


def test_from_the_scene_to_an_installed_checkpoint(
    a_module, a_tiny_checkpoint, accepting, an_application, pump
):
    import slicer

    from ENSAMTrainer import ENSAMTrainerTest

    ui, errors = a_module.panel.ui, an_application.dialogs.errors
    for number in range(4):
        ENSAMTrainerTest().addCase(number)
    pump(lambda: ui.addFromSceneButton.enabled)
    for _ in range(4):
        ui.addFromSceneButton.click()
    assert ui.casesLabel.text == "4 cases, 4 not checked yet." and errors == []

    ui.checkButton.click()
    pump(lambda: ui.trainButton.enabled, 120)
    assert ui.casesLabel.text == "4 cases, all can be used."
    ui.caseTable.cellClicked.emit(0, 0)

    ui.baseComboBox.currentIndex = ui.baseComboBox.findText("tiny")
    # Epochs, not minutes: how far it comes must not depend on the machine.
    ui.unitComboBox.currentIndex = ui.unitComboBox.findData("epochs")
    ui.amountSpinBox.value = 40
    ui.trainButton.click()
    assert ui.stopButton.enabled and not ui.trainButton.enabled
    pump(lambda: ui.statusLabel.text.startswith("Training") and "left" in ui.statusLabel.text, 120)
    # It goes on without its panel and without the scene that it learned from.
    a_module.parent.exit()
    an_application.scene.Clear()
    pump(0.5)
    a_module.parent.enter()
    pump(lambda: ui.trainButton.enabled, 120)
    assert ui.verdictLabel.text.startswith("Better") and errors == []
    assert ui.comparisonTable.rowCount == 2
    ui.comparisonTable.cellClicked.emit(0, 0)

    ui.useButton.click()
    chosen = Path(slicer.app.userSettings().value("ENSAM/checkpoint"))
    assert chosen.parent == a_tiny_checkpoint.parent and chosen.with_suffix(".json").is_file()
    assert ui.baseComboBox.count == 3 and not ui.useButton.enabled
    ui.takeBackButton.click()
    assert slicer.app.userSettings().value("ENSAM/checkpoint") == "" and not chosen.exists()
    assert ui.useButton.enabled and a_tiny_checkpoint.is_file() and errors == []
