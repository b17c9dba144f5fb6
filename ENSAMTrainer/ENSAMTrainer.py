"""ENSAM Trainer: Slicer's entry to the module.

Imported at Slicer's start: nothing here loads torch or ENSAM itself before the module is opened.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

_DOCUMENTATION = "https://github.com/ensam-project/SlicerENSAM#train-it-on-your-own-cases"


def __getattr__(name: str) -> object:
    """`from ENSAMTrainer import ENSAMTrainerLogic` works as with any module, and loads it only then."""
    if name == "ENSAMTrainerLogic":
        from ENSAMTrainerLib.logic import ENSAMTrainerLogic

        return ENSAMTrainerLogic
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class ENSAMTrainer(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent: object) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("ENSAM Trainer")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["ENSAMSegment", "Segmentations", "Plots"]
        parent.contributors = ["ENSAM contributors"]
        parent.helpText = _(
            "Trains the network of ENSAM Interactive Segmentation on segmentations that you have corrected,"
            " on this computer, and shows on held-out cases whether it got better."
            " For research; not a medical device."
        )
        # The default link leads to Slicer's own manual, which has no page on an extension.
        more = _('<p>More in the <a href="{address}">documentation</a>.</p>')
        parent.helpText += more.format(address=_DOCUMENTATION)
        parent.acknowledgementText = _(
            "Code and training code are open (Apache-2.0). A checkpoint that you train carries the licence"
            " that you state, and may be bound by that of the checkpoint it started from."
        )


class ENSAMTrainerWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel, which is told what comes and goes in the scene while it is shown.

    It has no parameter node: nothing of it belongs to a scene, see `ENSAMTrainerGUI.user_settings`.
    """

    def __init__(self, parent: object = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.panel = None

    def setup(self) -> None:
        """Build the panel. Nothing is installed here, and nothing runs."""
        ScriptedLoadableModuleWidget.setup(self)
        from ENSAMTrainerGUI.trainer_panel import TrainerPanel, installer

        self.logic = self._makeLogic()
        self.panel = TrainerPanel(self.logic, installer())
        self.layout.addWidget(self.panel.widget)
        if self.parent.isEntered:  # reloaded: nobody enters then
            self.enter()

    def cleanup(self) -> None:
        """The module is unloaded or reloaded."""
        if self.panel is None:
            return
        self.removeObservers()
        self.panel.cleanup()
        self.logic.cleanup()

    def enter(self) -> None:
        """The user opens the module."""
        scene = slicer.mrmlScene
        for event in (
            scene.NodeAddedEvent,
            scene.NodeRemovedEvent,
            scene.EndCloseEvent,
            scene.EndImportEvent,
        ):
            self.addObserver(scene, event, self.onSceneChanged)
        self.panel.enter()

    def exit(self) -> None:
        """The user goes to another module. A training goes on."""
        self.removeObservers()
        self.panel.exit()

    def onSceneChanged(self, caller: object, event: object) -> None:
        """Images and segmentations may have come or gone."""
        self.panel.scene_changed()

    def _makeLogic(self) -> object:
        from ensam.checkpoint_store import CheckpointStore
        from ENSAMSegmentGUI.user_files import models_folder
        from ENSAMTrainerGUI.user_settings import UserSettings, slicers_python, training_folder
        from ENSAMTrainerLib.logic import ENSAMTrainerLogic

        return ENSAMTrainerLogic(
            training_folder(), CheckpointStore(models_folder()), UserSettings(), slicers_python()
        )


class _Settings(dict):
    """In place of the user's, so that the test leaves them alone."""

    def get(self, key: str) -> str:
        return super().get(key, "")

    def set(self, key: str, value: str) -> None:
        self[key] = value


class ENSAMTrainerTest(ScriptedLoadableModuleTest):
    """Goes the whole way on four tiny generated cases, with a training of a minute."""

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run what there is."""
        self.setUp()
        self.test_from_the_scene_to_an_installed_checkpoint()

    def test_from_the_scene_to_an_installed_checkpoint(self) -> None:
        """Collect, check, train, judge, install and take back; the user's own files and settings stay."""
        from ensam.checkpoint_store import CheckpointStore
        from ENSAMTrainerGUI.trainer_panel import installer
        from ENSAMTrainerGUI.user_settings import slicers_python
        from ENSAMTrainerLib.values import TrainingChoice

        reason = installer().describe()
        if reason:
            self.delayDisplay(_("Skipped: {reason}").format(reason=reason))
            return
        from ENSAMTrainerLib.logic import ENSAMTrainerLogic

        with tempfile.TemporaryDirectory() as folder:
            store, settings = CheckpointStore(Path(folder, "Models")), _Settings()
            logic = ENSAMTrainerLogic(Path(folder, "Training"), store, settings, slicers_python())
            try:
                for number in range(4):
                    self.addCase(number)
                for choice in logic.scene_choices():
                    ids = [segment.id for segment in choice.segments]
                    logic.add_from_scene(choice.volume_id, choice.segmentation_id, ids)
                self.assertEqual(len(logic.rows()), 4)
                logic.check()
                self.wait(logic, 120)
                self.assertEqual({row.state for row in logic.rows()} & {"unchecked", "refused"}, set())

                logic.choice = TrainingChoice(amount=1.0, unit="minutes", licence="CC0-1.0", name="balls")
                logic.start()
                self.wait(logic, 600)
                judgement = logic.judgement
                self.delayDisplay(judgement.verdict)
                self.assertTrue(judgement.verdict and judgement.comparisons)

                if logic.can_install:
                    logic.install()
                    self.assertEqual([known.name for known in store.installed()], [logic.installed_result])
                    self.assertEqual(settings.get("ENSAM/checkpoint"), store.installed()[0].path)
                    logic.take_back()
                    self.assertEqual(store.installed(), ())
            finally:
                logic.cleanup()
        self.delayDisplay("Passed")

    def addCase(self, number: int) -> None:
        """A bright ball in noise, segmented."""
        import numpy as np

        rng = np.random.default_rng(number)
        z, y, x = np.indices((24, 28, 32))
        ball = (z - 12) ** 2 + (y - 14) ** 2 + (x - 10 - 2 * number) ** 2 < 36
        volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"Image {number}")
        slicer.util.updateVolumeFromArray(volume, (100 * ball + rng.normal(0, 10, ball.shape)).astype("f4"))
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"Balls {number}")
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        segment_id = segmentation.GetSegmentation().AddEmptySegment("ball", "ball")
        slicer.util.updateSegmentBinaryLabelmapFromArray(ball.astype("u1"), segmentation, segment_id, volume)

    def wait(self, logic: object, limit_s: float) -> None:
        """Until nothing runs."""
        end = time.monotonic() + limit_s
        while (delay_s := logic.poll(0.1)) is not None:
            slicer.app.processEvents()
            time.sleep(min(delay_s, 0.2))
            self.assertLess(time.monotonic(), end, "It takes too long")
        self.assertNotEqual(logic.status.kind, "error", logic.status.text)
