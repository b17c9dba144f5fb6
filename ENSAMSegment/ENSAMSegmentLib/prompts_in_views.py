"""A segment's prompts in the views: shown or hidden, and the tool that makes more of them."""

from __future__ import annotations

import slicer

from .placement import Placement
from .prompt_nodes import BOX, prompt_nodes, segment_of
from .target import Target
from .watch import SceneWatch


class PromptsInViews:
    """Shows the prompts of the selected segment and of no other, and hears of what the user does to them.

    The tool places a box, or points of one kind, until it is stopped here or by Slicer's own means.

    are_shown: whether the views show prompts at all. has_box: whether a box was begun and isn't taken over
    yet, half drawn or just done.
    """

    def __init__(self, placement: Placement, watch: SceneWatch) -> None:
        self._placement, self._watch = placement, watch
        self.are_shown = True
        self._kind, self._node_id = "", ""

    # What is shown

    def set_shown(self, target: Target, shown: bool) -> None:
        """Show the selected segment's prompts from now on, or hide them; hiding ends placing."""
        self.are_shown = shown
        if not shown:
            self.stop()
        self.show(target)

    def show(self, target: Target) -> None:
        """Show the selected segment's prompts alone, or none where they are hidden."""
        with self._watch.own_edit():
            for node in _all_nodes(target):
                node.SetDisplayVisibility(self.are_shown and segment_of(node) == target.segment_id)

    def observe(self, target: Target) -> None:
        """Hear of changes to the selected segment's prompts, also of nodes that are new."""
        if target.is_complete and not self.are_shown:
            self.show(target)  # the new ones are hidden too
        self._watch.follow_prompts(target.nodes.all() if target.is_complete else ())

    def leave(self, target: Target) -> None:
        """Hide all prompts, and hear no more of them."""
        with self._watch.own_edit():
            # Those that are heard of too: the nodes of a segmentation that has left the scene aren't found.
            for node in (*self._watch.prompts, *_all_nodes(target)):
                node.SetDisplayVisibility(False)
        self._watch.let_go()
        self.forget_tool()

    # The tool

    @property
    def placing(self) -> str:
        """The kind of prompt that a click makes now, "" for none."""
        return self._kind if self._node_id and self._placement.node_id() == self._node_id else ""

    @property
    def has_box(self) -> bool:
        return self._kind == BOX

    def start(self, target: Target, kind: str) -> slicer.vtkMRMLMarkupsNode:
        """Let clicks make prompts of this kind, one after the other; a box is done with two.

        Brings hidden prompts back, also those that were hidden by Slicer's own means.
        """
        self.are_shown = True
        self.show(target)
        with self._watch.own_edit():
            node = target.nodes.start_box() if kind == BOX else target.nodes.get(kind)
            self._kind, self._node_id = kind, node.GetID()
            self._placement.start(node, persistent=kind != BOX)
        self.observe(target)
        return node

    def stop(self) -> None:
        """Let clicks move the views again."""
        if self.placing:
            self._placement.stop()
            self._watch.touch()

    def put_down(self, target: Target) -> str:
        """Stop without a note, and give up what is drawn of a box; gives the kind that was placed.

        Views know the point that follows the mouse by its number: no other may go while it is there.
        """
        kind = self.placing
        if kind:
            with self._watch.own_edit():
                self._placement.stop()
                if kind == BOX and target.is_complete:
                    target.nodes.drop_draft()
                    self.forget_tool()
        return kind

    def forget_tool(self) -> None:
        """What it made is taken over, or of no use any more."""
        self._kind, self._node_id = "", ""


def _all_nodes(target: Target) -> tuple[slicer.vtkMRMLMarkupsNode, ...]:
    return () if target.segmentation is None else prompt_nodes(target.segmentation)
