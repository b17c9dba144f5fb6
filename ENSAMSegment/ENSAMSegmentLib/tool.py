"""The tool that is on: what a click in a view makes."""

from __future__ import annotations

import slicer

from .placement import Placement
from .prompt_nodes import BOX, PromptNodes
from .watch import SceneWatch


class Tool:
    """Places a box, or points of one kind, until it is stopped here or by Slicer's own means.

    has_box: whether a box was begun and isn't taken over yet, half drawn or just done.
    """

    def __init__(self, placement: Placement, watch: SceneWatch) -> None:
        self._placement, self._watch = placement, watch
        self._kind, self._node_id = "", ""

    @property
    def kind(self) -> str:
        """The kind of prompt that a click makes now, "" for none."""
        return self._kind if self._node_id and self._placement.node_id() == self._node_id else ""

    @property
    def has_box(self) -> bool:
        return self._kind == BOX

    def start(self, nodes: PromptNodes, kind: str, persistent: bool) -> slicer.vtkMRMLMarkupsNode:
        """Let clicks make prompts of this kind, one after the other if persistent; a box is done with two."""
        with self._watch.own_edit():
            node = nodes.start_box() if kind == BOX else nodes.get(kind)
            self._kind, self._node_id = kind, node.GetID()
            self._placement.start(node, persistent and kind != BOX)
        return node

    def stop(self) -> None:
        """Let clicks move the views again."""
        if self.kind:
            self._placement.stop()
            self._watch.touch()

    def put_down(self, nodes: PromptNodes | None) -> str:
        """Stop without a note, and give up what is drawn of a box; gives the kind that was placed.

        Views know the point that follows the mouse by its number: no other may go while it is there.
        nodes: the prompts that it is for, None where they are gone.
        """
        kind = self.kind
        if kind:
            with self._watch.own_edit():
                self._placement.stop()
                if kind == BOX and nodes is not None:
                    nodes.drop_draft()
                    self.forget()
        return kind

    def forget(self) -> None:
        """What it made is taken over, or of no use any more."""
        self._kind, self._node_id = "", ""
