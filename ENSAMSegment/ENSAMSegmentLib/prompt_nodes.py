"""The Markups nodes that hold a segment's prompts: a box, a list of foreground and one of background points.

The nodes are found by reference, never by name: each refers to its segmentation and says in attributes
whose segment's prompts it holds and of which kind. So they are found again in a loaded scene, where node
IDs may have changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import slicer
from ensam.errors import PromptError
from ensam.prompts import Box, Point, PromptSet, Vector

from .drawn_box import box_in_slice
from .markups import prompts_from_nodes, set_box, set_box_world
from .placement import place_node_kept
from .places import is_same_place, own_place
from .prompt_style import BACKGROUND, BOX, FOREGROUND, KINDS, node_name, style
from .scene_nodes import nodes_of_class, remove
from .translation import tr as _
from .volumes import matrix_of, transform_between, transform_points

_MARKUPS = "vtkMRMLMarkupsNode"
_REFERENCE = "ENSAM.Segmentation"
_VOLUME = "ENSAM.Volume"  # the one that the node was made for, and moves with
_KIND = "ENSAM.Kind"
_SEGMENT = "ENSAM.Segment"
_PARENT = "ENSAM.Parent"  # the transform that we put the node under; users may move it elsewhere
_PLACE = "ENSAM.Place"  # the volume's own then
_DRAFT = "ENSAM.Draft"  # of a box that is being drawn: none yet, and the segment's own still counts
_CLASSES = {
    BOX: "vtkMRMLMarkupsROINode",
    FOREGROUND: "vtkMRMLMarkupsFiducialNode",
    BACKGROUND: "vtkMRMLMarkupsFiducialNode",
}
_SAME_MM = 1e-4


@dataclass(frozen=True)
class PromptRow:
    """One prompt as a list shows it: `index` counts within its kind, `position_ras` is in the world, mm."""

    kind: str
    index: int
    position_ras: Vector
    muted: bool


class PromptNodes:
    """The prompts of one segment in the scene. Nodes are made when they are first needed.

    The scene is searched once, when they are first asked for: an object is for one step of work, and doesn't
    see what others add to the scene after that.
    """

    def __init__(
        self,
        segmentation: slicer.vtkMRMLSegmentationNode,
        segment_id: str,
        volume: slicer.vtkMRMLScalarVolumeNode,
        found: Iterable[slicer.vtkMRMLMarkupsNode] | None = None,
    ) -> None:
        """found: the segment's nodes, where the scene has been searched for those of all segments."""
        self.segmentation, self.segment_id, self.volume = segmentation, segment_id, volume
        self._found = None if found is None else list(found)

    def find(self, kind: str) -> slicer.vtkMRMLMarkupsNode | None:
        """The node of that kind, if there is one."""
        return next((node for node in self.all() if node.GetAttribute(_KIND) == kind), None)

    def get(self, kind: str) -> slicer.vtkMRMLMarkupsNode:
        """The node of that kind, made if it isn't there."""
        return self.find(kind) or self._add(kind)

    @property
    def nodes(self) -> tuple[slicer.vtkMRMLMarkupsNode, ...]:
        """Those that there are, box first."""
        found = (self.find(kind) for kind in KINDS)
        return tuple(node for node in found if node is not None)

    def start_box(self) -> slicer.vtkMRMLMarkupsROINode:
        """A box to draw; the one that is there, if any, counts until `finish_box`."""
        self.drop_draft()
        draft = self._add(BOX)
        draft.SetAttribute(_KIND, None)
        draft.SetAttribute(_DRAFT, "1")
        return draft

    def is_drawn(self) -> bool:
        """Whether there is a box that was drawn, and has a size."""
        draft = self._draft()
        if draft is None:
            return False
        # Two corners until the box is complete, and its centre then.
        needed = max(1, draft.GetRequiredNumberOfControlPoints())
        return draft.GetNumberOfDefinedControlPoints() >= needed and min(draft.GetSize()) > 0

    def finish_box(self) -> None:
        """The box that was drawn becomes the segment's, along the slice that it was drawn in; one that isn't
        complete is given up. Raises VolumeError, see `box_in_slice`."""
        if not self.is_drawn():
            self.drop_draft()
            return
        draft = self._draft()
        old = self.find(BOX)
        if old is not None:
            remove(old)
        draft.SetAttribute(_KIND, BOX)
        draft.SetAttribute(_DRAFT, None)
        box = box_in_slice(draft)
        if box is not None:
            self.set_box_world(box)

    def drop_draft(self) -> None:
        """Give up a box that was begun and not finished."""
        draft = self._draft()
        if draft is not None:
            remove(draft)

    def hand_draft_to(self, other: PromptNodes) -> None:
        """Let the box that is being drawn be another segment's."""
        draft = self._draft()
        if draft is not None:
            draft.SetAttribute(_SEGMENT, other.segment_id)
            draft.SetName(other._name(BOX))

    def prompts(self) -> PromptSet:
        """The prompts that count, in the volume's RAS. Raises PromptError, see `prompts_from_nodes`."""
        return prompts_from_nodes(self.volume, *(self.find(kind) for kind in KINDS))

    def muted(self) -> PromptSet:
        """The prompts that the user set aside, in the volume's RAS."""
        return prompts_from_nodes(self.volume, *(self.find(kind) for kind in KINDS), muted=True)

    def rows(self) -> tuple[PromptRow, ...]:
        """All prompts as the scene has them now."""
        rows = []
        for node in self.nodes:
            for index in range(node.GetNumberOfControlPoints()):
                if node.GetNthControlPointPositionStatus(index) == node.PositionDefined:
                    position = tuple(node.GetNthControlPointPositionWorld(index))
                    muted = not node.GetNthControlPointSelected(index)
                    rows.append(PromptRow(node.GetAttribute(_KIND), index, position, muted))
        return tuple(rows)

    def write(self, prompts: PromptSet, muted: PromptSet) -> None:
        """Make the nodes hold these prompts and no others. A prompt that is there already keeps its place."""
        self._write_box(prompts, muted)
        for kind, foreground in ((FOREGROUND, True), (BACKGROUND, False)):
            wanted = [(p, True) for p in prompts.points if p.foreground == foreground]
            wanted += [(p, False) for p in muted.points if p.foreground == foreground]
            if wanted or self.find(kind) is not None:
                self._write_points(self.get(kind), wanted)

    def set_box_world(self, box: Box) -> None:
        """Draw a box given in the world, see `markups.set_box_world`."""
        set_box_world(self.get(BOX), box)

    def add_point(self, position_ras: Vector, foreground: bool, muted: bool = False) -> None:
        """Add a point given in the world."""
        node = self.get(FOREGROUND if foreground else BACKGROUND)
        index = node.AddControlPointWorld(list(position_ras))
        node.SetNthControlPointSelected(index, not muted)

    def flip(self, row: PromptRow) -> None:
        """Make a foreground point a background point, and the other way round."""
        if row.kind == BOX:
            raise PromptError(_("A box has no sign: flip points only."))
        self.remove(row)
        self.add_point(row.position_ras, row.kind == BACKGROUND, row.muted)

    def set_muted(self, row: PromptRow, muted: bool) -> None:
        """Set a prompt aside without losing it, or take it back."""
        self._node_of(row).SetNthControlPointSelected(row.index, not muted)

    def remove(self, row: PromptRow) -> None:
        """Delete a prompt."""
        node = self._node_of(row)
        if row.kind == BOX:
            node.RemoveAllControlPoints()
        else:
            node.RemoveNthControlPoint(row.index)

    def clear(self) -> None:
        """Delete all prompts."""
        for node in self.nodes:
            node.RemoveAllControlPoints()

    def follow_volume(self) -> None:
        """Go under the transform that the volume has come under, so that the prompts go on meaning the same.
        Those of the segmentation's other segments go along.

        Those that were made for another volume, or put under another transform by the user, stay as they are.
        If the volume's own place has changed, its transform was hardened: the prompts are right where they
        are in the world.
        """
        parent = self.volume.GetTransformNodeID()
        for node in prompt_nodes(self.segmentation):
            under = node.GetTransformNodeID()
            if node.GetNodeReference(_VOLUME) not in (None, self.volume) or under == parent:
                continue
            if under != node.GetNodeReferenceID(_PARENT):
                continue
            place = own_place(self.volume)
            if not is_same_place(node.GetAttribute(_PLACE) or place, place):
                to_parent = transform_between(
                    node.GetParentTransformNode(), self.volume.GetParentTransformNode()
                )
                if matrix_of(to_parent) is None:
                    continue  # a box stays a box only outside of a warp
                node.ApplyTransform(to_parent)
            self._put_under_transform(node)

    def show(self, visible: bool) -> None:
        """Show or hide all of them in the views."""
        for node in self.all():
            node.SetDisplayVisibility(visible)

    def _write_box(self, prompts: PromptSet, muted: PromptSet) -> None:
        box = prompts.box or muted.box
        if box is None:
            node = self.find(BOX)
            if node is not None:
                node.RemoveAllControlPoints()
            return
        node = self.get(BOX)
        counting = prompts_from_nodes(self.volume, box=node)
        current = counting.box or prompts_from_nodes(self.volume, box=node, muted=True).box
        if current is None or not np.allclose(
            current.corners_ras(), box.corners_ras(), rtol=0, atol=_SAME_MM
        ):
            set_box(node, self.volume, box)
        node.SetNthControlPointSelected(0, prompts.box is not None)

    def _write_points(self, node: slicer.vtkMRMLMarkupsNode, wanted: list[tuple[Point, bool]]) -> None:
        # In the node's own space: by way of the world a transform would round them, and a prompt that isn't
        # exactly the one that was answered counts as a new one.
        to_node = transform_between(self.volume.GetParentTransformNode(), node.GetParentTransformNode())
        positions = np.array([point.position_ras for point, _counts in wanted]).reshape(-1, 3)
        places = transform_points(to_node, positions)
        missing = set(range(len(wanted)))
        for index in reversed(range(node.GetNumberOfControlPoints())):
            if node.GetNthControlPointPositionStatus(index) != node.PositionDefined:
                continue  # the one that follows the mouse
            here = np.array(node.GetNthControlPointPosition(index))
            match = next((i for i in missing if np.allclose(places[i], here, rtol=0, atol=_SAME_MM)), None)
            if match is None:
                node.RemoveNthControlPoint(index)
            else:
                missing.remove(match)
                node.SetNthControlPointSelected(index, wanted[match][1])
        for i in sorted(missing):
            index = node.AddControlPoint(places[i].tolist())
            node.SetNthControlPointSelected(index, wanted[i][1])

    def _node_of(self, row: PromptRow) -> slicer.vtkMRMLMarkupsNode:
        if row not in self.rows():
            raise PromptError(_("That prompt is no longer there: choose another one."))
        return self.find(row.kind)

    def _draft(self) -> slicer.vtkMRMLMarkupsROINode | None:
        return next((node for node in self.all() if node.GetAttribute(_DRAFT)), None)

    def all(self) -> tuple[slicer.vtkMRMLMarkupsNode, ...]:
        """All nodes of the segment, also of a box that is being drawn."""
        if self._found is None:
            self._found = prompt_nodes_by_segment(self.segmentation).get(self.segment_id, [])
        # One may have been removed since, or handed to another segment.
        return tuple(n for n in self._found if n.GetScene() is not None and segment_of(n) == self.segment_id)

    def _name(self, kind: str) -> str:
        segment = self.segmentation.GetSegmentation().GetSegment(self.segment_id)
        return node_name(segment.GetName(), kind)

    def _add(self, kind: str) -> slicer.vtkMRMLMarkupsNode:
        scene = self.volume.GetScene()
        with place_node_kept(scene):
            node = scene.AddNewNodeByClass(_CLASSES[kind], self._name(kind))
        node.SetAttribute(_KIND, kind)
        node.SetAttribute(_SEGMENT, self.segment_id)
        node.SetNodeReferenceID(_REFERENCE, self.segmentation.GetID())
        node.SetNodeReferenceID(_VOLUME, self.volume.GetID())
        self._put_under_transform(node)
        node.SetControlPointLabelFormat("")
        node.CreateDefaultDisplayNodes()
        style(node.GetDisplayNode(), kind)
        if self._found is not None:
            self._found.append(node)
        return node

    def _put_under_transform(self, node: slicer.vtkMRMLMarkupsNode) -> None:
        """Moved with the volume, the prompts go on meaning the same voxels."""
        parent = self.volume.GetTransformNodeID()
        node.SetAndObserveTransformNodeID(parent)
        node.SetNodeReferenceID(_PARENT, parent)
        node.SetAttribute(_PLACE, own_place(self.volume))


def prompt_nodes(segmentation: slicer.vtkMRMLSegmentationNode) -> tuple[slicer.vtkMRMLMarkupsNode, ...]:
    """All nodes that hold prompts of segments of this segmentation."""
    scene = segmentation.GetScene()
    if scene is None:
        return ()
    nodes, segmentation_id = nodes_of_class(scene, _MARKUPS), segmentation.GetID()
    return tuple(node for node in nodes if node.GetNodeReferenceID(_REFERENCE) == segmentation_id)


def prompt_nodes_by_segment(
    segmentation: slicer.vtkMRMLSegmentationNode,
) -> dict[str, list[slicer.vtkMRMLMarkupsNode]]:
    """All these nodes by the ID of the segment whose prompts they hold."""
    found: dict[str, list[slicer.vtkMRMLMarkupsNode]] = {}
    for node in prompt_nodes(segmentation):
        found.setdefault(segment_of(node), []).append(node)
    return found


def remove_orphans(scene: slicer.vtkMRMLScene) -> None:
    """Remove all nodes that hold prompts of segmentations which are no longer in the scene."""
    for node in nodes_of_class(scene, _MARKUPS):
        if node.GetAttribute(_SEGMENT) and node.GetNodeReference(_REFERENCE) is None:
            remove(node)


def follow_names(segmentation: slicer.vtkMRMLSegmentationNode) -> None:
    """Call all these nodes as their segments are called by now."""
    for node in prompt_nodes(segmentation):
        segment = segmentation.GetSegmentation().GetSegment(segment_of(node))
        if segment is not None:
            name = node_name(segment.GetName(), node.GetAttribute(_KIND) or BOX)
            if node.GetName() != name:
                node.SetName(name)


def segments_with_prompts(segmentation: slicer.vtkMRMLSegmentationNode) -> set[str]:
    """The IDs of the segments whose prompts have nodes."""
    return {segment_of(node) for node in prompt_nodes(segmentation)}


def segment_of(node: slicer.vtkMRMLMarkupsNode) -> str:
    """The ID of the segment whose prompts the node holds."""
    return node.GetAttribute(_SEGMENT) or ""
