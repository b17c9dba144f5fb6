"""What the user is working on: an image, and one segment of a segmentation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import slicer
from ensam.errors import InputError
from ensam.prompts import Point, PromptSet

from .markups import moved_prompts
from .places import way_from
from .prompt_nodes import PromptNodes, prompt_nodes_by_segment
from .segment_state import SegmentState, read_state
from .segments import is_completed, lies_in_segment


class Target(NamedTuple):
    """The selection of a segment editor node; parts of it may be missing."""

    volume: slicer.vtkMRMLScalarVolumeNode | None = None
    segmentation: slicer.vtkMRMLSegmentationNode | None = None
    segment_id: str = ""

    @classmethod
    def of_editor(cls, editor: slicer.vtkMRMLSegmentEditorNode) -> Target:
        """What is selected and still there."""
        segmentation = editor.GetSegmentationNode()
        segment_id = editor.GetSelectedSegmentID() or ""
        if segmentation is None or segmentation.GetSegmentation().GetSegment(segment_id) is None:
            segment_id = ""
        return cls(editor.GetSourceVolumeNode(), segmentation, segment_id)

    def select_in(self, editor: slicer.vtkMRMLSegmentEditorNode) -> None:
        """Select the same in this node; nothing without a segmentation that is still there."""
        if self.segmentation is None or self.segmentation.GetScene() is None:
            return
        # In this order: an editor widget answers a new segmentation with its image and its first segment.
        editor.SetAndObserveSegmentationNode(self.segmentation)
        editor.SetAndObserveSourceVolumeNode(self.volume)
        editor.SetSelectedSegmentID(self.segment_id)

    @property
    def is_complete(self) -> bool:
        return self.volume is not None and bool(self.segment_id)

    @property
    def segment_ids(self) -> tuple[str, ...]:
        """All segments of the segmentation, in its order."""
        return () if self.segmentation is None else tuple(self.segmentation.GetSegmentation().GetSegmentIDs())

    @property
    def nodes(self) -> PromptNodes:
        """The prompts of the selected segment."""
        return self.nodes_of(self.segment_id)

    def nodes_of(self, segment_id: str) -> PromptNodes:
        return PromptNodes(self.segmentation, segment_id, self.volume)

    def nodes_of_all(self) -> dict[str, PromptNodes]:
        """The prompts of all segments, for which the scene is searched but once."""
        found = {} if self.segmentation is None else prompt_nodes_by_segment(self.segmentation)
        return {
            segment_id: PromptNodes(self.segmentation, segment_id, self.volume, found.get(segment_id, ()))
            for segment_id in self.segment_ids
        }

    def key_of(self, segment_id: str) -> tuple[str, str]:
        """What tells a segment from those of all segmentations of the scene."""
        return self.segmentation.GetID(), segment_id

    def segment(self, segment_id: str) -> slicer.vtkSegment | None:
        return self.segmentation.GetSegmentation().GetSegment(segment_id)

    def state(self, segment_id: str) -> SegmentState | None:
        """What ENSAM remembers with a segment. Raises PromptError if that is damaged."""
        return read_state(self.segment(segment_id))

    def prompts_of_state(self, state: SegmentState) -> tuple[PromptSet, PromptSet]:
        """The prompts of a state and the muted ones, in the volume's RAS: where they belong in the world if
        they are of another image, or the image's transform was hardened since.

        Raises VolumeError where a warp between the images can't be inverted.
        """
        way = way_from(state.place, self.volume)
        if way is None:
            return state.prompts, state.muted
        return moved_prompts(state.prompts, way, self.volume), moved_prompts(state.muted, way, self.volume)

    def restore(self, nodes: PromptNodes) -> PromptSet:
        """A segment's prompts; those of a loaded file get their nodes back, hidden.

        Raises PromptError if they are damaged or contradict each other.
        """
        if not nodes.nodes:
            state = self.state(nodes.segment_id)
            if state is not None:
                nodes.write(*self.prompts_of_state(state))
                nodes.show(False)
        return nodes.prompts()

    def readable(self, segment_ids: Iterable[str]) -> tuple[dict[str, PromptSet], list[str]]:
        """The prompts of these segments as `restore` gives them, and the segments whose prompts can't be
        read: one of them must not stop the others."""
        nodes = self.nodes_of_all()
        prompts, unreadable = {}, []
        for segment_id in segment_ids:
            try:
                prompts[segment_id] = self.restore(nodes[segment_id])
            except InputError:
                unreadable.append(segment_id)
        return prompts, unreadable

    def can_be_asked(self, nodes: PromptNodes) -> bool:
        """Whether a segment has prompts that are enough by themselves and have no answer yet, and isn't
        completed. So it is with prompts that can't be read: who asks for them is told."""
        if is_completed(self.segment(nodes.segment_id)):
            return False
        try:
            prompts = nodes.prompts()
            answered = (self.state(nodes.segment_id) or SegmentState()).prompts
        except InputError:
            return True
        return prompts.is_enough and prompts != answered

    def owner_of(self, point: Point) -> str:
        """The segment in whose box, or else in whose mask, a point lies; "" for none.

        Of those that have prompts which can be read and aren't completed: the selected one first, then the
        newest.
        """
        others = [segment_id for segment_id in reversed(self.segment_ids) if segment_id != self.segment_id]
        open_ids = [s for s in (self.segment_id, *others) if not is_completed(self.segment(s))]
        nodes = self.nodes_of_all()
        prompts = {s: own for s in open_ids if (own := _prompts_of(nodes[s])) is not None}
        for segment_id, own in prompts.items():
            if own.box is not None and own.box.contains_ras(point.position_ras):
                return segment_id
        for segment_id, own in prompts.items():
            if not own.is_empty and lies_in_segment(
                point.position_ras, self.segmentation, segment_id, self.volume
            ):
                return segment_id
        return ""


def _prompts_of(nodes: PromptNodes) -> PromptSet | None:
    """A segment's prompts as the scene has them, None where they can't be read."""
    try:
        return nodes.prompts()
    except InputError:
        return None
