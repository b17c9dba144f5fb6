"""From segments and their prompts to a question for the network, and from its answer to the new masks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import slicer
from ensam.edits import follow_prompts
from ensam.errors import InputError
from ensam.geometry import Grid
from ensam.masks import EMPTY, MaskCrop
from ensam.measures import fingerprint
from ensam.prompts import PromptSet
from ensam.volume import Volume
from ensam.worker import Job, Request, Settings, Worker

from .labelmaps import voxels_of
from .places import note_place
from .prompt_nodes import PromptNodes
from .segment_state import NO_PROMPTS, STATE_TAG, SegmentState, get_tag, write_state
from .segment_writer import SegmentWriter
from .segments import read_segment
from .target import Target
from .translation import tr as _
from .volumes import ijk_to_ras, volume_from_node

_BASES_BYTES = 1 << 28


@dataclass(frozen=True, eq=False)
class Question:
    """One segment as it was when it was asked for.

    mask: what it held, with the fingerprint key. base: the mask that the user edited by hand, which stays
    except where prompts change it, with the prompts of that time; None where the prompts alone decide.
    is_anew: whether what was edited is left to another image.
    """

    segment_id: str
    prompts: PromptSet
    muted: PromptSet
    mask: MaskCrop = field(repr=False)
    key: str
    base: MaskCrop | None = field(repr=False)
    base_prompts: PromptSet
    is_anew: bool

    @property
    def needs_network(self) -> bool:
        """Without prompts, or with those of the edited mask, what was there is the answer."""
        return not self.prompts.is_empty and (self.base is None or self.prompts != self.base_prompts)

    def answer(self, result: MaskCrop | None, grid: Grid) -> MaskCrop:
        """The segment's new mask from the network's result, None where the network wasn't asked."""
        if result is None:
            return self.base or EMPTY
        if self.base is None:
            return result
        return follow_prompts(self.base, result, self.base_prompts, self.prompts, grid)


@dataclass(frozen=True, eq=False)
class Written:
    """One segment's mask before and after, on the volume's grid."""

    before: MaskCrop
    after: MaskCrop


@dataclass(frozen=True, eq=False)
class Asking:
    """Questions on their way to an answer; job is None where no network is needed for it."""

    target: Target
    settings: Settings
    volume: Volume
    image: tuple[object, ...]  # see `_image_of`
    questions: tuple[Question, ...]
    job: Job | None

    @property
    def segment_ids(self) -> tuple[str, ...]:
        return tuple(question.segment_id for question in self.questions)


class Bases:
    """Masks that users edited by hand, by their fingerprint: within a bound, the oldest go first."""

    def __init__(self) -> None:
        self._masks: OrderedDict[str, MaskCrop] = OrderedDict()

    def get(self, key: str) -> MaskCrop | None:
        return self._masks.get(key)

    def keep(self, mask: MaskCrop) -> str:
        """Keep a mask; gives its fingerprint."""
        key = fingerprint(mask)
        # A copy: the crop may be a view of a labelmap as large as the volume.
        self._masks[key] = MaskCrop(mask.mask.copy(), mask.offset)
        self._masks.move_to_end(key)
        while len(self._masks) > 1 and sum(b.mask.nbytes for b in self._masks.values()) > _BASES_BYTES:
            self._masks.popitem(last=False)
        return key

    def __len__(self) -> int:
        return len(self._masks)

    def forget(self) -> None:
        """The scene is another one."""
        self._masks.clear()


# Module and effects take turns on one segment: what one keeps, the other goes on from.
bases = Bases()


class Answers:
    """Asks about segments and writes what comes back, one undo state each time.

    A mask that the user edited is kept as the base of all that follows, so that the same prompts go on
    giving the same mask.
    """

    def __init__(self, writer: SegmentWriter, worker: Worker) -> None:
        self.writer, self._worker = writer, worker
        self._volume: tuple[tuple, Volume] | None = None
        self._findings: tuple[tuple, dict[str, object]] | None = None  # of the volume that was given back
        # What each segment was answered in, for each of its states: undo brings the one before back.
        self._images: dict[tuple[object, ...], tuple[object, ...]] = {}

    def ask(self, target: Target, segment_ids: Sequence[str], settings: Settings) -> Asking:
        """Hand the segments' prompts to the worker. Raises InputError for what can't be read."""
        volume, image = self._read_volume(target.volume), _image_of(target.volume)
        nodes = target.nodes_of_all()
        questions = tuple(self._question(target, nodes[segment_id]) for segment_id in segment_ids)
        asked = [q for q in questions if q.needs_network]
        if not asked:
            return Asking(target, settings, volume, image, questions, None)
        request = Request(volume, tuple(q.prompts for q in asked), tuple(q.base for q in asked), settings)
        return Asking(target, settings, volume, image, questions, self._worker.submit(request))

    def exists(self, asking: Asking) -> bool:
        """Whether all that was asked about is still in the scene."""
        scene = asking.target.segmentation.GetScene()
        if scene is None or scene is not asking.target.volume.GetScene():
            return False
        return all(asking.target.segment(segment_id) is not None for segment_id in asking.segment_ids)

    def is_unchanged(self, asking: Asking) -> bool:
        """Whether image and masks are as they were when they were asked about; all must exist.

        Raises InputError where a mask that is to be made anew was edited meanwhile: asked about once more,
        what was edited would be left to the other image too.
        """
        edited = [question for question in asking.questions if _is_edited(asking.target, question)]
        if any(question.is_anew for question in edited):
            raise InputError(
                _(
                    "The mask was edited before its answer came, and stays like that: press 'Update now' "
                    "again for one of this image. Undo brings this one back."
                )
            )
        return not edited and self._read_volume(asking.target.volume) is asking.volume

    @staticmethod
    def has_other_prompts(asking: Asking) -> bool:
        """Whether prompts have changed since they were asked about."""
        nodes = asking.target.nodes_of_all()
        return any(nodes[q.segment_id].prompts() != q.prompts for q in asking.questions)

    def write(self, asking: Asking) -> tuple[Mapping[str, Written], float]:
        """Write the answers of an asking that is done and still holds.

        Returns the masks by segment ID, and the share of them that other segments kept, from 0 to 1.

        Raises InputError and VolumeError as `SegmentWriter.write`; no prompts count as answered then.
        """
        asked = [q.segment_id for q in asking.questions if q.needs_network]
        results = dict(zip(asked, asking.job.results if asking.job else (), strict=True))
        grid, target = asking.volume.grid, asking.target
        masks = {q.segment_id: q.answer(results.get(q.segment_id), grid) for q in asking.questions}
        held_back = self.writer.write(target.segmentation, target.volume, masks)
        written = {q.segment_id: self._remember(target, q) for q in asking.questions}
        for segment_id in written:
            self._images[_state_of(target, segment_id)] = asking.image
        return written, held_back

    def suppose_image(self, target: Target) -> None:
        """A selected segment that wasn't answered here was made in the image that it is shown with first."""
        self._images.setdefault(_state_of(target, target.segment_id), _image_of(target.volume))

    def has_other_image(self, target: Target) -> bool:
        """Whether the selected segment was answered in another image, or in what the image was before."""
        known = self._images.get(_state_of(target, target.segment_id))
        return known is not None and known != _image_of(target.volume)

    def _remember(self, target: Target, question: Question) -> Written:
        # Masking and the other segments may have kept voxels back: what counts is what is there.
        mask = read_segment(target.segmentation, question.segment_id, target.volume)
        base = "" if question.base is None else bases.keep(question.base)
        segment = target.segment(question.segment_id)
        state = SegmentState(
            question.prompts,
            question.muted,
            fingerprint(mask),
            base,
            question.base_prompts,
            fingerprint(voxels_of(segment)),
            note_place(target.volume),
        )
        write_state(segment, state)
        return Written(question.mask, mask)

    def _question(self, target: Target, nodes: PromptNodes) -> Question:
        prompts, muted, segment_id = nodes.prompts(), nodes.muted(), nodes.segment_id
        mask = read_segment(target.segmentation, segment_id, target.volume)
        key, state = fingerprint(mask), target.state(segment_id)
        base, base_prompts = self._base(mask, key, target.segment(segment_id), state)
        is_anew = self._is_to_be_made_anew(target, segment_id, prompts, state)
        if is_anew:
            base, base_prompts = None, NO_PROMPTS
        return Question(segment_id, prompts, muted, mask, key, base, base_prompts, is_anew)

    def _is_to_be_made_anew(
        self, target: Target, segment_id: str, prompts: PromptSet, state: SegmentState | None
    ) -> bool:
        """Whether the user asks for the selected segment in another image with the prompts that it answers
        already: then what was edited by hand belongs to the image before. Undo brings it back."""
        if segment_id != target.segment_id or not prompts.is_enough or not self.has_other_image(target):
            return False
        # The other image may lie elsewhere, under a transform of its own.
        return state is not None and prompts.is_close(target.prompts_of_state(state)[0])

    def _base(
        self, mask: MaskCrop, key: str, segment: slicer.vtkSegment, state: SegmentState | None
    ) -> tuple[MaskCrop | None, PromptSet]:
        if state is not None and key == state.mask:
            if not state.base:
                return None, NO_PROMPTS
            base = bases.get(state.base)
            if base is not None:
                return base, state.base_prompts
            # The mask comes from a file, and the one it was made from is gone: it is kept itself from now on.
            return mask, state.prompts
        if not key:  # an empty segment, new or erased on purpose: the prompts alone decide
            return None, NO_PROMPTS
        if state is not None and not state.base and fingerprint(voxels_of(segment)) == state.voxels:
            # No one edited it: it is seen on the grid of another image, or from another place.
            return None, NO_PROMPTS
        return mask, NO_PROMPTS if state is None else state.prompts

    def forget_volume(self) -> None:
        """Give the copy of the volume back. What took long to find out about it is kept: whoever paints for a
        moment comes back to the same image."""
        if self._volume is not None:
            key, volume = self._volume
            self._findings = key, volume.findings
        self._volume = None

    def forget(self) -> None:
        """Nothing of the scene is needed any more."""
        self._volume = self._findings = None
        self._images.clear()
        bases.forget()

    def _read_volume(self, node: slicer.vtkMRMLScalarVolumeNode) -> Volume:
        """The node's volume: the same object as long as image and place are the same."""
        key = (*_image_of(node), *ijk_to_ras(node).ravel())
        if self._volume is None or self._volume[0] != key:
            volume = volume_from_node(node)
            if self._findings is not None and self._findings[0] == key:
                volume.adopt(self._findings[1])
            self._volume = key, volume
        return self._volume[1]


def _is_edited(target: Target, question: Question) -> bool:
    """Whether the segment's mask is another one than it was asked about with."""
    mask = read_segment(target.segmentation, question.segment_id, target.volume)
    return fingerprint(mask) != question.key


def _state_of(target: Target, segment_id: str) -> tuple[object, ...]:
    """Tells the states of a segment that were written here from each other and from those of others."""
    segment = target.segment(segment_id)
    # Hashed, since there is one for each answer: the state itself has all prompts in it.
    return (*target.key_of(segment_id), segment and hash(get_tag(segment, STATE_TAG)))


def _image_of(node: slicer.vtkMRMLScalarVolumeNode) -> tuple[object, ...]:
    """Tells one image from another, and from what it was before."""
    image = node.GetImageData()
    return node.GetID(), image and image.GetAddressAsString(""), image and image.GetMTime()
