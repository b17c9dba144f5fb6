"""Whatever a user does, in whatever order: a random user works on, and after each step all must be right.

FUZZ=20 python -m pytest Testing/mrml/test_any_order.py   # 20,000 steps instead of 1,000, new ones each time
"""

from __future__ import annotations

import numpy as np
from ensam.errors import InputError
from ensam.masks import MaskCrop
from ENSAMSegmentLib.prompt_nodes import BACKGROUND, BOX, FOREGROUND
from ENSAMSegmentLib.segments import add_segmentation
from fuzzing import inputs
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from .conftest import affine
from .expected import Known, answer
from .nodes import add_transform, add_volume, load_segmentation, save
from .workplace import IJK_TO_RAS, SHAPE, Workplace

MOST_SEGMENTS = 4

voxels = st.tuples(*(st.integers(0, n - 1) for n in SHAPE))
sizes = st.tuples(*(st.integers(2, 7) for _ in SHAPE))
numbers = st.integers(0, 99)  # choose among what there is at the moment


def size_mm(size):
    return tuple(float(s * n) for s, n in zip((1.5, 2.0, 2.5), size, strict=True))


class UserAtWork(Workplace):
    """Prompts, paints, undoes, selects, hides, saves and loads."""

    # Where it begins

    @initialize(second=st.booleans())
    def begin(self, second):
        voxel_values = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
        volume = add_volume(self.scene, voxel_values, IJK_TO_RAS, "CT")
        segmentation = add_segmentation(volume, "organs")
        self.follow(segmentation)
        self.logic.select(volume, segmentation)
        self.add_segment()
        if second:
            self.add_segment()

    @precondition(lambda self: self.logic.segment_id == "" or len(self.ids()) < MOST_SEGMENTS)
    @rule()
    def add_segment(self):
        known = set(self.ids())
        segment_id = self.logic.add_segment()
        self.settle()
        assert segment_id not in known and self.logic.segment_id == segment_id
        assert self.logic.prompt_rows() == () and not self.mask(segment_id).any()
        self.known[segment_id] = Known()
        self.undone.clear()

    # Prompts

    @precondition(lambda self: self.logic.segment_id)
    @rule(voxel=voxels, size=sizes)
    def draw_box(self, voxel, size):
        self.prompt(lambda: self.logic.set_box(self.world(voxel), size_mm(size)))

    @precondition(lambda self: self.logic.segment_id)
    @rule(voxel=voxels, size=sizes)
    def draw_a_box_with_updates_off_and_ask(self, voxel, size):
        def draw_and_ask():
            self.look(lambda: self.logic.set_box(self.world(voxel), size_mm(size)))
            self.logic.run()

        self.logic.auto_update = False
        self.prompt(draw_and_ask)
        self.logic.auto_update = True

    @precondition(lambda self: self.logic.segment_id)
    @rule(voxel=voxels, foreground=st.booleans(), hurried=st.lists(voxels, max_size=2))
    def click(self, voxel, foreground, hurried):
        self.prompt(
            *(
                lambda at=at: (self.logic.add_point(self.world(at), foreground), self.logic.poll())
                for at in (voxel, *hurried)
            )
        )

    @precondition(lambda self: self.rows())
    @rule(number=numbers, voxel=voxels)
    def drag_a_point(self, number, voxel):
        row = self.row(number)
        if row.kind == BOX:
            return
        node = self.logic._target.nodes.find(row.kind)

        def drag():
            node.InvokeEvent(node.PointStartInteractionEvent)
            for shift in (0.3, 0.0):
                node.SetNthControlPointPositionWorld(row.index, *self.world(voxel, shift))
                self.logic.poll()
            node.InvokeEvent(node.PointEndInteractionEvent)

        self.prompt(drag)

    @precondition(lambda self: self.rows())
    @rule(number=numbers)
    def delete_a_prompt(self, number):
        self.prompt(lambda: self.logic.remove(self.row(number)))

    @precondition(lambda self: self.rows())
    @rule(number=numbers)
    def flip_a_point(self, number):
        if self.row(number).kind != BOX:
            self.prompt(lambda: self.logic.flip(self.row(number)))

    @precondition(lambda self: self.rows())
    @rule(number=numbers)
    def mute_or_unmute(self, number):
        row = self.row(number)
        self.prompt(lambda: self.logic.set_muted(row, not row.muted))

    @precondition(lambda self: self.rows())
    @rule()
    def clear_all_prompts(self):
        self.prompt(self.logic.clear_prompts)

    @precondition(lambda self: self.logic.segment_id)
    @rule(kind=st.sampled_from((BOX, FOREGROUND, BACKGROUND)))
    def begin_to_place_and_give_up(self, kind):
        self.look(lambda: (self.logic.start_placing(kind), self.logic.poll(), self.logic.stop_placing()))

    # Other tools

    @precondition(lambda self: self.logic.segment_id)
    @rule(voxel=voxels, size=sizes, erase=st.booleans())
    def paint(self, voxel, size, erase):
        """As Slicer's own effects do it: an undo state, and the selected segment's voxels change."""
        selected, before = self.logic.segment_id, self.masks()
        mask = before[selected].copy()
        mask[tuple(slice(a, a + n) for a, n in zip(voxel, size, strict=True))] = not erase
        mask &= ~(self.rivals() & ~before[selected])
        self.logic._updates.answers.writer.write(
            self.logic.segmentation, self.logic.volume, {selected: MaskCrop(mask, (0, 0, 0))}
        )
        self.settle()
        self.undone.clear()
        after = self.masks()
        for segment_id in after:
            wanted = mask if segment_id == selected else before[segment_id]
            assert np.array_equal(after[segment_id], wanted), segment_id

    @precondition(lambda self: self.can_undo())
    @rule()
    def undo(self):
        now = self.snapshot()
        if not self.modified:
            self.undoable.pop()  # the state that there is
        self.restore(self.logic.undo, self.undoable[-1])
        self.undone.append(now)

    @precondition(lambda self: self.undone)
    @rule()
    def redo(self):
        self.undoable.append(self.undone.pop())
        self.restore(self.logic.redo, self.undoable[-1])

    @precondition(lambda self: self.logic.segment_id)
    @rule(voxel=voxels, size=sizes)
    def take_voxels_from_others_and_undo(self, voxel, size):
        self.logic.keep_others = False
        self.and_undo(lambda: self.logic.set_box(self.world(voxel), size_mm(size)))
        self.logic.keep_others = True

    @precondition(lambda self: self.logic.segment_id)
    @rule(voxel=voxels)
    def share_out_the_voxels_and_undo(self, voxel):
        def share_out():
            self.logic.together = True
            self.logic.add_point(self.world(voxel), True)

        self.and_undo(share_out)
        self.logic.together = False

    @precondition(lambda self: self.can_undo() and self.logic.segment_id)
    @rule(voxel=voxels)
    def undo_before_a_click_is_answered(self, voxel):
        """The click is on its way when the step before it is taken back, or it is answered after that."""
        selected, others = self.logic.segment_id, self.masks()
        del others[selected]
        self.logic.add_point(self.world(voxel), True)
        self.logic.poll()
        if not self.modified:
            self.undoable.pop()
        then = self.undoable[-1]
        self.logic.undo()
        self.modified = False
        self.undone.clear()
        writes = self.writes
        self.settle()
        self.known = {segment_id: known for segment_id, (_mask, known) in then.items()}
        if self.writes > writes:
            # Another segment's step was taken back, and this one's click still stands.
            before = then[selected][0]
            now = answer(self.known[selected], self.prompts(), before, self.rivals(), self.logic.volume)
            self.known[selected] = now
            then = {**then, selected: (now.made, now)}
        assert set(self.ids()) == set(then)
        for segment_id, (mask, _known) in then.items():
            assert np.array_equal(self.mask(segment_id), mask), segment_id

    @precondition(lambda self: len(self.ids()) > 1 and self.logic.segment_id)
    @rule()
    def delete_the_segment(self):
        """As the Segment Editor's button does it."""
        before, selected = self.masks(), self.logic.segment_id
        self.save_state()
        self.logic._editor_logic.RemoveSelectedSegment()
        self.settle()
        self.undone.clear()
        assert set(self.ids()) == set(before) - {selected}
        for segment_id in self.ids():
            assert np.array_equal(self.mask(segment_id), before[segment_id]), segment_id

    # Looking

    @precondition(lambda self: self.ids())
    @rule(number=numbers)
    def select(self, number):
        ids = self.ids()
        self.look(lambda: self.logic.select(segment_id=ids[number % len(ids)]))

    @precondition(lambda self: self.ids())
    @rule(number=numbers)
    def hide_or_show(self, number):
        ids, display = self.ids(), self.logic.segmentation.GetDisplayNode()
        one = ids[number % len(ids)]
        self.look(lambda: display.SetSegmentVisibility(one, not display.GetSegmentVisibility(one)))

    @rule(mode=st.sampled_from(("OverwriteAllSegments", "OverwriteVisibleSegments", "OverwriteNone")))
    def choose_what_is_overwritten(self, mode):
        editor = self.logic._editor
        self.look(lambda: editor.SetOverwriteMode(getattr(editor, mode)))

    @rule()
    def leave_the_module_and_return(self):
        self.look(lambda: (self.logic.deactivate(), self.logic.activate()))

    @rule(angle=st.sampled_from((0, 30)))
    def move_all_in_space(self, angle):
        transform = add_transform(self.scene, affine((0, angle, 10), origin=(5, 6, 7)))

        def move():
            for node in (self.logic.volume, self.logic.segmentation):
                node.SetAndObserveTransformNodeID(transform.GetID() if angle else None)

        self.look(move)

    @precondition(lambda self: self.logic.segment_id)
    @rule(voxel=voxels, size=sizes)
    def work_on_another_segmentation_and_return(self, voxel, size):
        here, selected, before = self.logic.segmentation, self.logic.segment_id, self.masks()
        there = add_segmentation(self.logic.volume, "vessels")
        self.logic.select(segmentation=there)
        self.known[self.logic.add_segment("aorta")] = Known()
        self.logic.set_box(self.world(voxel), size_mm(size))
        self.settle()
        assert self.mask(self.logic.segment_id).any()
        self.follow(here)  # Slicer's undo begins anew
        self.logic.select(segmentation=here, segment_id=selected)
        self.settle()
        self.scene.RemoveNode(there)
        self.settle()
        after = self.masks()
        assert self.logic.segment_id == selected and after.keys() == before.keys()
        for segment_id, mask in before.items():
            assert np.array_equal(after[segment_id], mask), segment_id

    # Files

    @precondition(lambda self: self.logic.segment_id and self.prompts() is not None)
    @rule()
    def save_the_prompts_clear_them_and_load_them(self):
        path, selected = self.folder / "prompts.json", self.logic.segment_id
        try:
            self.logic.save_prompts(path)
        except InputError:
            return  # there are none, or two of another segment contradict each other
        had = self.prompts()
        muted = self.logic._target.nodes.muted()
        self.prompt(self.logic.clear_prompts)
        self.look(lambda: self.logic.load_prompts(path))
        self.look(lambda: self.logic.select(segment_id=selected))
        if had.is_enough:
            assert self.prompts() == had
        elif not (had.is_empty and muted.is_empty):
            assert self.prompts().is_empty  # the command line would refuse them, so they aren't saved
        self.prompt_again()

    def prompt_again(self):
        """What was loaded runs when it is asked for."""
        before, selected = self.masks(), self.logic.segment_id
        prompts = self.prompts()
        now = answer(self.known[selected], prompts, before[selected], self.rivals(), self.logic.volume)
        self.logic.run()
        self.settle()
        if now is not None:
            self.known[selected] = now
            self.undone.clear()
            assert np.array_equal(self.mask(selected), now.made)

    @precondition(lambda self: self.logic.segment_id)
    @rule()
    def save_the_segmentation_and_load_it(self):
        before, prompts = self.masks(), self.prompts()
        selected, old = self.logic.segment_id, self.logic.segmentation
        path = self.folder / "saved.seg.nrrd"
        old_transform = old.GetTransformNodeID()
        old.SetAndObserveTransformNodeID(None)
        save(old, path)
        new = load_segmentation(self.scene, path)
        new.SetAndObserveTransformNodeID(old_transform)
        self.follow(new)
        self.logic.select(segmentation=new, segment_id=selected)
        self.settle()
        self.scene.RemoveNode(old)
        self.settle()
        after = self.masks()
        assert after.keys() == before.keys()
        for segment_id, mask in before.items():
            assert np.array_equal(after[segment_id], mask), segment_id
        if prompts == self.known[selected].answered:
            assert self.prompts() == prompts


UserAtWork.TestCase.settings = inputs(30, stateful_step_count=50)
test_after_any_step_of_a_random_user_all_is_right = UserAtWork.TestCase
