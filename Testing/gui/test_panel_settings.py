"""The panel's settings of the user: device and weights; and the files of prompts."""

from __future__ import annotations

from types import SimpleNamespace

from .opened_panel import OpenedPanel


def test_the_device_is_the_users_and_persists(a_panel, an_application, rows):
    import slicer

    ui = a_panel.ui
    ui.deviceComboBox.currentIndex = ui.deviceComboBox.findData("cpu")
    assert a_panel.logic.device == "cpu"
    assert slicer.app.userSettings().value("ENSAM/device") == "cpu"
    second = OpenedPanel(an_application, rows)
    assert second.logic.device == "cpu"
    assert second.ui.deviceComboBox.currentIndex == ui.deviceComboBox.findData("cpu")
    second.panel.cleanup()


def an_installed_checkpoint(name):
    """Its path. Listing opens no file, so it needs no weights."""
    from ENSAMSegmentGUI.user_files import models_folder

    path = models_folder() / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def test_checkpoints_are_kept_beside_slicers_user_settings(an_application, tmp_path):
    import slicer
    from ENSAMSegmentGUI.user_files import models_folder

    settings = slicer.app.userSettings().fileName()
    assert models_folder().is_relative_to(tmp_path)
    assert str(models_folder().parent.parent) == settings.rpartition("/")[0]


def test_the_weights_are_chosen_from_a_list_which_knows_what_was_installed_meanwhile(a_panel):
    import slicer

    box = a_panel.ui.checkpointComboBox
    assert [box.itemText(i) for i in range(box.count)] == ["Shipped with the module", "Other file..."]
    path = an_installed_checkpoint("liver")
    a_panel.panel.enter()
    assert [box.itemText(i) for i in range(box.count)][1:] == ["liver", "Other file..."]
    assert (a_panel.logic.checkpoint, box.currentText) == ("", "Shipped with the module")
    box.currentIndex = 1
    assert a_panel.logic.checkpoint == str(path)
    assert slicer.app.userSettings().value("ENSAM/checkpoint") == str(path)
    a_panel.panel.enter()
    assert (a_panel.logic.checkpoint, box.currentText) == (str(path), "liver")
    box.currentIndex = 0
    assert a_panel.logic.checkpoint == slicer.app.userSettings().value("ENSAM/checkpoint") == ""


def test_a_checkpoint_that_the_trainer_chose_is_shown_as_chosen(a_panel):
    import slicer

    path = an_installed_checkpoint("liver")
    written_otherwise = f"{path.parent}/./{path.name}"
    slicer.app.userSettings().setValue("ENSAM/checkpoint", written_otherwise)
    a_panel.panel.enter()
    assert a_panel.ui.checkpointComboBox.currentText == "liver"
    assert a_panel.logic.checkpoint == written_otherwise


def test_another_file_shows_its_path_and_persists(a_panel, an_application, rows):
    ui = a_panel.ui
    ui.advancedButton.collapsed = False
    assert not ui.checkpointPathLineEdit.visible
    ui.checkpointComboBox.currentIndex = ui.checkpointComboBox.count - 1
    assert ui.checkpointPathLineEdit.visible
    assert a_panel.logic.checkpoint == ""
    ui.checkpointPathLineEdit.currentPath = "/data/my.safetensors "
    assert a_panel.logic.checkpoint == "/data/my.safetensors"
    ui.checkpointPathLineEdit.currentPath = ""
    assert a_panel.logic.checkpoint == "/data/my.safetensors"
    second = OpenedPanel(an_application, rows)
    assert second.logic.checkpoint == "/data/my.safetensors"
    assert second.ui.checkpointComboBox.currentText == "Other file..."
    assert second.ui.checkpointPathLineEdit.currentPath == "/data/my.safetensors"
    second.ui.checkpointComboBox.currentIndex = 0
    assert second.logic.checkpoint == ""
    a_panel.panel.enter()
    assert (a_panel.logic.checkpoint, ui.checkpointPathLineEdit.visible) == ("", False)
    second.panel.cleanup()


def test_an_installed_checkpoint_that_is_gone_says_so(a_panel):
    path = an_installed_checkpoint("broken")
    a_panel.ui.advancedButton.collapsed = False
    a_panel.panel.enter()
    a_panel.ui.checkpointComboBox.currentIndex = 1
    path.unlink()
    a_panel.panel.enter()
    assert a_panel.ui.checkpointComboBox.currentText == "Other file..."
    assert a_panel.ui.checkpointPathLineEdit.currentPath == str(path)
    assert a_panel.ui.cardLabel.text == "There is no checkpoint there."


def test_the_card_shows_when_someone_looks_and_says_what_is_wrong(a_panel):
    ui = a_panel.ui
    assert ui.cardLabel.text == ""
    ui.advancedButton.collapsed = False
    assert ui.cardLabel.text == "Card of the shipped weights"
    ui.checkpointComboBox.currentIndex = 1
    ui.checkpointPathLineEdit.currentPath = "/data/broken"
    assert ui.cardLabel.text == "There is no checkpoint there."
    assert a_panel.dialogs.errors == []


def test_grey_values_and_devices_are_the_logics_words(a_panel):
    from typing import get_args

    from ensam.preprocessing import IntensityChoice
    from ENSAMSegmentGUI.choices import device_choices, intensity_choices

    assert [word for word, _label in intensity_choices()] == list(get_args(IntensityChoice))
    assert [word for word, _label in device_choices()] == ["auto", "cpu", "cuda", "mps"]


def test_prompts_are_saved_and_loaded_where_the_user_says(a_panel, monkeypatch, tmp_path):
    from ENSAMSegmentGUI import advanced

    answers = [str(tmp_path / "follow-up"), str(tmp_path / "follow-up.json"), "", ""]
    fake = SimpleNamespace(
        getSaveFileName=lambda *arguments: answers.pop(0), getOpenFileName=lambda *arguments: answers.pop(0)
    )
    monkeypatch.setattr(advanced, "qt", SimpleNamespace(QFileDialog=fake))
    a_panel.ui.savePromptsButton.click()
    assert a_panel.calls.made[-1] == ("save_prompts", str(tmp_path / "follow-up.json"))
    a_panel.ui.loadPromptsButton.click()
    assert a_panel.calls.made[-1] == ("load_prompts", str(tmp_path / "follow-up.json"))
    made = len(a_panel.calls.made)
    a_panel.ui.savePromptsButton.click()
    a_panel.ui.loadPromptsButton.click()
    assert len(a_panel.calls.made) == made


def test_a_name_that_gets_its_ending_replaces_no_file_unasked(a_panel, monkeypatch, tmp_path):
    from ENSAMSegmentGUI import advanced

    fake = SimpleNamespace(getSaveFileName=lambda *arguments: str(tmp_path / "case.v2"))
    monkeypatch.setattr(advanced, "qt", SimpleNamespace(QFileDialog=fake))
    (tmp_path / "case.json").touch()
    a_panel.ui.savePromptsButton.click()
    assert a_panel.calls.made[-1] == ("save_prompts", str(tmp_path / "case.v2.json"))
    assert a_panel.dialogs.questions == []
    (tmp_path / "case.v2.json").touch()
    for answer in (False, True):
        made = a_panel.calls.names().count("save_prompts")
        a_panel.dialogs.answer = answer
        a_panel.ui.savePromptsButton.click()
        assert a_panel.calls.names().count("save_prompts") == made + answer
    assert a_panel.dialogs.questions == ["'case.v2.json' is there already. Replace it?"] * 2
