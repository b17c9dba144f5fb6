"""Slicer's place mode: which prompts the next clicks in the views make."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import slicer

from .scene_nodes import singleton


@contextmanager
def place_node_kept(scene: slicer.vtkMRMLScene) -> Iterator[None]:
    """Slicer lets the next clicks go to each new node of markups: here they go on to where they went."""
    selection = singleton(scene, "vtkMRMLSelectionNode", "Singleton")
    before = _place_node(selection)
    try:
        yield
    finally:
        _set_place_node(selection, *before)


class Placement:
    """Starts and ends placing points of one node. The mode is the scene's, shared by all modules."""

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self.selection = singleton(scene, "vtkMRMLSelectionNode", "Singleton")
        self.interaction = singleton(scene, "vtkMRMLInteractionNode", "Singleton")
        self._own_id = ""
        # What was placed before, and whether one point after the other.
        self._others, self._persistence = ("", ""), self.interaction.GetPlaceModePersistence()

    def start(self, node: slicer.vtkMRMLMarkupsNode, persistent: bool) -> None:
        """From now on clicks in slice and 3D views place points of this node; once, or until it is ended."""
        if not self._own_id:
            self._persistence = self.interaction.GetPlaceModePersistence()
        if not self._is_own():
            self._others = _place_node(self.selection)
        self._own_id = node.GetID()
        _set_place_node(self.selection, node.GetClassName(), self._own_id)
        self.interaction.SetPlaceModePersistence(persistent)
        self.interaction.SetCurrentInteractionMode(self.interaction.Place)

    def stop(self) -> None:
        """Clicks move the views again."""
        self.interaction.SwitchToViewTransformMode()
        self.give_back()

    def give_back(self) -> None:
        """Slicer's own place button places again what it placed before, in the way it did."""
        if self._own_id:
            self.interaction.SetPlaceModePersistence(self._persistence)
        if self._is_own():
            class_name, node_id = self._others
            still_there = self.selection.GetScene().GetNodeByID(node_id) is not None if node_id else False
            _set_place_node(self.selection, class_name, node_id if still_there else "")
        self._own_id = ""

    def node_id(self) -> str:
        """The node that clicks go to, "" outside place mode."""
        if self.interaction.GetCurrentInteractionMode() != self.interaction.Place:
            return ""
        return self.selection.GetActivePlaceNodeID() or ""

    def _is_own(self) -> bool:
        return bool(self._own_id) and self.selection.GetActivePlaceNodeID() == self._own_id


def _place_node(selection: slicer.vtkMRMLSelectionNode) -> tuple[str, str]:
    """The class and the ID of the node that clicks go to in place mode, "" for none."""
    return selection.GetActivePlaceNodeClassName() or "", selection.GetActivePlaceNodeID() or ""


def _set_place_node(selection: slicer.vtkMRMLSelectionNode, class_name: str, node_id: str) -> None:
    selection.SetReferenceActivePlaceNodeClassName(class_name or None)
    selection.SetActivePlaceNodeID(node_id or None)
