"""What the user does in the scene to a segment's prompts, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import slicer
from ensam.errors import InputError
from ensam.prompts import PromptSet
from ensam.worker import Worker

from . import status
from .answers import Answers
from .choosing import Choices, Choosing
from .lesions import new_lesions
from .placement import Placement
from .prompt_nodes import BACKGROUND, BOX, FOREGROUND, follow_names, prompt_nodes, segment_of
from .scene_nodes import singleton
from .segment_state import NO_PROMPTS, SegmentState, seen_tags, write_state
from .segment_writer import SegmentWriter
from .segments import (
    add_segment,
    add_segmentation,
    check_is_not_completed,
    free_name,
    is_completed,
    no_image,
)
from .status import Status
from .target import Target
from .tool import Tool
from .translation import tr as _
from .updates import DEBOUNCE_S, Updates
from .watch import SceneWatch

UNDO_STATES = 20

_worker: Worker | None = None


def shared_worker() -> Worker:
    """The one worker of the process: module and effects share the network and the features it keeps."""
    global _worker
    if _worker is None:
        _worker = Worker()
    return _worker


class SegmentFollower(Choosing):
    """Follows the segment that a segment editor node has selected, and asks for it when its prompts change.

    `ENSAMSegmentLogic` is what others use of it.
    """

    def __init__(
        self,
        editor_node: slicer.vtkMRMLSegmentEditorNode | None = None,
        save_state: Callable[[], object] | None = None,
        worker: Worker | None = None,
    ) -> None:
        """editor_node: by default the one that Slicer's editors share. save_state: saves a state for the undo
        stack to be used, by default one of this object's own. worker: by default the process's."""
        super().__init__()
        self.auto_update = True
        self.lesion_mode = False

        self._scene = slicer.mrmlScene
        self._editor = editor_node or singleton(self._scene, "vtkMRMLSegmentEditorNode", "SegmentEditor")
        self._editor_logic = slicer.vtkSlicerSegmentEditorLogic()
        self._editor_logic.SetMRMLScene(self._scene)
        self._editor_logic.SetSegmentEditorNode(self._editor)
        self._editor_logic.SetMaximumNumberOfUndoStates(UNDO_STATES)
        self._placement = Placement(self._scene)
        self._watch = SceneWatch(self._on_selection, self._on_segments, self._tell)
        writer = SegmentWriter(self._editor_logic, save_state)
        self._worker = worker or shared_worker()
        self._updates = Updates(Answers(writer, self._worker), self._watch, self._tell)

        self._active = False
        self._target = Target()
        self._known = NO_PROMPTS  # the prompts as last seen
        self._answered = NO_PROMPTS  # the prompts as last asked, or as found
        self._answered_with = self._choices  # what was chosen then
        self._muted = NO_PROMPTS  # those set aside, as last seen
        self._loaded: set[str] = set()  # segments whose prompts came from a file
        self._volume_matrix: bytes | None = None  # the volume's own place, as last seen
        self._tool = Tool(self._placement, self._watch)
        self._shows_prompts = True
        # Also while another module is in use: what is remembered of a scene ends with it.
        # A method, for the reason that `watch.py` tells.
        closing = slicer.vtkMRMLScene.StartCloseEvent
        self._closing_tag = self._scene.AddObserver(closing, self._on_closing)
        self.activate()

    def _choose(self, choices: Choices) -> None:
        self._updates.answers.writer.keep_others = choices.keep_others
        super()._choose(choices)

    # What is worked on

    @property
    def volume(self) -> slicer.vtkMRMLScalarVolumeNode | None:
        return self._target.volume

    @property
    def segmentation(self) -> slicer.vtkMRMLSegmentationNode | None:
        return self._target.segmentation

    @property
    def segment_id(self) -> str:
        return self._target.segment_id

    def select(
        self,
        volume: slicer.vtkMRMLScalarVolumeNode | None = None,
        segmentation: slicer.vtkMRMLSegmentationNode | None = None,
        segment_id: str = "",
    ) -> None:
        """Select in the segment editor node; what isn't given stays as it is."""
        if volume is not None:
            self._editor.SetAndObserveSourceVolumeNode(volume)
        if segmentation is not None:
            self._editor.SetAndObserveSegmentationNode(segmentation)
        if segment_id:
            self._editor.SetSelectedSegmentID(segment_id)
        self._bind()

    def add_segment(self, name: str | None = None) -> str:
        """Add an empty segment and select it; gives its ID. Without a segmentation one is made.

        Raises InputError if no volume is selected.
        """
        volume, segmentation = self._editor.GetSourceVolumeNode(), self._editor.GetSegmentationNode()
        if volume is None:
            raise no_image()
        if segmentation is None:
            title = _("{volume} segmentation").format(volume=volume.GetName())
            segmentation = add_segmentation(volume, title)
        elif not self._watch.is_own_edit:
            # As Slicer's button does. A lesion that a click opens is taken back with its answer.
            self._updates.answers.writer.save_state()
        default = _("Lesion {number}") if self.lesion_mode else _("Segment_{number}")
        segment_id = add_segment(segmentation, name or free_name(segmentation, default))
        self.select(segmentation=segmentation, segment_id=segment_id)
        return segment_id

    # Prompts in the views

    @property
    def placing(self) -> str:
        """The kind of prompt that a click in a view makes now, "" for none."""
        return self._tool.kind

    @property
    def shows_prompts(self) -> bool:
        """Whether the views show the selected segment's prompts. A tool that is begun brings them back."""
        return self._shows_prompts

    @shows_prompts.setter
    def shows_prompts(self, shows: bool) -> None:
        if shows == self._shows_prompts:
            return
        self._shows_prompts = shows
        if not shows and self.placing:
            self.stop_placing()
        self._show_or_hide()
        self.changed()

    def start_placing(self, kind: str, persistent: bool = True) -> slicer.vtkMRMLMarkupsNode:
        """Let clicks in the views make prompts of this kind; without a segment there will be one.

        Raises InputError if no volume is selected.
        """
        if not self._target.is_complete:
            self.add_segment()
        self._be_done_with_box()
        self._shows_prompts = True
        self._show_or_hide()  # also what was hidden by Slicer's own means
        node = self._tool.start(self._target.nodes, kind, persistent)
        self._observe_prompts()
        self.changed()
        return node

    def stop_placing(self) -> None:
        """Let clicks move the views again."""
        self._tool.stop()

    def _be_done_with_box(self) -> None:
        """A box that is half drawn is given up; one that was just drawn counts."""
        if self.placing == BOX:
            self._put_tool_down()
        elif self._tool.has_box and self._target.is_complete:
            self._finish_box()

    def _put_tool_down(self) -> str:
        return self._tool.put_down(self._target.nodes if self._target.is_complete else None)

    # Asking

    def run(self) -> None:
        """Ask for the selected segment now, with those whose prompts were loaded since, or for all that have
        prompts if they share out the voxels.

        Raises InputError if no segment is selected or it is marked as completed, and for prompts that
        contradict each other.
        """
        self._ask(self._unanswered() if self._target.is_complete else ())

    def _ask(self, more: Iterable[str] = ()) -> None:
        """Ask for the selected segment, and for more that each are asked for alone. Raises as `run`."""
        self._watch.touched = False
        self._updates.unplan()
        if not self._target.is_complete:
            raise InputError(_("There is no segment to fill: choose an image and press N for a new segment."))
        target = self._target
        if target.segment(self.segment_id) is None:
            return  # it has just been removed
        # The selected one also without prompts: its mask goes with the last of them.
        asked = {self.segment_id, *(self._usable_prompts() if self.together else more)}
        ids = [s for s in target.segment_ids if s in asked and not is_completed(target.segment(s))]
        if not ids:
            check_is_not_completed(target.segment(self.segment_id))
        if self.segment_id in ids:
            self._known = self._answered = self._prompts()
            self._answered_with = self._choices
        for shared in [ids] if self.together else [[segment_id] for segment_id in ids]:
            self._updates.start(target, shared, self._choices.settings)
        self._see_tags()

    # Life

    def activate(self) -> None:
        """Follow the scene and show the prompts of the selected segment."""
        if not self._active:
            self._active = True
            self._watch.follow_scene(self._editor, self._placement.interaction, self._placement.selection)
            self._bind()

    def deactivate(self) -> None:
        """Leave the views: nothing is placed, shown or run."""
        if self._active:
            self._leave()
            self._placement.give_back()
            self._active = False
            self._watch.stop()
            self._updates.answers.forget_volume()

    # What happens in the scene; what follows is done by `_do_what_is_due`

    def _tell(self) -> None:
        self.changed()

    def _on_selection(self) -> None:
        if self._scene.IsImporting():
            return  # half of the prompts may be missing still; the end of the import comes here too
        if not self.placing:
            with self._watch.own_edit():
                self._placement.give_back()
        self._bind()
        # A box may be done, or prompts deleted with their node.
        self._watch.touched = True
        self.changed()

    def _on_segments(self) -> None:
        self._bind()
        self._updates.forget_old_change()
        if self.segmentation is not None:
            with self._watch.own_edit():
                follow_names(self.segmentation)
        self._managed(lambda: self._follow_undo(collects=not self.auto_update))
        self.changed()

    def _on_volume_moved(self) -> None:
        with self._watch.own_edit():
            self._target.nodes.follow_volume(self._volume_matrix)
        self._volume_matrix = self._target.nodes.volume_matrix()
        self._watch.touch()

    def _on_closing(self, *_ignored: object) -> None:
        self._leave()
        self._updates.answers.forget()
        self._worker.forget()
        seen_tags.forget()
        self.changed()

    # What follows

    def _bind(self) -> None:
        """Go over to what the editor node has selected now."""
        target = Target.of_editor(self._editor)
        if not self._active or target == self._target:
            return
        kind = self._leave(stays=target[:2] == self._target[:2])
        self._target = target
        self._watch.follow_segments(target.segmentation)
        if not self._managed(self._show_prompts):
            return
        if self._known != self._answered:
            self._updates.say(Status("ready", _("There are prompts without an answer: press 'Update now'.")))
        elif self._has_other_image():
            text = _("The mask is of another image: press 'Update now' for one of this image.")
            self._updates.say(Status("ready", text))
        else:
            self._updates.say(status.ready(target, not self._known.is_empty))
        if kind in (FOREGROUND, BACKGROUND) and target.is_complete:
            self.start_placing(kind)

    def _leave(self, stays: bool = False) -> str:
        """Be done with the segment that was selected; where the image stays, it still gets its answer.

        Gives the kind of prompt that was being placed.
        """
        target, kind = self._target, self._put_tool_down()
        if target.is_complete and target.segmentation.GetScene() is not None:
            with self._watch.own_edit():
                if self._tool.has_box:
                    target.nodes.finish_box()
        if not stays:
            self._updates.stop()
            self._updates.missed.clear()
            self._loaded.clear()
            self._updates.say(status.ready(Target(), False))
        elif self.auto_update and target.is_complete and target.nodes.nodes and self._managed(self._has_news):
            self._managed(self._ask)
        self._updates.forget_change()
        with self._watch.own_edit():
            for node in (*self._watch.prompts, *self._prompt_nodes()):
                node.SetDisplayVisibility(False)
        self._watch.let_go()
        self._target = Target()
        self._known = self._answered = self._muted = NO_PROMPTS
        self._tool.forget()
        return kind

    def _show_prompts(self) -> None:
        """Show the prompts of the selected segment alone. Nothing runs for what is there already."""
        target = self._target
        self._follow_undo()
        with self._watch.own_edit():
            if self.segmentation is not None:
                follow_names(self.segmentation)
            if target.is_complete:
                target.nodes.drop_draft()
                target.nodes.follow_volume(None)
                target.restore(self.segment_id)
                self._volume_matrix = target.nodes.volume_matrix()
                self._watch.follow_volume(target.volume, self._on_volume_moved)
                self._updates.answers.suppose_image(target)
        self._show_or_hide()
        self._observe_prompts()
        self._see_prompts()
        state = target.state(self.segment_id) if target.is_complete else None
        self._answered = NO_PROMPTS if state is None else state.prompts
        self._answered_with = self._choices

    def _show_or_hide(self) -> None:
        """Show the selected segment's prompts alone, or none."""
        with self._watch.own_edit():
            for node in self._prompt_nodes():
                node.SetDisplayVisibility(self._shows_prompts and segment_of(node) == self.segment_id)

    def _prompt_nodes(self) -> tuple[slicer.vtkMRMLMarkupsNode, ...]:
        return () if self.segmentation is None else prompt_nodes(self.segmentation)

    def _see_prompts(self) -> None:
        self._known = self._prompts()
        self._muted = self._target.nodes.muted() if self._target.is_complete else NO_PROMPTS

    def _observe_prompts(self) -> None:
        complete = self._target.is_complete and self._active
        if complete and not self._shows_prompts:
            self._show_or_hide()  # of new nodes too
        self._watch.follow_prompts(self._target.nodes.all() if complete else ())

    def _is_held(self) -> bool:
        """Whether the user is in the middle of a movement."""
        return self._watch.dragging or self.placing == BOX

    def _has_to_look(self) -> bool:
        return self._watch.touched and not self._is_held()

    def _do_what_is_due(self, wait_s: float) -> None:
        if self._scene.IsImporting():
            return  # Slicer shows how far it is and lets timers go on; half of the nodes may be missing still
        # Who moves a prompt and thinks better of it doesn't ask again.
        was_running = self._updates.is_running
        self._updates.poll(wait_s, self.auto_update and not self._is_held())
        self._see_tags()
        if was_running and not self._updates.is_running and self._loaded:
            self._tell_of_the_unanswered()
        if self._has_to_look():
            self._watch.touched = False
            self._look()
        if self._updates.is_due:
            self._ask()

    def _tell_of_the_unanswered(self) -> None:
        """Of several that were asked for at once, the last one's "Done." would hide that others failed."""
        failed = [segment_id for segment_id in self._unanswered() if segment_id in self._updates.missed]
        names = [self._target.segment(segment_id).GetName() for segment_id in failed]
        if names and self._updates.status.kind == "done":
            text = _("There is no answer for {names}: select it and press 'Update now' to see why.")
            self._updates.say(Status("error", text.format(names=", ".join(names))))

    def _look(self) -> None:
        """See whether the prompts have changed."""
        if not self._target.is_complete:
            return
        if self._tool.has_box:
            self._finish_box()
        if not self._known.is_empty and not self._target.nodes.nodes:
            self._keep_mask()
        if self.lesion_mode:
            self._open_lesions()
        before = self._known
        self._see_prompts()
        prompts = self._known
        if prompts == before:
            return
        self._updates.unplan()
        if prompts != self._answered and self.auto_update:
            self._updates.plan(DEBOUNCE_S)
        elif prompts != self._answered:
            self._updates.say(Status("ready", _("The prompts have changed: press 'Update now'.")))

    def _finish_box(self) -> None:
        self._tool.forget()
        nodes = self._target.nodes
        with self._watch.own_edit():
            if self.lesion_mode and not self._known.is_empty and nodes.is_drawn():
                self.add_segment()
                nodes.hand_draft_to(self._target.nodes)
            self._target.nodes.finish_box()
        self._observe_prompts()

    def _keep_mask(self) -> None:
        """The user tidied the prompts' nodes away: the mask stays, as if made by hand."""
        with self._watch.own_edit():
            write_state(self._target.segment(self.segment_id), SegmentState())
        self._see_tags()
        self._updates.withdraw([self.segment_id])
        self._known = self._answered = NO_PROMPTS

    def _open_lesions(self) -> None:
        """In lesion mode a foreground click outside of all boxes is a lesion of its own."""
        prompts = self._prompts()
        points = new_lesions(self._known, self._muted, prompts)
        points = [point for point in points if self._target.owner_of(point) != self.segment_id]
        if not points:
            return
        kind = self._put_tool_down()
        with self._watch.own_edit():
            nodes = self._target.nodes
            stays = tuple(point for point in prompts.points if point not in points)
            nodes.write(PromptSet(prompts.box, stays), nodes.muted())
            for point in points:
                owner = self._target.owner_of(point)
                if owner:
                    self.select(segment_id=owner)
                else:
                    self.add_segment()
                nodes = self._target.nodes
                nodes.write(self._prompts().with_point(point), nodes.muted())
        self._observe_prompts()
        if kind:
            self.start_placing(kind)

    def _follow_undo(self, collects: bool = False) -> None:
        """Where a tag has changed, an edit was taken back or done again: the prompts go along.

        collects: whether prompts that came since the last answer stay, as with updates off: they were never
        part of what is undone.
        """
        target = self._target
        if target.volume is None or target.segmentation is None:
            return
        changed = seen_tags.changed(target.segmentation)
        self._see_tags()
        self._updates.withdraw(changed)
        kind = self._put_tool_down() if changed else ""
        added = self._prompts().added_to(self._answered) if changed and collects else NO_PROMPTS
        with self._watch.own_edit():
            for segment_id in changed:
                state = target.state(segment_id) or SegmentState()
                nodes = target.nodes_of(segment_id)
                stays = added if segment_id == self.segment_id else NO_PROMPTS
                nodes.write(state.prompts.joined(stays), state.muted)
                nodes.show(self._shows_prompts and segment_id == self.segment_id)
        if self.segment_id in changed:
            self._updates.unplan()
            self._observe_prompts()
            self._watch.touched = False
            self._see_prompts()
            state = target.state(self.segment_id) or SegmentState()
            self._answered = self._known if added.is_empty else state.prompts
            self._updates.say(Status("ready", _("Mask and prompts are as they were then.")))
        if kind and target.is_complete:
            self.start_placing(kind)

    def _managed(self, step: Callable[[], object]) -> bool:
        """Whether a step gave anything but False; what the user can mend in it is said."""
        try:
            return step() is not False
        except InputError as error:
            self._updates.say(Status("error", str(error)))
            return False

    def _waits(self) -> bool:
        """Whether the mask isn't what the prompts and the choices ask for."""
        return (
            self._known != self._answered
            or self.segment_id in self._updates.missed
            or bool(self._loaded and self._target.volume is not None and self._unanswered())
            or (not self._known.is_empty and self._choices != self._answered_with)
            or self._has_other_image()
        )

    def _has_other_image(self) -> bool:
        """Whether the mask was made from prompts in another image, or in what the image was before."""
        if self._known.is_empty or not self._target.is_complete:
            return False
        return self._updates.answers.has_other_image(self._target)

    def _unanswered(self) -> list[str]:
        """Segments whose prompts came from a file and have no answer yet."""
        self._loaded.intersection_update(s for s in self._target.segment_ids if self._target.can_be_asked(s))
        return [segment_id for segment_id in self._target.segment_ids if segment_id in self._loaded]

    def _has_news(self) -> bool:
        return self._updates.is_planned or self._prompts() != self._known

    def _prompts(self) -> PromptSet:
        return self._target.nodes.prompts() if self._target.is_complete else NO_PROMPTS

    def _usable_prompts(self) -> dict[str, PromptSet]:
        """The prompts of all segments that the network can be asked for by them alone."""
        if self._target.volume is None:
            return {}
        with self._watch.own_edit():
            prompts = {
                segment_id: self._target.restore(segment_id) for segment_id in self._target.segment_ids
            }
        return {segment_id: own for segment_id, own in prompts.items() if own.is_enough}

    def _see_tags(self) -> None:
        if self.segmentation is not None:
            seen_tags.see(self.segmentation)
