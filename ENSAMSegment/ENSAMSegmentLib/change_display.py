"""What the last prompt added and removed, as a tint over the views for a moment."""

from __future__ import annotations

import slicer
from ensam.measures import Change

from .labelmaps import LABELMAP, image_of
from .scene_nodes import remove
from .translation import tr as _
from .volumes import grid_from_node

_COLORS = {"added": (0.2, 1.0, 0.4), "removed": (1.0, 0.3, 0.2)}


class ChangeDisplay:
    """A segmentation of its own that is neither listed nor saved, and removed again."""

    def __init__(self) -> None:
        self._node: slicer.vtkMRMLSegmentationNode | None = None

    def show(self, volume: slicer.vtkMRMLScalarVolumeNode, change: Change) -> None:
        """Show a change of a mask on the volume's grid, instead of the one before."""
        self.hide()
        crops = {"added": change.added, "removed": change.removed}
        crops = {name: crop for name, crop in crops.items() if crop.mask.size}
        if not crops:
            return
        # Slicer's Data Probe names the segment under the cursor.
        titles = {"added": _("added"), "removed": _("removed")}
        scene = volume.GetScene()
        display = scene.CreateNodeByClass("vtkMRMLSegmentationDisplayNode")
        display.UnRegister(None)
        display.SetSaveWithScene(False)
        # An outline to be noticed by; under the light fill anatomy and prompts can be judged.
        display.SetOpacity2DFill(0.35)
        display.SetOpacity2DOutline(1.0)
        display.SetSliceIntersectionThickness(2)
        # A surface would have to be made for it: the tint is for the slices.
        display.SetVisibility3D(False)
        node = scene.CreateNodeByClass("vtkMRMLSegmentationNode")
        node.UnRegister(None)
        node.SetName(_("ENSAM change"))
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        for name, crop in crops.items():
            segment = slicer.vtkSegment()
            segment.SetName(titles[name])
            segment.SetColor(*_COLORS[name])
            segment.AddRepresentation(LABELMAP, image_of(crop, grid_from_node(volume).ijk_to_ras))
            node.GetSegmentation().AddSegment(segment, name)
        # It is added when it is complete: the subject hierarchy has no place for a hidden node, and Slicer
        # writes an error into its log at each change of how a segmentation without one is displayed.
        node.SetScene(scene)
        node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
        node.SetAndObserveDisplayNodeID(scene.AddNode(display).GetID())
        self._node = scene.AddNode(node)

    def hide(self) -> None:
        """Take it away."""
        if self._node is not None and self._node.GetScene() is not None:
            remove(self._node)
        self._node = None
