"""What the logic tells: whether there is something to update, and what came of an update."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer
from ensam.errors import InputError
from ensam.planning import Preview

from .conftest import SHAPE, affine
from .nodes import add_slice_view, add_transform, add_volume
from .prompting import ALONG_X, CENTRE, click, draw_box, paint, started, voxels_of


@pytest.fixture
def what_is_offered(a_logic):
    """Whether an update was offered each time that the panel was told to show what there is."""
    offered = []
    a_logic.changed = lambda: offered.append(a_logic.offers_update)
    return offered


def add_follow_up(scene):
    """An image of the same patient with other voxels."""
    voxels = np.arange(26 * 34 * 48, dtype=np.int32).reshape(26, 34, 48)
    return add_volume(scene, voxels, affine(scales=(1.0, 0.9, 1.5), origin=(0, -19, 51)), "follow-up")


def test_what_was_cancelled_can_be_asked_for_again(a_logic, a_session, what_is_offered):
    started(a_logic, a_session)
    assert what_is_offered[-1] is a_logic.offers_update is False
    a_logic.cancel()
    assert what_is_offered[-1] is a_logic.offers_update is True
    a_session.gate.set()
    a_logic.run()
    a_logic.wait()
    assert voxels_of(a_logic).any()
    assert what_is_offered[-1] is a_logic.offers_update is False


@pytest.mark.parametrize(
    "error", [InputError("There is too little free memory."), ZeroDivisionError("a defect")]
)
def test_what_failed_can_be_asked_for_again(a_logic, a_session, what_is_offered, error):
    a_session.error = error
    with pytest.raises(type(error)):
        draw_box(a_logic)
    assert what_is_offered[-1] is a_logic.offers_update is True
    a_session.error = None
    a_logic.run()
    a_logic.wait()
    assert voxels_of(a_logic).any()
    assert what_is_offered[-1] is a_logic.offers_update is False


def test_what_could_not_even_be_asked_can_be_asked_for_again(a_logic):
    image = a_logic.volume.GetImageData()
    a_logic.volume.SetAndObserveImageData(None)
    with pytest.raises(InputError, match="no image"):
        draw_box(a_logic)
    a_logic.volume.SetAndObserveImageData(image)
    assert a_logic.offers_update


@pytest.mark.parametrize(
    ("name", "choice"),
    [
        ("intensity", "lung"),
        ("device", "cpu"),
        ("checkpoint", "other"),
        ("together", True),
        ("keep_others", False),
    ],
)
def test_another_choice_offers_an_update_where_there_are_prompts(a_logic, name, choice):
    told = []
    a_logic.changed = lambda: told.append(a_logic.offers_update)
    before = getattr(a_logic, name)
    setattr(a_logic, name, choice)
    assert told == [False]
    draw_box(a_logic)
    assert not a_logic.offers_update
    setattr(a_logic, name, before)
    assert told[-1] and a_logic.offers_update
    setattr(a_logic, name, choice)
    assert not a_logic.offers_update
    setattr(a_logic, name, before)
    a_logic.run()
    a_logic.wait()
    assert not a_logic.offers_update


def test_another_image_is_asked_about_on_demand(a_logic, a_session, an_mrml_scene):
    """The next time point, and another sequence: what is there is kept until the user wants it anew."""
    draw_box(a_logic)
    first, asked, shown = a_logic.volume, len(a_session.calls), []
    assert not a_logic.offers_update
    a_logic.changed = lambda: shown.append(a_logic.offers_update)
    voxels = slicer.util.arrayFromVolume(first) + 1
    slicer.util.updateVolumeFromArray(first, voxels)  # as a sequence does with its next frame
    a_logic.wait()
    assert len(a_session.calls) == asked and shown[-1] and a_logic.offers_update
    a_logic.run()
    a_logic.wait()
    assert len(a_session.calls) == asked + 1 and not a_logic.offers_update
    second = slicer.vtkMRMLScalarVolumeNode()
    second.CopyContent(first)
    an_mrml_scene.AddNode(second)
    a_logic.select(second)
    a_logic.wait()
    assert a_logic.offers_update and "another image" in a_logic.status.text
    a_session.gate.clear()
    a_logic.run()
    a_logic.cancel()
    a_session.gate.set()
    a_logic.select(first)
    assert not a_logic.offers_update and "mask follows" in a_logic.status.text
    a_logic.select(second)
    assert a_logic.offers_update


@pytest.mark.parametrize("is_moved", [False, True])
def test_another_image_is_asked_about_whatever_its_voxels_and_its_place(
    a_logic, a_session, an_mrml_scene, is_moved
):
    """The mask on the grid of a follow-up image isn't the one that was written, and yet no one edited it."""
    draw_box(a_logic)
    asked = len(a_session.calls)
    second = add_follow_up(an_mrml_scene)
    if is_moved:
        transform = add_transform(an_mrml_scene, affine((2, 0, 5), (1, 1, 1), (1, 2, -1)))
        second.SetAndObserveTransformNodeID(transform.GetID())
    a_logic.select(second)
    a_logic.run()
    a_logic.wait()
    assert [previous for _prompts, previous in a_session.calls[asked:]] == [None]
    assert not a_logic.offers_update
    click(a_logic)
    assert a_session.calls[-1][1] is None


def test_a_mask_that_was_edited_by_hand_is_kept_on_another_images_grid(a_logic, a_session, an_mrml_scene):
    draw_box(a_logic)
    painted = np.zeros(SHAPE, bool)
    painted[2:6, 2:8, 2:8] = True
    paint(a_logic, painted)
    a_logic.select(add_follow_up(an_mrml_scene))
    click(a_logic)
    assert a_session.calls[-1][1] is not None


@pytest.mark.parametrize("edits_before", [False, True], ids=["edited after the prompts", "and before"])
@pytest.mark.parametrize("is_moved", [False, True])
def test_an_update_for_another_image_is_made_anew_and_undo_brings_what_was_edited_back(
    a_logic, a_session, an_mrml_scene, edits_before, is_moved
):
    painted = np.zeros(SHAPE, bool)
    painted[2:6, 2:8, 2:8] = True
    if edits_before:
        paint(a_logic, painted)
    draw_box(a_logic)
    paint(a_logic, voxels_of(a_logic) | painted)
    edited, first = voxels_of(a_logic), a_logic.volume
    second = add_follow_up(an_mrml_scene)
    if is_moved:
        transform = add_transform(an_mrml_scene, affine((2, 0, 5), (1, 1, 1), (1, 2, -1)))
        second.SetAndObserveTransformNodeID(transform.GetID())
    a_logic.select(second)
    assert a_logic.offers_update and "Undo brings this one back." in a_logic.status.text
    asked = len(a_session.calls)
    a_logic.run()
    a_logic.wait()
    assert [previous for _prompts, previous in a_session.calls[asked:]] == [None]
    assert not a_logic.offers_update
    a_logic.undo()
    assert a_logic.offers_update  # it can be asked for again
    a_logic.select(first)
    assert np.array_equal(voxels_of(a_logic), edited)
    assert not a_logic.offers_update and "another image" not in a_logic.status.text


def test_of_several_that_share_out_the_voxels_only_the_selected_is_made_anew(
    a_logic, a_session, an_mrml_scene
):
    a_logic.together = True
    draw_box(a_logic, np.subtract(CENTRE, (15, 0, 0)), (8.0, 8.0, 8.0))
    first = a_logic.segment_id
    painted = voxels_of(a_logic)
    painted[2:6, 2:8, 2:8] = True
    paint(a_logic, painted)
    before = voxels_of(a_logic, first)
    a_logic.add_segment("kidney")
    draw_box(a_logic)
    second = slicer.vtkMRMLScalarVolumeNode()
    second.CopyContent(a_logic.volume)
    an_mrml_scene.AddNode(second)
    a_logic.select(second)
    a_logic.run()
    a_logic.wait()
    assert np.array_equal(voxels_of(a_logic, first), before)


def test_an_update_that_leaves_an_edited_mask_as_it_is_says_so(a_logic, a_session):
    draw_box(a_logic)
    mask = voxels_of(a_logic)
    mask[2:6, 2:8, 2:8] = True
    paint(a_logic, mask)
    asked = len(a_session.calls)
    a_logic.run()
    a_logic.wait()
    assert len(a_session.calls) == asked and np.array_equal(voxels_of(a_logic), mask)
    assert a_logic.status.text.startswith("Nothing has changed: a mask that was edited by hand stays")
    click(a_logic)
    a_logic.remove(a_logic.prompt_rows()[-1])
    a_logic.wait()
    a_logic.clear_prompts()
    a_logic.wait()
    assert a_logic.status.text == "Done."


def test_the_grey_values_that_were_seen_are_told_behind_the_answer(a_logic):
    draw_box(a_logic)
    assert a_logic.status.text == "Done."
    assert a_logic.status.detail == "Seen with grey values 0 to 1."
    assert a_logic.status.technical.endswith("on cpu, about 300 MB of memory.")


def test_edges_that_are_coarser_than_the_image_are_told(a_logic, a_session):
    preview = Preview((32, 32, 32), (3.0, 7.5, 7.5), True, 300 << 20, "cpu")
    a_session.preview_all = lambda *ignored: preview
    draw_box(a_logic)
    assert a_logic.status.detail.endswith(
        "Seen with grey values 0 to 1, coarsely for its size: in voxels of 7.5 x 7.5 x 3 mm."
    )


def test_an_answer_that_found_nothing_says_so(a_logic, a_session):
    segmented = a_session._segmentation
    a_session._segmentation = lambda mask: replace(segmented(mask), found=False)
    draw_box(a_logic)
    assert a_logic.status.text.startswith("Done. Nothing stands out there: draw the box closer")


def test_the_user_learns_that_the_segment_is_hidden(a_logic):
    display = a_logic.segmentation.GetDisplayNode()
    display.SetSegmentVisibility(a_logic.segment_id, False)
    draw_box(a_logic)
    assert a_logic.status.text.startswith("Done. The segment is hidden: click on its eye")
    display.SetSegmentVisibility(a_logic.segment_id, True)
    click(a_logic)
    assert a_logic.status.text == "Done."
    display.SetVisibility(False)
    click(a_logic, CENTRE + ALONG_X)
    assert a_logic.status.text == "Done. The segmentation is hidden: click on its eye in the module Data."


def test_the_user_learns_that_the_views_show_another_image_than_the_one_that_is_segmented(
    a_logic, an_mrml_scene
):
    told = "'CT chest' is what is segmented, and the slice views show another image: choose that one"
    (red, _shown), (green, _shown) = (add_slice_view(an_mrml_scene, name) for name in ("Red", "Green"))
    follow_up = add_follow_up(an_mrml_scene)  # it was loaded just now, and Slicer has shown it
    for view in (red, green):
        view.SetBackgroundVolumeID(follow_up.GetID())
    of_another_layout, hidden = add_slice_view(an_mrml_scene, "Yellow")
    of_another_layout.SetBackgroundVolumeID(a_logic.volume.GetID())
    hidden.SetMappedInLayout(False)
    a_logic.start_placing("foreground")
    assert a_logic.status.text.startswith(told)
    a_logic.stop_placing()
    draw_box(a_logic)
    assert a_logic.status.text.startswith("Done. " + told)
    green.SetForegroundVolumeID(a_logic.volume.GetID())  # laid over the other
    click(a_logic)
    assert a_logic.status.text == "Done."
    a_logic.start_placing("foreground")
    assert a_logic.status.text == "Done."


def test_a_tool_that_is_begun_leaves_the_word_on_what_runs(a_logic, a_session, an_mrml_scene):
    red, _view = add_slice_view(an_mrml_scene)
    red.SetBackgroundVolumeID(add_follow_up(an_mrml_scene).GetID())
    started(a_logic, a_session)
    a_logic.start_placing("foreground")
    assert a_logic.status.kind == "working"
    a_session.gate.set()
    a_logic.wait()
    assert a_logic.status.text.startswith("Done. 'CT chest' is what is segmented")
