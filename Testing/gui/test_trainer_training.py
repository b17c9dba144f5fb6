"""What to train and how it goes: what is chosen, the estimate, progress and errors."""

from __future__ import annotations

import pytest

from .opened_trainer import OpenedTrainer


def test_what_is_chosen_reaches_the_logic_and_is_kept(an_application, a_trainer, trainer_fakes):
    from ENSAMTrainerLib.values import TrainingChoice

    ui = a_trainer.ui
    a_trainer.logic.say(known=(trainer_fakes.SHIPPED, trainer_fakes.LIVERS))
    ui.baseComboBox.currentIndex = 1
    ui.amountSpinBox.value = 30
    ui.unitComboBox.currentIndex = ui.unitComboBox.findData("epochs")
    ui.edgeSpinBox.value = 64
    ui.heldOutSpinBox.value = 40
    ui.deviceComboBox.currentIndex = ui.deviceComboBox.findData("cpu")
    for line_edit, text in ((ui.nameLineEdit, "mine"), (ui.licenceLineEdit, "CC-BY-4.0")):
        line_edit.text = text
        line_edit.textEdited.emit(text)
    wanted = TrainingChoice(trainer_fakes.LIVERS.path, 30.0, "epochs", 64, "cpu", 0.4, "mine", "CC-BY-4.0")
    assert a_trainer.logic.choice == wanted
    second = OpenedTrainer(an_application)
    assert second.logic.choice == wanted
    assert (second.ui.edgeSpinBox.value, second.ui.heldOutSpinBox.value) == (64, 40)
    assert (second.ui.nameLineEdit.text, second.ui.unitComboBox.currentText) == ("mine", "epochs")
    # Taken back since: it is shown as it was chosen, and the logic says so when it is asked to train.
    assert second.ui.baseComboBox.currentText == "livers of May"
    second.panel.cleanup()


@pytest.mark.parametrize("text", ["nonsense", '{"speed": 9}', "[1, 2]"])
def test_a_choice_that_another_version_has_kept_is_begun_anew(an_application, text):
    import slicer
    from ENSAMTrainerLib.values import TrainingChoice

    slicer.app.userSettings().setValue("ENSAM/trainingChoice", text)
    panel = OpenedTrainer(an_application)
    assert panel.logic.choice == TrainingChoice()
    panel.panel.cleanup()


def test_showing_a_choice_is_not_choosing(a_trainer, trainer_fakes):
    from ENSAMTrainerLib.values import TrainingChoice

    choice = TrainingChoice(amount=2.5, edge=32, held_out=0.333, name="script")
    a_trainer.logic.say(choice=choice)
    assert a_trainer.ui.amountSpinBox.value == 2.5
    assert a_trainer.ui.nameLineEdit.text == "script"
    assert a_trainer.logic.choice is choice


def test_a_name_can_be_typed_while_the_panel_follows_the_logic(a_trainer):
    line_edit = a_trainer.ui.nameLineEdit
    line_edit.text = "liver"
    line_edit.textEdited.emit("liver")
    line_edit.cursorPosition = 2
    a_trainer.logic.changed()
    assert line_edit.cursorPosition == 2


def test_the_estimate_is_shown_as_the_logic_says_it(a_trainer):
    a_trainer.logic.say(estimate_text="About 0.4 s a step and 1.2 GB of memory.")
    assert a_trainer.ui.estimateLabel.text == "About 0.4 s a step and 1.2 GB of memory."


# How it goes


def test_a_running_training_shows_progress_and_the_time_left(a_trainer, trainer_fakes):
    ui = a_trainer.ui
    assert not ui.progressBar.visible
    a_trainer.logic.say(**trainer_fakes.RUNNING)
    assert ui.statusLabel.text == "Training: 3 of 10 minutes, about 7 minutes left."
    assert ui.detailLabel.text == "Step 412, held-out Dice 0.871, best 0.874."
    assert ui.progressBar.visible
    assert (ui.progressBar.maximum, ui.progressBar.value) == (100, 30)
    from ENSAMSegmentLib.status import Status

    a_trainer.logic.say(status=Status("working", "Loading..."))
    assert ui.progressBar.maximum == 0
    a_trainer.logic.say(status=Status("done", "Done."))
    assert not ui.progressBar.visible and not ui.detailLabel.visible


def test_a_failed_training_stands_out(a_trainer):
    from ENSAMSegmentLib.status import Status

    a_trainer.logic.say(status=Status("error", "The training was cut off at step 20."))
    assert a_trainer.ui.statusLabel.text == "The training was cut off at step 20."
    assert "color" in a_trainer.ui.statusLabel.styleSheet
    a_trainer.logic.say(status=Status("ready", "Ready."))
    assert not a_trainer.ui.statusLabel.styleSheet


def test_what_is_wrong_with_the_folder_is_said_in_the_panel_and_not_in_dialogs(a_trainer, trainer_fakes):
    from ensam.errors import InputError

    def rows():
        raise InputError("The folder of the cases can't be read: choose another.")

    real, a_trainer.logic.rows = a_trainer.logic.rows, rows
    for _ in range(3):
        a_trainer.logic.changed()
    assert a_trainer.ui.statusLabel.text == "The folder of the cases can't be read: choose another."
    assert "color" in a_trainer.ui.statusLabel.styleSheet
    assert a_trainer.dialogs.errors == []
    a_trainer.logic.rows = real
    a_trainer.logic.changed()
    assert a_trainer.ui.statusLabel.text == "Add cases to train on."


def test_the_logic_is_asked_as_often_as_it_wants_until_nothing_runs(a_trainer, pump):
    a_trainer.logic.polls = [0.0, 0.01, 0.0]
    a_trainer.logic.changed()
    pump(0.2)
    assert a_trainer.calls.names().count("poll") == 4
    pump(0.1)
    assert a_trainer.calls.names().count("poll") == 4


def test_the_end_of_a_training_is_shown_though_nobody_was_told(a_trainer, trainer_fakes, pump):
    from ENSAMSegmentLib.status import Status
    from ENSAMTrainerLib.values import Judgement

    def poll(wait_s):
        a_trainer.logic.status = Status("done", "The training is over.")
        a_trainer.logic.judgement = Judgement("Better by 0.014.")

    a_trainer.logic.poll = poll
    a_trainer.logic.say(**trainer_fakes.RUNNING)
    pump(0.1)
    assert a_trainer.ui.statusLabel.text == "The training is over."
    assert a_trainer.ui.verdictLabel.text == "Better by 0.014."


def test_a_training_is_followed_while_another_module_is_shown(a_trainer, trainer_fakes, pump):
    a_trainer.panel.enter()
    a_trainer.logic.polls = [0.01] * 20
    a_trainer.logic.say(**trainer_fakes.RUNNING)
    a_trainer.panel.exit()
    before = a_trainer.calls.names().count("poll")
    pump(lambda: a_trainer.calls.names().count("poll") > before + 5)
    assert "stop" not in a_trainer.calls.names()


def test_a_trainer_that_is_opened_while_a_training_runs_shows_it(an_application, trainer_fakes, pump):
    from ENSAMTrainerGUI.trainer_panel import TrainerPanel

    from .fake_logic import FakeInstaller

    logic = trainer_fakes.FakeTrainerLogic()
    logic.say(**trainer_fakes.RUNNING, cases=trainer_fakes.CASES, polls=[0.01, 0.01])
    panel = TrainerPanel(logic, FakeInstaller())
    panel.widget.show()
    panel.enter()
    assert panel.ui.statusLabel.text == trainer_fakes.TRAINING.text
    assert panel.ui.progressBar.visible and panel.ui.stopButton.enabled
    pump(lambda: logic.calls.names().count("poll") == 3)
    panel.cleanup()


def test_an_error_while_asking_is_shown_once(a_trainer, pump):
    a_trainer.logic.polls = [0.0, 0.0]
    a_trainer.logic.refusal = "The folder of the training is gone: choose another."
    a_trainer.logic.changed()
    pump(0.1)
    assert a_trainer.dialogs.errors == ["The folder of the training is gone: choose another."]
