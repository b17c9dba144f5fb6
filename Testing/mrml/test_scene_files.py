"""Prompts in saved scenes and segmentation files: found again, independent, and never run by themselves."""

from __future__ import annotations

import zipfile
from contextlib import contextmanager

import numpy as np
import pytest
import slicer
from ensam.errors import InputError
from ensam.worker import Worker
from ENSAMSegmentLib.logic import ENSAMSegmentLogic
from ENSAMSegmentLib.prompt_nodes import prompt_nodes
from ENSAMSegmentLib.segments import read_segment

from .conftest import SHAPE, affine
from .nodes import add_points, add_roi, add_transform, add_volume, load_segmentation, save
from .slicer_core_scene import create_scene
from .stub_session import StubSession

CENTRE = (24.0, -4.0, 70.0)  # of the volume, in the world
IJK_TO_RAS = np.array([[1.2, 0, 0, 0], [0, 1.0, 0, -19], [0, 0, 2.0, 51], [0, 0, 0, 1.0]])
OTHER_CLICK = (24.0, 1.0, 72.0)


@contextmanager
def a_scene(cache):
    """A scene that can read bundles: they are unpacked in the cache."""
    with create_scene() as application:
        scene = application.GetMRMLScene()
        manager = slicer.vtkCacheManager()
        manager.SetMRMLScene(scene)
        manager.SetRemoteCacheDirectory(str(cache))
        scene.GetDataIOManager().SetCacheManager(manager)
        yield scene


class Work:
    """A logic with the stand-in for the network."""

    def __init__(self):
        self.session = StubSession()
        self.worker = Worker(lambda _settings: self.session)
        self.logic = ENSAMSegmentLogic(worker=self.worker)

    def close(self):
        self.logic.cleanup()
        self.worker.close()

    def segment_one(self, scene, name="liver", moved_by=None):
        """A box, a foreground point and a muted background point."""
        voxels = (np.arange(np.prod(SHAPE)) % 251).astype(np.int16).reshape(SHAPE)
        self.logic.select(add_volume(scene, voxels, IJK_TO_RAS, "CT chest"))
        self.logic.add_segment(name)
        if moved_by is not None:
            transform = add_transform(scene, moved_by)
            self.logic.segmentation.SetAndObserveTransformNodeID(transform.GetID())
        self.logic.set_box(CENTRE, (20, 16, 20))
        self.logic.add_point((16, -4, 70), True)
        self.logic.add_point((30, -4, 70), False)
        self.logic.wait()
        self.logic.set_muted(next(row for row in self.logic.prompt_rows() if row.kind == "background"), True)
        self.logic.wait()

    def select_last(self, scene):
        """The segmentation that was loaded last, with its image."""
        volumes, segmentations = (nodes(scene, f"vtkMRML{k}Node") for k in ("ScalarVolume", "Segmentation"))
        ids = segmentations[-1].GetSegmentation().GetSegmentIDs()
        self.logic.select(volumes[-1], segmentations[-1], ids[0])

    def voxels(self):
        logic = self.logic
        return read_segment(logic.segmentation, logic.segment_id, logic.volume).laid_out(SHAPE)

    def prompts(self):
        return [
            (row.kind, np.round(row.position_ras, 3).tolist(), row.muted) for row in self.logic.prompt_rows()
        ]

    def click(self, position=OTHER_CLICK, foreground=False):
        """Gives what the network was told of the mask that was there."""
        self.logic.add_point(position, foreground)
        self.logic.wait()
        return self.session.calls[-1][1]


def nodes(scene, class_name):
    found = scene.GetNodesByClass(class_name)
    found.UnRegister(None)
    return [n for n in found if not n.GetHideFromEditors()]


def write_mrb(scene, path):
    assert scene.WriteToMRB(str(path.with_suffix(".mrb")), None)


def read_mrb(scene, path):
    assert scene.ReadFromMRB(str(path.with_suffix(".mrb")), False)


def write_mrml(scene, path):
    endings = {"ScalarVolume": "nrrd", "Segmentation": "seg.nrrd"}
    endings |= dict.fromkeys(("MarkupsROI", "MarkupsFiducial"), "mrk.json") | {"LinearTransform": "h5"}
    for kind, ending in endings.items():
        for node in nodes(scene, f"vtkMRML{kind}Node"):
            if node.GetSaveWithScene():
                save(node, path.parent / f"{node.GetID()}.{ending}")
    scene.SetRootDirectory(str(path.parent))
    scene.SetURL(str(path.with_suffix(".mrml")))
    assert scene.Commit()


def read_mrml(scene, path):
    scene.SetURL(str(path.with_suffix(".mrml")))
    scene.SetRootDirectory(str(path.parent))
    assert scene.Import()


def add_others(scene):
    """Nodes that take the IDs which those in the file have."""
    add_volume(scene, np.zeros(SHAPE, np.int16), np.eye(4), "other")
    for _ in range(3):
        add_points(scene, [(1, 2, 3)])
        add_roi(scene, (0, 0, 0), (5, 5, 5))
    scene.AddNewNodeByClass("vtkMRMLSegmentationNode")


@pytest.fixture(params=["mrb", "mrml"])
def a_file_format(request):
    return {"mrb": (write_mrb, read_mrb), "mrml": (write_mrml, read_mrml)}[request.param]


@pytest.fixture
def a_saved_scene(tmp_path, a_file_format):
    """Its path, the function that reads it, the prompts and the mask."""
    with a_scene(tmp_path / "cache") as scene:
        work = Work()
        work.segment_one(scene)
        a_file_format[0](scene, tmp_path / "saved")
        prompts, mask = work.prompts(), work.voxels()
        work.close()
    return tmp_path / "saved", a_file_format[1], prompts, mask


@pytest.fixture
def another_scene(tmp_path):
    with a_scene(tmp_path / "other cache") as scene:
        yield scene


@pytest.fixture
def some_work(another_scene):
    work = Work()
    yield work
    work.close()


# Scenes


def test_prompts_are_found_again_though_ids_change_and_the_next_click_goes_on(
    a_saved_scene, another_scene, some_work
):
    path, read, prompts, mask = a_saved_scene
    add_others(another_scene)
    read(another_scene, path)
    some_work.select_last(another_scene)
    some_work.logic.wait()
    assert some_work.prompts() == prompts
    assert [muted for _, _, muted in prompts] == [False, False, True]
    assert "vtkMRMLMarkupsROINode1" not in {n.GetID() for n in prompt_nodes(some_work.logic.segmentation)}
    assert np.array_equal(some_work.voxels(), mask)
    # The mask is known to be the prompts' own: nothing of it is held on to.
    assert some_work.click() is None
    assert (mask & ~some_work.voxels()).any()


def test_a_loaded_scene_runs_nothing_for_who_comes_later(a_saved_scene, another_scene):
    path, read, prompts, _ = a_saved_scene
    read(another_scene, path)
    work = Work()
    work.select_last(another_scene)
    work.logic.wait()
    assert work.prompts() == prompts and not work.session.calls
    work.close()


def test_a_loaded_scene_runs_nothing_for_who_is_there(a_saved_scene, another_scene, some_work):
    path, read, prompts, _ = a_saved_scene
    read(another_scene, path)
    some_work.logic.wait()
    assert some_work.prompts() == prompts
    assert not some_work.session.calls
    assert "mask follows" in some_work.logic.status.text


def test_a_scene_that_is_loaded_twice_has_prompts_twice_each_on_its_own(
    a_saved_scene, another_scene, some_work
):
    path, read, prompts, mask = a_saved_scene
    read(another_scene, path)
    first = nodes(another_scene, "vtkMRMLSegmentationNode")[-1]
    read(another_scene, path)
    some_work.select_last(another_scene)
    some_work.logic.wait()
    second = some_work.logic.segmentation
    assert second is not first
    assert not set(prompt_nodes(first)) & set(prompt_nodes(second))
    some_work.click()
    some_work.logic.clear_prompts()
    some_work.logic.wait()
    assert some_work.prompts() == [] and not some_work.voxels().any()
    volume = nodes(another_scene, "vtkMRMLScalarVolumeNode")[-2]
    some_work.logic.select(volume, first, first.GetSegmentation().GetNthSegmentID(0))
    some_work.logic.wait()
    assert some_work.prompts() == prompts
    assert np.array_equal(some_work.voxels(), mask)


def test_the_tint_is_not_saved(tmp_path):
    with a_scene(tmp_path / "cache") as scene:
        work = Work()
        work.segment_one(scene)
        hidden = [n for n in scene.GetNodesByClass("vtkMRMLSegmentationNode") if n.GetHideFromEditors()]
        assert len(hidden) == 1  # it is shown at this moment
        write_mrb(scene, tmp_path / "saved")
        work.close()
    with zipfile.ZipFile(tmp_path / "saved.mrb") as bundle:
        names = bundle.namelist()
        document = next(bundle.read(name).decode() for name in names if name.endswith(".mrml"))
    assert sum(name.endswith(".seg.nrrd") for name in names) == 1
    assert document.count("<Segmentation\n") + document.count("<Segmentation ") == 1
    assert document.count("<SegmentationDisplay") == 1
    assert "ENSAM change" not in document


# Segmentation files


@pytest.mark.parametrize(
    "name", ["left | right", 'so-called "mass"', "it's 5 % <b>", "Großhirn, 大脳 é", "two\nlines", " "]
)
def test_a_segmentation_file_keeps_the_prompts_of_a_segment_of_any_name(
    another_scene, some_work, tmp_path, name
):
    some_work.segment_one(another_scene, name)
    prompts, mask = some_work.prompts(), some_work.voxels()
    volume = some_work.logic.volume
    save(some_work.logic.segmentation, tmp_path / "organs.seg.nrrd")
    loaded = load_segmentation(another_scene, tmp_path / "organs.seg.nrrd")
    assert loaded.GetSegmentation().GetNthSegment(0).GetName() == name
    asked = len(some_work.session.calls)
    some_work.logic.select(volume, loaded, loaded.GetSegmentation().GetNthSegmentID(0))
    some_work.logic.wait()
    assert some_work.prompts() == prompts
    assert np.array_equal(some_work.voxels(), mask)
    assert len(some_work.session.calls) == asked
    assert some_work.click() is None


def test_prompts_of_a_segmentation_file_are_answered_already_though_all_lies_under_a_transform(
    another_scene, some_work, tmp_path
):
    some_work.segment_one(another_scene)
    turned = add_transform(another_scene, affine((0, 30, 10), origin=(5, 6, 7)))
    for node in (some_work.logic.volume, some_work.logic.segmentation):
        node.SetAndObserveTransformNodeID(turned.GetID())
    save(some_work.logic.segmentation, tmp_path / "saved.seg.nrrd")
    loaded = load_segmentation(another_scene, tmp_path / "saved.seg.nrrd")
    loaded.SetAndObserveTransformNodeID(turned.GetID())
    some_work.logic.select(segmentation=loaded, segment_id=loaded.GetSegmentation().GetNthSegmentID(0))
    assert len(some_work.logic.prompt_rows()) == 3
    assert "mask follows" in some_work.logic.status.text and not some_work.logic.offers_update


def test_prompts_wait_for_an_image_that_is_not_loaded(another_scene, some_work, tmp_path):
    some_work.segment_one(another_scene)
    prompts, volume, asked = some_work.prompts(), some_work.logic.volume, len(some_work.session.calls)
    save(some_work.logic.segmentation, tmp_path / "organs.seg.nrrd")
    another_scene.RemoveNode(volume)
    another_scene.RemoveNode(some_work.logic.segmentation)
    loaded = load_segmentation(another_scene, tmp_path / "organs.seg.nrrd")
    some_work.logic.select(segmentation=loaded, segment_id=loaded.GetSegmentation().GetNthSegmentID(0))
    assert some_work.logic.prompt_rows() == () and some_work.logic.poll() is None
    assert "Load an image" in some_work.logic.status.text
    with pytest.raises(InputError, match="image"):
        some_work.logic.run()
    some_work.segment_one(another_scene)
    asked = len(some_work.session.calls)
    some_work.logic.select(segmentation=loaded, segment_id=loaded.GetSegmentation().GetNthSegmentID(0))
    some_work.logic.wait()
    assert some_work.prompts() == prompts
    assert len(some_work.session.calls) == asked


def test_an_image_without_voxels_is_named_and_loses_no_prompt(a_saved_scene, another_scene, some_work):
    path, read, prompts, mask = a_saved_scene
    read(another_scene, path)
    some_work.select_last(another_scene)
    some_work.logic.wait()
    image = some_work.logic.volume.GetImageData()
    some_work.logic.volume.SetAndObserveImageData(None)
    some_work.logic.add_point(OTHER_CLICK, False)
    with pytest.raises(InputError, match="CT chest"):
        some_work.logic.wait()
    assert len(some_work.prompts()) == len(prompts) + 1
    some_work.logic.volume.SetAndObserveImageData(image)
    assert np.array_equal(some_work.voxels(), mask)


# Transforms


@pytest.mark.parametrize(
    "moved_by",
    [affine(origin=(3.5, -2.2, 1.1)), affine((0, 0, 12), origin=(3, 1, -2))],
    ids=["moved", "turned"],
)
def test_a_segmentation_under_a_transform_of_its_own_goes_on_after_loading(
    tmp_path, a_file_format, another_scene_after, moved_by
):
    write, read = a_file_format
    with a_scene(tmp_path / "cache") as scene:
        work = Work()
        work.segment_one(scene, moved_by=moved_by)
        prompts, mask = work.prompts(), work.voxels()
        assert mask[9:11, 14:16, 19:21].all()  # where the box is in the world, and not where it was moved to
        write(scene, tmp_path / "saved")
        work.close()
    with another_scene_after() as scene:
        add_others(scene)
        read(scene, tmp_path / "saved")
        work = Work()
        work.select_last(scene)
        work.logic.wait()
        assert not work.session.calls
        assert work.prompts() == prompts
        assert np.array_equal(work.voxels(), mask)
        assert work.click() is None
        work.close()


@pytest.fixture
def another_scene_after(tmp_path):
    return lambda: a_scene(tmp_path / "other cache")
