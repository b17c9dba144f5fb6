"""A scene with ENSAM at work in it, and what must hold after each thing that a user does there."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import slicer
from ensam.errors import InputError, PromptError
from ensam.worker import Worker
from ENSAMSegmentLib import following, logic
from ENSAMSegmentLib.segment_state import read_state
from ENSAMSegmentLib.segments import read_segment
from ENSAMSegmentLib.volumes import points_to_world
from hypothesis.stateful import RuleBasedStateMachine, invariant

from .conftest import affine
from .expected import NO_PROMPTS, Known, answer
from .slicer_core_scene import create_scene
from .stub_session import StubSession

SHAPE = (12, 14, 16)
IJK_TO_RAS = affine(scales=(1.5, 2.0, 2.5), origin=(-10, 5, 40))
MOST_UNDO = 12  # of which the user makes use; the product keeps more


class Workplace(RuleBasedStateMachine):
    """Where a user works; ENSAM answers all that it is asked before the next step."""

    def __init__(self):
        super().__init__()
        self.end = ExitStack()
        patch = self.end.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(following, "DEBOUNCE_S", 0.0)
        patch.setattr(logic, "DEBOUNCE_S", 0.001)
        self.folder = Path(self.end.enter_context(tempfile.TemporaryDirectory()))
        self.scene = self.end.enter_context(create_scene()).GetMRMLScene()
        self.worker = Worker(lambda _settings: StubSession())
        self.end.callback(self.worker.close)
        self.logic = logic.ENSAMSegmentLogic(worker=self.worker, save_state=self.save_state)
        self.end.callback(self.logic.cleanup)
        self.known: dict[str, Known] = {}
        self.undoable: list[dict] = []  # the states that can be gone back to
        self.undone: list[dict] = []
        self.modified = True  # since the last state was saved
        self.writes = 0

    def teardown(self):
        self.end.close()

    # What there is

    def save_state(self):
        """Called before each change that can be undone."""
        self.writes += 1
        if self.modified:  # Slicer saves no state twice
            self.undoable = [*self.undoable, self.snapshot()][-MOST_UNDO:]
        self.logic._editor_logic.SaveStateForUndo()
        self.modified = False

    def follow(self, segmentation):
        """Hear of all by which Slicer tells a new state from the one that was saved."""
        self.undoable, self.undone, self.modified = [], [], True

        def on_event(*_ignored):
            self.modified = True

        events = slicer.vtkSegmentation
        for event in (
            events.SegmentAdded,
            events.SegmentRemoved,
            events.SegmentModified,
            events.SourceRepresentationModified,
        ):
            segmentation.GetSegmentation().AddObserver(event, on_event)

    def can_undo(self):
        """Whether there is a state before this one."""
        return len(self.undoable) > (not self.modified)

    def ids(self):
        node = self.logic.segmentation
        return () if node is None else tuple(node.GetSegmentation().GetSegmentIDs())

    def mask(self, segment_id):
        crop = read_segment(self.logic.segmentation, segment_id, self.logic.volume)
        return crop.laid_out(SHAPE)

    def masks(self):
        return {segment_id: self.mask(segment_id) for segment_id in self.ids()}

    def snapshot(self):
        return {segment_id: (mask, self.known[segment_id]) for segment_id, mask in self.masks().items()}

    def ras(self, voxel, shift=0.0):
        z, y, x = voxel
        return tuple((IJK_TO_RAS @ (x + shift, y, z, 1))[:3].tolist())

    def world(self, voxel, shift=0.0):
        return tuple(points_to_world(self.logic.volume, np.array([self.ras(voxel, shift)]))[0].tolist())

    def prompts(self):
        """Those of the selected segment; None where two of them contradict each other."""
        try:
            return self.logic._selected.prompts()
        except PromptError:
            return None

    def rivals(self):
        """The voxels that the overwrite mode protects from the selected segment."""
        editor, display = self.logic._editor, self.logic.segmentation.GetDisplayNode()
        held = np.zeros(SHAPE, bool)
        for segment_id, mask in self.masks().items():
            is_meant = editor.GetOverwriteMode() == editor.OverwriteAllSegments or (
                editor.GetOverwriteMode() == editor.OverwriteVisibleSegments
                and display.GetSegmentVisibility(segment_id)
            )
            if segment_id != self.logic.segment_id and is_meant:
                held |= mask
        return held

    # How steps are checked

    def settle(self):
        try:
            self.logic.wait(20)
        except InputError:
            assert self.logic.status.kind == "error" and self.logic.status.text

    def prompt(self, *actions):
        """The selected segment's prompts change: it follows, and no other segment does."""
        selected, before, had = self.logic.segment_id, self.masks(), self.prompts()
        rivals = self.rivals()
        for action in actions:
            action()
        self.settle()
        after, prompts = self.masks(), self.prompts()
        expected = before[selected]
        if prompts is not None and prompts != had and prompts != self.known[selected].answered:
            now = answer(self.known[selected], prompts, before[selected], rivals, self.logic.volume)
            if now is not None:
                self.known[selected] = now
                expected = now.made
                self.undone.clear()
        assert after.keys() == before.keys()
        for segment_id in after:
            wanted = expected if segment_id == selected else before[segment_id]
            assert np.array_equal(after[segment_id], wanted), segment_id

    def look(self, action):
        """Nothing that a segment's mask or prompts depend on: all stay, and nothing is asked or written."""
        before, writes = self.masks(), self.writes
        action()
        self.settle()
        after = self.masks()
        assert self.writes == writes
        for segment_id, mask in before.items():
            assert np.array_equal(after[segment_id], mask), segment_id

    def rows(self):
        return self.logic.prompt_rows() if self.logic.segment_id else ()

    def row(self, number):
        rows = self.rows()
        return rows[number % len(rows)]

    def restore(self, action, then):
        writes = self.writes
        action()
        self.settle()
        assert self.writes == writes  # what was taken back is not made anew
        assert set(self.ids()) == set(then)
        for segment_id, (mask, known) in then.items():
            assert np.array_equal(self.mask(segment_id), mask), segment_id
            self.known[segment_id] = known
        self.modified = False

    def and_undo(self, action):
        """Whatever else it changes beside the selected segment, one undo takes all of it back."""
        writes = self.writes
        action()
        self.settle()
        if self.writes > writes:
            self.restore(self.logic.undo, self.undoable[-1])
            self.undone.clear()

    # What holds after each step

    @invariant()
    def what_is_stored_with_a_segment_is_what_its_mask_answers(self):
        for segment_id in self.ids():
            segment = self.logic.segmentation.GetSegmentation().GetSegment(segment_id)
            state = read_state(segment)
            assert (NO_PROMPTS if state is None else state.prompts) == self.known[segment_id].answered

    @invariant()
    def the_prompts_that_are_shown_are_the_selected_segments(self):
        if self.logic.volume is None or not self.ids():
            return
        nodes = [node for s in self.ids() for node in self.logic._target.nodes_of(s).all()]
        shown = {node.GetAttribute("ENSAM.Segment") for node in nodes if node.GetDisplayVisibility()}
        assert shown <= {self.logic.segment_id}

    @invariant()
    def undo_is_offered_where_there_is_something_to_undo(self):
        assert self.logic._editor_logic.CanUndo() or not self.can_undo()
