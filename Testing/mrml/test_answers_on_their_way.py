"""While the network works: the newest prompts win, nothing stale is written, and failures are told."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from ensam.errors import InputError

from .conftest import SHAPE
from .prompting import ALONG_X, CENTRE, click, draw_box, name_of, paint, set_status, started, voxels_of


def test_the_newest_prompts_win(a_logic, a_session):
    a_session.gate.clear()
    a_logic.set_box(CENTRE, (20.0, 16.0, 20.0))
    while not a_session.calls:
        a_logic.poll(0.01)
    assert a_logic.status.kind == "working"
    for step in range(3):
        a_logic.add_point(tuple(CENTRE + ALONG_X * step / 3), False)
    a_session.gate.set()
    a_logic.wait()
    assert len(a_session.calls[-1][0].points) == 3
    assert a_logic._editor_logic.CanUndo()
    a_logic.undo()
    assert not voxels_of(a_logic).any()  # one write, and not one for each prompt


def test_a_segment_that_was_left_still_gets_its_answer(a_logic, a_session):
    a_session.gate.clear()
    first = a_logic.segment_id
    a_logic.set_box(CENTRE, (20.0, 16.0, 20.0))
    a_logic.poll()  # the prompt is seen, and its pause not over
    a_logic.add_segment("kidney")
    a_logic.add_point(tuple(np.add(CENTRE, (15, 0, 0))), True)
    a_session.gate.set()
    a_logic.wait()
    assert voxels_of(a_logic, first).any() and voxels_of(a_logic).any()
    assert name_of(a_logic) == "kidney"


def test_cancel_leaves_the_segment_as_it_was(a_logic, a_session):
    started(a_logic, a_session)
    a_logic.cancel()
    a_session.gate.set()
    a_logic.wait()
    assert not voxels_of(a_logic).any()
    assert a_logic.status.kind == "ready"
    assert a_logic.poll() is None


def test_the_image_and_its_features_are_given_back(a_logic, a_session, an_mrml_scene):
    draw_box(a_logic)
    assert a_session.volume is None and a_session.seen is not None
    an_mrml_scene.Clear(False)
    a_logic._worker._executor.submit(lambda: None).result(5)
    assert a_session.seen is None
    assert a_logic._updates._written is None and a_logic._updates._measured == (None, None)


def test_an_answer_for_a_closed_scene_is_dropped(a_logic, a_session, an_mrml_scene):
    started(a_logic, a_session)
    an_mrml_scene.Clear(False)
    a_session.gate.set()
    a_logic.wait()
    assert a_logic.volume is None and a_logic.segment_id == ""
    assert a_logic.prompt_rows() == ()


@pytest.mark.parametrize("lost", ["volume", "segmentation", "segment"])
def test_an_answer_for_a_deleted_node_is_dropped(a_logic, a_session, an_mrml_scene, lost):
    segmentation = a_logic.segmentation
    started(a_logic, a_session)
    if lost == "segment":
        segmentation.GetSegmentation().RemoveSegment(a_logic.segment_id)
    else:
        an_mrml_scene.RemoveNode(a_logic.volume if lost == "volume" else segmentation)
    a_session.gate.set()
    a_logic.wait()
    assert a_logic.poll() is None
    if lost == "volume":
        segment = segmentation.GetSegmentation().GetNthSegment(0)
        assert segment.GetRepresentation("Binary labelmap").IsEmpty()


def test_a_changed_image_is_segmented_anew(a_logic, a_session):
    started(a_logic, a_session)
    a_logic.volume.GetImageData().GetPointData().GetScalars().Fill(3)
    a_logic.volume.GetImageData().GetPointData().GetScalars().SetValue(0, 9)
    a_logic.volume.GetImageData().Modified()
    a_session.gate.set()
    a_logic.wait()
    assert a_session.seen.array.max() == 9
    assert voxels_of(a_logic).any()


def test_a_mask_painted_meanwhile_is_not_lost(a_logic, a_session):
    started(a_logic, a_session)
    painted = np.zeros(SHAPE, bool)
    painted[1:3, 1:3, 1:3] = True
    paint(a_logic, painted)
    a_session.gate.set()
    a_logic.wait()
    assert voxels_of(a_logic)[1:3, 1:3, 1:3].all()


def test_a_mask_painted_while_it_is_made_anew_for_another_image_is_not_lost(
    a_logic, a_session, an_mrml_scene
):
    draw_box(a_logic)
    other = slicer.vtkMRMLScalarVolumeNode()
    other.CopyContent(a_logic.volume)
    an_mrml_scene.AddNode(other)
    a_logic.select(other)
    asked = len(a_session.calls)
    a_session.gate.clear()
    a_logic.run()
    while len(a_session.calls) == asked:
        a_logic.poll(0.01)
    painted = voxels_of(a_logic)
    painted[1:3, 1:3, 1:3] = True
    paint(a_logic, painted)
    a_session.gate.set()
    with pytest.raises(InputError, match="edited before its answer came, and stays like that: press"):
        a_logic.wait()
    assert np.array_equal(voxels_of(a_logic), painted) and a_logic.offers_update
    a_logic.run()
    a_logic.wait()
    assert a_logic.status.text == "Done." and not voxels_of(a_logic)[1:3, 1:3, 1:3].any()
    a_logic.undo()
    assert np.array_equal(voxels_of(a_logic), painted)


def test_what_went_wrong_is_said_and_nothing_is_lost(a_logic, a_session):
    draw_box(a_logic)
    before = voxels_of(a_logic)
    a_session.error = InputError("The box lies outside 'CT chest': move it onto the image.")
    a_logic.add_point(CENTRE, False)
    with pytest.raises(InputError, match="move it onto the image"):
        a_logic.wait()
    assert a_logic.status.kind == "error"
    assert np.array_equal(voxels_of(a_logic), before)
    assert len(a_logic.prompt_rows()) == 2


def test_an_unforeseen_failure_reaches_user_and_developer(a_logic, a_session):
    a_session.error = ZeroDivisionError("of the network")
    a_logic.set_box(CENTRE, (20.0, 16.0, 20.0))
    with pytest.raises(ZeroDivisionError):
        a_logic.wait()
    assert "of the network" in a_logic.status.text
    a_session.error = None
    click(a_logic)
    assert a_logic.status.kind == "done"


def test_the_list_goes_on_to_show_what_is_selected_when_its_answer_comes(a_logic, a_session, tmp_path):
    first = a_logic.segment_id
    draw_box(a_logic)
    second = a_logic.add_segment("kidney")
    draw_box(a_logic, np.add(CENTRE, (0, 8, 0)), (6.0, 6.0, 6.0))
    a_logic.save_prompts(tmp_path / "prompts.json")
    for segment_id in (first, second):
        a_logic.select(segment_id=segment_id)
        a_logic.clear_prompts()
        a_logic.wait()
        set_status(a_logic, segment_id, "NotStarted")
    a_logic.load_prompts(tmp_path / "prompts.json")
    a_logic.select(segment_id=second)
    a_logic.segmentation.SetSegmentListFilterOptions("text:;status:notstarted")
    a_logic.segmentation.SetSegmentListFilterEnabled(True)
    asked = len(a_session.calls)
    a_session.gate.clear()
    a_logic.run()
    while len(a_session.calls) == asked:
        a_logic.poll(0.01)
    a_logic._editor.SetSelectedSegmentID(first)
    filters = set()
    a_session.gate.set()
    while a_logic.status.kind == "working" or not filters:
        a_logic.poll(0.01)
        status = slicer.vtkSlicerSegmentationsModuleLogic.GetSegmentStatus(
            a_logic.segmentation.GetSegmentation().GetSegment(first)
        )
        filters.add((status, a_logic.segmentation.GetSegmentListFilterOptions()))
    assert (slicer.vtkSlicerSegmentationsModuleLogic.InProgress, "text:;status:notstarted") not in filters
