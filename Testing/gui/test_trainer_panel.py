"""The trainer's panel: it shows what the logic says, and passes on what the user does."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

SCENE_AND_FILES = ("addFromSceneButton", "addScenesButton", "addFolderButton", "folderButton")
CASES = ("checkButton", "removeButton", "estimateButton", "exportButton")
RUNS = ("trainButton", "stopButton", "resumeButton", "plotButton")
RESULTS = ("useButton", "takeBackButton", "importButton")


class Panel:
    """The panel of a test, with its logic."""

    def __init__(self, application, installer_sentence=""):
        from ENSAMTrainerGUI.trainer_panel import TrainerPanel

        from .fake_logic import FakeInstaller
        from .fake_trainer_logic import FakeTrainerLogic

        self.logic = FakeTrainerLogic()
        self.panel = TrainerPanel(self.logic, FakeInstaller(installer_sentence))
        self.ui = self.panel.ui
        self.dialogs = application.dialogs
        self.calls = self.logic.calls

    def enabled(self):
        return {n for n in (*SCENE_AND_FILES, *CASES, *RUNS, *RESULTS) if getattr(self.ui, n).enabled}

    def made(self):
        """The last action."""
        return [call for call in self.calls.made if call[0] not in ("poll", "scene_choices")][-1]

    def texts(self, table):
        return [[table.item(r, c).text() for c in range(table.columnCount)] for r in range(table.rowCount)]

    def color(self, table, row, column):
        color = table.item(row, column).foreground().color()
        return color.red(), color.green(), color.blue()


@pytest.fixture
def a_panel(an_application):
    panel = Panel(an_application)
    panel.panel.widget.show()
    yield panel
    panel.panel.cleanup()


@pytest.fixture
def fake():
    pytest.importorskip("slicer")
    from . import fake_trainer_logic

    return fake_trainer_logic


@pytest.fixture
def file_dialogs(monkeypatch, an_application):
    """What the next file dialogs give, in order."""
    from ENSAMTrainerGUI import cases, results

    answers = []
    give = dict.fromkeys(
        ("getOpenFileName", "getOpenFileNames", "getExistingDirectory"), lambda *_: answers.pop(0)
    )
    for module in (cases, results):
        real = module.qt
        monkeypatch.setattr(
            module, "qt", SimpleNamespace(**{**vars(real), "QFileDialog": SimpleNamespace(**give)})
        )
    return answers


def working(fake, **more):
    return {"status": fake.TRAINING, "can_stop": True, "can_plot": True, **more}


# Empty states and what can be done


def test_an_empty_panel_says_what_to_do_first_and_offers_only_that(a_panel):
    ui = a_panel.ui
    assert ui.casesLabel.text.startswith("No cases yet. Add what you have corrected")
    assert not ui.caseTable.visible and not ui.remarkLabel.visible
    assert ui.statusLabel.text == "Add cases to train on."
    assert ui.verdictLabel.text.startswith("Nothing to judge yet.") and not ui.comparisonTable.visible
    assert ui.resultLabel.text == "There is no new checkpoint. ENSAM goes on as before."
    assert a_panel.enabled() == {"addScenesButton", "addFolderButton", "folderButton", "importButton"}


def test_every_button_and_choice_says_what_it_does(a_panel):
    import qt

    for kind in (qt.QPushButton, qt.QComboBox, qt.QSpinBox, qt.QDoubleSpinBox, qt.QTableWidget):
        for widget in a_panel.panel.widget.findChildren(kind):
            assert widget.toolTip, widget.name


def test_the_scene_can_be_added_from_as_soon_as_it_has_something(a_panel, fake, pump):
    a_panel.panel.enter()
    assert "addFromSceneButton" not in a_panel.enabled()
    a_panel.logic.scene = fake.SCENE
    before = a_panel.calls.names().count("scene_choices")
    for _ in range(20):
        a_panel.panel.scene_changed()
    pump(0.05)
    assert "addFromSceneButton" in a_panel.enabled()
    assert a_panel.calls.names().count("scene_choices") == before + 1


def test_with_cases_they_can_be_checked_estimated_and_exported(a_panel, fake):
    a_panel.logic.say(cases=fake.CASES, can_start=True)
    assert {"checkButton", "estimateButton", "trainButton", "exportButton"} <= a_panel.enabled()
    assert not {"removeButton", "stopButton", "resumeButton", "plotButton"} & a_panel.enabled()
    a_panel.ui.caseTable.selectRow(0)
    assert "removeButton" in a_panel.enabled()


def test_while_something_runs_it_can_be_stopped_and_looked_at_and_nothing_else(a_panel, fake):
    a_panel.logic.say(cases=fake.CASES)
    a_panel.ui.caseTable.selectRow(0)
    a_panel.logic.say(**working(fake))
    assert a_panel.enabled() == {"stopButton", "plotButton"}
    assert not a_panel.ui.choiceBox.enabled


@pytest.mark.parametrize(
    ("says", "button", "call"),
    [
        ("can_start", "trainButton", "start"),
        ("can_stop", "stopButton", "stop"),
        ("can_resume", "resumeButton", "resume"),
        ("can_plot", "plotButton", "show_plot"),
        ("can_install", "useButton", "install"),
        ("installed_result", "takeBackButton", "take_back"),
        ("cases", "checkButton", "check"),
        ("cases", "estimateButton", "estimate"),
    ],
)
def test_a_button_works_when_the_logic_says_so_and_tells_why_it_could_not(a_panel, fake, says, button, call):
    button = getattr(a_panel.ui, button)
    assert not button.enabled
    a_panel.logic.say(
        **{says: fake.CASES if says == "cases" else "mine" if says.endswith("result") else True}
    )
    assert button.enabled
    button.click()
    assert a_panel.made() == (call,)
    a_panel.logic.refusal = "The disk is full: free some space."
    button.click()
    assert a_panel.dialogs.errors == ["The disk is full: free some space."]


def test_what_nobody_foresaw_reaches_the_user_and_the_log(a_panel, an_application):
    def fail():
        raise RuntimeError("disk on fire")

    a_panel.logic.say(start=fail, can_start=True)
    a_panel.ui.trainButton.click()
    assert len(a_panel.dialogs.errors) == 1 and "disk on fire" in a_panel.dialogs.errors[0]
    assert any("disk on fire" in mistake for mistake in an_application.mistakes())


# Cases


def test_the_cases_are_listed_with_what_the_check_says(a_panel, fake):
    a_panel.logic.say(cases=fake.CASES)
    table = a_panel.ui.caseTable
    assert table.visible
    assert a_panel.texts(table) == [
        ["CT chest", "liver, spleen", "Good"],
        ["CT abdomen 2", "liver", "Usable: 'liver' is in two pieces."],
        ["CT abdomen 3", "liver", "Can't be used: It has no image."],
        ["CT abdomen 4", "liver", "Not checked yet"],
    ]
    colors = [a_panel.color(table, row, 2) for row in range(4)]
    assert len(set(colors)) == 4 and colors[3] == a_panel.color(table, 3, 0)
    assert a_panel.ui.casesLabel.text == "4 cases, 1 not checked yet."
    a_panel.logic.say(cases=fake.CASES[:3])
    assert a_panel.ui.casesLabel.text == "3 cases, 1 can't be used."
    a_panel.logic.say(cases=fake.CASES[:2])
    assert a_panel.ui.casesLabel.text == "2 cases, all can be used."


def test_a_click_on_a_row_shows_the_case_and_all_that_is_known_of_it(a_panel, fake):
    a_panel.logic.say(cases=fake.CASES)
    a_panel.ui.caseTable.selectRow(1)
    a_panel.ui.caseTable.cellClicked.emit(1, 0)
    assert a_panel.made() == ("show_case", "CT abdomen 2")
    assert a_panel.ui.remarkLabel.text == (
        "CT abdomen 2, from study.mrb, added 2026-05-04, 3 prompts. Usable: 'liver' is in two pieces."
    )


def test_the_selected_case_stays_selected_while_the_list_changes(a_panel, fake):
    a_panel.logic.say(cases=fake.CASES)
    a_panel.ui.caseTable.selectRow(2)
    a_panel.logic.say(cases=fake.CASES[1:])
    assert a_panel.ui.caseTable.currentRow() == 1
    assert a_panel.ui.remarkLabel.text.startswith("CT abdomen 3")
    a_panel.logic.say(cases=fake.CASES[:2])
    assert a_panel.ui.caseTable.currentRow() == -1 and not a_panel.ui.remarkLabel.visible


def test_removing_asks_first(a_panel, fake):
    a_panel.logic.say(cases=fake.CASES)
    a_panel.ui.caseTable.selectRow(1)
    a_panel.dialogs.answer = False
    a_panel.ui.removeButton.click()
    assert "'CT abdomen 2'" in a_panel.dialogs.questions[0]
    assert len(a_panel.logic.cases) == 4
    a_panel.dialogs.answer = True
    a_panel.ui.removeButton.click()
    assert a_panel.made() == ("remove", "CT abdomen 2")
    assert a_panel.ui.caseTable.rowCount == 3 and "removeButton" not in a_panel.enabled()


def test_several_saved_scenes_are_added_and_a_bad_one_keeps_no_other_out(a_panel, file_dialogs):
    file_dialogs += [("/data/a.mrb", "/data/b.mrb", "/data/c.mrml"), ()]
    a_panel.logic.refusal = "'a.mrb' has no segmentation: choose another scene."
    a_panel.ui.addScenesButton.click()
    added = [call[1] for call in a_panel.calls.made if call[0] == "add_scene_file"]
    assert added == ["/data/a.mrb", "/data/b.mrb", "/data/c.mrml"]
    assert a_panel.dialogs.errors == ["'a.mrb' has no segmentation: choose another scene."]
    a_panel.ui.addScenesButton.click()
    assert a_panel.made() == ("add_scene_file", "/data/c.mrml")


def test_folders_are_added_recipes_exported_and_results_imported_where_the_user_says(
    a_panel, fake, file_dialogs
):
    a_panel.logic.say(cases=fake.CASES)
    for button, call in (
        ("addFolderButton", "add_folder"),
        ("exportButton", "export_recipe"),
        ("importButton", "import_result"),
    ):
        file_dialogs += ["/data/chosen", ""]
        getattr(a_panel.ui, button).click()
        assert a_panel.made() == (call, "/data/chosen")
        made = len(a_panel.calls.made)
        getattr(a_panel.ui, button).click()
        assert len(a_panel.calls.made) == made and file_dialogs == []


def test_another_folder_is_gone_over_to_and_remembered(a_panel, file_dialogs):
    from pathlib import Path

    from ENSAMTrainerGUI.user_settings import training_folder

    a_panel.logic.say(folder=Path("/home/user/ENSAM/Training"))
    assert a_panel.ui.folderLabel.text == "Kept in ENSAM/Training"
    assert a_panel.ui.folderLabel.toolTip == "/home/user/ENSAM/Training"
    file_dialogs += ["/disk/ENSAM"]
    a_panel.ui.folderButton.click()
    assert a_panel.logic.folder == training_folder() == Path("/disk/ENSAM")


# The dialog for the scene


@pytest.fixture
def a_dialog(an_application, fake):
    from ENSAMTrainerGUI.scene_dialog import SceneDialog

    return SceneDialog(fake.SCENE)


def ticks(dialog):
    import qt

    segments = dialog.ui.segmentList
    return [segments.item(i).checkState() == qt.Qt.Checked for i in range(segments.count)]


def answer(dialog, press):
    import qt

    qt.QTimer.singleShot(0, press)
    return dialog.ask()


def ok(dialog):
    import qt

    return dialog.ui.buttonBox.button(qt.QDialogButtonBox.Ok)


def test_segments_with_prompts_are_ticked_and_all_where_none_has_any(a_dialog):
    segments = a_dialog.ui.segmentList
    texts = [segments.item(i).text() for i in range(segments.count)]
    assert texts == ["liver (4 prompts)", "ribs", "spleen (3 prompts)"]
    assert ticks(a_dialog) == [True, False, True]
    a_dialog.ui.choiceComboBox.currentIndex = 1
    assert ticks(a_dialog) == [True, True]
    assert answer(a_dialog, a_dialog.dialog.reject) is None


def test_what_is_ticked_is_what_is_added(a_dialog):
    import qt

    a_dialog.ui.segmentList.item(0).setCheckState(qt.Qt.Unchecked)
    assert ok(a_dialog).enabled
    chosen = answer(a_dialog, ok(a_dialog).click)
    assert chosen == ("vtkMRMLScalarVolumeNode1", "vtkMRMLSegmentationNode1", ("s3",))


def test_nothing_ticked_can_not_be_added(a_dialog):
    import qt

    for at in (0, 2):
        a_dialog.ui.segmentList.item(at).setCheckState(qt.Qt.Unchecked)
    assert not ok(a_dialog).enabled
    a_dialog.ui.segmentList.item(1).setCheckState(qt.Qt.Checked)
    assert ok(a_dialog).enabled
    assert answer(a_dialog, a_dialog.dialog.reject) is None


def test_the_new_case_from_the_scene_is_selected(a_panel, fake, monkeypatch):
    from ENSAMTrainerGUI import cases

    answers = [("v", "s", ("a", "b")), None]
    monkeypatch.setattr(cases, "SceneDialog", lambda _: SimpleNamespace(ask=lambda: answers.pop(0)))
    a_panel.logic.scene = fake.SCENE
    a_panel.panel.enter()
    a_panel.ui.addFromSceneButton.click()
    assert a_panel.made() == ("add_from_scene", "v", "s", ("a", "b"))
    assert a_panel.ui.caseTable.currentRow() == 1
    made = len(a_panel.calls.made)
    a_panel.ui.addFromSceneButton.click()
    assert "add_from_scene" not in [call[0] for call in a_panel.calls.made[made:]]


# What to train


def test_what_is_chosen_reaches_the_logic_and_is_there_the_next_time(an_application, a_panel, fake):
    from ENSAMTrainerLib.values import TrainingChoice

    ui = a_panel.ui
    a_panel.logic.say(known=(fake.SHIPPED, fake.LIVERS))
    ui.baseComboBox.currentIndex = 1
    ui.amountSpinBox.value = 30
    ui.unitComboBox.currentIndex = ui.unitComboBox.findData("epochs")
    ui.edgeSpinBox.value = 64
    ui.heldOutSpinBox.value = 40
    ui.deviceComboBox.currentIndex = ui.deviceComboBox.findData("cpu")
    for line_edit, text in ((ui.nameLineEdit, "mine"), (ui.licenceLineEdit, "CC-BY-4.0")):
        line_edit.text = text
        line_edit.textEdited.emit(text)
    wanted = TrainingChoice(fake.LIVERS.path, 30.0, "epochs", 64, "cpu", 0.4, "mine", "CC-BY-4.0")
    assert a_panel.logic.choice == wanted
    second = Panel(an_application)
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
    panel = Panel(an_application)
    assert panel.logic.choice == TrainingChoice()
    panel.panel.cleanup()


def test_showing_a_choice_is_not_choosing(a_panel, fake):
    from ENSAMTrainerLib.values import TrainingChoice

    choice = TrainingChoice(amount=2.5, edge=32, held_out=0.333, name="script")
    a_panel.logic.say(choice=choice)
    assert a_panel.ui.amountSpinBox.value == 2.5
    assert a_panel.ui.nameLineEdit.text == "script"
    assert a_panel.logic.choice is choice


def test_a_name_can_be_typed_while_the_panel_follows_the_logic(a_panel):
    line_edit = a_panel.ui.nameLineEdit
    line_edit.text = "liver"
    line_edit.textEdited.emit("liver")
    line_edit.cursorPosition = 2
    a_panel.logic.changed()
    assert line_edit.cursorPosition == 2


def test_the_estimate_is_shown_as_the_logic_says_it(a_panel):
    a_panel.logic.say(estimate_text="About 0.4 s a step and 1.2 GB of memory.")
    assert a_panel.ui.estimateLabel.text == "About 0.4 s a step and 1.2 GB of memory."


# How it goes


def test_a_running_training_shows_progress_and_the_time_left(a_panel, fake):
    ui = a_panel.ui
    assert not ui.progressBar.visible
    a_panel.logic.say(**working(fake))
    assert ui.statusLabel.text == "Training: 3 of 10 minutes, about 7 minutes left."
    assert ui.detailLabel.text == "Step 412, held-out Dice 0.871, best 0.874."
    assert ui.progressBar.visible
    assert (ui.progressBar.maximum, ui.progressBar.value) == (100, 30)
    from ENSAMSegmentLib.status import Status

    a_panel.logic.say(status=Status("working", "Loading..."))
    assert ui.progressBar.maximum == 0
    a_panel.logic.say(status=Status("done", "Done."))
    assert not ui.progressBar.visible and not ui.detailLabel.visible


def test_a_failed_training_stands_out(a_panel):
    from ENSAMSegmentLib.status import Status

    a_panel.logic.say(status=Status("error", "The training was ended from outside; the best so far is kept."))
    assert a_panel.ui.statusLabel.text == "The training was ended from outside; the best so far is kept."
    assert "color" in a_panel.ui.statusLabel.styleSheet
    a_panel.logic.say(status=Status("ready", "Ready."))
    assert not a_panel.ui.statusLabel.styleSheet


def test_what_is_wrong_with_the_folder_is_said_in_the_panel_and_not_in_dialogs(a_panel, fake):
    from ensam.errors import InputError

    def rows():
        raise InputError("The folder of the cases can't be read: choose another.")

    real, a_panel.logic.rows = a_panel.logic.rows, rows
    for _ in range(3):
        a_panel.logic.changed()
    assert a_panel.ui.statusLabel.text == "The folder of the cases can't be read: choose another."
    assert "color" in a_panel.ui.statusLabel.styleSheet
    assert a_panel.dialogs.errors == []
    a_panel.logic.rows = real
    a_panel.logic.changed()
    assert a_panel.ui.statusLabel.text == "Add cases to train on."


def test_the_logic_is_asked_as_often_as_it_wants_until_nothing_runs(a_panel, pump):
    a_panel.logic.polls = [0.0, 0.01, 0.0]
    a_panel.logic.changed()
    pump(0.2)
    assert a_panel.calls.names().count("poll") == 4
    pump(0.1)
    assert a_panel.calls.names().count("poll") == 4


def test_the_end_of_a_training_is_shown_though_nobody_was_told(a_panel, fake, pump):
    from ENSAMSegmentLib.status import Status

    def poll(wait_s):
        a_panel.logic.status = Status("done", "The training is over.")
        a_panel.logic.verdict = "Better by 0.014."

    a_panel.logic.poll = poll
    a_panel.logic.say(**working(fake))
    pump(0.1)
    assert a_panel.ui.statusLabel.text == "The training is over."
    assert a_panel.ui.verdictLabel.text == "Better by 0.014."


def test_a_training_is_followed_while_another_module_is_shown(a_panel, fake, pump):
    a_panel.panel.enter()
    a_panel.logic.polls = [0.01] * 20
    a_panel.logic.say(**working(fake))
    a_panel.panel.exit()
    assert a_panel.calls.names()[-1] == "deactivate"
    before = a_panel.calls.names().count("poll")
    pump(lambda: a_panel.calls.names().count("poll") > before + 5)
    assert "stop" not in a_panel.calls.names()


def test_a_panel_that_is_opened_while_a_training_runs_shows_it(an_application, fake, pump):
    from ENSAMTrainerGUI.trainer_panel import TrainerPanel

    from .fake_logic import FakeInstaller

    logic = fake.FakeTrainerLogic()
    logic.say(**working(fake, cases=fake.CASES, polls=[0.01, 0.01]))
    panel = TrainerPanel(logic, FakeInstaller())
    panel.widget.show()
    panel.enter()
    assert panel.ui.statusLabel.text == fake.TRAINING.text
    assert panel.ui.progressBar.visible and panel.ui.stopButton.enabled
    pump(lambda: logic.calls.names().count("poll") == 3)
    panel.cleanup()


def test_an_error_while_asking_is_shown_once(a_panel, pump):
    a_panel.logic.polls = [0.0, 0.0]
    a_panel.logic.refusal = "The folder of the training is gone: choose another."
    a_panel.logic.changed()
    pump(0.1)
    assert a_panel.dialogs.errors == ["The folder of the training is gone: choose another."]


# Judging


def test_better_is_green_worse_is_red_and_the_same_is_neither(a_panel, fake):
    from ENSAMTrainerGUI.words import BAD, GOOD

    a_panel.logic.say(compared=fake.COMPARISONS, verdict="Better: 0.803 to 0.817.", is_better=True)
    table = a_panel.ui.comparisonTable
    assert table.visible
    assert a_panel.texts(table) == [
        ["CT chest", "liver", "0.801 → 0.874", "0.902 → 0.931"],
        ["CT chest", "spleen", "0.700 → 0.652", "0.810 → 0.810"],
        ["Mean", "", "0.750 → 0.763", "0.856 → 0.871"],
    ]
    assert [a_panel.color(table, 0, c) for c in (2, 3)] == [GOOD, GOOD]
    assert a_panel.color(table, 1, 2) == BAD
    assert a_panel.color(table, 1, 3) == a_panel.color(table, 1, 0) not in (GOOD, BAD)
    assert a_panel.color(table, 2, 2) == GOOD and table.item(2, 0).font().bold()


def test_the_verdict_is_one_sentence_in_the_colour_of_its_meaning(a_panel, fake):
    from ENSAMTrainerGUI.words import BAD, GOOD, style

    label = a_panel.ui.verdictLabel
    assert not label.styleSheet
    a_panel.logic.say(verdict="Better: mean Dice 0.803 to 0.817.", is_better=True)
    assert (label.text, label.styleSheet) == ("Better: mean Dice 0.803 to 0.817.", style(GOOD))
    a_panel.logic.say(verdict="Not better: the checkpoint before stays.", is_better=False)
    assert (label.text, label.styleSheet) == ("Not better: the checkpoint before stays.", style(BAD))
    a_panel.logic.say(verdict="Nothing was held out: whether it is better is unknown.", is_better=None)
    assert not label.styleSheet


def test_a_click_on_a_comparison_shows_it_and_the_mean_has_nothing_to_show(a_panel, fake):
    a_panel.logic.say(compared=fake.COMPARISONS)
    a_panel.ui.comparisonTable.cellClicked.emit(1, 2)
    assert a_panel.made() == ("show_comparison", fake.COMPARISONS[1])
    made = len(a_panel.calls.made)
    a_panel.ui.comparisonTable.cellClicked.emit(2, 2)
    assert len(a_panel.calls.made) == made
    a_panel.logic.say(compared=())
    assert not a_panel.ui.comparisonTable.visible and a_panel.ui.comparisonTable.rowCount == 0


# Using it


def test_a_result_can_be_installed_and_taken_back_and_shows_its_card(a_panel):
    ui = a_panel.ui
    a_panel.logic.say(can_install=True, card_text="mine\nLicence of the weights: CC-BY-4.0")
    assert ui.resultLabel.text.startswith("The new checkpoint is ready.")
    assert ui.cardLabel.visible and "CC-BY-4.0" in ui.cardLabel.text
    a_panel.logic.say(can_install=False, installed_result="mine")
    assert ui.resultLabel.text.startswith("'mine' is installed")
    assert {"takeBackButton"} == {"useButton", "takeBackButton"} & a_panel.enabled()


def test_a_result_whose_card_is_not_in_order_can_still_be_installed(a_panel, fake):
    from ensam.errors import InputError

    class Damaged(fake.FakeTrainerLogic):
        @property
        def card_text(self):
            raise InputError("The card of 'mine' is damaged: get it again.")

        @card_text.setter
        def card_text(self, text):
            """As the fake sets it at first."""

    a_panel.logic.__class__ = Damaged
    a_panel.logic.say(can_install=True)
    assert a_panel.ui.cardLabel.text == "The card of 'mine' is damaged: get it again."
    assert a_panel.ui.useButton.enabled and a_panel.dialogs.errors == []


# Installing packages, and the end


def test_the_offer_to_install_takes_the_place_of_the_tools(an_application):
    panel = Panel(an_application, "ENSAM needs MONAI (2 MB).")
    panel.panel.widget.show()
    assert panel.panel.install_box.widget.visible and not panel.ui.toolsBox.visible
    panel.panel.install_box.ui.installButton.click()
    assert panel.dialogs.questions == ["ENSAM needs MONAI (2 MB). Install it now?"]
    assert panel.ui.toolsBox.visible and not panel.panel.install_box.widget.visible
    panel.panel.cleanup()


def test_what_is_missing_for_segmenting_and_for_training_is_offered_together(an_application, monkeypatch):
    from ENSAMTrainerGUI.trainer_panel import installer

    monkeypatch.setattr(an_application.packaging, "pip_check", lambda _: False)
    sentence = installer().describe()
    assert "PyTorch" in sentence and "safetensors" in sentence and "MONAI" in sentence
    monkeypatch.undo()
    assert installer().describe() == ""


def test_nothing_reaches_the_panel_after_cleanup(an_application, fake, pump):
    from .stand_in import signals

    before = sum(len(kept) for kept in signals._connections.values())
    panel = Panel(an_application)
    panel.panel.cleanup()
    assert sum(len(kept) for kept in signals._connections.values()) == before
    made = len(panel.calls.made)
    panel.logic.say(cases=fake.CASES, can_start=True)
    panel.ui.trainButton.enabled = True
    panel.ui.trainButton.click()
    panel.ui.edgeSpinBox.value = 32
    pump(0.05)
    assert len(panel.calls.made) == made and panel.ui.caseTable.rowCount == 0
