"""The prompt panel: it shows what the logic says, and passes on what the user does."""

from __future__ import annotations

import pytest

from .opened_panel import OpenedPanel


@pytest.fixture
def a_main_window(a_main_window):
    a_main_window.show()
    a_main_window.activateWindow()
    return a_main_window


def test_status_is_one_sentence_with_the_rest_behind_it(a_panel):
    from ENSAMSegmentLib.status import Status

    a_panel.logic.say(status=Status("done", "liver: 152 mL.", "Window of 96 x 96 x 96 voxels"))
    assert a_panel.ui.statusLabel.text == "liver: 152 mL."
    assert a_panel.ui.detailLabel.text == "Window of 96 x 96 x 96 voxels"
    assert not a_panel.ui.workingBox.visible
    assert not a_panel.ui.statusLabel.styleSheet


def test_progress_and_cancel_show_only_while_working(a_panel):
    from ENSAMSegmentLib.status import Status

    a_panel.logic.say(status=Status("working", "Segmenting...", "", 0.25))
    assert a_panel.ui.workingBox.visible
    assert (a_panel.ui.progressBar.maximum, a_panel.ui.progressBar.value) == (100, 25)
    a_panel.ui.cancelButton.click()
    assert a_panel.calls.names()[-1] == "cancel"
    a_panel.logic.say(status=Status("working", "Loading the network...", "", None))
    assert a_panel.ui.progressBar.maximum == 0
    a_panel.logic.say(status=Status("done", "Done."))
    assert not a_panel.ui.workingBox.visible


def test_an_error_stands_out(a_panel):
    from ENSAMSegmentLib.status import Status

    a_panel.logic.say(status=Status("error", "The box lies outside the image: move it."))
    assert a_panel.ui.statusLabel.text == "The box lies outside the image: move it."
    assert "color" in a_panel.ui.statusLabel.styleSheet


def test_measures_are_told_in_one_line(a_panel):
    import slicer

    from .fake_logic import LIVER

    assert not a_panel.ui.measureLabel.visible
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.GetSegmentation().AddEmptySegment("liver", "liver")
    a_panel.logic.say(segmentation=segmentation, segment_id="liver", **LIVER)
    assert a_panel.ui.measureLabel.visible
    size = 'liver: 152.3 mL, <a href="diameters">84 × 61 mm</a>'
    assert a_panel.ui.measureLabel.text == f"{size}; last prompt +2.1 mL, −0.4 mL"
    a_panel.logic.say(last_change=None)
    assert a_panel.ui.measureLabel.text == size
    a_panel.ui.measureLabel.linkActivated.emit("diameters")
    assert a_panel.calls.names()[-1] == "jump_to_diameters"


@pytest.mark.parametrize(
    ("button", "kind"),
    [("boxButton", "box"), ("foregroundButton", "foreground"), ("backgroundButton", "background")],
)
def test_a_place_button_starts_and_stops_and_follows_the_logic(a_panel, button, kind):
    button = getattr(a_panel.ui, button)
    button.click()
    assert a_panel.calls.made[-1] == ("start_placing", kind)
    assert button.checked
    button.click()
    assert a_panel.calls.names()[-1] == "stop_placing"
    assert not button.checked
    a_panel.logic.say(placing=kind)
    assert button.checked and "stop." in a_panel.ui.detailLabel.text
    assert [b.checked for b in a_panel.panel._place_buttons.values()].count(True) == 1
    a_panel.logic.say(placing="")
    assert not button.checked and not a_panel.ui.detailLabel.visible


def test_a_refused_tool_says_why_and_springs_back(a_panel):
    a_panel.logic.refusal = "There is no image to segment: load one."
    a_panel.ui.foregroundButton.click()
    assert a_panel.dialogs.errors == ["There is no image to segment: load one."]
    assert not a_panel.ui.foregroundButton.checked
    a_panel.logic.refusal = "There is no image."
    a_panel.ui.newSegmentButton.click()
    assert a_panel.dialogs.errors[1:] == ["There is no image."]


def test_what_nobody_foresaw_reaches_the_user_and_the_log(a_panel, an_application, monkeypatch):
    def catch_fire():
        raise RuntimeError("disk on fire")

    monkeypatch.setattr(a_panel.logic, "run", catch_fire)
    a_panel.logic.say(auto_update=False)
    a_panel.ui.updateButton.click()
    assert a_panel.dialogs.errors == ["RuntimeError: disk on fire"]
    (mistake,) = an_application.mistakes()
    assert "catch_fire" in mistake and "RuntimeError" in mistake


@pytest.mark.parametrize("is_foreseen", [True, False])
def test_slicers_log_gets_no_name_that_a_message_has(
    a_panel, an_application, monkeypatch, caplog, is_foreseen
):
    from ensam.errors import InputError

    # In pieces, for the log may quote the lines of this file.
    patient = "Doe_" + "Jane"

    def fail():
        raise (InputError if is_foreseen else OSError)(f"There is no file '/study/{patient}.nrrd'.")

    monkeypatch.setattr(a_panel.logic, "run", fail)
    a_panel.logic.say(auto_update=False)
    with caplog.at_level("DEBUG"):
        a_panel.ui.updateButton.click()
    assert patient in a_panel.dialogs.errors[0]
    log = caplog.text + "".join(an_application.mistakes())
    assert "ENSAM could not do this." in log and patient not in log


def test_in_slicers_own_tests_an_unforeseen_error_keeps_its_words(a_panel, an_application, monkeypatch):
    def fail():
        raise RuntimeError("disk on fire")

    monkeypatch.setattr(a_panel.logic, "run", fail)
    a_panel.logic.say(auto_update=False)
    an_application.set_testing(True)
    a_panel.ui.updateButton.click()
    assert a_panel.dialogs.errors == []
    assert any("disk on fire" in mistake for mistake in an_application.mistakes())


def test_the_eye_hides_the_prompts_and_follows_the_logic(a_panel):
    button = a_panel.ui.showPromptsButton
    assert button.checked
    button.click()
    assert not a_panel.logic.shows_prompts
    button.click()
    assert a_panel.logic.shows_prompts
    a_panel.logic.say(shows_prompts=False)
    assert not button.checked
    a_panel.logic.say(shows_prompts=True)
    assert button.checked


def test_the_table_lists_the_prompts(a_panel):
    import qt

    table = a_panel.ui.promptTable
    texts = [[table.item(r, c).text() for c in range(2)] for r in range(table.rowCount)]
    assert texts == [
        ["Box", "R 4.0, P 12.5, S 60.0"],
        ["Foreground 1", "L 6.2, A 3.0, S 58.0"],
        ["Background 1", "R 20.0, A 3.0, I 1.0"],
    ]
    assert [table.item(r, 0).checkState() == qt.Qt.Checked for r in range(3)] == [True, True, False]
    assert not any(name.startswith("set_muted") for name in a_panel.calls.names())


def test_unticking_a_prompt_mutes_it_and_ticking_takes_it_back(a_panel, rows):
    a_panel.tick(1, False)
    assert a_panel.calls.made[-1] == ("set_muted", rows[1], True)
    a_panel.tick(2, True)
    assert a_panel.calls.made[-1] == ("set_muted", rows[2], False)


def test_double_click_jumps_there(a_panel, rows):
    table = a_panel.ui.promptTable
    table.cellDoubleClicked.emit(1, 1)
    assert a_panel.calls.made[-1] == ("jump_to", rows[1])


def test_buttons_under_the_table_need_a_fitting_row(a_panel, rows):
    ui = a_panel.ui
    assert (ui.flipButton.enabled, ui.deleteButton.enabled, ui.clearButton.enabled) == (False, False, True)
    a_panel.select(0)
    assert (ui.flipButton.enabled, ui.deleteButton.enabled) == (False, True)
    a_panel.select(1)
    assert ui.flipButton.enabled
    ui.flipButton.click()
    assert a_panel.calls.made[-1] == ("flip", rows[1])
    ui.deleteButton.click()
    assert a_panel.calls.made[-1] == ("remove", rows[1])
    assert ui.promptTable.rowCount == 2
    ui.clearButton.click()
    assert a_panel.calls.names()[-1] == "clear_prompts"
    a_panel.logic.say(rows=[])
    assert not ui.clearButton.enabled


def test_the_selected_row_stays_while_prompts_move(a_panel, rows):
    from dataclasses import replace

    a_panel.select(1)
    a_panel.logic.say(rows=[rows[0], replace(rows[1], position_ras=(0.0, 0.0, 0.0)), rows[2]])
    assert a_panel.ui.promptTable.currentRow() == 1
    assert a_panel.ui.promptTable.item(1, 1).text() == "R 0.0, A 0.0, S 0.0"


def test_update_button_is_there_where_nothing_updates_by_itself(a_panel):
    assert not a_panel.ui.updateButton.visible
    a_panel.logic.say(waits=True)
    assert a_panel.ui.updateButton.visible
    a_panel.logic.say(waits=False)
    assert not a_panel.ui.updateButton.visible
    a_panel.logic.say(auto_update=False)
    assert a_panel.ui.updateButton.visible
    a_panel.ui.updateButton.click()
    assert a_panel.calls.names()[-1] == "run"


def test_options_are_shown_and_given_to_the_logic(a_panel):
    a_panel.panel.apply_options(
        {"autoUpdate": False, "lesionMode": True, "together": True, "keepOthers": False, "intensity": "lung"}
    )
    logic = a_panel.logic
    assert (logic.auto_update, logic.lesion_mode, logic.together) == (False, True, True)
    assert (logic.keep_others, logic.intensity) == (False, "lung")
    assert a_panel.panel.options() == {
        "autoUpdate": False,
        "lesionMode": True,
        "together": True,
        "keepOthers": False,
        "intensity": "lung",
    }
    assert a_panel.ui.intensityComboBox.currentText == "CT lung"


def test_the_timer_asks_as_often_as_the_logic_wants_and_then_stops(a_panel, pump):
    a_panel.logic.polls = [0.0, 0.01, 0.0]
    a_panel.logic.changed()
    pump(0.2)
    assert a_panel.calls.names().count("poll") == 4
    assert ("poll", 0.02) in a_panel.calls.made
    pump(0.1)
    assert a_panel.calls.names().count("poll") == 4


def test_an_error_while_polling_is_shown_once(a_panel, pump, an_application, monkeypatch):
    calls = []

    def fail(wait_s):
        calls.append(wait_s)
        raise RuntimeError("worker broke")

    monkeypatch.setattr(a_panel.logic, "poll", fail)
    a_panel.logic.changed()
    pump(0.1)
    assert len(calls) == 1
    assert a_panel.dialogs.errors == ["RuntimeError: worker broke"]
    assert len(an_application.mistakes()) == 1


def test_keys_live_between_enter_and_exit(a_panel, a_main_window):
    import qt

    def pressed():
        before = len(a_panel.calls.made)
        for shortcut in a_main_window.findChildren(qt.QShortcut):
            shortcut.activated.emit()
        return [call for call in a_panel.calls.made[before:] if call[0] in ("add_segment", "start_placing")]

    def keys():
        shortcuts = a_main_window.findChildren(qt.QShortcut)
        return sorted(s.key.toString() for s in shortcuts if s.enabled)

    assert keys() == []
    a_panel.panel.enter()
    assert keys() == ["B", "D", "F", "N"]
    assert not any(s.autoRepeat for s in a_main_window.findChildren(qt.QShortcut))
    assert [call[0] for call in pressed()].count("add_segment") == 1
    a_panel.panel.exit()
    assert keys() == []
    assert pressed() == []
    a_panel.panel.enter()
    assert keys() == ["B", "D", "F", "N"]


def test_enter_and_exit_activate_the_logic(a_panel):
    a_panel.panel.enter()
    assert "activate" in a_panel.calls.names()
    a_panel.panel.exit()
    assert a_panel.calls.names()[-1] == "deactivate"


def test_nothing_reaches_the_panel_after_cleanup(an_application, rows, pump):
    panel = OpenedPanel(an_application, rows)
    panel.panel.cleanup()
    made = len(panel.calls.made)
    panel.logic.say(placing="box")
    panel.ui.newSegmentButton.click()
    panel.ui.clearButton.click()
    panel.ui.deviceComboBox.currentIndex = 1
    pump(0.05)
    assert len(panel.calls.made) == made
    assert not panel.ui.boxButton.checked


def test_another_logic_can_take_over(a_panel, rows):
    from .fake_logic import FakeLogic

    other = FakeLogic(rows[:1])
    a_panel.panel.use(other)
    assert a_panel.ui.promptTable.rowCount == 1
    a_panel.logic.say(rows=[])
    assert a_panel.ui.promptTable.rowCount == 1
    a_panel.ui.newSegmentButton.click()
    assert other.calls.names() == ["add_segment"]


def test_the_host_prepares_before_a_tool(an_application, rows):
    from ENSAMSegmentGUI.prompt_panel import PromptPanel

    from .fake_logic import FakeInstaller, FakeLogic

    logic = FakeLogic(rows)
    answers = [True, True, False, False]

    def prepare():
        logic.calls("prepared")
        return answers.pop(0)

    panel = PromptPanel(logic, FakeInstaller(), prepare)
    panel.ui.newSegmentButton.click()
    panel.ui.boxButton.click()
    panel.ui.boxButton.click()
    names = [name for name in logic.calls.names() if name != "poll"]
    assert names == ["prepared", "add_segment", "prepared", "start_placing", "stop_placing"]
    panel.ui.newSegmentButton.click()
    panel.ui.boxButton.click()  # declined: nothing happens, and the button springs back
    assert [name for name in logic.calls.names() if name != "poll"] == [*names, "prepared", "prepared"]
    assert not panel.ui.boxButton.checked
    panel.cleanup()


def test_the_logic_can_ask_whether_a_mouse_button_is_held(a_panel, monkeypatch):
    from PySide6.QtCore import Qt
    from PySide6.QtGui import QGuiApplication

    for held in (Qt.MouseButton.NoButton, Qt.MouseButton.LeftButton):
        monkeypatch.setattr(QGuiApplication, "mouseButtons", lambda held=held: held)
        assert a_panel.logic.is_pressed() is (held != Qt.MouseButton.NoButton)
