"""Slicer's place mode: which prompts the next clicks in the views make."""

from __future__ import annotations

import slicer

from .scene_nodes import singleton


class Placement:
    """Starts and ends placing points of one node. The mode is the scene's, shared by all modules."""

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self._selection = singleton(scene, "vtkMRMLSelectionNode", "Singleton")
        self.interaction = singleton(scene, "vtkMRMLInteractionNode", "Singleton")

    def start(self, node: slicer.vtkMRMLMarkupsNode, persistent: bool) -> None:
        """From now on clicks in slice and 3D views place points of this node; once, or until it is ended."""
        self._selection.SetReferenceActivePlaceNodeClassName(node.GetClassName())
        self._selection.SetActivePlaceNodeID(node.GetID())
        self.interaction.SetPlaceModePersistence(persistent)
        self.interaction.SetCurrentInteractionMode(self.interaction.Place)

    def stop(self) -> None:
        """Clicks move the views again."""
        self.interaction.SwitchToViewTransformMode()

    def node_id(self) -> str:
        """The node that clicks go to, "" outside place mode."""
        if self.interaction.GetCurrentInteractionMode() != self.interaction.Place:
            return ""
        return self._selection.GetActivePlaceNodeID() or ""
