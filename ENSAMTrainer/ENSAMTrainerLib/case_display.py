"""Cases of the collection in the scene: the image with its segments, or with a mask before and after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import slicer
from ensam.errors import InputError
from ensam.masks import MaskCrop
from ensam_training.collection import CollectedCase
from ENSAMSegmentLib.labelmaps import LABELMAP, image_of
from ENSAMSegmentLib.scene_nodes import nodes_of_class, remove
from ENSAMSegmentLib.segment_state import SegmentState, write_state
from ENSAMSegmentLib.segments import add_segment, add_segmentation
from ENSAMSegmentLib.translation import tr as _
from ENSAMSegmentLib.volumes import grid_from_node, volume_from_node

Color = tuple[float, float, float]
TRUTH, BEFORE, AFTER = (0.95, 0.85, 0.2), (0.85, 0.25, 0.25), (0.2, 0.7, 0.35)
LOOKED_AT = "ENSAM.Trainer"  # the attribute of the nodes that are there to be looked at


class CaseDisplay:
    """Shows one case at a time, in nodes of its own that are not saved with the scene."""

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self._scene = scene

    def show_case(self, case: CollectedCase) -> slicer.vtkMRMLSegmentationNode:
        """The image with all segments and their prompts. Raises InputError when the case can't be read."""
        volume = self._load(case, "vtkMRMLScalarVolumeNode", case.image)
        labels = self._labels(case)
        masks = [
            (name, MaskCrop(labels == number, (0, 0, 0)), None)
            for number, name in enumerate(case.facts.segments, start=1)
        ]
        node = self._add(volume, case.name, masks)
        # Whoever corrects the case here and adds it again must not lose them.
        for number, segment_id in enumerate(node.GetSegmentation().GetSegmentIDs(), start=1):
            prompts = case.facts.prompts_of(number)
            if not prompts.is_empty:
                write_state(node.GetSegmentation().GetSegment(segment_id), SegmentState(prompts))
        return node

    def show_masks(
        self, case: CollectedCase, label: int, before: MaskCrop, after: MaskCrop
    ) -> slicer.vtkMRMLSegmentationNode:
        """The image with an object as it was corrected, and as it was found before and after training.

        Raises InputError when the case can't be read.
        """
        volume = self._load(case, "vtkMRMLScalarVolumeNode", case.image)
        name = case.facts.segments[label - 1] if label <= len(case.facts.segments) else str(label)
        truth = MaskCrop(self._labels(case) == label, (0, 0, 0))
        masks = [
            (_("{segment}, corrected").format(segment=name), truth, TRUTH),
            (_("{segment}, before training").format(segment=name), before, BEFORE),
            (_("{segment}, after training").format(segment=name), after, AFTER),
        ]
        node = self._add(volume, case.name, masks)
        # Outlines alone: filled, the last one would hide the others.
        node.GetDisplayNode().SetVisibility2DFill(False)
        return node

    def clear(self) -> None:
        """Takes away what was shown; nothing of the user's."""
        for class_name in ("vtkMRMLSegmentationNode", "vtkMRMLScalarVolumeNode"):
            for node in nodes_of_class(self._scene, class_name):
                if node.GetAttribute(LOOKED_AT):
                    self._remove(node)

    def _labels(self, case: CollectedCase) -> np.ndarray:
        node = self._load(case, "vtkMRMLLabelMapVolumeNode", case.label)
        try:
            return volume_from_node(node).array
        finally:
            self._remove(node)

    def _remove(self, node: slicer.vtkMRMLDisplayableNode) -> None:
        """With how it is displayed and where it was read from, which the scene would keep."""
        storages = [node.GetNthStorageNode(i) for i in range(node.GetNumberOfStorageNodes())]
        remove(node)
        for storage in storages:
            self._scene.RemoveNode(storage)

    def _load(self, case: CollectedCase, class_name: str, path: Path) -> slicer.vtkMRMLScalarVolumeNode:
        if class_name == "vtkMRMLScalarVolumeNode":
            self.clear()
        node = self._scene.AddNewNodeByClass(class_name, case.name)
        node.SetAttribute(LOOKED_AT, "1")
        node.SetSaveWithScene(False)
        node.AddDefaultStorageNode()
        node.GetStorageNode().SetSaveWithScene(False)
        node.GetStorageNode().SetFileName(str(path))
        if not node.GetStorageNode().ReadData(node):
            self._remove(node)
            raise InputError(
                _("The files of the case '{case}' can't be read: remove it and add it again.").format(
                    case=case.name
                )
            )
        node.CreateDefaultDisplayNodes()
        return node

    def _add(
        self,
        volume: slicer.vtkMRMLScalarVolumeNode,
        name: str,
        masks: Sequence[tuple[str, MaskCrop, Color | None]],
    ) -> slicer.vtkMRMLSegmentationNode:
        node = add_segmentation(volume, name)
        node.SetAttribute(LOOKED_AT, "1")
        node.SetSaveWithScene(False)
        grid = grid_from_node(volume)
        for title, mask, color in masks:
            segment = node.GetSegmentation().GetSegment(add_segment(node, title, color))
            segment.AddRepresentation(LABELMAP, image_of(mask.trimmed(), grid.ijk_to_ras))
        self._look_at(volume, masks[0][1])
        return node

    def _look_at(self, volume: slicer.vtkMRMLScalarVolumeNode, mask: MaskCrop) -> None:
        """All slice views as wide as the image, with the middle of a mask in theirs."""
        for view in nodes_of_class(self._scene, "vtkMRMLSliceCompositeNode"):
            view.SetBackgroundVolumeID(volume.GetID())
        bounds = [0.0] * 6
        volume.GetRASBounds(bounds)
        longest = max(upper - lower for lower, upper in zip(bounds[::2], bounds[1::2], strict=True))
        for view in nodes_of_class(self._scene, "vtkMRMLSliceNode"):
            width, height, _depth = view.GetDimensions()
            scale = longest / max(1, min(width, height))
            view.SetFieldOfView(scale * width, scale * height, view.GetFieldOfView()[2])
        trimmed = mask.trimmed()
        if trimmed.mask.size:
            middle = np.add(trimmed.offset, np.divide(trimmed.mask.shape, 2)) - 0.5
            position = grid_from_node(volume).zyx_to_ras(middle)
            centred = slicer.vtkMRMLSliceNode.CenteredJumpSlice
            slicer.vtkMRMLSliceNode.JumpAllSlices(self._scene, *position.tolist(), centred)
