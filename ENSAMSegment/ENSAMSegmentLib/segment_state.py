"""What ENSAM remembers with a segment, in two of its tags.

Tags are saved in scenes and in .seg.nrrd files, and Slicer's undo takes them back together with the mask:
so the prompts return with the mask that they made.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

import slicer
import vtk
from ensam.errors import PromptError
from ensam.prompts import PromptSet, SegmentPrompts, from_json, one_line, to_json

from .translation import tr as _

PROMPTS_TAG = "ENSAM.Prompts"  # base64 of the prompts JSON, as files and the command line have it
STATE_TAG = "ENSAM.State"  # base64 of a JSON object: the rest
NO_PROMPTS = PromptSet()


@dataclass(frozen=True)
class SegmentState:
    """The prompts that a segment's mask answers, and what the mask was made from.

    prompts, muted: in the source volume's RAS; muted ones were set aside by the user. mask, voxels:
    fingerprints of the mask as written, on the volume's grid and on the segment's own; if both are others, it
    was edited since. Another volume shows the same voxels as another mask, and a file may keep the same mask
    in other voxels. base, base_prompts: fingerprint of the mask that was edited by hand and the prompts of
    that time; "" where the prompts alone made the mask. place: the source volume, see `places.note_place`.
    """

    prompts: PromptSet = NO_PROMPTS
    muted: PromptSet = NO_PROMPTS
    mask: str = ""
    base: str = ""
    base_prompts: PromptSet = NO_PROMPTS
    voxels: str = ""
    place: str = ""


def read_state(segment: slicer.vtkSegment) -> SegmentState | None:
    """What is remembered with a segment; None where ENSAM has not been.

    Raises PromptError if it is damaged.
    """
    prompts = get_tag(segment, PROMPTS_TAG)
    if not prompts:
        return None
    try:
        rest = _decode(get_tag(segment, STATE_TAG))
        return SegmentState(
            _prompts(_decode(prompts)),
            _prompts(rest.get("muted")),
            _text(rest.get("mask", "")),
            _text(rest.get("base", "")),
            _prompts(rest.get("base_prompts")),
            _text(rest.get("voxels", "")),
            _text(rest.get("place", "")),
        )
    except (ValueError, AttributeError, RecursionError) as error:
        raise PromptError(
            _(
                "The prompts stored with the segment '{segment}' are damaged: draw its box and points again."
            ).format(segment=segment.GetName())
        ) from error


def write_state(segment: slicer.vtkSegment, state: SegmentState) -> None:
    """Remember a state with its segment. Slicer drops what could be redone, as after any other edit."""
    rest = {
        "mask": state.mask,
        "voxels": state.voxels,
        "base": state.base,
        "muted": _document(state.muted, segment),
        "base_prompts": _document(state.base_prompts, segment),
        "place": state.place,
    }
    segment.SetTag(PROMPTS_TAG, _encode(_document(state.prompts, segment)))
    segment.SetTag(STATE_TAG, _encode(rest))


class SeenTags:
    """The prompts' tags of segments as ENSAM last saw them, by the segmentation's ID.

    Module and effects take turns, and each has to notice what was undone while none of them looked.
    """

    def __init__(self) -> None:
        self._tags: dict[str, dict[str, str]] = {}

    def see(self, segmentation: slicer.vtkMRMLSegmentationNode) -> None:
        """Nothing has changed from here on."""
        self._tags[segmentation.GetID()] = _tags_of(segmentation)

    def changed(self, segmentation: slicer.vtkMRMLSegmentationNode) -> list[str]:
        """The segments whose tag is another than was last seen."""
        seen = self._tags.get(segmentation.GetID(), {})
        return [s for s, tag in _tags_of(segmentation).items() if tag != seen.get(s, tag)]

    def forget(self) -> None:
        """The scene is another one."""
        self._tags.clear()


seen_tags = SeenTags()


def _tags_of(segmentation: slicer.vtkMRMLSegmentationNode) -> dict[str, str]:
    segments = segmentation.GetSegmentation()
    return {s: get_tag(segments.GetSegment(s), PROMPTS_TAG) for s in segments.GetSegmentIDs()}


def get_tag(segment: slicer.vtkSegment, name: str) -> str:
    """The text of a segment's tag, "" if there is none."""
    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""


def prompts_name(segment: slicer.vtkSegment) -> str:
    """The segment's name as the prompts JSON allows it: one line of text."""
    return one_line(segment.GetName() or "").strip() or "segment"


def _document(prompts: PromptSet, segment: slicer.vtkSegment) -> Any:
    return json.loads(to_json([SegmentPrompts(prompts_name(segment), prompts)]))


def _prompts(document: Any) -> PromptSet:
    if document is None:
        return NO_PROMPTS
    (segment,) = from_json(json.dumps(document))
    return segment.prompts


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("Fingerprints and places are text.")
    return value


# A "|" in a tag would end it in a .seg.nrrd file: base64 has none.
def _encode(document: Any) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode("ascii")


def _decode(text: str) -> Any:
    return json.loads(base64.b64decode(text, validate=True)) if text else {}
