"""ENSAM on the nodes of a scene: prompts in, masks out. Works with and without a GUI."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import slicer
from ensam.errors import InputError
from ensam.measures import Change, Measures
from ensam.preprocessing import IntensityChoice
from ensam.prompts import (
    IDENTITY_AXES,
    Box,
    Point,
    PromptSet,
    SegmentPrompts,
    Vector,
    read_prompts,
    write_prompts,
)
from ensam.worker import Settings, Worker

from . import status
from .answers import Answers
from .cards import card_text
from .placement import Placement
from .prompt_nodes import BACKGROUND, BOX, FOREGROUND, PromptNodes, PromptRow, prompt_nodes, segment_of
from .segment_state import NO_PROMPTS, PROMPTS_TAG, SegmentState, get_tag, prompts_name, write_state
from .segments import SegmentWriter, add_segment, add_segmentation
from .status import Status
from .target import Target
from .translation import tr as _
from .updates import DEBOUNCE_S, Updates
from .watch import REST_S, SceneWatch

UNDO_STATES = 20

_worker: Worker | None = None
# The tags of each segmentation's segments as ENSAM last saw them, by the segmentation's ID: module and
# effects take turns, and each has to notice what was undone while none of them looked.
_seen_tags: dict[str, dict[str, str]] = {}


def shared_worker() -> Worker:
    """The one worker of the process: module and effects share the network and the features it keeps."""
    global _worker
    if _worker is None:
        _worker = Worker()
    return _worker


class ENSAMSegmentLogic:
    """Segments from a box and clicks, in the volume and segment that a segment editor node has selected.

    The mask follows the prompts: whoever changes them calls `poll` until it gives None, or `wait`.

    Example, with the sample case's image as the volume::

        logic = ENSAMSegmentLogic()
        logic.select(volume)
        logic.add_segment("cerebellum")
        logic.set_box(center_ras=(0, -14, -20), size_mm=(36, 26, 28))
        logic.wait()
        logic.add_point((0, -7, -24), foreground=False)  # the brain stem doesn't belong to it
        logic.wait()
        print(logic.status.text, logic.measures.volume_ml)
        logic.undo()  # mask and prompts as they were after the box
        logic.save_prompts("prompts.json")  # for `ensam segment VOLUME --prompts prompts.json`
        logic.cleanup()

    Positions are in the world, RAS mm. What the user can mend is raised as InputError.
    """

    def __init__(
        self,
        editor_node: slicer.vtkMRMLSegmentEditorNode | None = None,
        save_state: Callable[[], object] | None = None,
        worker: Worker | None = None,
    ) -> None:
        """editor_node: by default the one that Slicer's editors share. save_state: saves a state for the undo
        stack to be used, by default one of this object's own. worker: by default the process's."""
        self.changed: Callable[[], None] = lambda: None  # called after anything that a GUI shows
        self.auto_update = True
        self.lesion_mode = False
        self.together = False
        self.intensity: IntensityChoice = "auto"
        self.device = "auto"
        self.checkpoint = ""

        self._scene = slicer.mrmlScene
        self._editor = editor_node or _shared_editor_node(self._scene)
        self._editor_logic = slicer.vtkSlicerSegmentEditorLogic()
        self._editor_logic.SetMRMLScene(self._scene)
        self._editor_logic.SetSegmentEditorNode(self._editor)
        self._editor_logic.SetMaximumNumberOfUndoStates(UNDO_STATES)
        self._placement = Placement(self._scene)
        self._watch = SceneWatch(self._on_selection, self._on_segments, self._tell, self._on_closing)
        writer = SegmentWriter(self._editor_logic, save_state)
        self._updates = Updates(Answers(writer, worker or shared_worker()), self._watch, self._tell)

        self._active = False
        self._target = Target()
        self._known = NO_PROMPTS  # the prompts as last seen
        self._answered = NO_PROMPTS  # the prompts as last asked, or as found
        self._muted = NO_PROMPTS  # those set aside, as last seen
        self._placing, self._placing_id = "", ""
        self.activate()

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

    @property
    def status(self) -> Status:
        return self._updates.status

    @property
    def measures(self) -> Measures | None:
        """Volume and diameters of the selected segment, None where it changed since its last update."""
        return self._updates.measures if self._updates.measured_id == self.segment_id else None

    @property
    def last_change(self) -> Change | None:
        """What the last update of the selected segment added and removed."""
        return self._updates.last_change if self._updates.measured_id == self.segment_id else None

    @property
    def offers_update(self) -> bool:
        """Whether there are prompts that nothing will answer by itself."""
        waits = self._known != self._answered
        return not self.auto_update or (
            waits and not self._updates.is_running and not self._updates.is_planned
        )

    @property
    def keep_others(self) -> bool:
        """Whether other segments keep all their voxels; if not, the editor's overwrite mode decides."""
        return self._updates.answers.writer.keep_others

    @keep_others.setter
    def keep_others(self, keep: bool) -> None:
        self._updates.answers.writer.keep_others = keep

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
            raise InputError(_("There is no image to segment: load one and choose it as the source volume."))
        if segmentation is None:
            title = _("{volume} segmentation").format(volume=volume.GetName())
            segmentation = add_segmentation(volume, title)
        number = segmentation.GetSegmentation().GetNumberOfSegments() + 1
        default = _("Lesion {number}") if self.lesion_mode else _("Segment_{number}")
        kind = self.placing
        segment_id = add_segment(segmentation, name or default.format(number=number))
        self.select(segmentation=segmentation, segment_id=segment_id)
        if kind in (FOREGROUND, BACKGROUND):
            self.start_placing(kind)
        return segment_id

    # Prompts

    @property
    def placing(self) -> str:
        """The kind of prompt that a click in a view makes now, "" for none."""
        return self._placing if self._placing_id and self._placement.node_id() == self._placing_id else ""

    def start_placing(self, kind: str, persistent: bool = True) -> slicer.vtkMRMLMarkupsNode:
        """Let clicks in the views make prompts of this kind; without a segment there will be one.

        Raises InputError if no volume is selected.
        """
        if not self._target.is_complete:
            self.add_segment()
        with self._watch.own_edit():
            node = self._target.nodes.start_box() if kind == BOX else self._target.nodes.get(kind)
        self._observe_prompts()
        self._placing, self._placing_id = kind, node.GetID()
        # A box is done with two clicks.
        self._placement.start(node, persistent and kind != BOX)
        self.changed()
        return node

    def stop_placing(self) -> None:
        """Let clicks move the views again."""
        if self.placing:
            self._placement.stop()
            self._watch.touch()

    def set_box(
        self,
        center_ras: Vector,
        size_mm: Vector,
        axes_ras: tuple[Vector, Vector, Vector] = IDENTITY_AXES,
    ) -> None:
        """Give the segment this box, in the world. Raises PromptError if it is empty."""
        self._edit().set_box_world(Box(center_ras, size_mm, axes_ras))
        self._observe_prompts()

    def add_point(self, position_ras: Vector, foreground: bool) -> None:
        """Add a point in the world."""
        self._edit().add_point(Point(position_ras, foreground).position_ras, foreground)
        self._observe_prompts()

    def prompt_rows(self) -> tuple[PromptRow, ...]:
        """All prompts of the selected segment, for a list."""
        return self._target.nodes.rows() if self._target.is_complete else ()

    def flip(self, row: PromptRow) -> None:
        """Make a foreground point a background point, and the other way round."""
        with self._watch.own_edit():  # for a moment the point is nowhere
            self._edit().flip(row)
        self._observe_prompts()

    def set_muted(self, row: PromptRow, muted: bool) -> None:
        """Set a prompt aside without losing it, or take it back."""
        self._edit().set_muted(row, muted)

    def remove(self, row: PromptRow) -> None:
        """Delete a prompt."""
        self._edit().remove(row)

    def clear_prompts(self) -> None:
        """Delete all prompts of the selected segment."""
        self._edit().clear()

    def jump_to(self, row: PromptRow) -> None:
        """Centre the slice views on a prompt."""
        slicer.vtkMRMLSliceNode.JumpAllSlices(self._scene, *row.position_ras)

    def save_prompts(self, path: str | Path) -> None:
        """Write the prompts of all segments as JSON, as `ensam segment --prompts` reads them.

        Raises InputError if there are none, and OutputError.
        """
        target = self._target
        with self._watch.own_edit():
            segments = [
                SegmentPrompts(
                    prompts_name(target.segment(segment_id)), target.nodes_of(segment_id).prompts()
                )
                for segment_id in self._segments_with_prompts()
            ]
        if not segments:
            raise InputError(_("There are no prompts to save: draw a box or click first."))
        write_prompts(path, segments)

    def load_prompts(self, path: str | Path) -> None:
        """Give segments the prompts of a JSON; segments that it names are added. Nothing runs yet.

        Raises PromptError for a file that can't be used, and InputError if no volume is selected.
        """
        for one in read_prompts(path):
            names = {prompts_name(self._target.segment(s)): s for s in self._target.segment_ids}
            if one.name in names:
                self.select(segment_id=names[one.name])
            else:
                self.add_segment(one.name)
            with self._watch.own_edit():
                self._target.nodes.write(one.prompts, NO_PROMPTS)
            self._show_prompts()
        self._updates.say(Status("ready", _("The prompts are loaded: press 'Update now'.")))

    def card_text(self) -> str:
        """What the checkpoint says of itself, in a few lines. Raises CheckpointError."""
        return card_text(self.checkpoint)

    # Running

    def run(self) -> None:
        """Ask for the selected segment now, or for all that have prompts if they share out the voxels.

        Raises InputError if no segment is selected, and for prompts that contradict each other.
        """
        self._watch.touched = False
        self._updates.unplan()
        if not self._target.is_complete:
            raise InputError(_("There is no segment to fill: choose an image and press N for a new segment."))
        self._known = self._answered = self._prompts()
        ids = self._segments_with_prompts() if self.together else [self.segment_id]
        settings = Settings(self.checkpoint, self.device, self.intensity)
        self._updates.start(self._target, ids, self.together, settings)
        self._see_tags()

    def cancel(self) -> None:
        """Give up what runs. The segments stay as they are."""
        was_running = self._updates.is_running
        self._updates.stop()
        if was_running:
            self._updates.say(Status("ready", _("Cancelled. The segment is as it was.")))

    def poll(self, wait_s: float = 0.0) -> float | None:
        """Do what is due. Gives the seconds until it wants to be called again, None when nothing is pending.

        wait_s: how long to wait for a running job. In Slicer a thread only moves while Python waits.
        What the user has to know is in `status`; an error that isn't the user's is raised.
        """
        self._managed(lambda: self._do_what_is_due(wait_s))
        if self._watch.touched and self._watch.dragging:
            return REST_S / 4
        return 0.0 if self._has_to_look() else self._updates.next_poll()

    def wait(self, timeout_s: float = 600.0) -> None:
        """Until all prompts are answered, for scripts. Raises InputError with what went wrong, or in time."""
        end = time.monotonic() + timeout_s
        while self._updates.is_running or self._updates.is_planned or self._has_to_look():
            delay = self.poll(0.05)
            if not self._updates.is_running:
                time.sleep(min(delay or 0.0, DEBOUNCE_S))
            if time.monotonic() > end:
                self.cancel()
                raise InputError(
                    _("There was no answer within {seconds} seconds: try a smaller box.").format(
                        seconds=f"{timeout_s:.0f}"
                    )
                )
        if self.status.kind == "error":
            raise InputError(self.status.text)

    def undo(self) -> None:
        """Take the last edit back, mask and prompts; only where the undo stack is this object's own."""
        self._editor_logic.Undo()

    def redo(self) -> None:
        """Do again what was taken back."""
        self._editor_logic.Redo()

    # Life

    def activate(self) -> None:
        """Follow the scene and show the prompts of the selected segment."""
        if not self._active:
            self._active = True
            self._watch.follow_scene(self._editor, self._placement.interaction)
            self._bind()

    def deactivate(self) -> None:
        """Leave the views: nothing is placed, shown or run."""
        if self._active:
            is_drawing = self.placing == BOX
            if self.placing:
                self._placement.stop()
            self._leave(is_drawing=is_drawing)
            self._active = False
            self._watch.stop()
            self._updates.answers.forget_volume()

    def cleanup(self) -> None:
        """For good."""
        self.deactivate()
        self.changed = lambda: None
        self._editor_logic.SetSegmentEditorNode(None)
        self._editor_logic.SetMRMLScene(None)

    # What happens in the scene; `poll` does what follows

    def _tell(self) -> None:
        self.changed()

    def _on_selection(self) -> None:
        if self._scene.IsImporting():
            return  # half of the prompts may be missing still; the end of the import comes here too
        self._bind()
        # A box may be done, or prompts deleted with their node.
        self._watch.touched = True
        self.changed()

    def _on_segments(self) -> None:
        self._bind()
        self._updates.forget_change()
        self._managed(self._follow_undo)
        self.changed()

    def _on_volume_moved(self) -> None:
        with self._watch.own_edit():
            self._target.nodes.follow_volume(self._volume_matrix)
        self._volume_matrix = self._target.nodes.volume_matrix()
        self._watch.touch()

    def _on_closing(self) -> None:
        self._leave()
        self._updates.answers.forget()
        _seen_tags.clear()
        self.changed()

    # What follows

    def _bind(self) -> None:
        """Go over to what the editor node has selected now."""
        target = Target.of_editor(self._editor)
        if not self._active or target == self._target:
            return
        self._leave(stays=target[:2] == self._target[:2], is_drawing=self.placing == BOX)
        self._target = target
        self._watch.follow_segments(target.segmentation)
        if not self._managed(self._show_prompts):
            return
        if self._known != self._answered:
            self._updates.say(Status("ready", _("There are prompts without an answer: press 'Update now'.")))
        else:
            self._updates.say(status.ready(target, not self._known.is_empty))

    def _leave(self, stays: bool = False, is_drawing: bool = False) -> None:
        """Be done with the segment that was selected; where the image stays, it still gets its answer."""
        target = self._target
        if target.is_complete and target.segmentation.GetScene() is not None:
            with self._watch.own_edit():
                if is_drawing:
                    target.nodes.drop_draft()
                elif self._placing == BOX:
                    target.nodes.finish_box()
        if not stays:
            self._updates.stop()
            self._updates.say(status.ready(Target(), False))
        elif self.auto_update and target.is_complete and target.nodes.nodes and self._managed(self._has_news):
            self._managed(self.run)
        self._updates.forget_change()
        with self._watch.own_edit():
            for node in (*self._watch.prompts, *self._prompt_nodes()):
                node.SetDisplayVisibility(False)
        self._watch.let_go()
        self._target = Target()
        self._known = self._answered = self._muted = NO_PROMPTS
        self._placing, self._placing_id = "", ""

    def _show_prompts(self) -> None:
        """Show the prompts of the selected segment alone. Nothing runs for what is there already."""
        target = self._target
        self._follow_undo()
        with self._watch.own_edit():
            if target.is_complete:
                target.nodes.drop_draft()
                target.nodes.follow_volume(None)
                target.restore(self.segment_id)
                self._volume_matrix = target.nodes.volume_matrix()
                self._watch.follow_volume(target.volume, self._on_volume_moved)
            for node in self._prompt_nodes():
                node.SetDisplayVisibility(segment_of(node) == self.segment_id)
        self._observe_prompts()
        self._see_prompts()
        state = target.state(self.segment_id) if target.is_complete else None
        self._answered = NO_PROMPTS if state is None else state.prompts

    def _prompt_nodes(self) -> tuple[slicer.vtkMRMLMarkupsNode, ...]:
        return () if self.segmentation is None else prompt_nodes(self.segmentation)

    def _see_prompts(self) -> None:
        self._known = self._prompts()
        self._muted = self._target.nodes.muted() if self._target.is_complete else NO_PROMPTS

    def _observe_prompts(self) -> None:
        complete = self._target.is_complete and self._active
        self._watch.follow_prompts(self._target.nodes.all() if complete else ())

    def _is_held(self) -> bool:
        """Whether the user is in the middle of a movement."""
        return self._watch.dragging or self.placing == BOX

    def _has_to_look(self) -> bool:
        return self._watch.touched and not self._is_held()

    def _do_what_is_due(self, wait_s: float) -> None:
        self._updates.poll(wait_s, self.auto_update)
        self._see_tags()
        if self._has_to_look():
            self._watch.touched = False
            self._look()
        if self._updates.is_due:
            self.run()

    def _look(self) -> None:
        """See whether the prompts have changed."""
        if not self._target.is_complete:
            return
        if self._placing == BOX:
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
        self._placing = ""
        nodes = self._target.nodes
        with self._watch.own_edit():
            if self.lesion_mode and not self._known.is_empty:
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
        prompts, kind = self._prompts(), self.placing
        points = new_lesions(self._known, self._muted, prompts)
        points = [point for point in points if self._target.owner_of(point) != self.segment_id]
        if not points:
            return
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

    def _follow_undo(self) -> None:
        """Where a tag has changed, an edit was taken back or done again: the prompts go along."""
        target = self._target
        if target.volume is None or target.segmentation is None:
            return
        tags, seen = self._tags_now(), _seen_tags.get(target.segmentation.GetID(), {})
        changed = [
            segment_id for segment_id in tags if tags[segment_id] != seen.get(segment_id, tags[segment_id])
        ]
        self._see_tags()
        self._updates.withdraw(changed)
        with self._watch.own_edit():
            for segment_id in changed:
                state = target.state(segment_id) or SegmentState()
                nodes = target.nodes_of(segment_id)
                nodes.write(state.prompts, state.muted)
                nodes.show(segment_id == self.segment_id)
        if self.segment_id in changed:
            self._updates.unplan()
            self._observe_prompts()
            self._watch.touched = False
            self._see_prompts()
            self._answered = self._known
            self._updates.say(Status("ready", _("Mask and prompts are as they were then.")))

    def _managed(self, step: Callable[[], object]) -> bool:
        """Whether a step gave anything but False; what the user can mend in it is said."""
        try:
            return step() is not False
        except InputError as error:
            self._updates.say(Status("error", str(error)))
            return False

    def _has_news(self) -> bool:
        return self._updates.is_planned or self._prompts() != self._known

    def _edit(self) -> PromptNodes:
        """The selected segment's prompts. Raises InputError if no segment is selected."""
        if not self._target.is_complete:
            raise InputError(
                _("There is no segment to prompt: choose an image and press N for a new segment.")
            )
        return self._target.nodes

    def _prompts(self) -> PromptSet:
        return self._target.nodes.prompts() if self._target.is_complete else NO_PROMPTS

    def _segments_with_prompts(self) -> list[str]:
        """The selected segment and all others that the network can be asked for."""
        target = self._target
        if target.volume is None:
            return []
        with self._watch.own_edit():
            prompts = {segment_id: target.restore(segment_id) for segment_id in target.segment_ids}
        return [
            segment_id
            for segment_id, one in prompts.items()
            if segment_id == self.segment_id or one.box is not None or len(one.foreground_ras)
        ]

    def _tags_now(self) -> dict[str, str]:
        target = self._target
        return {s: get_tag(target.segment(s), PROMPTS_TAG) for s in target.segment_ids}

    def _see_tags(self) -> None:
        if self.segmentation is not None:
            _seen_tags[self.segmentation.GetID()] = self._tags_now()


def new_lesions(known: PromptSet, muted: PromptSet, now: PromptSet) -> list[Point]:
    """The foreground points that were clicked beside the prompts of a segment that has some already.

    None for the first click of a segment, where points were moved or deleted, and for a muted point that
    counts again.
    """
    if known.is_empty or not set(known.points) <= set(now.points):
        return []
    before = {*known.points, *muted.points}
    return [point for point in now.points if point.foreground and point not in before]


def _shared_editor_node(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLSegmentEditorNode:
    tag, class_name = "SegmentEditor", "vtkMRMLSegmentEditorNode"
    node = scene.GetSingletonNode(tag, class_name)
    if node is None:
        node = scene.CreateNodeByClass(class_name)
        node.UnRegister(None)
        node.SetSingletonTag(tag)
        node = scene.AddNode(node)
    return node
