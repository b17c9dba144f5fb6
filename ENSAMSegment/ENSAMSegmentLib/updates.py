"""Keeps segments up to date in the background, and says how it goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from ensam.errors import InputError
from ensam.measures import Change, Measures, change, measure
from ensam.worker import Settings

from . import status
from .answers import Answers, Asking
from .change_display import ChangeDisplay
from .labelmaps import labelmap_of
from .places import own_place
from .segments import read_segment
from .status import Status
from .target import Target
from .translation import tr as _
from .volumes import grid_from_node
from .watch import SceneWatch

DEBOUNCE_S = 0.1  # after the last change of a prompt
TINT_S = 1.5  # that the last change stays tinted
POLL_S = 0.01  # between two looks at a running job


class Updates:
    """Questions on their way. A newer one about the same segment replaces the older.

    status: what the user reads. missed: segments whose last question came to nothing, given up or failed.
    loaded: segments whose prompts came from a file and have had no answer, as `Target.key_of`. left_out:
    segments that were to be asked about with the last ones, and whose prompts can't be read. last_change: of
    the segment changed_id, which was written last.
    """

    def __init__(self, answers: Answers, watch: SceneWatch, changed: Callable[[], None]) -> None:
        self.answers = answers
        self.status = status.ready(Target(), False)
        self.last_change: Change | None = None
        self.changed_id = ""
        self.missed: set[str] = set()
        self.loaded: set[tuple[str, str]] = set()
        self.left_out: set[str] = set()
        self._written: _Voxels | None = None
        self._measured: tuple[_Voxels | None, Measures | None] = (None, None)
        self._watch, self._changed = watch, changed
        self._tint = ChangeDisplay()
        self._askings: list[Asking] = []  # in the worker's order
        self._due: float | None = None
        self._tint_until: float | None = None

    @property
    def is_running(self) -> bool:
        return bool(self._askings)

    def is_asked(self, segment_id: str) -> bool:
        """Whether this segment's answer is on its way."""
        return any(segment_id in asking.segment_ids for asking in self._askings)

    @property
    def is_planned(self) -> bool:
        return self._due is not None

    @property
    def is_due(self) -> bool:
        return self._due is not None and time.monotonic() >= self._due

    def plan(self, delay_s: float = 0.0) -> None:
        """An update is due in so many seconds, instead of an earlier one."""
        self._due = time.monotonic() + delay_s

    def unplan(self) -> None:
        """No update is due."""
        self._due = None

    def start(self, target: Target, segment_ids: Sequence[str], settings: Settings) -> None:
        """Ask for these segments now. Raises InputError for what can't be read or written."""
        self._due = None
        self.withdraw(segment_ids)
        self.missed.update(segment_ids)
        asking = self.answers.ask(target, segment_ids, settings)
        if asking.job is None:
            self._write(asking)
        else:
            self._askings.append(asking)
            self.missed.difference_update(segment_ids)
            self.say(status.working(self._askings[0].job))

    def withdraw(self, segment_ids: Iterable[str]) -> None:
        """Give up what was asked about these segments, for good."""
        for asking in [a for a in self._askings if not set(segment_ids).isdisjoint(a.segment_ids)]:
            asking.job.cancel()
            self._askings.remove(asking)
            self.missed.update(asking.segment_ids)  # those that shared it and aren't meant
        self.missed.difference_update(segment_ids)

    def stop(self) -> None:
        """Give up all that runs and is planned."""
        self._due = None
        for asking in self._askings:
            asking.job.cancel()
            self.missed.update(asking.segment_ids)
        self._askings.clear()
        self._measured = (None, None)

    def leave(self) -> None:
        """Give up all, and what came of it: another segmentation comes."""
        self.stop()
        self.missed.clear()
        self.left_out.clear()

    def unanswered(self, target: Target) -> list[str]:
        """Segments whose prompts came from a file and have no answer yet."""
        if not self.loaded:
            return []
        nodes = target.nodes_of_all().items()
        return [s for s, own in nodes if target.key_of(s) in self.loaded and target.can_be_asked(own)]

    def tell_of_the_unanswered(self, target: Target) -> None:
        """Of several that were asked for at once, the last one's "Done." would hide that others failed."""
        failed = {s for s in self.unanswered(target) if s in self.missed} | self.left_out
        names = [target.segment(s).GetName() for s in target.segment_ids if s in failed]
        if names and self.status.kind == "done":
            text = _("There is no answer for {names}: select it and press 'Update now' to see why.")
            self.say(Status("error", text.format(names=", ".join(names))))

    def measures_of(self, target: Target) -> Measures | None:
        """Volume and diameters of the selected segment as it is now, None where it holds no voxels."""
        if self._measured[0] is None or not self._measured[0].are_still_those_of(target):
            self._measured = (_Voxels(target), _measure(target)) if target.is_complete else (None, None)
        return self._measured[1]

    def forget_change(self) -> None:
        """There is nothing to show any more of what was done last."""
        self._tint.hide()
        self._tint_until = self.last_change = self._written = None

    def forget_old_change(self) -> None:
        """As `forget_change`, if the segment that was written last has other voxels by now."""
        if self._written is None or not self._written.are_still_those_of(self._written.target):
            self.forget_change()

    def say(self, new: Status) -> None:
        if new != self.status:
            self.status = new
            self._changed()

    def poll(self, wait_s: float, follows: bool) -> None:
        """See how far it is, for at most wait_s seconds.

        follows: whether prompts that have changed since make an answer worthless. Raises what went wrong.
        """
        if self._askings:
            if self._askings[0].job.wait(wait_s):
                self._take(self._askings.pop(0), follows)
            if self._askings:
                self.say(status.working(self._askings[0].job))
        if self._tint_until is not None and time.monotonic() >= self._tint_until:
            self._tint_until = None
            self._tint.hide()

    def next_poll(self) -> float | None:
        """Seconds until there is something to do, None if nothing is to come."""
        if self._askings:
            return POLL_S
        now = time.monotonic()
        times = [moment - now for moment in (self._due, self._tint_until) if moment is not None]
        return max(0.0, min(times)) if times else None

    def _take(self, asking: Asking, follows: bool) -> None:
        """What was asked has its answer: write it, unless the question no longer holds."""
        self.missed.update(asking.segment_ids)  # whatever comes between, until they are written or asked anew
        error = asking.job.error
        if error is not None:
            if not isinstance(error, InputError):
                # The user learns of it here, and a developer from the traceback.
                text = _("ENSAM failed, and the segment is as it was: {error}").format(error=error)
                self.say(Status("error", text))
            raise error
        if not self.answers.exists(asking) or (follows and self.answers.has_other_prompts(asking)):
            return  # who changed the prompts asks again, or has contradictions to mend first
        if self.answers.is_unchanged(asking):
            self._write(asking)
        else:
            self.start(asking.target, asking.segment_ids, asking.settings)

    def _write(self, asking: Asking) -> None:
        self.missed.update(asking.segment_ids)
        with self._watch.own_edit():
            written, held_back = self.answers.write(asking)
        self.missed.difference_update(asking.segment_ids)
        self.loaded.difference_update(map(asking.target.key_of, asking.segment_ids))
        target, grid = asking.target, asking.volume.grid
        # Of several segments the selected one is told of.
        shown = target.segment_id if target.segment_id in written else next(iter(written))
        self.changed_id = shown
        self.last_change = change(written[shown].before, written[shown].after, grid)
        self._written = _Voxels(target._replace(segment_id=shown))
        if shown == target.segment_id:
            after = written[shown].after
            self._measured = self._written, measure(after, grid) if after.mask.size else None
        self._tint.show(target.volume, self.last_change)
        self._tint_until = time.monotonic() + TINT_S
        has_changed = self.last_change.added_ml or self.last_change.removed_ml
        if asking.job is None and not has_changed and any(not q.prompts.is_empty for q in asking.questions):
            self.say(status.kept())
            return
        unseen = status.unseen(target._replace(segment_id=shown))
        self.say(status.done(asking.job, held_back, self.answers.writer.is_masked, unseen))


class _Voxels:
    """Tells whether a segment's voxels may have changed since. A name or a colour is none of them."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._state = self._now()

    def are_still_those_of(self, target: Target) -> bool:
        return target == self.target and self._state == self._now()

    def _now(self) -> tuple[object, ...] | None:
        segment = self.target.segment(self.target.segment_id)
        labelmap = segment and labelmap_of(segment)
        # A labelmap that others share changes with them too.
        voxels = labelmap and (labelmap.GetAddressAsString(""), labelmap.GetMTime(), segment.GetLabelValue())
        nodes = self.target.volume, self.target.segmentation
        transforms = [node.GetParentTransformNode() for node in nodes]
        image = self.target.volume.GetImageData()
        return voxels and (
            *voxels,
            image and image.GetDimensions(),
            own_place(self.target.volume),
            *(node.GetTransformNodeID() for node in nodes),
            *(above and above.GetTransformToWorldMTime() for above in transforms),
        )


def _measure(target: Target) -> Measures | None:
    segment = target.segment(target.segment_id)
    if segment is None or labelmap_of(segment) is None:
        return None  # it has just been added or removed
    try:
        mask = read_segment(target.segmentation, target.segment_id, target.volume)
        return measure(mask, grid_from_node(target.volume)) if mask.mask.size else None
    except InputError:
        return None  # not kept as a labelmap, or no image: whoever asks for an answer is told
