"""The effect in a segment editor."""

from __future__ import annotations

from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "ENSAMSegment" / "SegmentEditorENSAM.py"
CENTRE = (24.0, -4.0, 70.0)


@pytest.fixture
def a_registered_effect(an_application):
    an_application.load_module(MODULE)
    an_application.finish_start()


def make_editor(volume, segmentation, tag):
    import slicer

    scene = slicer.mrmlScene
    node = scene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
    node.UnRegister(None)
    node.SetSingletonTag(tag)
    node = scene.AddNode(node)
    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLSegmentEditorNode(node)
    editor.setMRMLScene(scene)
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)
    return editor


@pytest.fixture
def an_editor(a_registered_effect, a_stub_worker, a_volume):
    from ENSAMSegmentLib.segments import add_segmentation

    editor = make_editor(a_volume, add_segmentation(a_volume, "organs"), "SegmentEditor")
    yield editor
    editor.setActiveEffect(None)
    effect_of(editor).cleanup()


def effect_of(editor):
    return editor.effectByName("ENSAM").self()


def activate(editor):
    editor.setActiveEffectByName("ENSAM")
    assert editor.activeEffect().name == "ENSAM"
    return effect_of(editor)


def wait_for_answer(effect, pump, to):
    """Do something, and let the timer bring the answer."""
    before = effect.logic.last_change
    to()
    pump(lambda: effect.logic.last_change not in (None, before) and effect.logic.status.kind == "done", 20)


def interaction_node():
    import slicer

    return slicer.mrmlScene.GetNodeByID("vtkMRMLInteractionNodeSingleton")


def test_it_is_registered_at_the_end_of_the_start(an_application):
    import slicer

    an_application.load_module(MODULE)
    factory = slicer.qSlicerSegmentEditorEffectFactory.instance()
    assert "ENSAM" not in [effect.name for effect in factory.registeredEffects()]
    an_application.finish_start()
    assert "ENSAM" in [effect.name for effect in factory.registeredEffects()]
    assert slicer.modules.segmenteditorensam.hidden


def test_its_package_is_imported_as_a_package(a_registered_effect):
    import sys

    package = sys.modules["SegmentEditorENSAMLib"]
    assert hasattr(package, "__path__")
    assert isinstance(package.SegmentEditorEffect, type)


def test_setting_up_an_editor_makes_no_logic(an_editor):
    assert effect_of(an_editor).logic is None
    assert effect_of(an_editor).panel is None


def test_it_needs_no_segment_to_begin_with(an_editor):
    assert not an_editor.effectByName("ENSAM").requireSegments
    effect = activate(an_editor)
    effect.panel.ui.newSegmentButton.click()
    assert effect.logic.segment_id
    assert an_editor.currentSegmentID() == effect.logic.segment_id


def test_a_filtered_list_shows_a_new_segment_too(an_editor):
    effect = activate(an_editor)
    effect.panel.ui.newSegmentButton.click()
    an_editor.segmentationNode().SetSegmentListFilterOptions("text:1;status:")
    an_editor.segmentationNode().SetSegmentListFilterEnabled(True)
    effect.panel.ui.newSegmentButton.click()
    assert an_editor.activeEffect().name == "ENSAM"
    assert an_editor.currentSegmentID() == effect.logic.segment_id
    segments = an_editor.segmentationNode().GetSegmentation()
    assert segments.GetSegment(effect.logic.segment_id).GetName() == "Segment_2"


def test_a_filtered_list_goes_on_to_show_the_segment_that_an_answer_starts(an_editor, pump):
    effect = activate(an_editor)
    effect.panel.ui.newSegmentButton.click()
    segmentation, segment_id = an_editor.segmentationNode(), effect.logic.segment_id
    segmentation.SetSegmentListFilterOptions("text:;status:notstarted")
    segmentation.SetSegmentListFilterEnabled(True)
    wait_for_answer(effect, pump, lambda: effect.logic.set_box(CENTRE, (20.0, 16.0, 20.0)))
    assert an_editor.activeEffect().name == "ENSAM"
    assert an_editor.currentSegmentID() == segment_id


@pytest.mark.parametrize(
    ("options", "is_enabled"),
    [("text:1;status:", False), ("text:SEGMENT;status:", True), ("text:;status:notstarted,inprogress", True)],
)
def test_a_filter_that_is_not_in_the_way_stays(an_editor, pump, options, is_enabled):
    effect = activate(an_editor)
    segmentation = an_editor.segmentationNode()
    segmentation.SetSegmentListFilterOptions(options)
    segmentation.SetSegmentListFilterEnabled(is_enabled)
    for _segment in range(2):
        effect.panel.ui.newSegmentButton.click()
    wait_for_answer(effect, pump, lambda: effect.logic.set_box(CENTRE, (20.0, 16.0, 20.0)))
    assert segmentation.GetSegmentListFilterOptions() == options


def test_it_works_on_the_editors_node(an_editor, a_volume):
    effect = activate(an_editor)
    assert effect.logic.volume is a_volume
    assert effect.logic.segmentation is an_editor.segmentationNode()
    assert effect.scriptedEffect.optionsFrame().isAncestorOf(effect.panel.widget)


def test_a_prompt_fills_the_segment_and_the_editor_takes_it_back(an_editor, pump):
    effect = activate(an_editor)
    effect.panel.ui.newSegmentButton.click()
    wait_for_answer(effect, pump, lambda: effect.logic.set_box(CENTRE, (20.0, 16.0, 20.0)))
    wait_for_answer(effect, pump, lambda: effect.logic.add_point(CENTRE, False))
    an_editor.undo()
    pump(lambda: effect.panel.ui.promptTable.rowCount == 1)
    an_editor.redo()
    pump(lambda: effect.panel.ui.promptTable.rowCount == 2)


def test_place_mode_does_not_deactivate_it(an_editor):
    effect = activate(an_editor)
    effect.panel.ui.foregroundButton.click()
    assert interaction_node().GetCurrentInteractionMode() == interaction_node().Place
    assert an_editor.activeEffect().name == "ENSAM"
    assert effect.panel.ui.foregroundButton.checked


def test_another_effect_ends_placing_and_hides_the_prompts(an_editor, a_main_window):
    import qt

    effect = activate(an_editor)
    effect.panel.ui.foregroundButton.click()
    assert {s.key.toString() for s in a_main_window.findChildren(qt.QShortcut)} == {"N", "D", "F", "B"}
    an_editor.setActiveEffect(None)
    assert interaction_node().GetCurrentInteractionMode() == interaction_node().ViewTransform
    assert not any(s.enabled for s in a_main_window.findChildren(qt.QShortcut))
    assert effect.logic.placing == ""


def test_its_options_are_kept_in_the_editors_node(an_editor):
    effect = activate(an_editor)
    node = an_editor.mrmlSegmentEditorNode()
    assert node.GetAttribute("ENSAM.autoUpdate") == "1"
    effect.panel.ui.autoUpdateCheckBox.checked = False
    effect.panel.ui.togetherCheckBox.checked = True
    combo_box = effect.panel.ui.intensityComboBox
    combo_box.currentIndex = combo_box.findData("bone")
    assert node.GetAttribute("ENSAM.autoUpdate") == "0"
    assert node.GetAttribute("ENSAM.together") == "1"
    assert node.GetAttribute("ENSAM.intensity") == "bone"
    logic = effect.logic
    assert (logic.auto_update, logic.together, logic.intensity) == (False, True, "bone")


def test_a_script_can_set_its_options(an_editor):
    effect = activate(an_editor)
    effect.scriptedEffect.setParameter("lesionMode", 1)
    assert effect.panel.ui.lesionModeCheckBox.checked
    assert effect.logic.lesion_mode


def test_options_set_before_hold_when_it_is_activated(an_editor):
    effect_of(an_editor).scriptedEffect.setParameter("keepOthers", 0)
    effect = activate(an_editor)
    assert not effect.panel.ui.keepOthersCheckBox.checked
    assert not effect.logic.keep_others


def test_two_editors_have_a_logic_each_and_one_worker(an_editor, a_volume, a_stub_worker):
    from ENSAMSegmentLib.segments import add_segmentation

    other = make_editor(a_volume, add_segmentation(a_volume, "lesions"), "Other")
    first, second = activate(an_editor), activate(other)
    assert first is not second
    assert first.logic is not second.logic
    assert first.logic.segmentation.GetName() == "organs"
    assert second.logic.segmentation.GetName() == "lesions"
    other.setActiveEffect(None)
    second.cleanup()


def test_activating_again_keeps_the_logic_and_another_node_brings_another(an_editor, an_application):
    effect = activate(an_editor)
    logic, panel = effect.logic, effect.panel
    an_editor.setActiveEffect(None)
    activate(an_editor)
    assert effect.logic is logic
    an_editor.setActiveEffect(None)
    node = an_application.scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    node.SetAndObserveSegmentationNode(an_editor.segmentationNode())
    node.SetAndObserveSourceVolumeNode(an_editor.sourceVolumeNode())
    an_editor.setMRMLSegmentEditorNode(node)
    activate(an_editor)
    assert effect.logic is not logic
    assert effect.panel is panel
    assert panel.logic is effect.logic


def test_a_scene_without_its_options_has_the_usual_ones(an_editor):
    from ENSAMSegmentGUI.options import DEFAULT_OPTIONS

    effect = activate(an_editor)
    effect.panel.ui.togetherCheckBox.click()
    node = an_editor.mrmlSegmentEditorNode()
    for name in list(node.GetAttributeNames()):
        node.RemoveAttribute(name)  # a loaded scene's node takes the place of this one's contents
    effect.updateGUIFromMRML()
    assert effect.panel.options() == DEFAULT_OPTIONS
    assert effect.logic.keep_others and effect.logic.auto_update and effect.logic.intensity == "auto"


def test_closing_the_scene_while_it_is_active(an_editor, an_application, pump):
    effect = activate(an_editor)
    effect.panel.ui.newSegmentButton.click()
    effect.logic.set_box(CENTRE, (20.0, 16.0, 20.0))
    effect.logic.run()
    an_editor.setSegmentationNode(None)
    an_application.scene.Clear()
    pump(0.3)
    assert an_application.dialogs.errors == []


def test_cleanup_leaves_nothing_connected(an_editor, a_main_window, pump):
    import qt

    effect = activate(an_editor)
    panel, logic = effect.panel, effect.logic
    effect.cleanup()
    assert effect.panel is None
    assert effect.logic is None
    assert not any(s.enabled for s in a_main_window.findChildren(qt.QShortcut))
    node = an_editor.mrmlSegmentEditorNode()
    before = node.GetAttribute("ENSAM.together")
    panel.ui.togetherCheckBox.checked = True
    panel.ui.newSegmentButton.click()
    pump(0.05)
    assert node.GetAttribute("ENSAM.together") == before
    assert logic.prompt_rows() == ()
    effect.cleanup()


def test_it_explains_itself(an_editor):
    text = an_editor.effectByName("ENSAM").helpText()
    assert "<br>." in text
    assert "box" in text
    assert an_editor.effectByName("ENSAM").title == "ENSAM"


def test_the_modules_own_test_passes(a_registered_effect, a_stub_worker, an_application):
    import sys

    sys.modules["SegmentEditorENSAM"].SegmentEditorENSAMTest().runTest()
    assert an_application.dialogs.infos[-1] == "Passed"
