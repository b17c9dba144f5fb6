"""The trainer's cases: the list, where they come from, and the dialog for the scene."""

from __future__ import annotations

from types import SimpleNamespace

import pytest


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


def test_the_cases_are_listed_with_what_the_check_says(a_trainer, trainer_fakes):
    a_trainer.logic.say(cases=trainer_fakes.CASES)
    table = a_trainer.ui.caseTable
    assert table.visible
    assert a_trainer.texts(table) == [
        ["CT chest", "liver, spleen", "Good"],
        ["CT abdomen 2", "liver", "Usable: 'liver' is in two pieces."],
        ["CT abdomen 3", "liver", "Can't be used: It has no image."],
        ["CT abdomen 4", "liver", "Not checked yet"],
    ]
    colors = [a_trainer.color(table, row, 2) for row in range(4)]
    assert len(set(colors)) == 4 and colors[3] == a_trainer.color(table, 3, 0)
    assert a_trainer.ui.casesLabel.text == "4 cases, 1 not checked yet."
    a_trainer.logic.say(cases=trainer_fakes.CASES[:3])
    assert a_trainer.ui.casesLabel.text == "3 cases, 1 can't be used."
    a_trainer.logic.say(cases=trainer_fakes.CASES[:2])
    assert a_trainer.ui.casesLabel.text == "2 cases, all can be used."


def test_a_click_on_a_row_shows_the_case_and_all_that_is_known_of_it(a_trainer, trainer_fakes):
    a_trainer.logic.say(cases=trainer_fakes.CASES)
    a_trainer.ui.caseTable.selectRow(1)
    a_trainer.ui.caseTable.cellClicked.emit(1, 0)
    assert a_trainer.made() == ("show_case", "CT abdomen 2")
    assert a_trainer.ui.remarkLabel.text == (
        "CT abdomen 2, from study.mrb, added 2026-05-04, 3 prompts. Usable: 'liver' is in two pieces."
    )


def test_the_selected_case_stays_selected_while_the_list_changes(a_trainer, trainer_fakes):
    a_trainer.logic.say(cases=trainer_fakes.CASES)
    a_trainer.ui.caseTable.selectRow(2)
    a_trainer.logic.say(cases=trainer_fakes.CASES[1:])
    assert a_trainer.ui.caseTable.currentRow() == 1
    assert a_trainer.ui.remarkLabel.text.startswith("CT abdomen 3")
    a_trainer.logic.say(cases=trainer_fakes.CASES[:2])
    assert a_trainer.ui.caseTable.currentRow() == -1 and not a_trainer.ui.remarkLabel.visible


def test_of_a_case_that_can_not_be_read_the_reason_is_told_alone(a_trainer):
    from ENSAMTrainerLib.values import CaseRow

    damaged = "'case.json' of the case 'CT' is damaged: remove the case and add it again."
    a_trainer.logic.say(cases=(CaseRow("CT", "", (), 0, "", "refused", damaged),))
    a_trainer.ui.caseTable.selectRow(0)
    assert a_trainer.ui.remarkLabel.text == f"CT: {damaged}" and a_trainer.ui.removeButton.enabled


def test_removing_asks_first_and_slicers_log_does_not_get_the_name(a_trainer, trainer_fakes, caplog):
    a_trainer.logic.say(cases=trainer_fakes.CASES)
    a_trainer.ui.caseTable.selectRow(1)
    a_trainer.dialogs.answer = False
    with caplog.at_level("DEBUG"):
        a_trainer.ui.removeButton.click()
    assert "'CT abdomen 2'" in a_trainer.dialogs.questions[0]
    assert "Delete the copy of this case?" in caplog.text and "CT abdomen" not in caplog.text
    assert len(a_trainer.logic.cases) == 4
    a_trainer.dialogs.answer = True
    a_trainer.ui.removeButton.click()
    assert a_trainer.made() == ("remove", "CT abdomen 2")
    assert a_trainer.ui.caseTable.rowCount == 3 and "removeButton" not in a_trainer.enabled()


def test_several_saved_scenes_are_added_and_a_bad_one_keeps_no_other_out(a_trainer, file_dialogs):
    file_dialogs += [("/data/a.mrb", "/data/b.mrb", "/data/c.mrml"), ()]
    a_trainer.logic.refusal = "'a.mrb' has no segmentation: choose another scene."
    a_trainer.ui.addScenesButton.click()
    added = [call[1] for call in a_trainer.calls.made if call[0] == "add_scene_file"]
    assert added == ["/data/a.mrb", "/data/b.mrb", "/data/c.mrml"]
    assert a_trainer.dialogs.errors == ["'a.mrb' has no segmentation: choose another scene."]
    a_trainer.ui.addScenesButton.click()
    assert a_trainer.made() == ("add_scene_file", "/data/c.mrml")


def test_folders_are_added_recipes_exported_and_results_imported_where_the_user_says(
    a_trainer, trainer_fakes, file_dialogs
):
    a_trainer.logic.say(cases=trainer_fakes.CASES)
    for button, call in (
        ("addFolderButton", "add_folder"),
        ("exportButton", "export_recipe"),
        ("importButton", "import_result"),
    ):
        file_dialogs += ["/data/chosen", ""]
        getattr(a_trainer.ui, button).click()
        assert a_trainer.made() == (call, "/data/chosen")
        made = len(a_trainer.calls.made)
        getattr(a_trainer.ui, button).click()
        assert len(a_trainer.calls.made) == made and file_dialogs == []


def test_another_folder_is_gone_over_to_and_remembered(a_trainer, file_dialogs):
    from pathlib import Path

    from ENSAMTrainerGUI.user_settings import training_folder

    a_trainer.logic.say(folder=Path("/home/user/ENSAM/Training"))
    assert a_trainer.ui.folderLabel.text == "Kept in ENSAM/Training"
    assert a_trainer.ui.folderLabel.toolTip == "/home/user/ENSAM/Training"
    file_dialogs += ["/disk/ENSAM"]
    a_trainer.ui.folderButton.click()
    assert a_trainer.logic.folder == training_folder() == Path("/disk/ENSAM")


# The dialog for the scene


@pytest.fixture
def a_dialog(an_application, trainer_fakes):
    from ENSAMTrainerGUI.scene_dialog import SceneDialog

    return SceneDialog(trainer_fakes.SCENE)


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
    assert chosen == ("vtkMRMLScalarVolumeNode1", "vtkMRMLSegmentationNode1", ("s3",), "")


def test_whose_image_it_is_can_be_said(a_dialog):
    a_dialog.ui.patientLineEdit.text = " patient 7 "
    assert answer(a_dialog, ok(a_dialog).click)[-1] == "patient 7"


def test_nothing_ticked_can_not_be_added(a_dialog):
    import qt

    for at in (0, 2):
        a_dialog.ui.segmentList.item(at).setCheckState(qt.Qt.Unchecked)
    assert not ok(a_dialog).enabled
    a_dialog.ui.segmentList.item(1).setCheckState(qt.Qt.Checked)
    assert ok(a_dialog).enabled
    assert answer(a_dialog, a_dialog.dialog.reject) is None


def test_the_new_case_from_the_scene_is_selected(a_trainer, trainer_fakes, monkeypatch):
    from ENSAMTrainerGUI import cases

    answers = [("v", "s", ("a", "b"), "patient 7"), None]
    monkeypatch.setattr(cases, "SceneDialog", lambda _: SimpleNamespace(ask=lambda: answers.pop(0)))
    a_trainer.logic.scene = trainer_fakes.SCENE
    a_trainer.panel.enter()
    a_trainer.ui.addFromSceneButton.click()
    assert a_trainer.made() == ("add_from_scene", "v", "s", ("a", "b"), "patient 7")
    assert a_trainer.ui.caseTable.currentRow() == 1
    made = len(a_trainer.calls.made)
    a_trainer.ui.addFromSceneButton.click()
    assert "add_from_scene" not in [call[0] for call in a_trainer.calls.made[made:]]
