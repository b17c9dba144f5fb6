"""Checks the extension inside the Slicer application; `test_application.py` starts it there.

To run it by hand::

    Slicer --testing --no-splash --no-main-window --additional-module-paths ENSAMSegment ENSAMTrainer \
        --python-script Testing/application/in_slicer.py

In testing mode Slicer ends after the script. An error in an observer or in a method that Slicer calls is only
printed; here it fails the whole.
"""

import importlib.util
import logging
import sys
import tempfile
import time
import unittest
from pathlib import Path

import slicer
import vtk

# Before anything of ENSAM is used: has Slicer's start loaded what it shouldn't?
AT_START = {
    "torch",
    "safetensors",
    "ENSAMSegmentLib.logic",
    "ENSAMTrainerLib.logic",
    "ensam.session",
    "ensam_training",
} & set(sys.modules)

TITLES = {"ENSAMSegment": "ENSAM Interactive Segmentation", "ENSAMTrainer": "ENSAM Trainer"}
MODULES = (*TITLES, "SegmentEditorENSAM")
IMPORT_S = 0.05
SAMPLES = {"ENSAMFetalBrain": "vtkMRMLScalarVolumeNode", "ENSAMFetalBrainAtlas": "vtkMRMLSegmentationNode"}
CEREBELLUM = 2  # its place among the atlas's segments, counted from 0


def module(name):
    """The module as Slicer's module manager has it."""
    return slicer.app.moduleManager().module(name)


def missing_packages():
    """Why a test that needs the network can't run, or ""."""
    from ENSAMSegmentLib import install

    return install.describe()


class Modules(unittest.TestCase):
    def test_slicer_finds_all_modules(self):
        for name in MODULES:
            self.assertIsNotNone(module(name), name)

    def test_two_modules_are_shown_by_their_titles_and_the_third_is_hidden(self):
        for name, title in TITLES.items():
            self.assertEqual(module(name).title, title)
            self.assertFalse(module(name).hidden)
            self.assertIn("Segmentation", module(name).categories)
        self.assertTrue(module("SegmentEditorENSAM").hidden)

    def test_all_modules_say_what_slicers_generic_test_asks(self):
        for name in MODULES:
            for text in ("categories", "contributors", "helpText", "acknowledgementText"):
                self.assertTrue(getattr(module(name), text), f"{name}: {text}")

    def test_the_modules_have_icons(self):
        for name in TITLES:
            self.assertFalse(module(name).icon.isNull(), name)

    def test_slicers_start_loads_nothing_that_takes_time(self):
        self.assertEqual(AT_START, set())

    def test_the_modules_are_imported_in_no_time(self):
        for name in MODULES:
            spec = importlib.util.spec_from_file_location(f"{name}Again", slicer.util.modulePath(name))
            again = importlib.util.module_from_spec(spec)
            # Decorators look their module up there.
            sys.modules[spec.name] = again
            self.addCleanup(sys.modules.pop, spec.name)
            seconds = []
            for _ in range(3):  # the least, since the computer may be busy
                start = time.perf_counter()
                spec.loader.exec_module(again)
                seconds.append(time.perf_counter() - start)
            took = min(seconds)
            logging.info(f"{name} is imported in {1000 * took:.1f} ms")
            self.assertLess(took, IMPORT_S, name)

    def test_a_module_has_one_logic_and_takes_another_scene(self):
        for name in MODULES:
            self.assertEqual(module(name).logic(), module(name).logic())
            other = slicer.vtkMRMLScene()
            module(name).setMRMLScene(other)
            self.assertEqual(module(name).mrmlScene(), other)
            module(name).setMRMLScene(slicer.mrmlScene)
            self.assertEqual(module(name).mrmlScene(), slicer.mrmlScene)


class Widget(unittest.TestCase):
    """The module's panel while scenes come and go."""

    def setUp(self):
        slicer.mrmlScene.Clear()
        self.widget = module("ENSAMSegment").widgetRepresentation()
        self.addCleanup(slicer.mrmlScene.Clear)

    def enter(self):
        self.widget.enter()
        self.addCleanup(self.widget.exit)
        slicer.app.processEvents()

    def test_there_is_one_and_it_is_built_without_a_main_window(self):
        self.assertIsNotNone(self.widget)
        self.assertEqual(self.widget, module("ENSAMSegment").widgetRepresentation())

    def test_it_is_entered_and_left_again_and_again(self):
        for _ in range(3):
            self.widget.enter()
            self.assertTrue(self.widget.isEntered)
            slicer.app.processEvents()
            self.widget.exit()
            self.assertFalse(self.widget.isEntered)

    def test_it_lives_through_a_scene_that_is_closed(self):
        self.enter()
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        slicer.mrmlScene.Clear()
        slicer.app.processEvents()
        self.assertTrue(self.widget.isEntered)

    def test_it_lives_through_a_scene_that_is_opened_and_one_that_is_imported(self):
        self.enter()
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "landmarks")
        node.AddControlPoint(1.0, 2.0, 3.0)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "scene.mrb").as_posix()
            self.assertTrue(slicer.util.saveScene(path))
            slicer.util.loadScene(path, {"clear": True})
            slicer.app.processEvents()
            self.assertEqual(self.count_landmarks(), 1)
            slicer.util.loadScene(path, {"clear": False})
            slicer.app.processEvents()
            self.assertEqual(self.count_landmarks(), 2)
        self.assertTrue(self.widget.isEntered)

    def count_landmarks(self):
        nodes = slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")
        return sum(node.GetName().startswith("landmarks") for node in nodes)


class TrainerWidget(unittest.TestCase):
    def test_it_is_built_without_a_main_window_and_lives_through_a_scene_that_is_closed(self):
        widget = module("ENSAMTrainer").widgetRepresentation()
        for _ in range(2):
            widget.enter()
            slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
            slicer.app.processEvents()
            slicer.mrmlScene.Clear()
            slicer.app.processEvents()
            self.assertTrue(widget.isEntered)
            widget.exit()
            self.assertFalse(widget.isEntered)


class Effect(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear()

    def test_every_segment_editor_offers_it(self):
        editor = slicer.qMRMLSegmentEditorWidget()
        editor.setMRMLScene(slicer.mrmlScene)
        self.assertIn("ENSAM", editor.availableEffectNames())
        effect = editor.effectByName("ENSAM")
        self.assertTrue(effect.perSegment)
        self.assertFalse(effect.self().icon().isNull())


class Samples(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear()

    def test_the_sample_data_module_loads_them(self):
        import SampleData

        for name, node_class in SAMPLES.items():
            nodes = SampleData.SampleDataLogic().downloadSamples(name)
            self.assertEqual([node.GetClassName() for node in nodes], [node_class], name)


class ModulesOwnTests(unittest.TestCase):
    """The test classes in the modules' files, as Slicer's developer panel runs them."""

    def setUp(self):
        reason = missing_packages()
        if reason:
            self.skipTest(reason)

    def test_segment(self):
        slicer.selfTests["ENSAMSegment"]()

    def test_effect(self):
        slicer.selfTests["SegmentEditorENSAM"]()

    def test_trainer(self):
        slicer.selfTests["ENSAMTrainer"]()


class Script(unittest.TestCase):
    """ENSAM without its panel, as a script uses it."""

    def setUp(self):
        slicer.mrmlScene.Clear()
        reason = missing_packages()
        if reason:
            self.skipTest(reason)

    def test_the_sample_case_is_segmented_from_a_box(self):
        import numpy as np
        import SampleData

        from ENSAMSegment import ENSAMSegmentLogic

        (volume,) = SampleData.SampleDataLogic().downloadSamples("ENSAMFetalBrain")
        (atlas,) = SampleData.SampleDataLogic().downloadSamples("ENSAMFetalBrainAtlas")
        cerebellum = atlas.GetSegmentation().GetNthSegmentID(CEREBELLUM)
        truth = slicer.util.arrayFromSegmentBinaryLabelmap(atlas, cerebellum, volume) > 0

        matrix = vtk.vtkMatrix4x4()
        volume.GetIJKToRASMatrix(matrix)
        ijk_to_ras = slicer.util.arrayFromVTKMatrix(matrix)
        voxels = np.argwhere(truth)
        # Two voxels looser than the object on each side, as a user draws it.
        corners_zyx = np.array([voxels.min(axis=0) - 2, voxels.max(axis=0) + 2])
        corners_ras = corners_zyx[:, ::-1] @ ijk_to_ras[:3, :3].T + ijk_to_ras[:3, 3]

        logic = ENSAMSegmentLogic()
        self.addCleanup(logic.cleanup)
        logic.select(volume)
        segment_id = logic.add_segment("cerebellum")
        logic.set_box(corners_ras.mean(axis=0), np.abs(corners_ras[1] - corners_ras[0]))
        logic.wait()

        found = slicer.util.arrayFromSegmentBinaryLabelmap(logic.segmentation, segment_id, volume) > 0
        dice = 2 * np.count_nonzero(found & truth) / (np.count_nonzero(found) + np.count_nonzero(truth))
        logging.info(f"From a box by script: Dice {dice:.3f}")
        self.assertGreater(dice, 0.7)


def main():
    # The order of the file: what asks about the start comes before what loads more.
    suite = unittest.TestSuite()
    for case in (Modules, Widget, TrainerWidget, Effect, Samples, ModulesOwnTests, Script):
        suite.addTests(unittest.TestLoader().loadTestsFromTestCase(case))
    printed, print_error = [], sys.excepthook

    def note(kind, error, traceback):
        printed.append(error)
        print_error(kind, error, traceback)

    sys.excepthook = note
    # To standard output, where Slicer's own messages go, so that they stay in order.
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    sys.excepthook = print_error
    if printed or not result.wasSuccessful():
        failed = len(result.failures) + len(result.errors)
        raise RuntimeError(f"{failed} tests failed in Slicer, and {len(printed)} errors were only printed")
    print("All tests passed in Slicer")


if __name__ == "__main__":
    main()
