"""Whatever happens in the scene while ENSAM works or between two clicks, others stay and the work goes on."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from ensam.errors import InputError
from ensam.worker import Worker
from ENSAMSegmentLib.answers import bases
from ENSAMSegmentLib.logic import ENSAMSegmentLogic
from ENSAMSegmentLib.prompt_nodes import BOX
from ENSAMSegmentLib.segments import add_segmentation, read_segment

from .conftest import SHAPE, affine
from .nodes import add_transform, add_volume
from .prompting import CENTRE, click, draw_box, started, voxels_of


def replace_image(logic, scene):
    other = add_volume(
        scene, np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)[::-1].copy(), np.eye(4)
    )
    logic.volume.SetAndObserveImageData(other.GetImageData())


def choose_another_volume(logic, scene):
    voxels = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    logic.select(add_volume(scene, voxels, affine(scales=(1.2, 1.0, 2.0), origin=(0, -19, 51)), "another CT"))


def take_the_image_away(logic, _scene):
    logic.volume.SetAndObserveImageData(None)


def move_the_volume(logic, scene):
    logic.volume.SetAndObserveTransformNodeID(add_transform(scene, affine(origin=(5, 6, 7))).GetID())


def warp_away(logic, scene):
    """A transform without an inverse."""
    flat = np.diag((1.0, 1.0, 0.0, 1.0))
    logic.volume.SetAndObserveTransformNodeID(add_transform(scene, flat).GetID())


def choose_another_segmentation(logic, _scene):
    logic.select(segmentation=add_segmentation(logic.volume, "vessels"))


def store_as_surface(logic, _scene):
    logic.segmentation.GetSegmentation().SetSourceRepresentationName("Closed surface")


EVENTS = {
    "the segment is removed": lambda logic, _scene: logic.segmentation.GetSegmentation().RemoveSegment(
        logic.segment_id
    ),
    "another segment is removed": lambda logic, _scene: logic.segmentation.GetSegmentation().RemoveSegment(
        logic._target.segment_ids[0]
    ),
    "the segmentation is removed": lambda logic, scene: scene.RemoveNode(logic.segmentation),
    "the volume is removed": lambda logic, scene: scene.RemoveNode(logic.volume),
    "the scene is closed": lambda _logic, scene: scene.Clear(False),
    "the image is another one": replace_image,
    "there is no image any more": take_the_image_away,
    "another volume is chosen": choose_another_volume,
    "the volume is moved": move_the_volume,
    "the volume comes under a transform without inverse": warp_away,
    "another segmentation is chosen": choose_another_segmentation,
    "the segmentation becomes a surface": store_as_surface,
    "the prompts are removed": lambda logic, scene: [scene.RemoveNode(n) for n in logic._target.nodes.nodes],
    "the module is left": lambda logic, _scene: logic.deactivate(),
}


@pytest.fixture
def a_neighbour(a_logic):
    """A finished segment beside the one that is worked on."""
    draw_box(a_logic, np.add(CENTRE, (-16, 0, 0)), (6.0, 6.0, 6.0))
    mask, segment_id = voxels_of(a_logic), a_logic.segment_id
    assert mask.any()
    a_logic.add_segment("kidney")
    return a_logic.segmentation, segment_id, a_logic.volume, mask


def settle(logic):
    """All is answered, or the user was told in a sentence why it is not."""
    try:
        logic.wait(10)
    except InputError as error:
        assert str(error).endswith(".") and logic.status.kind == "error"
    assert not logic._updates.is_running


def is_untouched(neighbour):
    segmentation, segment_id, volume, mask = neighbour
    if segmentation.GetScene() is None or volume.GetScene() is None or volume.GetImageData() is None:
        return True
    if segmentation.GetSegmentation().GetSegment(segment_id) is None:
        return True
    if segmentation.GetSegmentation().GetSourceRepresentationName() != "Binary labelmap":
        return True
    if volume.GetParentTransformNode() is not segmentation.GetParentTransformNode():
        volume.SetAndObserveTransformNodeID(None)
    return np.array_equal(read_segment(segmentation, segment_id, volume).laid_out(SHAPE), mask)


def works_again(logic, session, scene):
    """A user who begins anew finds all working."""
    session.error = None
    logic.activate()
    voxels = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    volume = add_volume(scene, voxels, affine(scales=(1.2, 1.0, 2.0), origin=(0, -19, 51)), "next CT")
    logic.select(volume, add_segmentation(volume, "next"))
    logic.add_segment("spleen")
    draw_box(logic)
    click(logic, CENTRE, foreground=False)
    return logic.status.kind == "done" and voxels_of(logic).any()


@pytest.mark.parametrize("event", EVENTS)
def test_whatever_happens_while_it_works(a_logic, a_session, an_mrml_scene, a_neighbour, event):
    a_session.calls.clear()
    started(a_logic, a_session)
    EVENTS[event](a_logic, an_mrml_scene)
    a_logic.poll()
    a_session.gate.set()
    settle(a_logic)
    assert is_untouched(a_neighbour)
    assert works_again(a_logic, a_session, an_mrml_scene)


@pytest.mark.parametrize("event", EVENTS)
def test_whatever_happens_between_two_clicks(a_logic, a_session, an_mrml_scene, a_neighbour, event):
    draw_box(a_logic)
    EVENTS[event](a_logic, an_mrml_scene)
    try:
        a_logic.add_point(CENTRE, False)
    except InputError as error:
        assert str(error).endswith(".")
    settle(a_logic)
    assert is_untouched(a_neighbour)
    assert works_again(a_logic, a_session, an_mrml_scene)


ERRORS = {
    "memory ran out": MemoryError("Unable to allocate 3 GiB"),
    "the device was lost": RuntimeError("CUDA error: the device was lost"),
    "a GPU out of memory": torch.OutOfMemoryError("CUDA out of memory"),
    "a defect": ZeroDivisionError("of the network"),
    "the disk": OSError(28, "No space left on device"),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_whatever_the_worker_raises_is_told_and_costs_nothing(
    a_logic, a_session, an_mrml_scene, a_neighbour, kind
):
    draw_box(a_logic)
    before = voxels_of(a_logic)
    a_session.error = ERRORS[kind]
    with pytest.raises(type(ERRORS[kind])):
        click(a_logic)
    assert a_logic.status.kind == "error" and "the segment is as it was" in a_logic.status.text
    assert np.array_equal(voxels_of(a_logic), before) and is_untouched(a_neighbour)
    assert len(a_logic.prompt_rows()) == 2
    assert works_again(a_logic, a_session, an_mrml_scene)


def test_a_module_that_is_reloaded_goes_on_where_it_was(a_logic, a_session, an_mrml_scene):
    draw_box(a_logic)
    mask, rows = voxels_of(a_logic), a_logic.prompt_rows()
    a_logic.cleanup()
    worker = Worker(lambda _settings: a_session)
    again = ENSAMSegmentLogic(worker=worker)
    again.wait()
    assert again.prompt_rows() == rows and np.array_equal(voxels_of(again), mask)
    click(again, CENTRE, foreground=False)
    assert (mask & ~voxels_of(again)).any()
    again.cleanup()
    worker.close()


def test_neither_names_nor_places_are_printed_or_logged(a_logic, a_session, an_mrml_scene, capfd, caplog):
    caplog.set_level(logging.DEBUG)
    a_logic.volume.SetName("Doe Jane 19500101")
    a_logic.segmentation.SetName("Doe Jane 19500101 segmentation")
    draw_box(a_logic)
    click(a_logic)
    a_session.error = InputError("The box lies outside 'Doe Jane 19500101': move it onto the image.")
    with pytest.raises(InputError):
        click(a_logic, np.add(CENTRE, (3, 0, 0)))
    a_logic.undo()
    printed = capfd.readouterr()
    assert "Doe" not in printed.out + printed.err + caplog.text


def registered_observers(*objects):
    return sum(str(one).count("vtkObserver (") for one in objects)


def test_boxes_and_clicks_that_come_and_go_leave_nothing_behind(a_logic, an_mrml_scene):
    def held():
        watch = a_logic._watch
        return (
            an_mrml_scene.GetNumberOfNodes(),
            len(bases),
            len(a_logic._updates._askings),
            sum(len(events) for events in (watch._scene_events, watch._segment_events, watch._prompt_events)),
            registered_observers(
                an_mrml_scene, a_logic._editor, a_logic.segmentation.GetSegmentation(), *watch.prompts
            ),
        )

    def click_and_delete():
        node = a_logic.start_placing(BOX)
        node.SetCenterWorld(*CENTRE)
        node.SetSize(20, 16, 20)
        a_logic.stop_placing()
        click(a_logic, np.add(CENTRE, (3, 0, 0)), foreground=False)
        a_logic.remove(a_logic.prompt_rows()[-1])
        a_logic.wait()

    draw_box(a_logic)
    click_and_delete()
    a_logic._updates.forget_change()
    before = held()
    for _ in range(3):
        click_and_delete()
    a_logic._updates.forget_change()
    assert registered_observers(an_mrml_scene) > 0 and held() == before
