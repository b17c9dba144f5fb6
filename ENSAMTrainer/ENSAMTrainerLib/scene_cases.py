"""Cases out of a scene: an image, segments of it, and the prompts that they were made with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress

import slicer
from ensam.errors import PromptError, VolumeError
from ensam.volume import Volume
from ensam_training.collection import NewSegment
from ENSAMSegmentLib.labelmaps import labelmap_of, voxels_of
from ENSAMSegmentLib.scene_nodes import nodes_of_class
from ENSAMSegmentLib.segment_state import NO_PROMPTS, read_state
from ENSAMSegmentLib.segments import read_segment
from ENSAMSegmentLib.volumes import volume_from_node

from .case_display import LOOKED_AT
from .values import SceneChoice, SceneSegment


def choices(scene: slicer.vtkMRMLScene) -> tuple[SceneChoice, ...]:
    """Each segmentation that has voxels, with the image that it was made on.

    Where the scene doesn't tell that image, every image is a choice.
    """
    volumes = list(_shown(scene, "vtkMRMLScalarVolumeNode"))
    found = []
    for segmentation in _shown(scene, "vtkMRMLSegmentationNode"):
        segments = _segments(segmentation)
        reference = segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())
        own = [volume for volume in volumes if volume is reference] or volumes
        if segments:
            found += [
                SceneChoice(v.GetID(), v.GetName(), segmentation.GetID(), segmentation.GetName(), segments)
                for v in own
            ]
    return tuple(found)


def collect(
    volume: slicer.vtkMRMLScalarVolumeNode,
    segmentation: slicer.vtkMRMLSegmentationNode,
    segment_ids: Sequence[str],
) -> tuple[Volume, list[NewSegment]]:
    """A copy of the image and of these segments, on the image's grid, and their prompts in its RAS.

    Raises VolumeError for an image that can't be used, InputError for a segment that can't be read, and
    PromptError where the prompts stored with one are damaged.
    """
    image, segments = volume_from_node(volume), []
    for segment_id in segment_ids:
        segment = segmentation.GetSegmentation().GetSegment(segment_id)
        mask = read_segment(segmentation, segment_id, volume)
        state = read_state(segment)
        prompts = NO_PROMPTS if state is None else state.prompts
        segments.append(NewSegment(segment.GetName(), mask, prompts))
    return image, segments


def patient_of(volume: slicer.vtkMRMLScalarVolumeNode) -> str:
    """Who the image is of, as far as the scene knows: "" where it wasn't loaded from DICOM.

    A number made from the patient's ID, so that the ID itself goes nowhere.
    """
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume.GetScene())
    if hierarchy is None:
        return ""
    item = hierarchy.GetItemByDataNode(volume)
    while item and item != hierarchy.GetSceneItemID():
        uid = hierarchy.GetItemUID(item, "DICOM")
        if uid and hierarchy.GetItemLevel(item) == "Patient":
            return hashlib.blake2b(uid.encode(), digest_size=4).hexdigest()
        item = hierarchy.GetItemParent(item)
    return ""


def other_images(volume: slicer.vtkMRMLScalarVolumeNode) -> Iterator[Volume]:
    """Copies of the other images of a scene that can be used, but for the case that is looked at there."""
    for node in _shown(volume.GetScene(), "vtkMRMLScalarVolumeNode"):
        if node is not volume and not node.GetAttribute(LOOKED_AT):
            with suppress(VolumeError):
                yield volume_from_node(node)


def _segments(segmentation: slicer.vtkMRMLSegmentationNode) -> tuple[SceneSegment, ...]:
    own = segmentation.GetSegmentation()
    found = []
    for segment_id in own.GetSegmentIDs():
        segment = own.GetSegment(segment_id)
        # A labelmap may be another segment's as well.
        if labelmap_of(segment) is not None and voxels_of(segment).mask.size:
            found.append(SceneSegment(segment_id, segment.GetName(), _count_prompts(segment)))
    return tuple(found)


def _count_prompts(segment: slicer.vtkSegment) -> int:
    try:
        state = read_state(segment)
    except PromptError:
        return 0  # said when the segment is collected
    return 0 if state is None else len(state.prompts.points) + (state.prompts.box is not None)


def _shown(scene: slicer.vtkMRMLScene, class_name: str) -> Iterator[slicer.vtkMRMLNode]:
    for node in nodes_of_class(scene, class_name):
        # Labelmap volumes are scalar volumes too.
        if not node.GetHideFromEditors() and not node.IsA("vtkMRMLLabelMapVolumeNode"):
            yield node
