"""What the user does in the scene, and what follows from it for the selected segment and its prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import slicer
from ensam.errors import InputError
from ensam.prompts import PromptSet
from ensam.worker import Worker

from . import status
from .answers import Answers
from .choosing import Choices, Choosing
from .placement import Placement
from .places import forget_places
from .prompt_nodes import BACKGROUND, BOX, FOREGROUND, follow_names, remove_orphans, segments_with_prompts
from .prompts_in_views import PromptsInViews
from .scene_nodes import singleton
from .segment_list import keep_listed
from .segment_state import seen_tags
from .segment_writer import SegmentWriter
from .segments import add_segment, add_segmentation, free_name, no_image
from .selected import SelectedSegment
from .status import Status
from .target import Target
from .translation import tr as _
from .updates import DEBOUNCE_S, Updates
from .volumes import is_in_views
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
        self.is_pressed: Callable[[], bool] = lambda: False  # whether a mouse button is held; a GUI knows

        self._scene = slicer.mrmlScene
        self._editor = editor_node or singleton(self._scene, "vtkMRMLSegmentEditorNode", "SegmentEditor")
        self._editor_logic = slicer.vtkSlicerSegmentEditorLogic()
        self._editor_logic.SetMRMLScene(self._scene)
        self._editor_logic.SetSegmentEditorNode(self._editor)
        self._editor_logic.SetMaximumNumberOfUndoStates(UNDO_STATES)
        self._placement = Placement(self._scene)
        self._watch = SceneWatch(self._on_selection, self._on_segments, self._tell, lambda: self.is_pressed())
        self._views = PromptsInViews(self._placement, self._watch)
        writer = SegmentWriter(self._editor_logic, save_state)
        self._worker = worker or shared_worker()
        self._updates = Updates(Answers(writer, self._worker), self._watch, self._tell)

        self._active = False
        self._had_prompts: dict[str, set[str]] = {}  # the segments of a segmentation's ID, when it was left
        self._interrupted: tuple[object, ...] = ()  # which prompts had no answer yet, see `_prompts_of`
        self._work_on(Target())
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
    def _target(self) -> Target:
        return self._selected.target

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
            if segment_id != Target.of_editor(self._editor).segment_id:
                keep_listed(self._editor.GetSegmentationNode(), segment_id)
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

    def start_placing(self, kind: str) -> slicer.vtkMRMLMarkupsNode:
        """Let clicks in the views make prompts of this kind; without a segment there will be one.

        Raises InputError if no volume is selected.
        """
        if not self._target.is_complete:
            self.add_segment()
        self._be_done_with_box()
        node = self._views.start(self._target, kind)
        if not is_in_views(self.volume) and not self._updates.is_running:  # else its answer will tell
            self._updates.say(Status("ready", status.not_shown(self.volume)))
        self.changed()
        return node

    def _be_done_with_box(self) -> None:
        """A box that is half drawn is given up; one that was just drawn counts."""
        if self._views.placing == BOX:
            self._views.put_down(self._target)
        elif self._views.has_box and self._target.is_complete:
            self._finish_box()

    # Life

    def activate(self) -> None:
        """Follow the scene and show the prompts of the selected segment."""
        if not self._active:
            self._active = True
            self._watch.follow_scene(self._editor, self._placement.interaction, self._placement.selection)
            self._bind()
            if not self._scene.IsImporting():
                self._remove_orphans()

    def deactivate(self) -> None:
        """Leave the views: nothing is placed, shown or run."""
        if self._active:
            segmentation = self.segmentation
            self._leave()
            if segmentation is not None:
                self._had_prompts[segmentation.GetID()] = segments_with_prompts(segmentation)
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
        if not self._views.placing:
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
        self._managed(lambda: self._selected.follow_undo(collects=not self.auto_update))
        if self._selected.is_opened_again():  # as the user was told to do
            self._updates.say(self._selected.what_to_do())
            if self.auto_update and self._selected.waits(self._choices):
                self._updates.plan()
        self.changed()

    def _on_closing(self, *_ignored: object) -> None:
        self._leave()
        self._updates.answers.forget()
        self._worker.forget()
        self._updates.loaded.clear()
        self._had_prompts.clear()
        self._interrupted = ()
        seen_tags.forget()
        forget_places()
        self.changed()

    # What follows

    def _bind(self) -> None:
        """Go over to what the editor node has selected now."""
        target = Target.of_editor(self._editor)
        if not self._active or target == self._target:
            return
        left = self.segmentation
        kind = self._leave(stays=target[:2] == self._target[:2])
        if left is not None and left.GetScene() is None and not self._scene.IsClosing():
            self._remove_orphans()
        self._work_on(target)
        self._watch.follow_segments(target.segmentation)
        had_prompts = self._had_prompts.pop(target.segmentation.GetID(), ()) if target.segmentation else ()
        if not self._managed(lambda: self._selected.show(self._choices, had_prompts)):
            return
        self._updates.say(self._selected.what_to_do())
        if not self._selected.is_answered and self._interrupted == self._prompts_of(self._selected.known):
            self._interrupted = ()
            self._updates.plan()
        if kind in (FOREGROUND, BACKGROUND) and target.is_complete:
            self.start_placing(kind)

    def _leave(self, stays: bool = False) -> str:
        """Be done with the segment that was selected; where the image stays, it still gets its answer.

        Gives the kind of prompt that was being placed.
        """
        target, kind = self._target, self._views.put_down(self._target)
        if self._views.has_box and target.is_complete and target.segmentation.GetScene() is not None:
            with self._watch.own_edit():
                target.nodes.finish_box()
        if not stays:
            self._managed(self._note_interruption)
            self._updates.leave()
            self._updates.say(status.ready(Target(), False))
        elif self.auto_update and self._managed(self._selected.has_news):
            self._managed(self._ask)
        self._updates.forget_change()
        self._views.leave(target)
        self._work_on(Target())
        return kind

    def _remove_orphans(self) -> None:
        """Prompts of a segmentation that was deleted serve nobody; those of a deleted segment serve undo."""
        with self._watch.own_edit():
            remove_orphans(self._scene)

    def _note_interruption(self) -> None:
        """What isn't answered yet is asked again when the same segment comes back with the same prompts:
        another effect was used for a moment, or the editor was filled anew after an import."""
        if self._updates.is_asked(self.segment_id) or (self.auto_update and self._selected.has_news()):
            self._interrupted = self._prompts_of(self._selected.prompts())

    def _prompts_of(self, prompts: PromptSet) -> tuple[object, ...]:
        """Prompts with the image and the segment that they are for, by their IDs."""
        target = self._target
        return (target.volume.GetID(), *target.key_of(target.segment_id), prompts)

    def _work_on(self, target: Target) -> None:
        self._selected = SelectedSegment(target, self._views, self._updates, self._watch)

    def _is_held(self) -> bool:
        """Whether the user is in the middle of a movement."""
        return self._watch.dragging or self._views.placing == BOX

    def _has_to_look(self) -> bool:
        return self._watch.touched and not self._is_held()

    def _do_what_is_due(self, wait_s: float) -> None:
        if self._scene.IsImporting():
            return  # Slicer shows how far it is and lets timers go on; half of the nodes may be missing still
        # Who moves a prompt and thinks better of it doesn't ask again.
        was_running = self._updates.is_running
        self._updates.poll(wait_s, self.auto_update and not self._is_held())
        self._selected.see_tags()
        if was_running and not self._updates.is_running:
            self._updates.tell_of_the_unanswered(self._target)
            self._managed(self._selected.check_is_not_refused)
        if self._has_to_look():
            self._watch.touched = False
            self._look()
        if self._updates.is_due:
            self._ask()

    def _ask(self, more: Iterable[str] = ()) -> None:
        """Ask for the selected segment, and for more. Raises as `SelectedSegment.ask`."""
        self._watch.touched = False
        self._updates.unplan()
        self._selected.ask(self._choices, more)

    def _look(self) -> None:
        """See whether the prompts have changed."""
        if not self._target.is_complete:
            return
        if self._views.has_box:
            self._finish_box()
        if not self._selected.known.is_empty and not self._target.nodes.nodes:
            self._selected.keep_mask()  # the user tidied the prompts' nodes away
        if self.lesion_mode:
            self._open_lesions()
        selected = self._selected
        before = selected.known if selected.is_readable else None
        selected.see()
        if selected.known == before:
            return
        self._updates.unplan()
        if selected.is_answered:
            if self._updates.status.kind == "error":  # what was wrong is mended, and needn't be told any more
                self._updates.say(selected.what_to_do())
            return
        if self.auto_update:
            self._updates.plan(DEBOUNCE_S)
        else:
            self._updates.say(Status("ready", _("The prompts have changed: press 'Update now'.")))

    def _finish_box(self) -> None:
        self._views.forget_tool()
        nodes = self._target.nodes
        with self._watch.own_edit():
            if self.lesion_mode and not self._selected.known.is_empty and nodes.is_drawn():
                self.add_segment()
                nodes.hand_draft_to(self._target.nodes)
            self._target.nodes.finish_box()
        self._views.observe(self._target)

    def _open_lesions(self) -> None:
        """In lesion mode a foreground click outside of all boxes is a lesion of its own."""
        prompts = self._selected.prompts()
        points = self._selected.new_lesions(prompts)
        points = [point for point in points if self._target.owner_of(point) != self.segment_id]
        if not points:
            return
        kind = self._views.put_down(self._target)
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
                nodes.write(nodes.prompts().with_point(point), nodes.muted())
        self._views.observe(self._target)
        if kind:
            self.start_placing(kind)

    def _managed(self, step: Callable[[], object]) -> bool:
        """Whether a step gave anything but False; what the user can mend in it is said."""
        try:
            return step() is not False
        except InputError as error:
            self._updates.say(Status("error", str(error)))
            return False
