"""The stand-in's segment editor and effects behave as Slicer's."""

from __future__ import annotations

import sys

import numpy as np
import pytest

EFFECT = """
import qt
import vtk
import slicer
import qSlicerSegmentationsEditorEffectsPythonQt as effects
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from .helper import TITLE

class SegmentEditorEffect(AbstractScriptedSegmentEditorEffect):
    stays = False

    def __init__(self, scriptedEffect):
        scriptedEffect.name = "Stamp"
        scriptedEffect.title = TITLE
        scriptedEffect.requireSegments = False
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)
        self.calls = []

    def clone(self):
        effect = effects.qSlicerSegmentEditorScriptedEffect(None)
        effect.setPythonSource(__file__)
        return effect

    def helpText(self):
        return "Stamps."

    def setupOptionsFrame(self):
        self.button = qt.QPushButton("Stamp")
        self.scriptedEffect.addOptionsWidget(self.button)

    def setMRMLDefaults(self):
        self.scriptedEffect.setParameterDefault("size", 3)

    def activate(self):
        self.calls.append("activate")

    def deactivate(self):
        self.calls.append("deactivate")

    def sourceVolumeNodeChanged(self):
        self.calls.append("volume")

    def updateGUIFromMRML(self):
        self.calls.append(f"size {self.scriptedEffect.integerParameter('size')}")

    def processInteractionEvents(self, callerInteractor, eventId, viewWidget):
        return 1
"""
STAYING = "\n    def interactionNodeModified(self, interactionNode):\n        pass\n"


@pytest.fixture
def register(an_application, tmp_path, monkeypatch):
    import importlib

    import slicer

    def write_and_register(extra=""):
        package = tmp_path / "StampLib"
        package.mkdir()
        (package / "__init__.py").write_text("from .SegmentEditorEffect import SegmentEditorEffect\n")
        (package / "helper.py").write_text('TITLE = "Stamp it"\n')
        (package / "SegmentEditorEffect.py").write_text(EFFECT + extra)
        monkeypatch.syspath_prepend(tmp_path)
        for name in [each for each in sys.modules if each.split(".")[0] == "StampLib"]:
            monkeypatch.delitem(sys.modules, name)
        importlib.invalidate_caches()
        import StampLib  # noqa: F401

        effect = slicer.qSlicerSegmentEditorScriptedEffect(None)
        assert effect.setPythonSource(str(package / "SegmentEditorEffect.py"))
        effect.self().register()
        return effect

    return write_and_register


@pytest.fixture
def a_volume(an_application):
    from mrml.nodes import add_volume

    return add_volume(an_application.scene, np.zeros((8, 9, 10), np.int16), np.eye(4), "CT")


@pytest.fixture
def a_segmentation(an_application, a_volume):
    node = an_application.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs")
    node.SetReferenceImageGeometryParameterFromVolumeNode(a_volume)
    for name in ("liver", "spleen"):
        node.GetSegmentation().AddEmptySegment(name, name)
    return node


@pytest.fixture
def an_editor(an_application):
    import slicer

    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    editor.setMRMLScene(slicer.mrmlScene)
    return editor


# The editor


def test_the_first_segment_and_the_reference_volume_are_selected(an_editor, a_segmentation, a_volume):
    seen = []
    an_editor.connect("segmentationNodeChanged(vtkMRMLSegmentationNode*)", seen.append)
    an_editor.connect("sourceVolumeNodeChanged(vtkMRMLVolumeNode*)", seen.append)
    an_editor.connect("currentSegmentIDChanged(QString)", seen.append)
    an_editor.setSegmentationNode(a_segmentation)
    assert an_editor.segmentationNode() is a_segmentation
    assert an_editor.sourceVolumeNode() is a_volume
    assert an_editor.currentSegmentID() == "liver"
    assert {type(each) for each in seen} >= {type(a_segmentation), type(a_volume), str}


def test_the_node_and_the_editor_agree(an_editor, a_segmentation, a_volume):
    node = an_editor.mrmlSegmentEditorNode()
    node.SetAndObserveSegmentationNode(a_segmentation)
    an_editor.setCurrentSegmentID("spleen")
    assert node.GetSelectedSegmentID() == "spleen"
    an_editor.selectPreviousSegment()
    assert node.GetSelectedSegmentID() == "liver"
    an_editor.setSourceVolumeNode(None)
    assert node.GetSourceVolumeNode() is None


def test_a_segment_that_goes_is_deselected(an_editor, a_segmentation):
    an_editor.setSegmentationNode(a_segmentation)
    a_segmentation.GetSegmentation().RemoveSegment("liver")
    assert an_editor.currentSegmentID() == ""


@pytest.mark.parametrize("options", ["text:SPL;status:", "text:;status:completed,flagged"])
def test_what_the_lists_filter_leaves_out_is_deselected(register, an_editor, a_segmentation, options):
    register()
    an_editor.setSegmentationNode(a_segmentation)
    an_editor.setActiveEffectByName("Stamp")
    a_segmentation.SetSegmentListFilterOptions(options)
    an_editor.setCurrentSegmentID("liver")
    assert an_editor.currentSegmentID() == "liver"  # as long as the bar with the filter isn't there
    a_segmentation.SetSegmentListFilterEnabled(True)
    assert an_editor.currentSegmentID() == ""
    assert an_editor.activeEffect() is None


def test_undo_takes_back_what_was_written(an_editor, a_segmentation, a_volume):
    import slicer

    an_editor.setSegmentationNode(a_segmentation)
    an_editor.maximumNumberOfUndoStates = 7

    def voxels():
        return int(slicer.util.arrayFromSegmentBinaryLabelmap(a_segmentation, "liver", a_volume).sum())

    an_editor.saveStateForUndo()
    mask = np.zeros((8, 9, 10), np.uint8)
    mask[2:4, 2:4, 2:4] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, a_segmentation, "liver", a_volume)
    assert voxels() == 8
    an_editor.undo()
    assert voxels() == 0
    an_editor.redo()
    assert voxels() == 8


def test_its_logic_is_not_to_be_seen(an_editor):
    for name in ("logic", "segmentEditorLogic", "_logic"):
        with pytest.raises(AttributeError):
            getattr(an_editor, name)


def test_keys_are_there_between_install_and_uninstall(an_editor, an_application):
    import qt

    an_editor.installKeyboardShortcuts()
    assert an_application.mistakes()  # there is no main window
    window = qt.QMainWindow()
    an_editor.installKeyboardShortcuts(window)
    keys = {each.key.toString() for each in window.findChildren(qt.QShortcut)}
    assert {"Z", "Y", "Q", "W", "Esc", "1", "Space", "I"} <= keys
    an_editor.uninstallKeyboardShortcuts()
    assert window.findChildren(qt.QShortcut) == ()


def test_closing_the_scene_leaves_an_empty_editor(an_editor, a_segmentation):
    import slicer

    an_editor.setSegmentationNode(a_segmentation)
    slicer.mrmlScene.Clear()
    an_editor.updateWidgetFromMRML()
    assert an_editor.segmentationNode() is None
    assert an_editor.activeEffect() is None


# Effects


def test_every_editor_has_its_own_copy(register, an_editor):
    import slicer

    original = register()
    assert an_editor.effectByName("Stamp") is None
    an_editor.updateEffectList()
    other = slicer.qMRMLSegmentEditorWidget()
    copies = [each.effectByName("Stamp") for each in (an_editor, other)]
    assert len({id(each.self()) for each in (original, *copies)}) == 3
    assert an_editor.availableEffectNames() == ("Stamp",)
    assert (copies[0].title, copies[0].perSegment, copies[0].helpText()) == ("Stamp it", True, "Stamps.")


def test_an_effect_of_the_same_name_is_registered_once(register, an_application):
    import slicer

    effect = register()
    names = []
    factory = slicer.qSlicerSegmentEditorEffectFactory.instance()
    factory.connect("effectRegistered(QString)", names.append)
    assert not factory.registerEffect(effect)
    assert names == []


def test_without_its_package_an_effect_fails_on_relative_imports(an_application, tmp_path, monkeypatch):
    import slicer

    folder = tmp_path / "LooseLib"
    folder.mkdir()
    source = folder / "SegmentEditorEffect.py"
    source.write_text(EFFECT)
    monkeypatch.delitem(sys.modules, "LooseLib", raising=False)
    effect = slicer.qSlicerSegmentEditorScriptedEffect(None)
    with pytest.raises(ImportError):
        effect.setPythonSource(str(source))
    sys.modules.pop("LooseLib", None)


def test_parameters_live_in_the_editors_node(register, an_editor, a_segmentation, an_application):
    register()
    an_editor.updateEffectList()
    an_editor.setSegmentationNode(a_segmentation)
    effect = an_editor.effectByName("Stamp")
    node = an_editor.mrmlSegmentEditorNode()
    assert node.GetAttribute("Stamp.size") == "3"
    an_editor.setActiveEffectByName("Stamp")
    effect.setParameter("size", 5)
    assert effect.self().calls[-1] == "size 5"
    assert (effect.parameter("size"), effect.doubleParameter("size")) == ("5", 5.0)
    assert effect.parameter("colour") == ""
    assert "colour cannot be found for effect Stamp" in an_application.mistakes()[0]


def test_activation_shows_the_options(register, an_editor, a_segmentation):
    register()
    an_editor.updateEffectList()
    an_editor.setSegmentationNode(a_segmentation)
    an_editor.show()
    effect = an_editor.effectByName("Stamp")
    an_editor.setActiveEffect(effect)
    assert an_editor.activeEffect() is effect
    assert effect.active() and effect.optionsFrame().visible
    an_editor.setSegmentationNode(None)
    assert an_editor.activeEffect() is None
    assert [each for each in effect.self().calls if "activate" in each] == ["activate", "deactivate"]
    assert "volume" in effect.self().calls


@pytest.mark.parametrize(("extra", "remains"), [("", False), (STAYING, True)], ids=["default", "overridden"])
def test_place_mode_deactivates_an_effect_that_does_not_object(
    register, an_editor, a_segmentation, extra, remains
):
    interaction = an_editor.interactionNode()
    register(extra)
    an_editor.updateEffectList()
    an_editor.setSegmentationNode(a_segmentation)
    interaction.SetCurrentInteractionMode(interaction.Place)
    an_editor.setActiveEffectByName("Stamp")
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform
    interaction.SetCurrentInteractionMode(interaction.Place)
    assert (an_editor.activeEffect() is not None) == remains


def test_events_want_a_real_bool(register, an_editor, a_segmentation, an_application):
    register()
    an_editor.updateEffectList()
    an_editor.setSegmentationNode(a_segmentation)
    an_editor.setActiveEffectByName("Stamp")
    assert an_application.send_to_effect(an_editor, None, 1, None) is False
    assert "expected to return a boolean" in an_application.mistakes()[0]
