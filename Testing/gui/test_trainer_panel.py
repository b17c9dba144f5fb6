"""The trainer's panel: it shows what the logic says, and passes on what the user does."""

from __future__ import annotations

import pytest

from .opened_trainer import OpenedTrainer


def test_an_empty_panel_says_what_to_do_first_and_offers_only_that(a_trainer):
    ui = a_trainer.ui
    assert ui.casesLabel.text.startswith("No cases yet. Add what you have corrected")
    assert not ui.caseTable.visible and not ui.remarkLabel.visible
    assert ui.statusLabel.text == "Add cases to train on."
    assert ui.verdictLabel.text.startswith("Nothing to judge yet.") and not ui.comparisonTable.visible
    assert ui.resultLabel.text == "There is no new checkpoint. ENSAM goes on as before."
    assert a_trainer.enabled() == {"addScenesButton", "addFolderButton", "folderButton", "importButton"}


def test_every_button_and_choice_says_what_it_does(a_trainer):
    import qt

    for kind in (qt.QPushButton, qt.QComboBox, qt.QSpinBox, qt.QDoubleSpinBox, qt.QTableWidget):
        for widget in a_trainer.panel.widget.findChildren(kind):
            assert widget.toolTip, widget.name


def test_the_scene_can_be_added_from_as_soon_as_it_has_something(a_trainer, trainer_fakes, pump):
    a_trainer.panel.enter()
    assert "addFromSceneButton" not in a_trainer.enabled()
    a_trainer.logic.scene = trainer_fakes.SCENE
    before = a_trainer.calls.names().count("scene_choices")
    for _ in range(20):
        a_trainer.panel.scene_changed()
    pump(0.05)
    assert "addFromSceneButton" in a_trainer.enabled()
    assert a_trainer.calls.names().count("scene_choices") == before + 1


def test_with_cases_they_can_be_checked_estimated_and_exported(a_trainer, trainer_fakes):
    a_trainer.logic.say(cases=trainer_fakes.CASES, can_start=True)
    assert {"checkButton", "estimateButton", "trainButton", "exportButton"} <= a_trainer.enabled()
    assert not {"removeButton", "stopButton", "resumeButton", "plotButton"} & a_trainer.enabled()
    a_trainer.ui.caseTable.selectRow(0)
    assert "removeButton" in a_trainer.enabled()


def test_while_something_runs_it_can_be_stopped_and_looked_at_and_nothing_else(a_trainer, trainer_fakes):
    a_trainer.logic.say(cases=trainer_fakes.CASES)
    a_trainer.ui.caseTable.selectRow(0)
    a_trainer.logic.say(**trainer_fakes.RUNNING)
    assert a_trainer.enabled() == {"stopButton", "plotButton"}
    assert not a_trainer.ui.choiceBox.enabled


@pytest.mark.parametrize(
    ("says", "button", "call"),
    [
        ("can_start", "trainButton", "start"),
        ("can_stop", "stopButton", "stop"),
        ("can_resume", "resumeButton", "resume"),
        ("can_plot", "plotButton", "show_plot"),
        ("can_install", "useButton", "install"),
        ("last_installed", "takeBackButton", "take_back"),
        ("cases", "checkButton", "check"),
        ("cases", "estimateButton", "estimate"),
    ],
)
def test_a_button_works_when_the_logic_says_so_and_tells_why_it_could_not(
    a_trainer, trainer_fakes, says, button, call
):
    button = getattr(a_trainer.ui, button)
    assert not button.enabled
    a_trainer.logic.say(
        **{says: trainer_fakes.CASES if says == "cases" else "mine" if says.endswith("installed") else True}
    )
    assert button.enabled
    button.click()
    assert a_trainer.made() == (call,)
    a_trainer.logic.refusal = "The disk is full: free some space."
    button.click()
    assert a_trainer.dialogs.errors == ["The disk is full: free some space."]


def test_what_nobody_foresaw_reaches_the_user_and_the_log(a_trainer, an_application):
    def catch_fire():
        raise RuntimeError("disk on fire")

    a_trainer.logic.say(start=catch_fire, can_start=True)
    a_trainer.ui.trainButton.click()
    assert a_trainer.dialogs.errors == ["RuntimeError: disk on fire"]
    (mistake,) = an_application.mistakes()
    assert "catch_fire" in mistake and "RuntimeError" in mistake


# Judging


def test_better_is_green_worse_is_red_and_the_same_is_neither(a_trainer, trainer_fakes):
    from ENSAMSegmentGUI.colors import BAD, GOOD
    from ENSAMTrainerLib.values import Judgement

    judgement = Judgement("Better: 0.803 to 0.817.", "", True, trainer_fakes.COMPARISONS)
    a_trainer.logic.say(judgement=judgement)
    table = a_trainer.ui.comparisonTable
    assert table.visible
    assert a_trainer.texts(table) == [
        ["CT chest", "liver", "0.801 → 0.874", "0.902 → 0.931"],
        ["CT chest", "spleen", "0.700 → 0.652", "0.810 → 0.810"],
        ["Mean", "", "0.750 → 0.763", "0.856 → 0.871"],
    ]
    assert [a_trainer.color(table, 0, c) for c in (2, 3)] == [GOOD[0], GOOD[0]]
    assert a_trainer.color(table, 1, 2) == BAD[0]
    assert a_trainer.color(table, 1, 3) == a_trainer.color(table, 1, 0) not in (GOOD[0], BAD[0])
    assert a_trainer.color(table, 2, 2) == GOOD[0] and table.item(2, 0).font().bold()


def test_the_verdict_is_one_sentence_in_the_colour_of_its_meaning(a_trainer, trainer_fakes):
    from ENSAMSegmentGUI.colors import BAD, GOOD, style
    from ENSAMTrainerLib.values import Judgement

    label = a_trainer.ui.verdictLabel
    assert not label.styleSheet
    a_trainer.logic.say(judgement=Judgement("Better: mean Dice 0.803 to 0.817.", is_better=True))
    assert (label.text, label.styleSheet) == ("Better: mean Dice 0.803 to 0.817.", style(label, GOOD))
    assert not a_trainer.ui.cautionLabel.visible
    a_trainer.logic.say(judgement=Judgement("Better.", "All cases are of one patient.", True))
    assert a_trainer.ui.cautionLabel.visible
    assert a_trainer.ui.cautionLabel.text == "All cases are of one patient."
    a_trainer.logic.say(judgement=Judgement("Not better: the checkpoint before stays.", is_better=False))
    assert (label.text, label.styleSheet) == ("Not better: the checkpoint before stays.", style(label, BAD))
    a_trainer.logic.say(judgement=Judgement("Nothing was held out: whether it is better is unknown."))
    assert not label.styleSheet


def test_a_click_on_a_comparison_shows_it_and_the_mean_has_nothing_to_show(a_trainer, trainer_fakes):
    from ENSAMTrainerLib.values import Judgement

    a_trainer.logic.say(judgement=Judgement("Better.", comparisons=trainer_fakes.COMPARISONS))
    a_trainer.ui.comparisonTable.cellClicked.emit(1, 2)
    assert a_trainer.made() == ("show_comparison", trainer_fakes.COMPARISONS[1])
    made = len(a_trainer.calls.made)
    a_trainer.ui.comparisonTable.cellClicked.emit(2, 2)
    assert len(a_trainer.calls.made) == made
    a_trainer.logic.say(judgement=Judgement())
    assert not a_trainer.ui.comparisonTable.visible and a_trainer.ui.comparisonTable.rowCount == 0


# Using it


def test_a_result_can_be_installed_and_taken_back_and_shows_its_card(a_trainer):
    ui = a_trainer.ui
    a_trainer.logic.say(can_install=True, card_text="mine\nLicence of the weights: CC-BY-4.0")
    assert ui.resultLabel.text.startswith("The new checkpoint is ready.")
    assert ui.cardLabel.visible and "CC-BY-4.0" in ui.cardLabel.text
    a_trainer.logic.say(can_install=False, installed_result="mine", last_installed="mine")
    assert ui.resultLabel.text.startswith("'mine' is installed") and "take" not in ui.resultLabel.text
    assert {"takeBackButton"} == {"useButton", "takeBackButton"} & a_trainer.enabled()


def test_what_an_earlier_training_installed_can_be_taken_back_by_its_name(a_trainer):
    a_trainer.logic.say(last_installed="livers of May")
    assert a_trainer.ui.resultLabel.text == (
        "There is no new checkpoint. ENSAM goes on as before. "
        "'Take back' takes out 'livers of May', which was installed before."
    )
    assert a_trainer.ui.takeBackButton.enabled


def test_a_result_whose_card_is_not_in_order_can_still_be_installed(a_trainer, trainer_fakes):
    from ensam.errors import InputError

    class Damaged(trainer_fakes.FakeTrainerLogic):
        @property
        def card_text(self):
            raise InputError("The card of 'mine' is damaged: get it again.")

        @card_text.setter
        def card_text(self, text):
            """As the trainer_fakes sets it at first."""

    a_trainer.logic.__class__ = Damaged
    a_trainer.logic.say(can_install=True)
    assert a_trainer.ui.cardLabel.text == "The card of 'mine' is damaged: get it again."
    assert a_trainer.ui.useButton.enabled and a_trainer.dialogs.errors == []


# Installing packages, and the end


def test_the_offer_to_install_takes_the_place_of_the_tools(an_application):
    panel = OpenedTrainer(an_application, "ENSAM needs MONAI (2 MB).")
    panel.panel.widget.show()
    assert panel.panel.install_box.widget.visible and not panel.ui.toolsBox.visible
    panel.panel.install_box.ui.installButton.click()
    assert panel.dialogs.questions == ["ENSAM needs MONAI (2 MB). Install it now?"]
    panel.installer.end()
    assert panel.ui.toolsBox.visible and not panel.panel.install_box.widget.visible
    panel.panel.cleanup()


def test_what_is_missing_for_segmenting_and_for_training_is_offered_together(an_application, monkeypatch):
    from ENSAMTrainerGUI.trainer_panel import installer

    monkeypatch.setattr(an_application.packaging, "pip_check", lambda _: False)
    sentence = installer().describe()
    assert "PyTorch" in sentence and "safetensors" in sentence and "MONAI" in sentence
    monkeypatch.undo()
    assert installer().describe() == ""


def test_nothing_reaches_the_panel_after_cleanup(an_application, trainer_fakes, pump):
    from .stand_in import signals

    before = sum(len(kept) for kept in signals._connections.values())
    panel = OpenedTrainer(an_application)
    panel.panel.cleanup()
    assert sum(len(kept) for kept in signals._connections.values()) == before
    made = len(panel.calls.made)
    panel.logic.say(cases=trainer_fakes.CASES, can_start=True)
    panel.ui.trainButton.enabled = True
    panel.ui.trainButton.click()
    panel.ui.edgeSpinBox.value = 32
    pump(0.05)
    assert len(panel.calls.made) == made and panel.ui.caseTable.rowCount == 0
