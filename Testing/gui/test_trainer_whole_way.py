"""The whole way in the trainer's panel, by its buttons alone, with processes that really check and train."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def slicers_python(an_application):
    """Slicer's program for Python in a process of its own."""
    import slicer

    program = Path(slicer.app.slicerHome) / "bin" / "PythonSlicer"
    program.parent.mkdir()
    # One thread: tiny tensors gain nothing from more, and lose much where the machine is busy.
    program.write_text(f'#!/bin/sh\nOMP_NUM_THREADS=1 exec "{sys.executable}" "$@"\n')
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
def a_saved_scene(an_application, tmp_path, monkeypatch):
    """Four corrected images in a bundle, which the next file dialog gives; the scene is empty again."""
    import slicer
    from ENSAMTrainerGUI import cases

    from ENSAMTrainer import ENSAMTrainerTest

    scene, path = an_application.scene, tmp_path / "study.mrb"
    cache = slicer.vtkCacheManager()
    cache.SetMRMLScene(scene)
    cache.SetRemoteCacheDirectory(str(tmp_path / "cache"))
    scene.GetDataIOManager().SetCacheManager(cache)
    for number in range(4):
        ENSAMTrainerTest().addCase(number)
    assert scene.WriteToMRB(str(path), None)
    scene.Clear()
    dialog = SimpleNamespace(getOpenFileNames=lambda *_: (str(path),))
    qt = SimpleNamespace(**{**vars(cases.qt), "QFileDialog": dialog})
    monkeypatch.setattr(cases, "qt", qt)


def test_from_a_saved_scene_to_an_installed_checkpoint(
    a_module, a_tiny_checkpoint, a_saved_scene, an_application, pump
):
    import slicer

    ui, errors = a_module.panel.ui, an_application.dialogs.errors
    assert not ui.addFromSceneButton.enabled
    ui.addScenesButton.click()
    assert ui.casesLabel.text == "4 cases, 4 not checked yet." and errors == []

    ui.checkButton.click()
    pump(lambda: ui.trainButton.enabled, 120)
    assert ui.casesLabel.text == "4 cases, all can be used."
    ui.caseTable.cellClicked.emit(0, 0)

    ui.baseComboBox.currentIndex = ui.baseComboBox.findText("tiny")
    # Epochs, not minutes: how far it comes must not depend on the machine.
    ui.unitComboBox.currentIndex = ui.unitComboBox.findData("epochs")
    ui.amountSpinBox.value = 20
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
