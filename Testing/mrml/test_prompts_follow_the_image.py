"""Prompts go on meaning the same voxels, whatever is done to transforms, here or in other modules."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import slicer

from .conftest import affine
from .nodes import add_transform
from .prompting import ALONG_X, CENTRE, click, draw_box, prompts_of, slicer_nodes, voxels_of

MOVE = (30.0, -20.0, 10.0)


@pytest.fixture
def a_moved_box(a_logic, an_mrml_scene):
    """Volume and segmentation under a transform that turns and moves them, and a box in the world there."""
    transform = add_transform(an_mrml_scene, affine((0, 0, 20), origin=MOVE))
    put_under(a_logic, transform)
    matrix = affine((0, 0, 20), origin=MOVE)
    a_logic.set_box((matrix @ (*CENTRE, 1))[:3].tolist(), (20.0, 16.0, 20.0), matrix[:3, :3].T)
    a_logic.wait()
    return a_logic


def put_under(nodes, transform):
    for node in (nodes.volume, nodes.segmentation):
        node.SetAndObserveTransformNodeID(transform and transform.GetID())


def harden(nodes):
    for node in (nodes.segmentation, nodes.volume):
        node.HardenTransform()


def elsewhere(logic, do, *arguments):
    """Done while another module is open."""
    nodes = SimpleNamespace(volume=logic.volume, segmentation=logic.segmentation)
    logic.deactivate()
    do(nodes, *arguments)
    logic.activate()
    logic.wait()


def here(logic, do, *arguments):
    do(logic, *arguments)
    logic.wait()


def corners_in_the_image(logic):
    return logic._selected.prompts().box.corners_ras()


def place_in_the_world(logic):
    (row,) = logic.prompt_rows()
    return np.array(row.position_ras)


@pytest.mark.parametrize("where", [here, elsewhere])
def test_a_volume_that_loses_its_transform_takes_its_prompts_along(a_moved_box, where):
    before, mask = corners_in_the_image(a_moved_box), voxels_of(a_moved_box)
    where(a_moved_box, put_under, None)
    assert np.allclose(corners_in_the_image(a_moved_box), before, atol=1e-6)
    assert np.allclose(place_in_the_world(a_moved_box), CENTRE, atol=1e-6)
    a_moved_box.run()
    a_moved_box.wait()
    assert np.array_equal(voxels_of(a_moved_box), mask)


@pytest.mark.parametrize("where", [here, elsewhere])
def test_a_volume_whose_transform_is_hardened_and_that_comes_under_another_takes_them_along(
    a_moved_box, an_mrml_scene, where
):
    before = place_in_the_world(a_moved_box)
    where(a_moved_box, harden)
    assert np.allclose(place_in_the_world(a_moved_box), before, atol=1e-6)
    inside = corners_in_the_image(a_moved_box)
    where(a_moved_box, put_under, add_transform(an_mrml_scene, affine(origin=(1, 2, 3))))
    assert np.allclose(place_in_the_world(a_moved_box), np.add(before, (1, 2, 3)), atol=1e-6)
    assert np.allclose(corners_in_the_image(a_moved_box), inside, atol=1e-6)


def test_prompts_of_an_imported_scene_whose_nodes_got_other_ids_follow_their_volume(
    a_moved_box, an_mrml_scene, tmp_path
):
    first = a_moved_box.volume.GetTransformNodeID()
    save_scene(an_mrml_scene, tmp_path)
    an_mrml_scene.Import()  # a second time
    new = an_mrml_scene.GetNthNodeByClass(1, "vtkMRMLSegmentationNode")
    volume = an_mrml_scene.GetNthNodeByClass(1, "vtkMRMLScalarVolumeNode")
    assert volume.GetTransformNodeID() == new.GetTransformNodeID() != first
    a_moved_box.select(volume, new, new.GetSegmentation().GetNthSegmentID(0))
    other = add_transform(an_mrml_scene, np.eye(4))
    put_under(a_moved_box, other)
    assert [node.GetTransformNodeID() for node in slicer_nodes(a_moved_box)] == [other.GetID()]


def save_scene(scene, folder):
    scene.SetURL(str(folder / "scene.mrml"))
    scene.SetRootDirectory(str(folder))
    for at in range(scene.GetNumberOfNodesByClass("vtkMRMLStorableNode")):
        node = scene.GetNthNodeByClass(at, "vtkMRMLStorableNode")
        if node.GetSaveWithScene() and node.GetStorageNode() is None and node.AddDefaultStorageNode():
            storage = node.GetStorageNode()
            storage.SetFileName(str(folder / f"{node.GetID()}.{storage.GetDefaultWriteFileExtension()}"))
            storage.WriteData(node)
    scene.Commit()


# Undo


def test_undo_puts_prompts_where_they_were_in_the_world_though_another_image_was_chosen(
    a_logic, an_mrml_scene
):
    """The second image is registered to the first by a transform."""
    first = a_logic.volume
    draw_box(a_logic)
    before, mask = prompts_of(a_logic), voxels_of(a_logic)
    second = slicer.vtkMRMLScalarVolumeNode()
    second.CopyContent(first)
    an_mrml_scene.AddNode(second)
    second.SetAndObserveTransformNodeID(add_transform(an_mrml_scene, affine(origin=(6, 0, 0))).GetID())
    a_logic.select(second)
    click(a_logic, CENTRE + 2 * ALONG_X)
    a_logic.undo()
    a_logic.wait()
    assert prompts_of(a_logic) == before
    a_logic.select(first)
    assert prompts_of(a_logic) == before and np.array_equal(voxels_of(a_logic), mask)


@pytest.mark.parametrize("where", [here, elsewhere])
def test_undo_leaves_the_prompts_of_a_hardened_volume_in_their_place(a_moved_box, where):
    before, mask = place_in_the_world(a_moved_box), voxels_of(a_moved_box)
    where(a_moved_box, harden)
    click(a_moved_box, before + 2 * ALONG_X)
    a_moved_box.undo()
    a_moved_box.wait()
    assert np.allclose(place_in_the_world(a_moved_box), before, atol=1e-4)
    assert np.array_equal(voxels_of(a_moved_box), mask)


def test_undo_leaves_prompts_where_they_are_though_the_image_was_centred(a_logic):
    """Neither its prompts nor its mask move with it then."""
    draw_box(a_logic)
    before = prompts_of(a_logic)
    click(a_logic)
    a_logic.volume.SetOrigin(5, -10, 60)
    a_logic.undo()
    a_logic.wait()
    assert prompts_of(a_logic) == before
