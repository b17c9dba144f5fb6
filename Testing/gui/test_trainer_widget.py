"""The module ENSAM Trainer: how it comes and goes, and what reaches its panel from the scene."""

from __future__ import annotations

import builtins
import sys
import types
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "ENSAMTrainer" / "ENSAMTrainer.py"
HEAVY = {"torch", "numpy", "monai", "SimpleITK", "ensam_training"}


@pytest.fixture
def a_fake_logic(an_application, monkeypatch):
    """In place of ENSAMTrainerLogic, wherever it is imported."""
    from . import fake_trainer_logic

    module = types.ModuleType("ENSAMTrainerLib.logic")
    module.ENSAMTrainerLogic = fake_trainer_logic.FakeTrainerLogic
    monkeypatch.setitem(sys.modules, "ENSAMTrainerLib.logic", module)
    return fake_trainer_logic


@pytest.fixture
def a_module(an_application, a_fake_logic):
    widget = an_application.open_module(MODULE)
    yield widget
    widget.cleanup()


@pytest.fixture
def an_entered_module(a_module):
    a_module.parent.enter()
    yield a_module
    if a_module.parent.isEntered:
        a_module.parent.exit()


def looked(widget):
    """How often the scene was looked at."""
    return widget.logic.calls.names().count("scene_choices")


# Start-up


@pytest.fixture
def imported(monkeypatch):
    """The packages that code imports from now on, whether they are there already or not."""
    found = set()
    original = builtins.__import__

    def noting(name, *arguments, **options):
        found.add(name.partition(".")[0])
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", noting)
    return found


def test_importing_the_module_loads_nothing_heavy(an_application, imported):
    an_application.load_module(MODULE)
    assert "slicer" in imported
    assert imported & {"ensam", "ENSAMSegmentGUI", "ENSAMTrainerGUI", "ENSAMTrainerLib", *HEAVY} == set()


def test_opening_the_panel_loads_neither_torch_nor_the_training(an_application, a_fake_logic, imported):
    widget = an_application.open_module(MODULE)
    widget.parent.enter()
    widget.parent.exit()
    widget.cleanup()
    assert "ENSAMTrainerGUI" in imported and imported & HEAVY == set()


def test_the_module_says_what_it_is(an_application):
    import slicer

    an_application.load_module(MODULE)
    described = slicer.modules.ensamtrainer
    assert described.title == "ENSAM Trainer"
    assert tuple(described.categories) == ("Segmentation",)
    assert "ENSAMSegment" in described.dependencies
    assert not described.icon.isNull()
    assert "not a medical device" in described.helpText
    assert "SlicerENSAM#train-it-on-your-own-cases" in described.helpText


def test_the_logic_is_where_users_look_for_it(an_application, a_fake_logic):
    module = an_application.load_module(MODULE)
    from ENSAMTrainer import ENSAMTrainerLogic

    assert ENSAMTrainerLogic is a_fake_logic.FakeTrainerLogic
    with pytest.raises(AttributeError):
        module.ENSAMTrainerFileReader


def test_it_opens_without_main_window_and_asks_for_nothing(a_module, an_application):
    dialogs = an_application.dialogs
    assert (dialogs.errors, dialogs.questions, dialogs.infos) == ([], [], [])
    assert a_module.panel.widget.parent() is not None


# What the logic is given


def test_cases_and_checkpoints_lie_beside_slicers_user_settings(a_module, tmp_path):
    folder, store, _settings, _python = a_module.logic.given
    assert folder.is_relative_to(tmp_path) and folder.name == "Training"
    assert store.folder == folder.parent / "Models"


def test_the_folder_that_the_user_chose_is_taken(an_application, a_fake_logic, tmp_path):
    import slicer

    slicer.app.userSettings().setValue("ENSAM/trainingFolder", str(tmp_path / "disk"))
    widget = an_application.open_module(MODULE)
    assert widget.logic.given[0] == tmp_path / "disk"
    widget.cleanup()


def test_the_logics_settings_are_slicers(a_module):
    import slicer

    settings = a_module.logic.given[2]
    assert settings.get("ENSAM/checkpoint") == ""
    settings.set("ENSAM/checkpoint", "/models/mine.safetensors")
    assert settings.get("ENSAM/checkpoint") == "/models/mine.safetensors"
    assert slicer.app.userSettings().value("ENSAM/checkpoint") == "/models/mine.safetensors"


def test_trainings_run_in_slicers_own_python(an_application, a_fake_logic, tmp_path):
    import slicer
    from ENSAMTrainerGUI.user_settings import slicers_python

    program = Path(slicer.app.slicerHome) / "bin" / "PythonSlicer"
    assert slicers_python() == program  # also where it is not there: starting it says so
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    widget = an_application.open_module(MODULE)
    assert widget.logic.given[3] == program
    widget.cleanup()


# Coming and going


def test_entering_activates_the_logic(a_module):
    a_module.parent.enter()
    assert "activate" in a_module.logic.calls.names()


def test_what_comes_into_the_scene_can_be_added(an_entered_module, a_fake_logic, an_application, pump):
    button = an_entered_module.panel.ui.addFromSceneButton
    assert not button.enabled
    an_entered_module.logic.scene = a_fake_logic.SCENE
    an_application.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    pump(lambda: button.enabled)
    an_entered_module.logic.scene = ()
    an_application.scene.Clear()
    pump(lambda: not button.enabled)


def test_a_scene_with_many_nodes_is_looked_at_once(an_entered_module, an_application, pump):
    before = looked(an_entered_module)
    for _ in range(30):
        an_application.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    pump(0.05)
    assert looked(an_entered_module) == before + 1


def test_the_scene_is_no_concern_while_another_module_is_shown(an_entered_module, an_application, pump):
    an_application.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    an_entered_module.parent.exit()
    before = looked(an_entered_module)
    an_application.scene.Clear()
    pump(0.05)
    assert looked(an_entered_module) == before
    assert an_entered_module.Observations == []


@pytest.mark.parametrize("with_singletons", [0, 1])
def test_closing_the_scene_leaves_a_running_training_alone(
    an_entered_module, a_fake_logic, an_application, pump, with_singletons
):
    logic = an_entered_module.logic
    logic.polls = [0.01] * 1000
    logic.say(status=a_fake_logic.TRAINING, can_stop=True)
    an_application.scene.Clear(with_singletons)
    before = logic.calls.names().count("poll")
    pump(lambda: logic.calls.names().count("poll") > before + 3)
    assert not {"stop", "cleanup"} & set(logic.calls.names())
    assert an_entered_module.logic is logic
    assert an_entered_module.panel.ui.statusLabel.text == a_fake_logic.TRAINING.text
    assert an_application.dialogs.errors == []


def test_a_training_is_shown_again_when_the_module_is_opened_again(an_entered_module, a_fake_logic):
    an_entered_module.parent.exit()
    an_entered_module.logic.status = a_fake_logic.TRAINING
    an_entered_module.parent.enter()
    assert an_entered_module.panel.ui.statusLabel.text == a_fake_logic.TRAINING.text


def test_cleanup_ends_the_logic_and_leaves_no_observer(an_application, a_fake_logic, pump):
    widget = an_application.open_module(MODULE)
    widget.parent.enter()
    widget.cleanup()
    assert widget.logic.calls.names()[-1] == "cleanup"
    assert widget.Observations == []
    made = len(widget.logic.calls.made)
    an_application.scene.Clear()
    pump(0.05)
    assert len(widget.logic.calls.made) == made


# The test in the application


def test_the_modules_own_test_is_skipped_in_words_when_packages_are_missing(an_application, monkeypatch):
    from ENSAMTrainerGUI import trainer_panel

    missing = types.SimpleNamespace(describe=lambda: "ENSAM needs MONAI.")
    monkeypatch.setattr(trainer_panel, "installer", lambda: missing)
    an_application.load_module(MODULE).ENSAMTrainerTest().runTest()
    assert an_application.dialogs.infos == ["Skipped: ENSAM needs MONAI."]


def test_a_reloaded_module_hears_of_the_scene(an_entered_module, an_application, pump):
    new = an_application.reload_module(an_entered_module)
    before = looked(new)
    an_application.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    pump(lambda: looked(new) > before)
    new.parent.exit()
    new.cleanup()
