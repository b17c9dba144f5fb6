"""Masks into segments. Nothing else of ENSAM writes to a segmentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import compress

import numpy as np
import slicer
import vtk
from ensam.errors import InputError
from ensam.masks import MaskCrop

from .labelmaps import (
    image_of,
    labelmap_of,
    matrix_of_image,
    moved,
    rewritten,
    span_of,
    span_of_labelmap,
    voxels_near,
    voxels_of,
)
from .segment_list import keep_listed
from .segments import (
    check_is_not_completed,
    ensure_reference_geometry,
    get_segment,
    is_completed,
    reference_geometry,
)
from .translation import tr as _
from .volumes import grid_from_node, transform_between


@dataclass(frozen=True)
class _Write:
    """One segment's new voxels, ready to be handed to Slicer.

    changes: Whether the segment has other voxels now, or another one is overwritten.
    overwrites: Whether another segment that may be overwritten has voxels there.
    wanted, held_back: How many voxels there were to write, and how many of them were left to other segments.
    """

    segment_id: str
    modifier: slicer.vtkOrientedImageData
    changes: bool
    overwrites: bool
    wanted: int
    held_back: int


class SegmentWriter:
    """Writes masks through Slicer's segment editor logic, so as painting does.

    Editable area, intensity mask and overwrite mode are those of the logic's segment editor node, and the
    undo stack is the editor's. Undo belongs to the segmentation that the node has selected: a write to
    another one is done without an undo state, and leaves the states of the selected one alone.

    Example::

        writer = SegmentWriter(editor_logic)
        writer.write(segmentation, volume, {segment_id: MaskCrop(result.mask, result.offset)})
        editor_logic.Undo()  # takes the whole write back

    Attributes:
        keep_others: True keeps every voxel of every segment that isn't written. Where the overwrite mode
            would let it be overwritten the written segment gains no voxel from it; elsewhere the two overlap,
            and where they overlap already they may go on. False leaves it to the overwrite mode alone, but
            for segments that are marked as completed.
    """

    def __init__(
        self,
        logic: slicer.vtkSlicerSegmentEditorLogic,
        save_state: Callable[[], object] | None = None,
    ) -> None:
        """Take the logic to write through and what saves an undo state.

        Args:
            logic: Its segment editor node must be set.
            save_state: Called before the first change of each write; the logic's own undo stack by default.
                The application's editor has a stack of its own: give its `saveStateForUndo` there.
        """
        self.keep_others = True
        self._logic = logic
        self.save_state = logic.SaveStateForUndo if save_state is None else save_state
        self._errors: list[str] = []
        # Without it the logic returns in silence where it can't write.
        logic.SetVerbose(True)
        logic.AddObserver(vtk.vtkCommand.ErrorEvent, self._on_error)

    def write(
        self,
        segmentation: slicer.vtkMRMLSegmentationNode,
        volume: slicer.vtkMRMLScalarVolumeNode,
        masks: Mapping[str, MaskCrop],
    ) -> float:
        """Make each segment be its mask, all in one undo state. The node's settings stay as they are.

        Only what differs from what `read_segment` gives is written: voxels outside the volume stay, and so
        do details that are finer than its grid, except next to a change.

        Args:
            segmentation: The segmentation that has the segments.
            volume: The volume on whose grid the masks lie.
            masks: A crop of the volume's grid for each segment id; in the rest of the volume the segment is
                cleared. Where two of them meet, the later one wins unless segments may overlap, or both
                segments have the voxel already.

        Returns:
            The share of the masks, from 0 to 1, that was not written because other segments keep it, or get
            it as the later ones.

        Raises:
            InputError: A segment is gone, marked as completed or not kept as a labelmap, or the editable
                area can't be applied. Nothing is changed then and no undo state is saved. Or Slicer refuses
                one of the writes: then those before it are done, and the undo state that was saved takes them
                back.
            VolumeError: The volume has no image, or a warp can't be inverted at a mask or a segment.
                Nothing is changed, likewise.
        """
        editor = self._logic.GetSegmentEditorNode()
        # The logic would take the source volume's grid, but there may be no source volume.
        ensure_reference_geometry(segmentation, volume)
        writes = self._prepared(segmentation, volume, masks)
        self._check_editable_area(segmentation, volume, writes)
        if editor.GetSegmentationNode() is segmentation:
            self.save_state()
        selected = editor.GetSelectedSegmentID()
        if any(write.segment_id == selected and write.changes for write in writes):
            keep_listed(segmentation, selected, is_written=True)
        self._errors.clear()
        with self._settings_kept(), _rendering_paused():
            editor.SetAndObserveSegmentationNode(segmentation)
            # Slicer keeps apart what it must not overwrite, and doesn't search where it may not. To overwrite
            # it goes through each other segment, and enlarges it to hold this one while it does.
            if not any(write.overwrites for write in writes):
                editor.SetOverwriteMode(editor.OverwriteNone)
            # The intensity range belongs to the volume that the user chose with it.
            if editor.GetSourceVolumeIntensityMask() and editor.GetSourceVolumeNode() is None:
                editor.SetAndObserveSourceVolumeNode(volume)
            # Of segments that share out the voxels most stay as they were.
            for write in (write for write in writes if write.changes):
                _align_empty(segmentation, write.modifier)
                editor.SetSelectedSegmentID(write.segment_id)
                is_alone = not self.is_masked and editor.GetOverwriteMode() == editor.OverwriteNone
                # Of an image without foreground Slicer can't make the segment's surface.
                if is_alone and write.wanted > write.held_back:
                    self._replace(segmentation, write)
                else:
                    self._logic.ModifySegmentByLabelmap(
                        segmentation,
                        write.segment_id,
                        write.modifier,
                        self._logic.ModificationModeSet,
                        True,
                        False,
                    )
        if self._errors:
            raise InputError(
                _("Slicer could not write to '{segmentation}': {error}.").format(
                    segmentation=segmentation.GetName(), error=self._errors[0]
                )
            )
        return sum(write.held_back for write in writes) / max(1, sum(write.wanted for write in writes))

    def _replace(self, segmentation: slicer.vtkMRMLSegmentationNode, write: _Write) -> None:
        """As the editor's logic does, which first takes out what was there and then puts in what comes: three
        times the work where neither other segments nor an editable area have a say."""
        logic, segment = slicer.vtkSlicerSegmentationsModuleLogic, get_segment(segmentation, write.segment_id)
        # A labelmap that lesions all over the volume share would be gone through at each click.
        segmentation.GetSegmentation().SeparateSegmentLabelmap(write.segment_id)
        # Slicer puts the segment's label value into the modifier, and cuts it to what its type holds.
        slicer.vtkOrientedImageDataResample.CastImageForValue(write.modifier, segment.GetLabelValue())
        if not logic.SetBinaryLabelmapToSegment(
            write.modifier, segmentation, write.segment_id, logic.MODE_REPLACE
        ):
            self._errors.append(_("its labelmap could not be replaced"))
        if logic.GetSegmentStatus(segment) == logic.NotStarted:
            logic.SetSegmentStatus(segment, logic.InProgress)
        _put_beside(segmentation, self._logic.GetSegmentEditorNode().GetSourceVolumeNode())

    def _prepared(
        self,
        segmentation: slicer.vtkMRMLSegmentationNode,
        volume: slicer.vtkMRMLScalarVolumeNode,
        masks: Mapping[str, MaskCrop],
    ) -> list[_Write]:
        """The segments' new voxels on their own grids, without what others hold and keep."""
        rivals, wanted = self._rivals(segmentation), _wanted(segmentation, volume, masks)
        spans = _spans(segmentation, rivals, wanted)
        later = list(masks)
        writes = []
        for segment_id, (voxels, matrix) in wanted.items():
            segment = get_segment(segmentation, segment_id)
            check_is_not_completed(segment)
            overwrites, count, held_back = False, voxels.count, 0
            later.remove(segment_id)
            low, high = span_of(voxels, matrix)
            is_near = ((low <= spans[:, 1]) & (spans[:, 0] <= high)).all(axis=1)
            for rival_id in compress(rivals, is_near):
                if rival_id in masks and rival_id not in later:
                    continue
                rival = get_segment(segmentation, rival_id)
                if rival_id in later:
                    held = moved(*wanted[rival_id], matrix, vtk.vtkGeneralTransform())
                else:
                    held = voxels_near(rival, matrix, voxels)
                contested = voxels.common(held).trimmed()
                if not contested.mask.size:
                    continue
                if not self.keep_others and (rival_id in later or not is_completed(rival)):
                    overwrites = True
                    continue
                lost = contested
                if self.keep_others:
                    # An organ in a body, or a copy: what both have already belongs to both. Not where Slicer
                    # overwrites, which would take it from the other one.
                    lost = contested.without(
                        voxels_near(segment, matrix, contested).common(voxels_near(rival, matrix, contested))
                    )
                held_back += lost.count
                voxels = voxels.without(lost)
            own = voxels_of(segment)
            # One that was written before may take voxels that this one holds and keeps.
            changes = overwrites or any(w.overwrites for w in writes) or not voxels.is_same(own)
            if self.is_masked:
                # Where editing is restricted the logic keeps old voxels only within the modifier's extent.
                voxels = voxels.padded_to(own)
            writes.append(_Write(segment_id, image_of(voxels, matrix), changes, overwrites, count, held_back))
        return writes

    def _rivals(self, segmentation: slicer.vtkMRMLSegmentationNode) -> list[str]:
        """The segments that the overwrite mode lets a written one overwrite."""
        editor = self._logic.GetSegmentEditorNode()
        segments = list(segmentation.GetSegmentation().GetSegmentIDs())
        if editor.GetOverwriteMode() == editor.OverwriteNone:
            return []
        if editor.GetOverwriteMode() == editor.OverwriteVisibleSegments:
            display = segmentation.GetDisplayNode()
            return [one for one in segments if display is not None and display.GetSegmentVisibility(one)]
        return segments

    @property
    def is_masked(self) -> bool:
        """Whether the editable area, or a range of intensities, limits what is written."""
        editor = self._logic.GetSegmentEditorNode()
        everywhere = slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere
        return editor.GetMaskMode() != everywhere or editor.GetSourceVolumeIntensityMask()

    def _check_editable_area(
        self,
        segmentation: slicer.vtkMRMLSegmentationNode,
        volume: slicer.vtkMRMLScalarVolumeNode,
        writes: list[_Write],
    ) -> None:
        """Refuse what the logic would refuse or ignore half-way."""
        if not self.is_masked:
            return
        editor, node = self._logic.GetSegmentEditorNode(), slicer.vtkMRMLSegmentationNode
        name = segmentation.GetName()
        reference = reference_geometry(segmentation)
        for write in writes:
            if not slicer.vtkOrientedImageDataResample.DoGeometriesMatch(write.modifier, reference):
                segment = segmentation.GetSegmentation().GetSegment(write.segment_id).GetName()
                raise InputError(
                    _(
                        "The segment '{segment}' has another grid than its segmentation '{segmentation}', so "
                        "the editable area can't be applied: set the segmentation's geometry anew in the "
                        "Segment Editor, or allow editing everywhere."
                    ).format(segment=segment, segmentation=name)
                )
        by_visibility = (node.EditAllowedInsideVisibleSegments, node.EditAllowedOutsideVisibleSegments)
        if editor.GetMaskMode() in by_visibility and segmentation.GetDisplayNode() is None:
            raise InputError(
                _(
                    "The segmentation '{segmentation}' isn't displayed, so no segment is visible: "
                    "choose another editable area."
                ).format(segmentation=name)
            )
        if editor.GetMaskMode() == node.EditAllowedInsideSingleSegment:
            mask_id = editor.GetMaskSegmentID()
            if not mask_id or segmentation.GetSegmentation().GetSegment(mask_id) is None:
                raise InputError(
                    _(
                        "The segment that limits the editable area isn't in '{segmentation}': "
                        "choose another one."
                    ).format(segmentation=name)
                )
        source = editor.GetSourceVolumeNode() or volume
        if editor.GetSourceVolumeIntensityMask():
            grid_from_node(source)

    @contextmanager
    def _settings_kept(self) -> Iterator[None]:
        """Put the segment editor node's settings back at the end, before anyone hears of a change.

        The editor drops its undo states when it hears that another segmentation is selected.
        """
        editor = self._logic.GetSegmentEditorNode()
        segmentation, volume = editor.GetSegmentationNode(), editor.GetSourceVolumeNode()
        segment_id, mode = editor.GetSelectedSegmentID(), editor.GetOverwriteMode()
        was_modifying = editor.StartModify()
        try:
            yield
        finally:
            editor.SetAndObserveSegmentationNode(segmentation)
            editor.SetAndObserveSourceVolumeNode(volume)
            editor.SetSelectedSegmentID(segment_id)
            editor.SetOverwriteMode(mode)
            editor.EndModify(was_modifying)

    @vtk.calldata_type(vtk.VTK_STRING)
    def _on_error(self, _logic: slicer.vtkSlicerSegmentEditorLogic, _event: str, message: str) -> None:
        # The last thing the logic does is to tidy the subject hierarchy; the segment is written by then.
        if "Subject hierarchy" not in message:
            # VTK puts the class, the object's address and the method before what it has to say.
            self._errors.append(message.strip().rpartition(": ")[2])


def _align_empty(segmentation: slicer.vtkMRMLSegmentationNode, image: slicer.vtkOrientedImageData) -> None:
    """Give segments without voxels the image's grid.

    Slicer saves all segments on the finest grid among them, and that of segments which were loaded without
    voxels is one of 1 mm along the axes: what is written beside them would come back resampled.
    """
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    for segment_id in segmentation.GetSegmentation().GetSegmentIDs():
        labelmap = labelmap_of(get_segment(segmentation, segment_id))
        if labelmap is not None and labelmap.IsEmpty():
            labelmap.SetGeometryFromImageToWorldMatrix(matrix)


def _put_beside(
    segmentation: slicer.vtkMRMLSegmentationNode, volume: slicer.vtkMRMLScalarVolumeNode | None
) -> None:
    """Sort the segmentation under the study of its image in the subject hierarchy."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(segmentation.GetScene())
    if hierarchy is None or volume is None:
        return
    item, beside = hierarchy.GetItemByDataNode(segmentation), hierarchy.GetItemByDataNode(volume)
    if item and beside:
        hierarchy.SetItemParent(item, hierarchy.GetItemParent(beside))


def _wanted(
    segmentation: slicer.vtkMRMLSegmentationNode,
    volume: slicer.vtkMRMLScalarVolumeNode,
    masks: Mapping[str, MaskCrop],
) -> dict[str, tuple[MaskCrop, np.ndarray]]:
    """The voxels that each segment gets if no other holds them, and the matrix of their grid."""
    of_volume, of_segmentation = volume.GetParentTransformNode(), segmentation.GetParentTransformNode()
    to_segmentation = transform_between(of_volume, of_segmentation)
    to_volume = transform_between(of_segmentation, of_volume)
    grid = grid_from_node(volume)
    wanted = {}
    for segment_id, mask in masks.items():
        segment = get_segment(segmentation, segment_id)
        labelmap = labelmap_of(segment)
        if labelmap.IsEmpty():
            matrix = matrix_of_image(reference_geometry(segmentation))
            voxels = moved(mask.trimmed(), grid.ijk_to_ras, matrix, to_segmentation).trimmed()
        else:
            matrix = matrix_of_image(labelmap)
            voxels = rewritten(segment, mask, grid, to_segmentation, to_volume)
        wanted[segment_id] = voxels, matrix
    return wanted


def _spans(
    segmentation: slicer.vtkMRMLSegmentationNode,
    segment_ids: list[str],
    wanted: Mapping[str, tuple[MaskCrop, np.ndarray]],
) -> np.ndarray:
    """Where segments, as far as they are wanted anew, or else their labelmaps reach, (N, 2, 3) as `span_of`.

    Of many lesions hardly any two are near each other, and to compare each with each takes long.
    """
    spans = [
        span_of(*wanted[one])
        if one in wanted
        else span_of_labelmap(labelmap_of(get_segment(segmentation, one)))
        for one in segment_ids
    ]
    return np.reshape(spans, (-1, 2, 3))


def _rendering_paused() -> AbstractContextManager:
    """No view is drawn in between: it would show half of an answer, and take its time for that."""
    return nullcontext() if getattr(slicer, "app", None) is None else slicer.util.RenderBlocker()
