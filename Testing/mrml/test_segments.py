"""Masks into segments and out of them, and what must stay as it was."""

from unittest.mock import Mock

import numpy as np
import pytest
import slicer
import slicer.util
from ensam.errors import InputError
from ensam.masks import MaskCrop
from ENSAMSegmentLib.segment_writer import SegmentWriter
from ENSAMSegmentLib.segments import add_segment, add_segmentation, read_segment
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from .conftest import GROWN, KIDNEY, LIVER, OBLIQUE, SHAPE, affine, ball
from .nodes import add_segment_editor, add_volume, exported, load_segmentation, save

OVERWRITE_MODES = {
    "all": slicer.vtkMRMLSegmentEditorNode.OverwriteAllSegments,
    "visible": slicer.vtkMRMLSegmentEditorNode.OverwriteVisibleSegments,
    "none": slicer.vtkMRMLSegmentEditorNode.OverwriteNone,
}
MASK_MODES = {
    "everywhere": slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere,
    "inside all": slicer.vtkMRMLSegmentationNode.EditAllowedInsideAllSegments,
    "inside visible": slicer.vtkMRMLSegmentationNode.EditAllowedInsideVisibleSegments,
    "outside all": slicer.vtkMRMLSegmentationNode.EditAllowedOutsideAllSegments,
    "outside visible": slicer.vtkMRMLSegmentationNode.EditAllowedOutsideVisibleSegments,
    "inside kidney": slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment,
}


def _settings(editor):
    return (
        editor.GetSegmentationNode(),
        editor.GetSelectedSegmentID(),
        editor.GetSourceVolumeNode(),
        editor.GetOverwriteMode(),
        editor.GetMaskMode(),
        editor.GetMaskSegmentID(),
        editor.GetSourceVolumeIntensityMask(),
    )


@pytest.fixture
def a_segmentation(a_volume_node):
    node = add_segmentation(a_volume_node, "organs")
    node.GetSegmentation().AddEmptySegment("liver", "liver")
    return node


@pytest.fixture
def painted_neighbours(two_neighbours, a_writer, a_segment_editor, a_straight_volume_node):
    """Two organs that touch, on one labelmap, in a segmentation that the editor shows."""
    a_segment_editor.GetSegmentEditorNode().SetAndObserveSegmentationNode(two_neighbours)
    organs = {"liver": MaskCrop(LIVER, (0, 0, 0)), "kidney": MaskCrop(KIDNEY, (0, 0, 0))}
    a_writer.write(two_neighbours, a_straight_volume_node, organs)
    # As it is after saving, and after painting in Slicer.
    two_neighbours.GetSegmentation().CollapseBinaryLabelmaps()
    assert two_neighbours.GetSegmentation().GetNumberOfLayers() == 1
    return two_neighbours


def test_a_mask_lands_on_the_voxels_it_was_made_for(a_segmentation, a_writer, a_volume_node):
    a_writer.write(a_segmentation, a_volume_node, {"liver": MaskCrop(LIVER[2:16, 5:20, 6:22], (2, 5, 6))})

    np.testing.assert_array_equal(exported(a_segmentation, "liver", a_volume_node), LIVER)


def test_a_segment_reads_back_as_it_was_written(a_segmentation, a_writer, a_volume_node):
    a_writer.write(a_segmentation, a_volume_node, {"liver": MaskCrop(LIVER, (0, 0, 0))})

    crop = read_segment(a_segmentation, "liver", a_volume_node)

    assert crop.mask.shape == (13, 13, 13)
    np.testing.assert_array_equal(crop.laid_out(SHAPE), LIVER)


def test_a_second_mask_replaces_the_first(a_segmentation, a_writer, a_volume_node):
    a_writer.write(a_segmentation, a_volume_node, {"liver": MaskCrop(LIVER, (0, 0, 0))})
    moved = ball((11, 20, 30), 4)

    a_writer.write(a_segmentation, a_volume_node, {"liver": MaskCrop(moved, (0, 0, 0))})

    np.testing.assert_array_equal(exported(a_segmentation, "liver", a_volume_node), moved)


def test_an_empty_mask_clears_the_segment(a_segmentation, a_writer, a_volume_node):
    a_writer.write(a_segmentation, a_volume_node, {"liver": MaskCrop(LIVER, (0, 0, 0))})

    a_writer.write(a_segmentation, a_volume_node, {"liver": MaskCrop(np.zeros((4, 4, 4), bool), (3, 3, 3))})

    assert read_segment(a_segmentation, "liver", a_volume_node).mask.size == 0


def test_a_mask_beside_segments_that_were_loaded_empty_comes_back_from_its_file(
    an_mrml_scene, a_volume_node, a_writer, tmp_path
):
    """Slicer saves all on the finest grid, and puts segments without voxels on one of 1 mm."""
    prepared = add_segmentation(a_volume_node, "organs")
    for name in ("spleen", "liver"):
        prepared.GetSegmentation().AddEmptySegment(name, name)

    def through_a_file(segmentation):
        segmentation.SetAndObserveTransformNodeID(None)  # which a file would not keep
        save(segmentation, tmp_path / "organs.seg.nrrd")
        loaded = load_segmentation(an_mrml_scene, tmp_path / "organs.seg.nrrd")
        loaded.SetAndObserveTransformNodeID(a_volume_node.GetTransformNodeID())
        return loaded

    written = through_a_file(prepared)
    a_writer.write(written, a_volume_node, {"liver": MaskCrop(LIVER, (0, 0, 0))})
    again = through_a_file(written)
    np.testing.assert_array_equal(read_segment(again, "liver", a_volume_node).laid_out(SHAPE), LIVER)


def test_a_mask_reaches_the_volumes_last_voxels(a_segmentation, a_writer, a_volume_node):
    a_writer.write(a_segmentation, a_volume_node, {"liver": MaskCrop(np.ones((2, 30, 40), bool), (18, 0, 0))})

    assert exported(a_segmentation, "liver", a_volume_node)[18:].all()


@pytest.mark.parametrize("labelmaps", ["shared", "own"])
@pytest.mark.parametrize("kidney_is_visible", [True, False], ids=["kidney shown", "kidney hidden"])
@pytest.mark.parametrize("mask_mode", MASK_MODES)
@pytest.mark.parametrize("overwrite_mode", OVERWRITE_MODES)
@pytest.mark.parametrize("keep_others", [True, False], ids=["keep others", "by overwrite mode alone"])
def test_a_mask_that_grows_into_a_neighbour_takes_what_the_editors_settings_allow(
    painted_neighbours,
    a_writer,
    a_segment_editor,
    a_straight_volume_node,
    keep_others,
    overwrite_mode,
    mask_mode,
    kidney_is_visible,
    labelmaps,
):
    if labelmaps == "own":
        painted_neighbours.GetSegmentation().SeparateSegmentLabelmap("liver")
    editor = a_segment_editor.GetSegmentEditorNode()
    editor.SetOverwriteMode(OVERWRITE_MODES[overwrite_mode])
    editor.SetMaskMode(MASK_MODES[mask_mode])
    editor.SetMaskSegmentID("kidney")
    painted_neighbours.GetDisplayNode().SetSegmentVisibility("kidney", kidney_is_visible)
    a_writer.keep_others = keep_others

    a_writer.write(painted_neighbours, a_straight_volume_node, {"liver": MaskCrop(GROWN, (0, 0, 0))})

    may_overwrite = overwrite_mode == "all" or (overwrite_mode == "visible" and kidney_is_visible)
    editable = {
        "everywhere": np.ones(SHAPE, bool),
        "inside all": LIVER | KIDNEY,
        "inside visible": LIVER | KIDNEY if kidney_is_visible else LIVER,
        "outside all": ~KIDNEY,
        "outside visible": ~KIDNEY if kidney_is_visible else np.ones(SHAPE, bool),
        "inside kidney": KIDNEY,
    }[mask_mode]
    wanted = GROWN & ~KIDNEY if keep_others and may_overwrite else GROWN
    liver = (wanted & editable) | (LIVER & ~editable)
    kidney = KIDNEY & ~liver if may_overwrite and not keep_others else KIDNEY
    np.testing.assert_array_equal(exported(painted_neighbours, "liver", a_straight_volume_node), liver)
    np.testing.assert_array_equal(exported(painted_neighbours, "kidney", a_straight_volume_node), kidney)


@pytest.mark.parametrize("keep_others", [True, False])
@pytest.mark.parametrize("overwrite_mode", OVERWRITE_MODES)
def test_one_undo_and_one_redo_restore_every_segment(
    painted_neighbours, a_writer, a_segment_editor, a_straight_volume_node, overwrite_mode, keep_others
):
    a_segment_editor.ClearUndoState()
    a_segment_editor.GetSegmentEditorNode().SetOverwriteMode(OVERWRITE_MODES[overwrite_mode])
    a_writer.keep_others = keep_others
    masks = {"liver": MaskCrop(GROWN, (0, 0, 0)), "kidney": MaskCrop(ball((10, 14, 30), 3), (0, 0, 0))}
    a_writer.write(painted_neighbours, a_straight_volume_node, masks)
    written = [exported(painted_neighbours, one, a_straight_volume_node) for one in masks]

    a_segment_editor.Undo()

    np.testing.assert_array_equal(exported(painted_neighbours, "liver", a_straight_volume_node), LIVER)
    np.testing.assert_array_equal(exported(painted_neighbours, "kidney", a_straight_volume_node), KIDNEY)
    assert not a_segment_editor.CanUndo()

    a_segment_editor.Redo()

    for one, expected in zip(masks, written, strict=True):
        np.testing.assert_array_equal(exported(painted_neighbours, one, a_straight_volume_node), expected)


@pytest.mark.parametrize("overwrite_mode", OVERWRITE_MODES)
@pytest.mark.parametrize("keep_others", [True, False])
def test_of_two_masks_that_meet_the_later_one_wins_unless_segments_may_overlap(
    painted_neighbours, a_writer, a_segment_editor, a_straight_volume_node, overwrite_mode, keep_others
):
    a_segment_editor.GetSegmentEditorNode().SetOverwriteMode(OVERWRITE_MODES[overwrite_mode])
    a_writer.keep_others = keep_others
    kidney = ball((10, 14, 22), 5)
    masks = {"liver": MaskCrop(GROWN, (0, 0, 0)), "kidney": MaskCrop(kidney, (0, 0, 0))}

    a_writer.write(painted_neighbours, a_straight_volume_node, masks)

    liver = GROWN if overwrite_mode == "none" else GROWN & ~kidney
    np.testing.assert_array_equal(exported(painted_neighbours, "liver", a_straight_volume_node), liver)
    np.testing.assert_array_equal(exported(painted_neighbours, "kidney", a_straight_volume_node), kidney)


def test_voxels_that_the_later_mask_takes_count_as_held_back(
    painted_neighbours, a_writer, a_straight_volume_node
):
    masks = {"liver": MaskCrop(GROWN, (0, 0, 0)), "kidney": MaskCrop(KIDNEY, (0, 0, 0))}

    held_back = a_writer.write(painted_neighbours, a_straight_volume_node, masks)

    assert held_back == (GROWN & KIDNEY).sum() / (GROWN.sum() + KIDNEY.sum())


@pytest.mark.parametrize("overwrite_mode", ["all", "none"])
def test_nothing_is_held_back_where_segments_are_overwritten_or_may_overlap(
    painted_neighbours, a_writer, a_segment_editor, a_straight_volume_node, overwrite_mode
):
    a_segment_editor.GetSegmentEditorNode().SetOverwriteMode(OVERWRITE_MODES[overwrite_mode])
    a_writer.keep_others = overwrite_mode == "none"

    assert (
        a_writer.write(painted_neighbours, a_straight_volume_node, {"liver": MaskCrop(GROWN, (0, 0, 0))}) == 0
    )


def test_the_editors_settings_are_the_same_after_a_write(
    an_mrml_scene, painted_neighbours, a_writer, a_segment_editor, a_straight_volume_node
):
    editor = a_segment_editor.GetSegmentEditorNode()
    other = add_segmentation(a_straight_volume_node, "of the user")
    editor.SetAndObserveSegmentationNode(other)
    editor.SetSelectedSegmentID(add_segment(other, "being painted"))
    editor.SetOverwriteMode(editor.OverwriteVisibleSegments)
    editor.SetSourceVolumeIntensityMask(True)
    editor.SetSourceVolumeIntensityMaskRange(0, 30000)
    a_segment_editor.SaveStateForUndo()
    add_segment(other, "new")
    before = _settings(editor)

    a_writer.write(painted_neighbours, a_straight_volume_node, {"liver": MaskCrop(GROWN, (0, 0, 0))})

    assert _settings(editor) == before
    # The undo states are those of the segmentation that the user works on.
    a_segment_editor.Undo()
    assert other.GetSegmentation().GetNumberOfSegments() == 1


def test_the_editors_settings_are_the_same_after_an_error(
    painted_neighbours, a_segment_editor, a_straight_volume_node
):
    class FailingLogic:
        """The editor's logic, but writing fails."""

        def __getattr__(self, name):
            return getattr(a_segment_editor, name)

        def ModifySegmentByLabelmap(self, *_arguments):
            raise RuntimeError("full")

    editor = a_segment_editor.GetSegmentEditorNode()
    editor.SetSelectedSegmentID("kidney")
    editor.SetMaskMode(MASK_MODES["inside kidney"])
    editor.SetMaskSegmentID("kidney")
    before = _settings(editor)

    with pytest.raises(RuntimeError, match="full"):
        SegmentWriter(FailingLogic()).write(
            painted_neighbours, a_straight_volume_node, {"liver": MaskCrop(GROWN, (0, 0, 0))}
        )

    assert _settings(editor) == before


def test_a_segment_that_shares_a_labelmap_has_its_own_once_it_is_written(
    painted_neighbours, a_writer, a_straight_volume_node
):
    segments = painted_neighbours.GetSegmentation()
    segments.CollapseBinaryLabelmaps(False)
    assert segments.GetNumberOfLayers() == 1
    a_writer.write(
        painted_neighbours, a_straight_volume_node, {"liver": MaskCrop(GROWN & ~KIDNEY, (0, 0, 0))}
    )
    assert segments.GetNumberOfLayers() == 2
    np.testing.assert_array_equal(exported(painted_neighbours, "kidney", a_straight_volume_node), KIDNEY)


@pytest.mark.parametrize("value", [1, 255, 256, 1001, -5])
def test_a_segment_keeps_a_label_value_of_any_size(two_neighbours, a_straight_volume_node, a_writer, value):
    two_neighbours.GetSegmentation().SeparateSegmentLabelmap("liver")
    liver = two_neighbours.GetSegmentation().GetSegment("liver")
    voxels = liver.GetRepresentation("Binary labelmap").GetPointData()
    labels = np.where(vtk_to_numpy(voxels.GetScalars()) > 0, value, 0).astype(np.int16)
    voxels.SetScalars(numpy_to_vtk(labels, deep=True))
    liver.SetLabelValue(value)
    a_writer.write(two_neighbours, a_straight_volume_node, {"liver": MaskCrop(GROWN, (0, 0, 0))})
    np.testing.assert_array_equal(
        read_segment(two_neighbours, "liver", a_straight_volume_node).laid_out(SHAPE), GROWN
    )
    assert liver.GetLabelValue() == value


def test_a_segmentation_comes_under_the_study_of_its_image(
    an_mrml_scene, two_neighbours, a_segment_editor, a_writer, a_straight_volume_node
):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(an_mrml_scene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "study")
    hierarchy.CreateItem(study, a_straight_volume_node)
    item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), two_neighbours)
    a_segment_editor.GetSegmentEditorNode().SetAndObserveSourceVolumeNode(a_straight_volume_node)
    a_writer.write(two_neighbours, a_straight_volume_node, {"liver": MaskCrop(GROWN, (0, 0, 0))})
    assert hierarchy.GetItemParent(item) == study


def test_a_segment_is_in_progress_once_it_is_written_as_after_painting(
    two_neighbours, a_writer, a_straight_volume_node
):
    logic, liver = (
        slicer.vtkSlicerSegmentationsModuleLogic,
        two_neighbours.GetSegmentation().GetSegment("liver"),
    )
    for before, after in ((logic.NotStarted, logic.InProgress), (logic.Flagged, logic.Flagged)):
        logic.SetSegmentStatus(liver, before)
        for mask in (GROWN, LIVER):
            a_writer.write(two_neighbours, a_straight_volume_node, {"liver": MaskCrop(mask, (0, 0, 0))})
        assert logic.GetSegmentStatus(liver) == after


def test_a_segment_that_slicer_does_not_replace_is_an_error(
    painted_neighbours, a_writer, a_straight_volume_node, monkeypatch
):
    class FailingLogic(slicer.vtkSlicerSegmentationsModuleLogic):
        SetBinaryLabelmapToSegment = staticmethod(lambda *_arguments: False)

    monkeypatch.setattr(slicer, "vtkSlicerSegmentationsModuleLogic", FailingLogic)
    with pytest.raises(InputError, match="Slicer could not write to 'organs': its labelmap"):
        a_writer.write(painted_neighbours, a_straight_volume_node, {"liver": MaskCrop(GROWN, (0, 0, 0))})


def test_the_undo_state_is_saved_where_the_application_says(
    painted_neighbours, a_segment_editor, a_straight_volume_node
):
    writer = SegmentWriter(a_segment_editor, save_state := Mock())
    masks = {"liver": MaskCrop(GROWN, (0, 0, 0)), "kidney": MaskCrop(KIDNEY, (0, 0, 0))}

    writer.write(painted_neighbours, a_straight_volume_node, masks)

    save_state.assert_called_once_with()


def test_only_voxels_in_the_intensity_range_change(
    painted_neighbours, a_writer, a_segment_editor, a_straight_volume_node
):
    editor = a_segment_editor.GetSegmentEditorNode()
    editor.SetSourceVolumeIntensityMask(True)
    editor.SetSourceVolumeIntensityMaskRange(0, 8 * 30 * 40 - 1)  # the slices 0 to 7
    small = np.ones((4, 2, 2), bool)

    a_writer.write(painted_neighbours, a_straight_volume_node, {"liver": MaskCrop(small, (6, 12, 14))})

    # Old voxels in the range are cleared wherever they lie, also far from the new mask.
    expected = LIVER.copy()
    expected[:8] = False
    expected[6:8, 12:14, 14:16] = True
    np.testing.assert_array_equal(exported(painted_neighbours, "liver", a_straight_volume_node), expected)


def test_a_write_that_slicer_would_refuse_half_way_changes_nothing(
    an_mrml_scene, two_neighbours, a_straight_volume_node
):
    # The labels have another grid than the reference geometry: there Slicer can't apply its intensity mask.
    logic = add_segment_editor(an_mrml_scene)
    logic.GetSegmentEditorNode().SetAndObserveSegmentationNode(two_neighbours)
    writer = SegmentWriter(logic)
    writer.write(two_neighbours, a_straight_volume_node, {"liver": MaskCrop(LIVER, (0, 0, 0))})
    other = add_volume(an_mrml_scene, np.zeros(SHAPE, np.int16), OBLIQUE, "other")
    two_neighbours.SetReferenceImageGeometryParameterFromVolumeNode(other)
    logic.GetSegmentEditorNode().SetSourceVolumeIntensityMask(True)
    writer = SegmentWriter(logic, save_state := Mock())

    with pytest.raises(InputError, match="The segment 'liver' has another grid than its segmentation"):
        writer.write(two_neighbours, a_straight_volume_node, {"liver": MaskCrop(LIVER, (0, 0, 0))})

    save_state.assert_not_called()
    np.testing.assert_array_equal(exported(two_neighbours, "liver", a_straight_volume_node), LIVER)


def test_an_editable_area_inside_a_segment_of_another_segmentation_is_refused(
    painted_neighbours, a_segment_editor, a_straight_volume_node
):
    editor = a_segment_editor.GetSegmentEditorNode()
    editor.SetMaskMode(MASK_MODES["inside kidney"])
    editor.SetMaskSegmentID("spleen")
    writer = SegmentWriter(a_segment_editor, save_state := Mock())

    with pytest.raises(InputError, match="limits the editable area isn't in 'organs'"):
        writer.write(painted_neighbours, a_straight_volume_node, {"liver": MaskCrop(GROWN, (0, 0, 0))})

    save_state.assert_not_called()


def test_a_segment_that_is_gone_is_refused(two_neighbours, a_writer, a_straight_volume_node):
    with pytest.raises(InputError, match="'organs' has no segment 'spleen'"):
        a_writer.write(two_neighbours, a_straight_volume_node, {"spleen": MaskCrop(LIVER, (0, 0, 0))})


def test_nothing_is_written_when_one_of_the_segments_is_gone(
    painted_neighbours, a_segment_editor, a_straight_volume_node
):
    writer = SegmentWriter(a_segment_editor, save_state := Mock())
    masks = {"liver": MaskCrop(GROWN, (0, 0, 0)), "spleen": MaskCrop(GROWN, (0, 0, 0))}

    with pytest.raises(InputError, match="'organs' has no segment 'spleen'"):
        writer.write(painted_neighbours, a_straight_volume_node, masks)

    save_state.assert_not_called()
    np.testing.assert_array_equal(exported(painted_neighbours, "liver", a_straight_volume_node), LIVER)


def test_a_segmentation_of_surfaces_is_refused(an_mrml_scene, a_straight_volume_node):
    segmentation = an_mrml_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "surfaces")
    segmentation.GetSegmentation().SetSourceRepresentationName("Closed surface")
    segmentation.GetSegmentation().AddEmptySegment("liver")

    with pytest.raises(InputError, match="'surfaces' is not kept as a binary labelmap"):
        read_segment(segmentation, "liver", a_straight_volume_node)


def test_a_new_segmentation_has_the_volumes_grid_and_transform(a_volume_node):
    segmentation = add_segmentation(a_volume_node, "organs")

    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    assert segmentation.GetNodeReference(role) is a_volume_node
    assert segmentation.GetTransformNodeID() == a_volume_node.GetTransformNodeID()


def test_new_segments_have_labelmaps_of_their_own_and_keep_them_apart(
    a_writer, a_segment_editor, a_straight_volume_node, tmp_path, an_mrml_scene
):
    node = add_segmentation(a_straight_volume_node, "organs")
    a_segment_editor.GetSegmentEditorNode().SetAndObserveSegmentationNode(node)
    liver, kidney = add_segment(node, "liver", (0.5, 0.25, 0)), add_segment(node, "kidney")
    masks = {liver: MaskCrop(LIVER, (0, 0, 0)), kidney: MaskCrop(KIDNEY, (0, 0, 0))}

    a_writer.write(node, a_straight_volume_node, masks)
    a_segment_editor.Undo()
    a_segment_editor.Redo()

    assert node.GetSegmentation().GetNumberOfLayers() == 2
    assert node.GetSegmentation().GetSegment(liver).GetColor() == (0.5, 0.25, 0)
    save(node, tmp_path / "organs.seg.nrrd")
    loaded = load_segmentation(an_mrml_scene, tmp_path / "organs.seg.nrrd")
    for name, voxels in (("liver", LIVER), ("kidney", KIDNEY)):
        segment = loaded.GetSegmentation().GetSegmentIdBySegmentName(name)
        np.testing.assert_array_equal(exported(loaded, segment, a_straight_volume_node), voxels)


@pytest.mark.parametrize("unused", ["new", "from a file", "Slicer's own"])
def test_a_segment_without_voxels_changes_no_other_one_in_a_file(
    a_writer, a_segment_editor, an_mrml_scene, tmp_path, unused
):
    path = tmp_path / "organs.seg.nrrd"
    volume = add_volume(an_mrml_scene, np.zeros(SHAPE, np.int16), affine(scales=(1.5, 2.0, 2.5)))
    node = add_segmentation(volume, "organs")
    if unused == "Slicer's own":
        node.GetSegmentation().AddEmptySegment("unused")
    else:
        add_segment(node, "unused")
    if unused == "from a file":
        save(node, path)
        node = load_segmentation(an_mrml_scene, path)
    a_segment_editor.GetSegmentEditorNode().SetAndObserveSegmentationNode(node)
    a_writer.write(node, volume, {add_segment(node, "liver"): MaskCrop(LIVER, (0, 0, 0))})
    save(node, path)
    loaded = load_segmentation(an_mrml_scene, path)
    liver = loaded.GetSegmentation().GetSegmentIdBySegmentName("liver")
    np.testing.assert_array_equal(exported(loaded, liver, volume), LIVER)


def test_a_segmentation_without_a_grid_takes_the_volumes(an_mrml_scene, a_writer, a_straight_volume_node):
    node = an_mrml_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "bare")
    segment = add_segment(node, "liver")

    a_writer.write(node, a_straight_volume_node, {segment: MaskCrop(LIVER, (0, 0, 0))})

    np.testing.assert_array_equal(exported(node, segment, a_straight_volume_node), LIVER)


def test_trimming_keeps_the_place_of_every_voxel():
    crop = MaskCrop(LIVER[1:, 2:, 3:], (1, 2, 3)).trimmed()

    assert crop.mask.shape == (13, 13, 13)
    np.testing.assert_array_equal(crop.laid_out(SHAPE), LIVER)


def test_two_masks_joined_have_the_voxels_of_both():
    joined = MaskCrop(LIVER[1:, 2:, 3:], (1, 2, 3)).trimmed().joined(MaskCrop(KIDNEY, (0, 0, 0)).trimmed())

    np.testing.assert_array_equal(joined.laid_out(SHAPE), LIVER | KIDNEY)


def test_a_voxel_grows_into_a_cube():
    grown = MaskCrop(np.ones((1, 1, 1), bool), (4, 5, 6)).grown()

    assert grown.offset == (3, 4, 5)
    np.testing.assert_array_equal(grown.mask, np.ones((3, 3, 3), bool))
