"""The segment that is worked on: its prompts as last seen and as last answered, and asking for it."""

from __future__ import annotations

from collections.abc import Iterable

from ensam.errors import InputError
from ensam.prompts import Point, PromptSet

from . import status
from .choosing import Choices
from .prompt_nodes import follow_names, segments_with_prompts
from .prompts_in_views import PromptsInViews
from .segment_state import NO_PROMPTS, SegmentState, seen_tags, write_state
from .segments import check_is_not_completed, is_completed
from .status import Status
from .target import Target
from .translation import tr as _
from .updates import Updates
from .watch import SceneWatch


class SelectedSegment:
    """Knows what was last seen of the selected segment's prompts, and whether its mask answers them.

    One object for each selection, also for one that lacks parts: then there are no prompts.

    known: the prompts that count, and muted: those set aside, as last seen. is_readable: False from when they
    couldn't be read until they are seen again. answered: the prompts as last asked, or as found.
    """

    def __init__(self, target: Target, views: PromptsInViews, updates: Updates, watch: SceneWatch) -> None:
        self.target = target
        self.known = self.muted = self.answered = NO_PROMPTS
        self.is_readable = True
        self._is_refused = False  # it was asked for while it was marked as completed
        self._answered_with = Choices()  # what was chosen then
        self._views, self._updates, self._watch = views, updates, watch

    # Its prompts

    def show(self, choices: Choices, had_prompts: Iterable[str] = ()) -> None:
        """Show the prompts of this segment alone, those of a loaded file too. Nothing runs for what is there.

        had_prompts: segments whose prompts had nodes in the scene; where none is left, the user tidied them
        away meanwhile.

        Raises PromptError if what is stored is damaged, or the prompts contradict each other.
        """
        target = self.target
        self._answered_with = choices
        try:
            self.follow_undo()
            with self._watch.own_edit():
                if target.segmentation is not None:
                    follow_names(target.segmentation)
                    self._keep_masks(set(had_prompts) - segments_with_prompts(target.segmentation))
                if target.is_complete:
                    target.nodes.drop_draft()
                    target.nodes.follow_volume()
                    self._watch.follow_volume(target.volume, self._on_volume_moved)
                    self._updates.answers.suppose_image(target)
                    self.answered = self._stored().prompts
                    target.restore(target.nodes)
            self.see()
            if target.is_complete and self.known.is_close(target.prompts_of_state(self._stored())[0]):
                self.answered = self.known  # also where another image lies elsewhere
        finally:
            # Prompts that contradict each other can only be mended where they are seen and heard of.
            self._views.show(target)
            self._views.observe(target)

    def prompts(self) -> PromptSet:
        """The prompts that count now. Raises PromptError if they contradict each other."""
        try:
            return self.target.nodes.prompts() if self.target.is_complete else NO_PROMPTS
        except InputError:
            self.is_readable = False
            raise

    def see(self) -> None:
        """The prompts as they are now are known from here on. Raises as `prompts`."""
        known = self.prompts()
        self.muted = self.target.nodes.muted() if self.target.is_complete else NO_PROMPTS
        self.known, self.is_readable = known, True

    def new_lesions(self, now: PromptSet) -> list[Point]:
        """The foreground points that were clicked beside the prompts that it has already.

        None for its first click, where points were moved or deleted, and for a muted point that counts again.
        """
        if self.known.is_empty or not set(self.known.points) <= set(now.points):
            return []
        before = {*self.known.points, *self.muted.points}
        return [point for point in now.points if point.foreground and point not in before]

    def keep_mask(self) -> None:
        """The prompts' nodes are gone for good: the mask stays, as if made by hand."""
        with self._watch.own_edit():
            self._keep_masks([self.target.segment_id])
        self._updates.withdraw([self.target.segment_id])
        self.known = self.answered = NO_PROMPTS

    def _keep_masks(self, segment_ids: Iterable[str]) -> None:
        for segment_id in segment_ids:
            segment = self.target.segment(segment_id)
            if segment is not None:
                write_state(segment, SegmentState())
        self.see_tags()

    def _on_volume_moved(self) -> None:
        with self._watch.own_edit():
            self.target.nodes.follow_volume()
        self._watch.touch()

    def _stored(self) -> SegmentState:
        state = self.target.state(self.target.segment_id) if self.target.is_complete else None
        return state or SegmentState()

    # Undo

    def see_tags(self) -> None:
        """What the tags of all segments hold now is no work of undo."""
        if self.target.segmentation is not None:
            seen_tags.see(self.target.segmentation)

    def follow_undo(self, collects: bool = False) -> None:
        """Where a tag has changed, an edit was taken back or done again: the prompts go along, also those of
        other segments.

        collects: whether prompts that came since the last answer stay, as with updates off: they were never
        part of what is undone.
        """
        target = self.target
        if target.volume is None or target.segmentation is None:
            return
        changed = seen_tags.changed(target.segmentation)
        self.see_tags()
        if not changed:
            return
        self._updates.withdraw(changed)
        kind = self._views.put_down(target)
        added = self.prompts().added_to(self.answered) if collects else NO_PROMPTS
        with self._watch.own_edit():
            for segment_id in changed:
                state = target.state(segment_id) or SegmentState()
                prompts, muted = target.prompts_of_state(state)
                nodes = target.nodes_of(segment_id)
                stays = added if segment_id == target.segment_id else NO_PROMPTS
                nodes.write(prompts.joined(stays), muted)
                nodes.show(self._views.are_shown and segment_id == target.segment_id)
        if target.segment_id in changed:
            self._updates.unplan()
            self._views.observe(target)
            self._watch.touched = False
            self.see()
            self.answered = self.known if added.is_empty else self._stored().prompts
            self._updates.say(Status("ready", _("Mask and prompts are as they were then.")))
        if kind and target.is_complete:
            self._views.start(target, kind)

    # Whether it is answered

    def has_news(self) -> bool:
        """Whether there are prompts that it wasn't asked with yet. Raises as `prompts`."""
        if not self.target.is_complete or not self.target.nodes.nodes:
            return False
        return self._updates.is_planned or self.prompts() != self.known

    @property
    def is_answered(self) -> bool:
        """Whether the prompts were asked with as they are known, and nothing came in between."""
        return self.known == self.answered and self.target.segment_id not in self._updates.missed

    def waits(self, choices: Choices) -> bool:
        """Whether masks aren't what the prompts and the choices ask for: the segment's, or those of segments
        whose prompts were loaded."""
        return (
            not self.is_answered
            or bool(self._updates.unanswered(self.target))
            or (not self.known.is_empty and choices != self._answered_with)
            or self._has_other_image()
        )

    def what_to_do(self) -> Status:
        """What the user reads when it has just been selected."""
        if self.known != self.answered:
            return Status("ready", _("There are prompts without an answer: press 'Update now'."))
        if self._has_other_image():
            text = _(
                "The mask is of another image: press 'Update now' for one of this image. "
                "Undo brings this one back."
            )
            return Status("ready", text)
        return status.ready(self.target, not self.known.is_empty)

    def _has_other_image(self) -> bool:
        """Whether the mask was made from prompts in another image, or in what the image was before, and can
        be made from them in this one."""
        if not self.known.is_enough or not self.target.is_complete:
            return False
        return self._updates.answers.has_other_image(self.target)

    # Asking

    def ask(self, choices: Choices, more: Iterable[str] = ()) -> None:
        """Ask for the segment, and for more that each are asked for alone; or at once for all that have
        prompts, if they share out the voxels.

        Raises InputError if no segment is selected or it is marked as completed, for what can't be read, and
        for prompts that contradict each other.
        """
        target, selected = self.target, self.target.segment_id
        if not target.is_complete:
            raise InputError(_("There is no segment to fill: choose an image and press N for a new segment."))
        if target.segment(selected) is None:
            return  # it has just been removed
        along, unreadable = self.usable_prompts() if choices.together else target.readable(more)
        opened = [s for s in target.segment_ids if not is_completed(target.segment(s))]
        self._updates.left_out = set(opened).intersection(unreadable) - {selected}
        # The selected one also without prompts: its mask goes with the last of them.
        ids = [s for s in opened if s == selected or s in along]
        self._is_refused = selected not in ids
        if not ids:
            check_is_not_completed(target.segment(selected))
        if selected in ids:
            self.see()
            self.answered = self.known
            self._answered_with = choices
        for shared in [ids] if choices.together else [[segment_id] for segment_id in ids]:
            self._updates.start(target, shared, choices.settings)
        self.see_tags()
        self.check_is_not_refused()

    def check_is_not_refused(self) -> None:
        """Raises InputError where the segment waits for its answer in vain: others that it was asked for with
        have theirs, and it is marked as completed."""
        if self._is_refused and not self.is_answered:
            check_is_not_completed(self.target.segment(self.target.segment_id))

    def is_opened_again(self) -> bool:
        """Whether it was asked for while it was marked as completed, and isn't any more. Tells it once."""
        segment = self.target.segment(self.target.segment_id) if self._is_refused else None
        if segment is None or is_completed(segment):
            return False
        self._is_refused = False
        return True

    def usable_prompts(self) -> tuple[dict[str, PromptSet], list[str]]:
        """The prompts of all segments of the segmentation that the network can be asked for by them alone,
        and the segments whose prompts can't be read."""
        target = self.target
        if target.volume is None:
            return {}, []
        with self._watch.own_edit():
            prompts, unreadable = target.readable(target.segment_ids)
        return {segment_id: own for segment_id, own in prompts.items() if own.is_enough}, unreadable
