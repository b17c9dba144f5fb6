"""Prompts belong to their segment, and travel with it and in files."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from ensam.errors import InputError
from ensam.prompts import Box, PromptSet, SegmentPrompts, read_prompts, write_prompts
from ENSAMSegmentLib.prompt_nodes import BOX

from .conftest import SHAPE
from .nodes import load_segmentation, save
from .prompting import (
    ALONG_X,
    CENTRE,
    click,
    draw_box,
    paint,
    prompts_of,
    set_status,
    visible,
    voxels_of,
)


def test_another_segment_shows_its_own_prompts_and_runs_nothing(a_logic, a_session):
    draw_box(a_logic)
    first = a_logic.segment_id
    a_logic.add_segment("kidney")
    assert prompts_of(a_logic) == []
    click(a_logic)
    assert visible(a_logic) == {"kidney foreground"}
    asked = len(a_session.calls)
    a_logic.select(segment_id=first)
    a_logic.wait()
    assert [kind for kind, _, _ in prompts_of(a_logic)] == [BOX]
    assert visible(a_logic) == {"liver box"}
    assert len(a_session.calls) == asked


def test_prompts_survive_a_segmentation_file(a_logic, a_session, an_mrml_scene, tmp_path):
    draw_box(a_logic)
    click(a_logic, foreground=False)
    before, mask = prompts_of(a_logic), voxels_of(a_logic)
    save(a_logic.segmentation, tmp_path / "organs.seg.nrrd")
    asked = len(a_session.calls)
    loaded = load_segmentation(an_mrml_scene, tmp_path / "organs.seg.nrrd")
    a_logic.select(segmentation=loaded, segment_id=loaded.GetSegmentation().GetNthSegmentID(0))
    a_logic.wait()
    assert prompts_of(a_logic) == before
    assert len(a_session.calls) == asked
    # The mask is known to be theirs: the next click does not take it for painted by hand.
    click(a_logic, np.add(CENTRE, (12, 0, 0)))
    assert a_session.calls[-1][1] is None
    assert (voxels_of(a_logic) & ~mask).any()


def test_prompts_travel_as_json_and_run_only_when_asked(a_logic, a_session, tmp_path):
    draw_box(a_logic)
    click(a_logic, foreground=False)
    mask = voxels_of(a_logic)
    a_logic.save_prompts(tmp_path / "prompts.json")
    (saved,) = read_prompts(tmp_path / "prompts.json")
    assert saved.name == "liver" and len(saved.prompts.points) == 1
    a_logic.clear_prompts()
    a_logic.wait()
    asked = len(a_session.calls)
    a_logic.load_prompts(tmp_path / "prompts.json")
    a_logic.wait()
    assert len(a_session.calls) == asked
    a_logic.run()
    a_logic.wait()
    assert np.array_equal(voxels_of(a_logic), mask)


def test_all_segments_of_a_file_are_answered_at_once_and_each_alone(a_logic, a_session, tmp_path):
    draw_box(a_logic)
    a_logic.add_segment("kidney")
    click(a_logic, CENTRE - 2.5 * ALONG_X)
    a_logic.save_prompts(tmp_path / "prompts.json")
    masks = [voxels_of(a_logic, segment_id) for segment_id in a_logic._target.segment_ids]
    for segment_id in a_logic._target.segment_ids:
        a_logic.select(segment_id=segment_id)
        a_logic.clear_prompts()
        a_logic.wait()
    assert not any(voxels_of(a_logic, segment_id).any() for segment_id in a_logic._target.segment_ids)
    a_logic.load_prompts(tmp_path / "prompts.json")
    asked = len(a_session.calls)
    # A change of one of them is answered for that one alone; the button stays.
    a_logic.add_point(CENTRE, False)
    a_logic.wait()
    assert len(a_session.calls) == asked + 1 and a_logic.offers_update
    a_logic.remove(a_logic.prompt_rows()[-1])
    a_logic.wait()
    a_logic.run()
    a_logic.wait()
    found = [voxels_of(a_logic, segment_id) for segment_id in a_logic._target.segment_ids]
    assert all(np.array_equal(own, before) for own, before in zip(found, masks, strict=True))
    assert not a_logic.offers_update
    a_logic.run()
    a_logic.wait()
    assert len(a_session.calls) == asked + 5  # the answered ones are not asked for again


@pytest.fixture
def three_segments_in_a_file(a_logic, tmp_path):
    """A box of each of three segments, the second's outside of the image; their masks are empty."""
    first = a_logic.segment_id
    prompts = [PromptSet(Box((24.0 + x, -4.0, 70.0), (8.0, 8.0, 8.0))) for x in (0.0, 900.0, 15.0)]
    path = tmp_path / "three.json"
    names = ("liver", "kidney", "spleen")
    write_prompts(path, [SegmentPrompts(name, own) for name, own in zip(names, prompts, strict=True)])
    a_logic.load_prompts(path)
    assert a_logic._target.segment_ids[0] == first and len(a_logic._target.segment_ids) == 3
    return a_logic


def run_all(logic):
    """As the panel does: errors become the status."""
    logic._managed(logic.run)
    while logic._updates.is_running:
        logic.poll(0.05)


def test_of_several_segments_of_a_file_those_that_failed_are_named(three_segments_in_a_file):
    logic = three_segments_in_a_file
    liver, kidney, spleen = logic._target.segment_ids
    run_all(logic)
    assert [voxels_of(logic, s).any() for s in (liver, kidney, spleen)] == [True, False, True]
    assert logic.status.kind == "error" and "no answer for kidney" in logic.status.text
    assert logic.offers_update
    logic.select(segment_id=kidney)
    run_all(logic)
    assert "lies outside" in logic.status.text
    logic.clear_prompts()
    logic.wait()
    assert not logic.offers_update


def test_what_was_cancelled_of_a_file_is_asked_for_again(three_segments_in_a_file, a_session):
    logic = three_segments_in_a_file
    liver, kidney, spleen = logic._target.segment_ids
    a_session.gate.clear()
    logic._managed(logic.run)
    logic.cancel()
    a_session.gate.set()
    assert logic.offers_update and not voxels_of(logic, liver).any()
    run_all(logic)
    assert [voxels_of(logic, s).any() for s in (liver, kidney, spleen)] == [True, False, True]


def test_what_a_file_brought_is_answered_at_once_after_another_module_was_used(three_segments_in_a_file):
    logic = three_segments_in_a_file
    liver, kidney, spleen = logic._target.segment_ids
    logic.deactivate()
    logic.activate()
    run_all(logic)
    assert [voxels_of(logic, s).any() for s in (liver, kidney, spleen)] == [True, False, True]


def test_a_completed_segment_of_a_file_is_passed_over(three_segments_in_a_file):
    logic = three_segments_in_a_file
    liver, kidney, spleen = logic._target.segment_ids
    for segment_id in (kidney, spleen):
        set_status(logic, segment_id, "Completed")
    assert logic.segment_id == spleen
    run_all(logic)
    assert [voxels_of(logic, s).any() for s in (liver, kidney, spleen)] == [True, False, False]
    logic.select(segment_id=liver)
    assert not logic.offers_update


def test_segments_that_could_not_be_segmented_from_a_file_are_not_saved(a_logic, tmp_path):
    path = tmp_path / "prompts.json"
    with pytest.raises(InputError, match="no prompts to save"):
        a_logic.save_prompts(path)
    click(a_logic)
    a_logic.add_segment("kidney")
    a_logic.add_segment("spleen")
    mask = np.zeros(SHAPE, bool)
    mask[2:4, 2:4, 2:4] = True
    paint(a_logic, mask)
    click(a_logic, CENTRE, foreground=False)
    a_logic.save_prompts(path)
    assert [one.name for one in read_prompts(path)] == ["liver"]


def test_prompts_need_an_image_to_be_loaded_for(a_logic, tmp_path):
    click(a_logic)
    a_logic.save_prompts(tmp_path / "prompts.json")
    a_logic._editor.SetAndObserveSourceVolumeNode(None)
    with pytest.raises(InputError, match="choose it as the source volume"):
        a_logic.load_prompts(tmp_path / "prompts.json")


def test_prompts_of_two_segments_of_one_name_are_not_saved_where_they_could_not_be_told_apart(
    a_logic, tmp_path
):
    draw_box(a_logic)
    a_logic.add_segment("liver")
    click(a_logic, np.add(CENTRE, (16, 0, 0)))
    with pytest.raises(InputError, match="Two segments are called 'liver'"):
        a_logic.save_prompts(tmp_path / "prompts.json")
    assert not (tmp_path / "prompts.json").exists()


def test_damaged_prompts_of_a_segment_are_reported(a_logic):
    from ENSAMSegmentLib.segment_state import PROMPTS_TAG

    segment_id = a_logic.add_segment("kidney")
    a_logic.segmentation.GetSegmentation().GetSegment(segment_id).SetTag(PROMPTS_TAG, "no base64!")
    a_logic.select(segment_id="liver")
    a_logic.select(segment_id=segment_id)
    assert a_logic.status.kind == "error" and "damaged" in a_logic.status.text


def test_prompts_that_were_loaded_for_a_segmentation_that_is_gone_wait_for_nobody(a_logic, tmp_path):
    draw_box(a_logic)
    a_logic.save_prompts(tmp_path / "prompts.json")
    a_logic.clear_prompts()
    a_logic.wait()
    a_logic.load_prompts(tmp_path / "prompts.json")
    slicer.mrmlScene.RemoveNode(a_logic.segmentation)
    assert not a_logic.offers_update
    with pytest.raises(InputError, match="There is no segment to fill"):
        a_logic.run()
