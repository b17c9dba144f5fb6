"""Hidden module: brings the effect "ENSAM" into Slicer's Segment Editor."""

from __future__ import annotations

from pathlib import Path

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest


class SegmentEditorENSAM(ScriptedLoadableModule):
    """Registers the effect once Slicer has started."""

    def __init__(self, parent: object) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = "SegmentEditorENSAM"
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "SegmentEditor"]
        parent.contributors = ["ENSAM contributors"]
        parent.hidden = True
        parent.helpText = _("This hidden module registers the Segment Editor effect ENSAM.")
        parent.helpText += self.getDefaultModuleDocumentationLink()
        parent.acknowledgementText = _(
            "See the module ENSAM Interactive Segmentation, whose panel the effect shows."
        )
        slicer.app.connect("startupCompleted()", self.registerEditorEffect)

    def registerEditorEffect(self) -> None:
        """Make the effect known to all segment editors."""
        # As a package, and first: setPythonSource would load the file alone, where relative imports fail.
        import SegmentEditorENSAMLib

        effect = slicer.qSlicerSegmentEditorScriptedEffect(None)
        effect.setPythonSource(
            (Path(SegmentEditorENSAMLib.__file__).parent / "SegmentEditorEffect.py").as_posix()
        )
        effect.self().register()


class SegmentEditorENSAMTest(ScriptedLoadableModuleTest):
    """Activates the effect in a segment editor of its own."""

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run what there is."""
        self.setUp()
        self.test_effect_stays_active_while_placing()

    def test_effect_stays_active_while_placing(self) -> None:
        """Placing a prompt doesn't throw the user out of the effect."""
        editor = slicer.qMRMLSegmentEditorWidget()
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        editor.setMRMLSegmentEditorNode(node)
        editor.setMRMLScene(slicer.mrmlScene)
        volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
        image = vtk.vtkImageData()
        image.SetDimensions(8, 8, 8)
        image.AllocateScalars(vtk.VTK_SHORT, 1)
        volume.SetAndObserveImageData(image)
        volume.CreateDefaultDisplayNodes()
        editor.setSegmentationNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode"))
        editor.setSourceVolumeNode(volume)
        editor.setActiveEffectByName("ENSAM")
        self.assertIsNotNone(editor.activeEffect())
        editor.activeEffect().self().panel.place_foreground()
        self.assertEqual(editor.activeEffect().name, "ENSAM")
        editor.setActiveEffect(None)
        self.assertIsNone(editor.activeEffect())
        self.delayDisplay("Passed")
