"""The node that the module's embedded segment editor works on, and what it has selected at first."""

from __future__ import annotations

import slicer
from ENSAMSegmentLib.scene_nodes import nodes_of_class, singleton
from ENSAMSegmentLib.segments import add_segmentation
from ENSAMSegmentLib.target import Target
from ENSAMSegmentLib.volumes import shown_volumes
from slicer.i18n import tr as _

# Not Slicer's own tag "SegmentEditor". Every editor widget follows the active effect of its node, hidden or
# not: on one node, the Segment Editor module's widget would paint each of our strokes a second time.
SINGLETON_TAG = "ENSAMSegment"
_SLICERS_TAG = "SegmentEditor"
_CLASS = "vtkMRMLSegmentEditorNode"


def editor_node() -> slicer.vtkMRMLSegmentEditorNode:
    """The module's segment editor node; it is made if the scene has none."""
    return singleton(slicer.mrmlScene, _CLASS, SINGLETON_TAG)


def take_over(node: slicer.vtkMRMLSegmentEditorNode) -> None:
    """Go on with what the Segment Editor has selected."""
    theirs = slicer.mrmlScene.GetSingletonNode(_SLICERS_TAG, _CLASS)
    if theirs is not None:
        Target.of_editor(theirs).select_in(node)


def hand_over(node: slicer.vtkMRMLSegmentEditorNode) -> None:
    """Let the Segment Editor go on with what is selected here."""
    theirs = slicer.mrmlScene.GetSingletonNode(_SLICERS_TAG, _CLASS)
    if theirs is not None:
        Target.of_editor(node).select_in(theirs)


def select_what_is_shown(node: slicer.vtkMRMLSegmentEditorNode) -> None:
    """Where nothing is selected yet, select the image that the views show.

    As in the Segment Editor, an image then has a segmentation to begin with: before, the editor offers no
    choice of the image. Without an image nothing is done.
    """
    volume = (
        node.GetSourceVolumeNode()
        or _reference_volume(node.GetSegmentationNode())
        or next(iter(shown_volumes(slicer.mrmlScene)), None)
    )
    if volume is None:
        return
    if node.GetSegmentationNode() is None:
        name = _("{volume} segmentation").format(volume=volume.GetName())
        node.SetAndObserveSegmentationNode(_segmentation_of(volume) or add_segmentation(volume, name))
    node.SetAndObserveSourceVolumeNode(volume)


def _reference_volume(
    segmentation: slicer.vtkMRMLSegmentationNode | None,
) -> slicer.vtkMRMLScalarVolumeNode | None:
    if segmentation is None:
        return None
    return segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())


def _segmentation_of(volume: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLSegmentationNode | None:
    """The first one that the user sees and that isn't another image's."""
    for one in nodes_of_class(slicer.mrmlScene, "vtkMRMLSegmentationNode"):
        if not one.GetHideFromEditors() and _reference_volume(one) in (None, volume):
            return one
    return None
