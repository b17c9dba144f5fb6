"""ENSAM Interactive Segmentation: Slicer's entry to the module.

Imported at Slicer's start: nothing here loads torch or ENSAM itself before the module is opened.
"""

from __future__ import annotations

import json
from pathlib import Path

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

# The tools for correcting by hand that the panel offers. All others are in the Segment Editor.
_EDITOR_EFFECTS = ("Paint", "Draw", "Erase", "Scissors", "Islands", "Smoothing", "Margin", "Threshold")
_DOCUMENTATION = "https://github.com/ensam-project/SlicerENSAM#in-slicer"
_PAPER = (
    "<i>ENSAM: an efficient foundation model for interactive segmentation of 3D medical images</i>"
    ' (<a href="https://arxiv.org/abs/2509.15874">arXiv 2509.15874</a>)'
)


def __getattr__(name: str) -> object:
    """`from ENSAMSegment import ENSAMSegmentLogic` works as with any module, and loads it only then."""
    if name == "ENSAMSegmentLogic":
        from ENSAMSegmentLib.logic import ENSAMSegmentLogic

        return ENSAMSegmentLogic
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class ENSAMSegment(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent: object) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("ENSAM Interactive Segmentation")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "Markups", "SubjectHierarchy"]
        parent.contributors = ["ENSAM contributors"]
        parent.helpText = _(
            "Draw a box round an object or click on it, and the segment follows."
            " Every box and click can be moved, deleted or set aside later."
            " For research; not a medical device."
        )
        # The default link leads to Slicer's own manual, which has no page on an extension.
        more = _('<p>More in the <a href="{address}">documentation</a>.</p>')
        parent.helpText += more.format(address=_DOCUMENTATION)
        parent.acknowledgementText = _(
            "The network follows {paper}. Code and training code are open (Apache-2.0);"
            " the weights carry their own licence, see Advanced."
        ).format(paper=_PAPER)
        slicer.app.connect("startupCompleted()", _register_sample_data)


def _register_sample_data() -> None:
    from ENSAMSegmentLib import sample_data

    sample_data.register()


@parameterNodeWrapper
class ENSAMSegmentParameterNode:
    """The choices that are saved with the scene; the panel says what they mean."""

    autoUpdate: bool = True
    lesionMode: bool = False
    together: bool = False
    keepOthers: bool = True
    intensity: str = "auto"


class ENSAMSegmentWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The prompt panel above Slicer's own segment editor, both on one segment editor node."""

    def __init__(self, parent: object = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.editor = None
        self.logic = None
        self.panel = None
        self._editorNode = None
        self._effects = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None
        self._imported = None  # what is selected when a scene has been imported

    def setup(self) -> None:
        """Build the panel. Nothing is installed here, and nothing runs."""
        ScriptedLoadableModuleWidget.setup(self)
        from ENSAMSegmentGUI.editor_node import editor_node
        from ENSAMSegmentGUI.prompt_panel import PromptPanel
        from ENSAMSegmentLib.following import UNDO_STATES

        self.editor = slicer.qMRMLSegmentEditorWidget()
        self.editor.maximumNumberOfUndoStates = UNDO_STATES
        self.editor.setEffectNameOrder(_EDITOR_EFFECTS)
        self.editor.unorderedEffectsVisible = False
        # The node before the scene, so that the editor's first selections are kept in it.
        self._editorNode = editor_node()
        self.editor.setMRMLSegmentEditorNode(self._editorNode)
        self.editor.setMRMLScene(slicer.mrmlScene)
        self.logic = self._makeLogic()
        self.panel = PromptPanel(self.logic, before_tool=self.prepareForTool)
        self.layout.addWidget(self.panel.widget)
        self.layout.addWidget(self.editor)
        self.panel.ui.intensityComboBox.connect("currentIndexChanged(int)", self.onIntensityChosen)

        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneChanged)
        # At the end of an import the editor's lists are filled anew, which loses what is selected there, and
        # later the editor takes over what they show (Slicer issue 4570): before the one, and after the other.
        self.addObserver(scene, scene.EndImportEvent, self.onImported, priority=1.0)
        self.addObserver(scene, scene.EndBatchProcessEvent, self.onImportSettled, priority=-1.0)
        # Extensions register their effects late; if this module is the first shown, so do Slicer's own.
        self._effects = slicer.qSlicerSegmentEditorEffectFactory.instance()
        self._effects.connect("effectRegistered(QString)", self.onEffectRegistered)
        self.initializeParameterNode()
        if self.parent.isEntered:  # reloaded: nobody enters then
            self.enter()

    def cleanup(self) -> None:
        """The module is unloaded or reloaded."""
        if self.panel is None:
            return
        self._effects.disconnect("effectRegistered(QString)", self.onEffectRegistered)
        self.setParameterNode(None)
        self.removeObservers()
        self.panel.ui.intensityComboBox.disconnect("currentIndexChanged(int)", self.onIntensityChosen)
        self.panel.cleanup()
        self.logic.cleanup()
        self.editor.uninstallKeyboardShortcuts()
        self.editor.removeViewObservations()
        self.editor.setMRMLSegmentEditorNode(None)
        # A reload only hides it, and it would complain in Slicer's log of each edit of a segment.
        self.editor.deleteLater()

    def enter(self) -> None:
        """The user opens the module."""
        from ENSAMSegmentGUI.editor_node import take_over

        self.followScene()
        take_over(self._editorNode)
        if slicer.util.mainWindow() is not None:
            # Undo and redo, and the digits for the editing tools.
            self.editor.installKeyboardShortcuts()
        self._show()

    def exit(self) -> None:
        """The user goes to another module."""
        from ENSAMSegmentGUI.editor_node import hand_over

        self.panel.exit()
        hand_over(self._editorNode)
        self.editor.setActiveEffect(None)
        self.editor.uninstallKeyboardShortcuts()
        self.editor.removeViewObservations()
        self.setParameterNode(None)

    # Scene

    def onSceneStartClose(self, caller: object, event: object) -> None:
        """Nothing of the scene may be used from here on."""
        self.panel.exit()
        self.setParameterNode(None)
        self.editor.setSegmentationNode(None)
        self.editor.removeViewObservations()

    def onSceneChanged(self, caller: object, event: object) -> None:
        """Another scene is there. What it, or the user, has selected stays."""
        if self.parent.isEntered:
            self.followScene()
            self._show()

    def onImported(self, caller: object, event: object) -> None:
        """A scene was loaded, or added to this one."""
        from ENSAMSegmentLib.target import Target

        self._imported = Target.of_editor(self._editorNode)

    def onImportSettled(self, caller: object, event: object) -> None:
        """The editor has done what it does after an import."""
        selection, self._imported = self._imported, None
        if selection is not None:
            selection.select_in(self._editorNode)
            self.onSceneChanged(caller, event)

    def followScene(self) -> None:
        """Take over the nodes that the scene has now."""
        from ENSAMSegmentGUI.editor_node import editor_node

        node = editor_node()
        if node is not self._editorNode:
            self._editorNode = node
            self.editor.setMRMLSegmentEditorNode(node)
            self.logic.cleanup()
            self.logic = self._makeLogic()
            self.panel.use(self.logic)
        self.initializeParameterNode()

    def selectWhatIsShown(self) -> None:
        """Spare the user the choice where there is one image."""
        from ENSAMSegmentGUI.editor_node import select_what_is_shown

        select_what_is_shown(self._editorNode)

    def prepareForTool(self) -> bool:
        """Select what a tool needs, and offer to convert what can't be edited. False: the user declined."""
        self.selectWhatIsShown()
        if self.logic.needs_labelmap:
            question = _(
                "The segmentation '{segmentation}' is not kept as a binary labelmap, and can't be edited so. "
                "Convert it? Details finer than its voxels are lost."
            ).format(segmentation=self.logic.segmentation.GetName())
            if not slicer.util.confirmOkCancelDisplay(question):
                return False
            self.logic.make_labelmap()
        return True

    def onEffectRegistered(self) -> None:
        """An extension brought an effect."""
        self.editor.updateEffectList()

    def _show(self) -> None:
        """Show what is selected."""
        self.selectWhatIsShown()
        self.editor.updateWidgetFromMRML()
        self.panel.enter()

    def _makeLogic(self) -> object:
        from ENSAMSegmentLib.logic import ENSAMSegmentLogic

        logic = ENSAMSegmentLogic(self._editorNode, self.editor.saveStateForUndo)
        logic.deactivate()  # until the module is entered
        return logic

    # Options, kept with the scene

    def initializeParameterNode(self) -> None:
        """Read the choices that are saved in the scene."""
        keeper = ScriptedLoadableModuleLogic()
        keeper.moduleName = self.moduleName
        self.setParameterNode(ENSAMSegmentParameterNode(keeper.getParameterNode()))

    def setParameterNode(self, node: ENSAMSegmentParameterNode | None) -> None:
        """Bind the panel to the choices of this node, None to bind it to nothing."""
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParametersModified)
        self._parameterNode = node
        if node:
            self._parameterNodeGuiTag = node.connectGui(self.panel.ui)
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self.onParametersModified)
            self.onParametersModified()

    def onParametersModified(self, caller: object = None, event: object = None) -> None:
        """A choice has changed, by the panel, a script or a loaded scene."""
        from ENSAMSegmentGUI.options import DEFAULT_OPTIONS

        if self._parameterNode:
            self.panel.apply_options({name: self._parameterNode.getValue(name) for name in DEFAULT_OPTIONS})

    def onIntensityChosen(self) -> None:
        """The combo box shows other words than the scene keeps, so it is bound here."""
        if self._parameterNode:
            self._parameterNode.intensity = self.panel.advanced.intensity


class ENSAMSegmentTest(ScriptedLoadableModuleTest):
    """Segments the sample case in the application."""

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run what there is."""
        self.setUp()
        self.test_box_and_clicks()

    def test_box_and_clicks(self) -> None:
        """A box, then a click; the segment comes near the known answer, and undo takes the click back."""
        import numpy as np
        from ENSAMSegmentLib import install

        if install.missing():
            self.delayDisplay(_("Skipped: {reason}").format(reason=install.describe()))
            return
        from ENSAMSegmentLib.logic import ENSAMSegmentLogic

        folder = Path(__file__).parent / "Resources" / "SampleCase"
        volume = slicer.util.loadVolume(str(folder / "image.nii.gz"))
        label = slicer.util.loadLabelVolume(str(folder / "label.nii.gz"))
        case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
        truth = slicer.util.arrayFromVolume(label) == case["label"]
        slicer.mrmlScene.RemoveNode(label)
        logic = ENSAMSegmentLogic()
        logic.select(volume)
        segment_id = logic.add_segment(case["segment"])

        def to_ras(zyx: np.ndarray) -> np.ndarray:
            matrix = slicer.util.arrayFromVTKMatrix(ijk_to_ras)
            return matrix[:3, :3] @ np.asarray(zyx, float)[::-1] + matrix[:3, 3]

        def mask() -> np.ndarray:
            return slicer.util.arrayFromSegmentBinaryLabelmap(logic.segmentation, segment_id, volume) > 0

        def dice() -> float:
            found = mask()
            return 2 * np.count_nonzero(found & truth) / (np.count_nonzero(found) + np.count_nonzero(truth))

        ijk_to_ras = vtk.vtkMatrix4x4()
        volume.GetIJKToRASMatrix(ijk_to_ras)
        inside = np.argwhere(truth)
        corners = np.array([to_ras(inside.min(axis=0) - 2), to_ras(inside.max(axis=0) + 2)])
        logic.set_box(corners.mean(axis=0), np.abs(corners[1] - corners[0]))
        logic.wait()
        self.delayDisplay(f"Box: Dice {dice():.3f}")
        self.assertGreater(dice(), 0.7)

        logic.add_point(to_ras(np.median(inside, axis=0)), foreground=True)
        logic.wait()
        self.delayDisplay(f"Click: Dice {dice():.3f}")
        self.assertGreater(dice(), 0.7)
        after_click = mask()

        logic.undo()
        self.assertEqual([row.kind for row in logic.prompt_rows()], ["box"])
        logic.redo()
        self.assertEqual([row.kind for row in logic.prompt_rows()], ["box", "foreground"])
        self.assertTrue(np.array_equal(mask(), after_click))
        logic.cleanup()
        self.delayDisplay("Passed")
