"""The module: its panel, what it keeps with the scene, and how it comes and goes."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path

import numpy as np
import pytest

MODULE = Path(__file__).resolve().parents[2] / "ENSAMSegment" / "ENSAMSegment.py"
CENTRE = (24.0, -4.0, 70.0)


@pytest.fixture
def a_module(an_application, a_stub_worker):
    widget = an_application.open_module(MODULE)
    yield widget
    widget.cleanup()


@pytest.fixture
def an_entered_module(a_module, a_volume):
    show(a_volume)
    a_module.parent.enter()
    yield a_module
    if a_module.parent.isEntered:
        a_module.parent.exit()


def show(volume):
    import slicer
    from mrml.nodes import add_slice_view

    composite, _view = add_slice_view(slicer.mrmlScene)
    composite.SetBackgroundVolumeID(volume.GetID())


def wait_for_answer(widget, pump, to):
    """Do something, and let the timer bring the answer."""
    before = widget.logic.last_change
    to()
    pump(lambda: widget.logic.last_change not in (None, before) and widget.logic.status.kind == "done", 20)


def parameters(scene):
    (node,) = [
        node
        for node in (
            scene.GetNthNodeByClass(i, "vtkMRMLScriptedModuleNode")
            for i in range(scene.GetNumberOfNodesByClass("vtkMRMLScriptedModuleNode"))
        )
        if node.GetAttribute("ModuleName") == "ENSAMSegment"
    ]
    return node


# Start-up


def test_importing_the_module_loads_nothing_heavy(an_application, monkeypatch):
    imported = set()
    original = builtins.__import__

    def noting(name, *arguments, **options):
        imported.add(name.partition(".")[0])
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", noting)
    an_application.load_module(MODULE)
    assert (
        imported & {"torch", "numpy", "scipy", "SimpleITK", "ensam", "ENSAMSegmentLib", "ENSAMSegmentGUI"}
        == set()
    )


def test_the_module_says_what_it_is(an_application):
    import slicer

    an_application.load_module(MODULE)
    described = slicer.modules.ensamsegment
    assert described.title == "ENSAM Interactive Segmentation"
    assert tuple(described.categories) == ("Segmentation",)
    assert "Segmentations" in described.dependencies


def test_the_logic_is_where_users_look_for_it(an_application):
    module = an_application.load_module(MODULE)
    from ENSAMSegmentLib.logic import ENSAMSegmentLogic as expected

    from ENSAMSegment import ENSAMSegmentLogic

    assert ENSAMSegmentLogic is expected
    with pytest.raises(AttributeError):
        module.ENSAMSegmentFileReader


def test_sample_data_is_registered_when_slicer_has_started(an_application, monkeypatch):
    import types

    calls = []
    stub = types.ModuleType("ENSAMSegmentLib.sample_data")
    stub.register = lambda: calls.append("registered")
    monkeypatch.setitem(sys.modules, "ENSAMSegmentLib.sample_data", stub)
    import ENSAMSegmentLib

    monkeypatch.setattr(ENSAMSegmentLib, "sample_data", stub, raising=False)
    an_application.load_module(MODULE)
    assert calls == []
    an_application.finish_start()
    assert calls == ["registered"]


def test_it_opens_without_main_window_and_asks_for_nothing(a_module, an_application):
    assert a_module.panel.ui.promptBox is not None
    dialogs = an_application.dialogs
    assert (dialogs.errors, dialogs.questions, dialogs.infos) == ([], [], [])


def test_an_empty_scene_can_be_entered_and_says_what_to_do(a_module, an_application):
    import slicer

    a_module.parent.enter()
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    assert "image" in a_module.panel.ui.statusLabel.text
    a_module.panel.ui.newSegmentButton.click()
    assert len(an_application.dialogs.errors) == 1
    assert "image" in an_application.dialogs.errors[0]
    a_module.parent.exit()


# The editor below


def test_the_editor_has_its_own_node_and_few_tools(a_module):
    node = a_module.editor.mrmlSegmentEditorNode()
    assert node.GetSingletonTag() == "ENSAMSegment"
    assert "ENSAM" not in a_module.editor.effectNameOrder()
    assert not a_module.editor.unorderedEffectsVisible


def test_the_image_in_the_views_is_selected(an_entered_module, a_volume):
    assert an_entered_module.logic.volume is a_volume
    assert an_entered_module.editor.sourceVolumeNode() is a_volume
    assert an_entered_module.logic.segmentation is not None


def test_the_selection_is_shared_with_the_segment_editor(an_entered_module, a_volume):
    from ENSAMSegmentLib.segments import add_segmentation
    from mrml.nodes import add_segment_editor

    a_module = an_entered_module
    a_module.panel.ui.newSegmentButton.click()
    ours, our_segment = a_module.logic.segmentation, a_module.logic.segment_id
    a_module.parent.exit()
    other = add_segmentation(a_volume, "organs")
    for name in ("liver", "spleen"):
        other.GetSegmentation().AddEmptySegment(name, name)
    node = add_segment_editor(a_volume.GetScene()).GetSegmentEditorNode()
    node.SetAndObserveSegmentationNode(other)
    node.SetAndObserveSourceVolumeNode(a_volume)
    node.SetSelectedSegmentID("spleen")
    a_module.parent.enter()
    assert a_module.logic.segmentation is other
    assert a_module.logic.segment_id == "spleen"
    assert a_module.logic.volume is a_volume
    a_module.logic.select(segmentation=ours, segment_id=our_segment)
    a_module.parent.exit()
    assert node.GetSegmentationNode() is ours
    assert node.GetSelectedSegmentID() == our_segment


def test_a_scene_that_is_added_changes_no_selection(an_entered_module, an_application, a_volume, tmp_path):
    from ENSAMSegmentLib.segments import add_segmentation

    scene, logic = an_application.scene, an_entered_module.logic
    organs = add_segmentation(a_volume, "organs")  # not the first of the image's
    for name in ("liver", "spleen"):  # nor the first of its segments
        organs.GetSegmentation().AddEmptySegment(name, name)
    logic.select(segmentation=organs, segment_id="spleen")
    path = tmp_path / "scene.mrml"
    path.write_text('<MRML version="Slicer4"></MRML>')
    scene.SetURL(str(path))
    assert scene.Import()
    assert logic.segmentation is organs and logic.segment_id == "spleen" and logic.volume is a_volume
    assert an_entered_module.editor.segmentationNode() is organs
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 2


@pytest.mark.parametrize("is_shown", [True, False])
@pytest.mark.parametrize("clears", [True, False])
def test_a_loaded_scene_brings_its_selection(a_module, an_application, a_volume, tmp_path, clears, is_shown):
    from ENSAMSegmentLib.segments import add_segmentation

    scene, url = an_application.scene, str(tmp_path / "scene.mrml")
    a_module.parent.enter()
    add_segmentation(a_volume, "lesions")
    a_module.logic.select(a_volume, add_segmentation(a_volume, "organs"))
    scene.SetURL(url)
    assert scene.Commit()
    if not is_shown:
        a_module.parent.exit()
    scene.Clear(False)
    scene.SetURL(url)
    assert scene.Connect() if clears else scene.Import()
    if not is_shown:
        a_module.parent.enter()
    logic = a_module.logic
    assert (logic.volume.GetName(), logic.segmentation.GetName()) == (a_volume.GetName(), "organs")
    assert a_module.editor.segmentationNode() is logic.segmentation
    a_module.parent.exit()


def test_an_image_is_not_paired_with_the_segmentation_of_another(a_module, an_application, a_volume):
    from ENSAMSegmentLib.segments import add_segmentation
    from mrml.nodes import add_volume

    voxels = np.arange(24_000, dtype=np.int16).reshape(20, 30, 40)
    add_segmentation(add_volume(an_application.scene, voxels, np.eye(4), "another patient"), "theirs")
    hidden = add_segmentation(a_volume, "hidden")
    hidden.SetHideFromEditors(True)
    show(a_volume)
    a_module.parent.enter()
    assert a_module.logic.segmentation.GetName() == "CT chest segmentation"
    a_module.parent.exit()


def test_an_image_is_opened_with_its_own_segmentation(a_module, an_application, a_volume):
    from ENSAMSegmentLib.segments import add_segmentation

    ours = add_segmentation(a_volume, "ours")
    show(a_volume)
    a_module.parent.enter()
    assert a_module.logic.segmentation is ours
    a_module.parent.exit()


def test_an_image_loaded_while_the_module_is_shown_is_found(a_module, a_volume):
    a_module.parent.enter()
    show(a_volume)
    a_module.panel.ui.newSegmentButton.click()
    assert a_module.logic.volume is a_volume
    assert a_module.logic.segment_id
    a_module.parent.exit()


# The way of a prompt


def test_a_box_and_a_click_fill_the_segment_by_the_timer_alone(an_entered_module, pump):
    widget = an_entered_module
    widget.panel.ui.newSegmentButton.click()
    wait_for_answer(widget, pump, lambda: widget.logic.set_box(CENTRE, (20.0, 16.0, 20.0)))
    assert widget.panel.ui.promptTable.rowCount == 1
    assert "mL" in widget.panel.ui.measureLabel.text
    wait_for_answer(widget, pump, lambda: widget.logic.add_point(CENTRE, False))
    assert widget.panel.ui.promptTable.rowCount == 2
    assert widget.logic.last_change.removed_ml > 0


def test_undo_is_the_editors(an_entered_module, pump):
    widget = an_entered_module
    widget.panel.ui.newSegmentButton.click()
    wait_for_answer(widget, pump, lambda: widget.logic.set_box(CENTRE, (20.0, 16.0, 20.0)))
    wait_for_answer(widget, pump, lambda: widget.logic.add_point(CENTRE, False))
    widget.editor.undo()
    pump(lambda: widget.panel.ui.promptTable.rowCount == 1)
    widget.editor.redo()
    pump(lambda: widget.panel.ui.promptTable.rowCount == 2)


def test_contours_and_surfaces_are_converted_on_request(an_entered_module, an_application):
    """Imported ones: a tool can be used when the user agrees."""
    import vtk

    widget = an_entered_module
    widget.panel.ui.newSegmentButton.click()
    segmentation = widget.logic.segmentation
    core = segmentation.GetSegmentation()
    core.SetSourceRepresentationName("Closed surface")
    core.RemoveAllSegments()
    sphere = vtk.vtkSphereSource()
    sphere.SetCenter(*CENTRE)
    sphere.SetRadius(6.0)
    sphere.Update()
    segmentation.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), "nodule", (1, 0, 0), "nodule")
    an_application.dialogs.answer = False
    widget.panel.ui.foregroundButton.click()
    assert "is not kept as a binary labelmap" in an_application.dialogs.questions[-1]
    assert core.GetSourceRepresentationName() == "Closed surface" and not widget.logic.placing
    an_application.dialogs.answer = True
    widget.panel.ui.foregroundButton.click()
    assert core.GetSourceRepresentationName() == "Binary labelmap" and widget.logic.placing
    widget.logic.select(segment_id="nodule")
    assert widget.logic.measures.volume_ml == pytest.approx(4 / 3 * np.pi * 0.6**3, rel=0.15)
    asked = len(an_application.dialogs.questions)
    widget.panel.ui.backgroundButton.click()
    assert len(an_application.dialogs.questions) == asked


def test_leaving_the_module_ends_placing(an_entered_module):
    import slicer

    interaction = slicer.mrmlScene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    an_entered_module.panel.ui.foregroundButton.click()
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    an_entered_module.parent.exit()
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform
    assert not an_entered_module.panel.ui.foregroundButton.checked


def test_place_mode_ended_elsewhere_releases_the_button(an_entered_module):
    import slicer

    an_entered_module.panel.ui.backgroundButton.click()
    assert an_entered_module.panel.ui.backgroundButton.checked
    slicer.mrmlScene.GetNodeByID("vtkMRMLInteractionNodeSingleton").SwitchToViewTransformMode()
    assert not an_entered_module.panel.ui.backgroundButton.checked


# Options and the scene


def test_options_are_kept_in_the_scene(an_entered_module, an_application):
    widget = an_entered_module
    widget.panel.ui.lesionModeCheckBox.checked = True
    widget.panel.ui.autoUpdateCheckBox.checked = False
    combo_box = widget.panel.ui.intensityComboBox
    combo_box.currentIndex = combo_box.findData("lung")
    assert (widget.logic.lesion_mode, widget.logic.auto_update) == (True, False)
    assert widget.logic.intensity == "lung"
    assert widget.panel.ui.updateButton.isVisibleTo(widget.panel.widget)
    node = parameters(an_application.scene)
    assert node.GetParameter("lesionMode") == "True"
    assert node.GetParameter("intensity") == "lung"
    node.SetParameter("lesionMode", "False")
    assert not widget.panel.ui.lesionModeCheckBox.checked
    assert not widget.logic.lesion_mode


def test_options_of_a_loaded_scene_are_shown(an_entered_module, an_application, tmp_path):
    scene = an_application.scene
    an_entered_module.panel.ui.togetherCheckBox.checked = True
    path = tmp_path / "scene.mrml"
    scene.SetURL(str(path))
    scene.SetRootDirectory(str(tmp_path))
    assert scene.Commit(str(path))
    scene.Clear()
    assert not an_entered_module.panel.ui.togetherCheckBox.checked
    assert not an_entered_module.logic.together
    assert scene.Import()
    assert an_entered_module.panel.ui.togetherCheckBox.checked
    assert an_entered_module.logic.together


def test_closing_the_scene_in_the_middle_leaves_a_working_panel(an_entered_module, an_application, pump):
    widget = an_entered_module
    widget.panel.ui.newSegmentButton.click()
    widget.logic.set_box(CENTRE, (20.0, 16.0, 20.0))
    widget.logic.run()
    widget.panel.ui.foregroundButton.click()
    an_application.scene.Clear()
    pump(0.3)
    assert widget.panel.ui.promptTable.rowCount == 0
    assert widget.logic.volume is None
    assert not widget.panel.ui.foregroundButton.checked
    assert an_application.dialogs.errors == []


def test_closing_the_scene_in_the_middle_takes_the_progress_away(an_entered_module, an_application):
    widget = an_entered_module
    widget.panel.ui.newSegmentButton.click()
    widget.logic.set_box(CENTRE, (20.0, 16.0, 20.0))
    widget.logic.run()
    assert widget.panel.ui.workingBox.isVisibleTo(widget.panel.widget)
    an_application.scene.Clear()
    assert not widget.panel.ui.workingBox.isVisibleTo(widget.panel.widget)


def test_closing_the_scene_with_its_singletons_gives_a_new_logic(an_entered_module, an_application, pump):
    widget = an_entered_module
    before = widget.logic
    an_application.scene.Clear(True)
    pump(0.1)
    assert widget.logic is not before
    assert widget.panel.logic is widget.logic
    assert widget.editor.mrmlSegmentEditorNode().GetScene() is an_application.scene


def test_a_scene_closed_while_another_module_is_shown_is_no_concern(a_module, an_application, a_volume):
    a_module.parent.enter()
    a_module.parent.exit()
    an_application.scene.Clear()
    a_module.parent.enter()
    assert a_module.logic.volume is None
    a_module.parent.exit()


# Keys


def test_keys_live_only_while_the_module_is_shown(a_module, a_main_window):
    import qt

    def keys():
        shortcuts = a_main_window.findChildren(qt.QShortcut)
        return {shortcut.key.toString() for shortcut in shortcuts if shortcut.enabled} & {"N", "D", "F", "B"}

    assert keys() == set()
    a_module.parent.enter()
    assert keys() == {"N", "D", "F", "B"}
    a_module.parent.exit()
    assert keys() == set()


def test_no_key_is_taken_twice(a_module, a_main_window):
    import qt

    a_module.parent.enter()
    keys = [shortcut.key.toString() for shortcut in a_main_window.findChildren(qt.QShortcut)]
    assert len(keys) == len(set(keys))
    a_module.parent.exit()


# The end


def test_cleanup_leaves_no_observer(an_application, a_stub_worker, a_volume):
    show(a_volume)
    widget = an_application.open_module(MODULE)
    widget.parent.enter()
    widget.panel.ui.newSegmentButton.click()
    widget.parent.exit()
    widget.cleanup()
    assert widget.Observations == []
    a_volume.Modified()
    an_application.scene.Clear()


# The test in the application


def test_the_modules_own_test_passes(an_application, monkeypatch):
    pytest.importorskip("torch")
    import slicer
    from mrml.nodes import load_volume

    module = an_application.load_module(MODULE)
    for name in ("loadVolume", "loadLabelVolume"):  # they need the application
        monkeypatch.setattr(
            slicer.util, name, lambda path: load_volume(slicer.mrmlScene, Path(path), "volume")
        )
    module.ENSAMSegmentTest().runTest()
    assert an_application.dialogs.infos[-1] == "Passed"


def test_the_modules_own_test_is_skipped_in_words_without_torch(an_application, monkeypatch):
    from ENSAMSegmentLib import install

    monkeypatch.setattr(install, "missing", lambda: ("torch",))
    monkeypatch.setattr(install, "describe", lambda: "ENSAM needs PyTorch.")
    an_application.load_module(MODULE).ENSAMSegmentTest().runTest()
    assert an_application.dialogs.infos == ["Skipped: ENSAM needs PyTorch."]


def test_a_reloaded_module_works_at_once(an_entered_module, an_application, pump):
    new = an_application.reload_module(an_entered_module)
    new.panel.ui.newSegmentButton.click()
    wait_for_answer(new, pump, lambda: new.logic.set_box(CENTRE, (20.0, 16.0, 20.0)))
    assert new.logic.measures.volume_ml > 0
    new.parent.exit()
    new.cleanup()


def test_an_answer_under_way_comes_though_a_scene_is_imported(
    an_entered_module, a_stub_worker, pump, tmp_path
):
    import slicer

    widget, session = an_entered_module, a_stub_worker._open_session(None)
    session.gate.clear()
    widget.panel.add_segment()
    widget.logic.add_point((24.0, -4.0, 70.0), True)
    pump(lambda: session.calls, 20)
    other, path = slicer.vtkMRMLScene(), str(tmp_path / "other.mrml")
    other.Commit(path)
    slicer.mrmlScene.SetURL(path)
    slicer.mrmlScene.Import()
    session.gate.set()
    wait_for_answer(widget, pump, lambda: None)
