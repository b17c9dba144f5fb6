"""ENSAM on the nodes of a scene: prompts in, masks out. Works with and without a GUI."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import slicer
from ensam.errors import InputError
from ensam.measures import Change, Measures
from ensam.prompts import (
    IDENTITY_AXES,
    Box,
    Point,
    SegmentPrompts,
    Vector,
    read_prompts,
    write_prompts,
)

from .cards import card_text
from .following import SegmentFollower
from .prompt_nodes import PromptNodes, PromptRow
from .segment_state import NO_PROMPTS, prompts_name
from .segments import ensure_reference_geometry, is_kept_as_labelmap, no_image, read_segment
from .status import Status
from .translation import tr as _
from .updates import DEBOUNCE_S
from .volumes import grid_from_node, points_to_world
from .watch import REST_S


class ENSAMSegmentLogic(SegmentFollower):
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

    # What is known

    @property
    def status(self) -> Status:
        return self._updates.status

    @property
    def measures(self) -> Measures | None:
        """Volume and diameters of the selected segment, by whatever it was made; None where it is empty."""
        return self._updates.measures_of(self._target)

    @property
    def last_change(self) -> Change | None:
        """What the last update of the selected segment added and removed."""
        return self._updates.last_change if self._updates.changed_id == self.segment_id else None

    @property
    def offers_update(self) -> bool:
        """Whether there is something to update that nothing will by itself."""
        return not self.auto_update or (
            self._selected.waits(self._choices)
            and not self._updates.is_running
            and not self._updates.is_planned
        )

    # Imported contours and surfaces

    @property
    def needs_labelmap(self) -> bool:
        """Whether the selected segmentation has to become a binary labelmap before it can be edited."""
        return self.segmentation is not None and not is_kept_as_labelmap(self.segmentation)

    def make_labelmap(self) -> None:
        """Keep the selected segmentation as a binary labelmap from now on, as Slicer's editor does; details
        finer than its voxels are lost. Raises InputError if Slicer can't."""
        if self.volume is not None:
            ensure_reference_geometry(self.segmentation, self.volume)
        if not self._editor_logic.SetSourceRepresentationToBinaryLabelMap():
            raise InputError(
                _(
                    "Slicer can't make a binary labelmap of '{segmentation}': see the Segmentations module."
                ).format(segmentation=self.segmentation.GetName())
            )

    # Prompts

    def set_box(
        self,
        center_ras: Vector,
        size_mm: Vector,
        axes_ras: tuple[Vector, Vector, Vector] = IDENTITY_AXES,
    ) -> None:
        """Give the segment this box, in the world. Raises PromptError if it is empty."""
        self._edit().set_box_world(Box(center_ras, size_mm, axes_ras))
        self._views.observe(self._target)

    def add_point(self, position_ras: Vector, foreground: bool) -> None:
        """Add a point in the world."""
        self._edit().add_point(Point(position_ras, foreground).position_ras, foreground)
        self._views.observe(self._target)

    def prompt_rows(self) -> tuple[PromptRow, ...]:
        """All prompts of the selected segment, for a list."""
        return self._target.nodes.rows() if self._target.is_complete else ()

    def flip(self, row: PromptRow) -> None:
        """Make a foreground point a background point, and the other way round."""
        with self._watch.own_edit():  # for a moment the point is nowhere
            self._edit().flip(row)
        self._views.observe(self._target)

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
        self._jump(row.position_ras)

    def jump_to_diameters(self) -> None:
        """Centre the slice views on the segment where its diameters were measured."""
        measures, target = self.measures, self._target
        if measures is None:
            return
        mask = read_segment(target.segmentation, target.segment_id, target.volume)
        in_slice = np.argwhere(mask.mask[measures.longest_slice - mask.offset[0]])
        middle = np.array((measures.longest_slice, *(in_slice.mean(axis=0) + mask.offset[1:])))
        position = grid_from_node(target.volume).zyx_to_ras(middle)
        self._jump(points_to_world(target.volume, position)[0])

    def save_prompts(self, path: str | Path) -> None:
        """Write the prompts of all segments as JSON, as `ensam segment --prompts` reads them: without those
        that it would refuse, for want of a box or a foreground point.

        Raises InputError if there are none, some can't be read or two segments have one name, and
        OutputError.
        """
        target = self._target
        usable, unreadable = self._selected.usable_prompts()
        if unreadable:
            names = ", ".join(target.segment(segment_id).GetName() for segment_id in unreadable)
            raise InputError(
                _("The prompts of {names} can't be read: select it to see why.").format(names=names)
            )
        segments = [
            SegmentPrompts(prompts_name(target.segment(segment_id)), prompts)
            for segment_id, prompts in usable.items()
        ]
        if not segments:
            raise InputError(_("There are no prompts to save: draw a box or click first."))
        write_prompts(path, segments)

    def load_prompts(self, path: str | Path) -> None:
        """Give segments the prompts of a JSON; segments that it names are added. Nothing runs yet.

        Raises PromptError for a file that can't be used, and InputError if no volume is selected.
        """
        prompts = read_prompts(path)
        if self.volume is None:
            raise no_image()
        for one in prompts:
            names = {prompts_name(self._target.segment(s)): s for s in self._target.segment_ids}
            if one.name in names:
                self.select(segment_id=names[one.name])
            else:
                self.add_segment(one.name)
            with self._watch.own_edit():
                self._target.nodes.write(one.prompts, NO_PROMPTS)
            self._updates.loaded.add(self._target.key_of(self.segment_id))
            self._selected.show(self._choices)
        self._updates.say(Status("ready", _("The prompts are loaded: press 'Update now'.")))

    def card_text(self) -> str:
        """What the checkpoint says of itself, in a few lines. Raises CheckpointError."""
        return card_text(self.checkpoint)

    # Prompts in the views

    @property
    def placing(self) -> str:
        """The kind of prompt that a click in a view makes now, "" for none."""
        return self._views.placing

    def stop_placing(self) -> None:
        """Let clicks move the views again."""
        self._views.stop()

    @property
    def shows_prompts(self) -> bool:
        """Whether the views show the selected segment's prompts. A tool that is begun brings them back."""
        return self._views.are_shown

    @shows_prompts.setter
    def shows_prompts(self, shows: bool) -> None:
        if shows != self._views.are_shown:
            self._views.set_shown(self._target, shows)
            self.changed()

    # Running

    def run(self) -> None:
        """Ask for the selected segment now, with those whose prompts were loaded since, or for all that have
        prompts if they share out the voxels.

        Raises InputError if no segment is selected or it is marked as completed, and for prompts that
        contradict each other.
        """
        self._ask(self._updates.unanswered(self._target))

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
            return REST_S / 20  # not every movement's end is told
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

    def cleanup(self) -> None:
        """For good."""
        self.deactivate()
        self.changed = lambda: None
        self._scene.RemoveObserver(self._closing_tag)
        self._editor_logic.SetSegmentEditorNode(None)
        self._editor_logic.SetMRMLScene(None)

    def _jump(self, position_ras: Vector) -> None:
        slicer.vtkMRMLSliceNode.JumpAllSlices(
            self._scene, *position_ras, slicer.vtkMRMLSliceNode.CenteredJumpSlice
        )

    def _edit(self) -> PromptNodes:
        """The selected segment's prompts. Raises InputError if no segment is selected."""
        if not self._target.is_complete:
            raise InputError(
                _("There is no segment to prompt: choose an image and press N for a new segment.")
            )
        return self._target.nodes
