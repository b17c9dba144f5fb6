"""ENSAM on the nodes of a scene: prompts in, masks out. Works with and without a GUI."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import slicer
import vtk
from ensam.errors import Cancelled, InputError
from ensam.measures import Change, Measures, change, measure
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
from .answers import Answers, Asking
from .cards import card_text
from .change_display import ChangeDisplay
from .observations import Observations
from .placement import Placement
from .prompt_nodes import BACKGROUND, BOX, FOREGROUND, PromptNodes, PromptRow, prompt_nodes, segment_of
from .segment_state import NO_PROMPTS, PROMPTS_TAG, get_tag, prompts_name
from .segments import SegmentWriter, add_segment, add_segmentation
from .status import Status
from .target import Target

DEBOUNCE_S = 0.1  # after the last change of a prompt
TINT_S = 1.5  # that the last change stays tinted
POLL_S = 0.01  # between two looks at a running job
UNDO_STATES = 20

_worker: Worker | None = None


def shared_worker() -> Worker:
    """The one worker of the process: module and effects share the network and the features it keeps."""
    global _worker
    if _worker is None:
        _worker = Worker()
    return _worker


class ENSAMSegmentLogic:
    """Segments from a box and clicks, in the volume and segment that a segment editor node has selected.

    The mask follows the prompts: whoever changes them calls `poll` until it gives None, or `wait`.

    Example::

        logic = ENSAMSegmentLogic()
        logic.select(volume)
        logic.add_segment("cerebellum")
        logic.set_box(center_ras=(0, -20, 5), size_mm=(60, 50, 40))
        logic.wait()
        logic.add_point((3, -18, 9), foreground=True)
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
        self.status = status.ready(Target(), False)
        self.measures: Measures | None = None
        self.last_change: Change | None = None
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
        self._answers = Answers(SegmentWriter(self._editor_logic, save_state), worker or shared_worker())
        self._placement = Placement(self._scene)
        self._tint = ChangeDisplay()

        self._target = Target()
        self._active = False
        self._own_edits = 0  # above 0: what happens in the scene is our own doing
        self._selection_events = Observations(self._on_selection)
        self._closing_events = Observations(self._on_closing)
        self._prompt_events = Observations(self._on_prompts)
        self._drag_start_events = Observations(lambda: self._on_drag(True))
        self._drag_end_events = Observations(lambda: self._on_drag(False))
        self._segment_events = Observations(self._on_segments)
        self._forget()
        self.activate()

    def _forget(self) -> None:
        self._asking: Asking | None = None
        self._known = NO_PROMPTS  # the prompts as last seen
        self._answered = NO_PROMPTS  # the prompts as last asked, or as found
        self._tags: dict[str, str] = {}  # of each segment, as we left it
        self._placing, self._placing_id = "", ""
        self._dragging = self._touched = False
        self._due: float | None = None  # when the network is to be asked
        self._tint_until: float | None = None

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
    def keep_others(self) -> bool:
        """Whether other segments keep all their voxels; if not, the editor's overwrite mode decides."""
        return self._answers.writer.keep_others

    @keep_others.setter
    def keep_others(self, keep: bool) -> None:
        self._answers.writer.keep_others = keep

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
            raise InputError("There is no image to segment: load one and choose it as the source volume.")
        if segmentation is None:
            segmentation = add_segmentation(volume, f"{volume.GetName()} segmentation")
        number = segmentation.GetSegmentation().GetNumberOfSegments() + 1
        default = f"Lesion {number}" if self.lesion_mode else f"Segment_{number}"
        kind = self.placing
        segment_id = add_segment(segmentation, name or default)
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
        with self._as_own_edit():
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
            self._on_prompts()

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
        with self._as_own_edit():  # for a moment the point is nowhere
            self._edit().flip(row)
        self._observe_prompts()
        self._on_prompts()

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
        with self._as_own_edit():
            segments = [
                SegmentPrompts(
                    prompts_name(target.segment(segment_id)), target.nodes_of(segment_id).prompts()
                )
                for segment_id in self._segments_with_prompts()
            ]
        if not segments:
            raise InputError("There are no prompts to save: draw a box or click first.")
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
            with self._as_own_edit():
                self._target.nodes.write(one.prompts, NO_PROMPTS)
            self._show_prompts()
        self._say(Status("ready", "The prompts are loaded: press Update to segment the selected segment."))

    def card_text(self) -> str:
        """What the checkpoint says of itself, in a few lines. Raises CheckpointError."""
        return card_text(self.checkpoint)

    # Running

    def run(self) -> None:
        """Ask for the selected segment now, or for all that have prompts if they share out the voxels.

        Raises InputError if no segment is selected.
        """
        self._due, self._touched = None, False
        if not self._target.is_complete:
            raise InputError("There is no segment to fill: choose an image and press N for a new segment.")
        self._withdraw()
        self._known = self._answered = self._prompts()
        ids = self._segments_with_prompts() if self.together else [self.segment_id]
        settings = Settings(self.checkpoint, self.device, self.intensity)
        self._asking = self._answers.ask(self._target, ids, self.together, settings)
        if self._asking.job is None:
            self._write()
        else:
            self._say(status.working(self._asking.job))

    def cancel(self) -> None:
        """Give up what runs. The segments stay as they are."""
        self._due = None
        if self._asking is not None:
            self._withdraw()
            self._say(Status("ready", "Cancelled. The segment is as it was."))

    def poll(self, wait_s: float = 0.0) -> float | None:
        """Do what is due. Gives the seconds until it wants to be called again, None when nothing is pending.

        wait_s: how long to wait for a running job. In Slicer a thread only moves while Python waits.
        What the user has to know is in `status`; an error that isn't the user's is raised.
        """
        try:
            self._do_what_is_due(wait_s)
        except InputError as error:
            self._say(Status("error", str(error)))
        now = time.monotonic()
        if self._asking is not None or (self._touched and not self._is_held()):
            return POLL_S
        times = [moment - now for moment in (self._due, self._tint_until) if moment is not None]
        return max(0.0, min(times)) if times else None

    def wait(self, timeout_s: float = 600.0) -> None:
        """Until all prompts are answered, for scripts. Raises InputError with what went wrong, or in time."""
        end = time.monotonic() + timeout_s
        while self._asking is not None or self._due is not None or (self._touched and not self._is_held()):
            delay = self.poll(0.05)
            if self._asking is None:
                time.sleep(min(delay or 0.0, DEBOUNCE_S))
            if time.monotonic() > end:
                self.cancel()
                raise InputError(f"There was no answer within {timeout_s:.0f} seconds: try a smaller box.")
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
        if self._active:
            return
        self._active = True
        node, scene = slicer.vtkMRMLNode, slicer.vtkMRMLScene
        references = (node.ReferenceAddedEvent, node.ReferenceModifiedEvent, node.ReferenceRemovedEvent)
        self._selection_events.add(self._editor, vtk.vtkCommand.ModifiedEvent, *references)
        self._selection_events.add(self._scene, scene.NodeRemovedEvent, scene.EndImportEvent)
        self._selection_events.add(self._placement.interaction, vtk.vtkCommand.ModifiedEvent)
        self._closing_events.add(self._scene, scene.StartCloseEvent)
        self._bind()

    def deactivate(self) -> None:
        """Leave the views: nothing is placed, shown or run."""
        if not self._active:
            return
        if self.placing:
            self._placement.stop()
        self._let_go()
        self._active = False
        self._selection_events.clear()
        self._closing_events.clear()

    def cleanup(self) -> None:
        """For good."""
        self.deactivate()
        self.changed = lambda: None
        self._editor_logic.SetSegmentEditorNode(None)
        self._editor_logic.SetMRMLScene(None)

    # Events: they only note that something happened. `poll` does what follows.

    def _on_selection(self) -> None:
        if not self._own_edits:
            self._bind()
            self._touched |= self._placing == BOX and not self.placing
            self.changed()

    def _on_closing(self) -> None:
        self._let_go()
        self.changed()

    def _on_prompts(self) -> None:
        if not self._own_edits:
            self._touched = True
            self.changed()

    def _on_drag(self, begins: bool) -> None:
        self._dragging = begins
        self._on_prompts()

    def _on_segments(self) -> None:
        if not self._own_edits:
            self._bind()
            self._follow_undo()
            self.changed()

    @contextmanager
    def _as_own_edit(self) -> Iterator[None]:
        self._own_edits += 1
        try:
            yield
        finally:
            self._own_edits -= 1

    # What follows from them

    def _bind(self) -> None:
        """Go over to what the editor node has selected now."""
        target = Target.of_editor(self._editor)
        if not self._active or target == self._target:
            return
        # Another segment of the same image is selected: the one that was asked for still gets its answer.
        asking = self._asking if target[:2] == self._target[:2] else None
        if asking is not None:
            self._asking = None
        self._let_go()
        self._asking = asking
        self._target = target
        if target.segmentation is not None:
            events = slicer.vtkSegmentation
            self._segment_events.add(
                target.segmentation.GetSegmentation(),
                events.SegmentModified,
                events.SegmentAdded,
                events.SegmentRemoved,
                events.SourceRepresentationModified,
            )
        try:
            self._show_prompts()
        except InputError as error:
            self._say(Status("error", str(error)))
        else:
            self._say(status.ready(target, not self._known.is_empty))

    def _let_go(self) -> None:
        """Be done with the segment that was selected."""
        if self._asking is not None:
            self._asking.cancel()
        self._tint.hide()
        for events in (
            self._prompt_events,
            self._drag_start_events,
            self._drag_end_events,
            self._segment_events,
        ):
            events.clear()
        if self.segmentation is not None:
            for node in prompt_nodes(self.segmentation):
                node.SetDisplayVisibility(False)
        self._target = Target()
        self.measures = self.last_change = None
        self._forget()

    def _show_prompts(self) -> None:
        """Show the prompts of the selected segment alone. Nothing runs for what is there already."""
        target = self._target
        self._tags = self._tags_now()
        if target.is_complete:
            with self._as_own_edit():
                target.restore(self.segment_id)
        for node in prompt_nodes(target.segmentation) if target.segmentation is not None else ():
            node.SetDisplayVisibility(segment_of(node) == self.segment_id)
        self._observe_prompts()
        self._known = self._answered = self._prompts()

    def _observe_prompts(self) -> None:
        for events in (self._prompt_events, self._drag_start_events, self._drag_end_events):
            events.clear()
        if not self._target.is_complete or not self._active:
            return
        markups = slicer.vtkMRMLMarkupsNode
        for node in self._target.nodes.all():
            self._prompt_events.add(
                node,
                vtk.vtkCommand.ModifiedEvent,
                markups.PointAddedEvent,
                markups.PointModifiedEvent,
                markups.PointPositionDefinedEvent,
                markups.PointPositionUndefinedEvent,
                markups.PointRemovedEvent,
                slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
            )
            self._drag_start_events.add(node, markups.PointStartInteractionEvent)
            self._drag_end_events.add(node, markups.PointEndInteractionEvent)
        # New nodes may hold prompts already.
        self._on_prompts()

    def _is_held(self) -> bool:
        """Whether the user is in the middle of a movement."""
        return self._dragging or self.placing == BOX

    def _do_what_is_due(self, wait_s: float) -> None:
        if self._asking is not None:
            if self._asking.job.wait(wait_s):
                self._take()
            else:
                self._say(status.working(self._asking.job))
        if self._touched and not self._is_held():
            self._touched = False
            self._look()
        if self._due is not None and time.monotonic() >= self._due:
            self.run()
        if self._tint_until is not None and time.monotonic() >= self._tint_until:
            self._tint_until = None
            self._tint.hide()

    def _look(self) -> None:
        """See whether the prompts have changed."""
        if not self._target.is_complete:
            return
        if self._placing == BOX:
            self._finish_box()
        if self.lesion_mode:
            self._open_lesion()
        prompts = self._prompts()
        if prompts == self._known and (self._due is None or prompts != self._answered):
            return
        self._known = prompts
        self._due = None
        if prompts != self._answered and self.auto_update:
            self._due = time.monotonic() + DEBOUNCE_S
        elif prompts != self._answered:
            self._say(Status("ready", "The prompts have changed: press Update."))

    def _finish_box(self) -> None:
        self._placing = ""
        nodes = self._target.nodes
        with self._as_own_edit():
            if self.lesion_mode and not self._known.is_empty:
                self.add_segment()
                nodes.hand_draft_to(self._target.nodes)
            self._target.nodes.finish_box()
        self._observe_prompts()

    def _open_lesion(self) -> None:
        """In lesion mode a foreground click outside of all boxes is a lesion of its own."""
        prompts, before = self._prompts(), set(self._known.points)
        new = [point for point in prompts.points if point not in before]
        # Nothing to do for the first click of a segment, and for points that were moved or deleted.
        if (
            len(new) != 1
            or not new[0].foreground
            or not before <= set(prompts.points)
            or self._known.is_empty
        ):
            return
        owner = self._target.owner_of(new[0])
        if owner == self.segment_id:
            return
        kind = self.placing
        with self._as_own_edit():
            nodes = self._target.nodes
            nodes.write(PromptSet(prompts.box, tuple(before)), nodes.muted())
            if owner:
                self.select(segment_id=owner)
            else:
                self.add_segment()
            nodes = self._target.nodes
            nodes.write(self._known.with_point(new[0]), nodes.muted())
        self._observe_prompts()
        if kind:
            self.start_placing(kind)

    def _follow_undo(self) -> None:
        """Where a tag has changed, an edit was taken back or done again: the prompts go along."""
        target, tags = self._target, self._tags_now()
        changed = [segment_id for segment_id in tags if tags[segment_id] != self._tags.get(segment_id, "")]
        self._tags = tags
        for segment_id in changed:
            state = target.state(segment_id)
            nodes = target.nodes_of(segment_id)
            with self._as_own_edit():
                nodes.write(*((NO_PROMPTS, NO_PROMPTS) if state is None else (state.prompts, state.muted)))
                nodes.show(segment_id == self.segment_id)
        if self.segment_id in changed:
            self._withdraw()
            self._tint.hide()
            self._observe_prompts()
            self._due, self._touched = None, False
            self._known = self._answered = self._prompts()
            self.measures = self.last_change = None
            self._say(Status("ready", "Mask and prompts are as they were then."))

    def _take(self) -> None:
        """What was asked has its answer: write it, unless the question no longer holds."""
        asking, error = self._asking, self._asking.job.error
        if isinstance(error, Cancelled):
            self._asking = None
        elif error is not None:
            self._asking = None
            if not isinstance(error, InputError):
                # The user learns of it here, and a developer from the traceback.
                self._say(Status("error", f"ENSAM failed, and the segment is as it was: {error}"))
            raise error
        elif self._answers.still_holds(asking) and not (self.auto_update and self._answers.is_stale(asking)):
            self._write()
        else:
            self._asking = None
            if self._target == asking.target and self._target.is_complete:
                self._due = time.monotonic()

    def _write(self) -> None:
        asking, self._asking = self._asking, None
        with self._as_own_edit():
            written = self._answers.write(asking)
        self._tags = self._tags_now()
        # The selected segment may be another one by now; then the first one is told of.
        shown = self.segment_id if self.segment_id in written else next(iter(written))
        masks, grid = written[shown], asking.volume.grid
        self.measures = measure(masks.after, grid)
        self.last_change = change(masks.before, masks.after, grid)
        self._tint.show(asking.target.volume, self.last_change)
        self._tint_until = time.monotonic() + TINT_S
        name = asking.target.name(shown)
        self._say(status.done(name, self.measures, self.last_change, asking.job))

    def _withdraw(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    def _edit(self) -> PromptNodes:
        """The selected segment's prompts. Raises InputError if no segment is selected."""
        if not self._target.is_complete:
            raise InputError("There is no segment to prompt: choose an image and press N for a new segment.")
        return self._target.nodes

    def _prompts(self) -> PromptSet:
        return self._target.nodes.prompts() if self._target.is_complete else NO_PROMPTS

    def _segments_with_prompts(self) -> list[str]:
        target = self._target
        if target.volume is None:
            return []
        with self._as_own_edit():
            return [s for s in target.segment_ids if not target.restore(s).is_empty or s == self.segment_id]

    def _tags_now(self) -> dict[str, str]:
        target = self._target
        return {s: get_tag(target.segment(s), PROMPTS_TAG) for s in target.segment_ids}

    def _say(self, new: Status) -> None:
        if new != self.status:
            self.status = new
            self.changed()


def _shared_editor_node(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLSegmentEditorNode:
    tag, class_name = "SegmentEditor", "vtkMRMLSegmentEditorNode"
    node = scene.GetSingletonNode(tag, class_name)
    if node is None:
        node = scene.CreateNodeByClass(class_name)
        node.UnRegister(None)
        node.SetSingletonTag(tag)
        node = scene.AddNode(node)
    return node
