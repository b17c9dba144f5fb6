"""What is remembered with a segment."""

from __future__ import annotations

import base64

import pytest
import slicer
from ensam.errors import PromptError
from ensam.prompts import Box, Point, PromptSet, from_json
from ENSAMSegmentLib.segment_state import (
    PROMPTS_TAG,
    STATE_TAG,
    SegmentState,
    get_tag,
    read_state,
    write_state,
)

PROMPTS = PromptSet(Box((1, 2, 3), (4, 5, 6)), (Point((1, 2, 3), True), Point((7, 8, 9), False)))
MUTED = PromptSet(None, (Point((0, 0, 1), True),))


@pytest.fixture
def a_segment():
    segment = slicer.vtkSegment()
    segment.SetName('liver | left\n"lobe"')
    return segment


def test_what_is_written_is_read_again(a_segment):
    state = SegmentState(PROMPTS, MUTED, "abc", "def", PromptSet(PROMPTS.box), "ghi")
    write_state(a_segment, state)
    assert read_state(a_segment) == state


def test_a_segment_that_was_never_prompted_has_no_state(a_segment):
    assert read_state(a_segment) is None


def test_the_prompts_tag_is_the_prompts_json_that_files_hold(a_segment):
    write_state(a_segment, SegmentState(PROMPTS))
    text = get_tag(a_segment, PROMPTS_TAG)
    assert "|" not in text  # it would end the tag in a .seg.nrrd file
    (one,) = from_json(base64.b64decode(text).decode())
    assert one.prompts == PROMPTS
    assert one.name == 'liver | left "lobe"'


DEEP = base64.b64encode(b"[" * 100_000).decode()
DAMAGE = ("no base64!", "bm8gSlNPTg==", "WzFd", base64.b64encode(b'{"mask": 3, "base": ""}').decode(), DEEP)
NO_SEGMENT = base64.b64encode(b'{"version": 1, "segments": []}').decode()


@pytest.mark.parametrize(
    ("tag", "text"),
    [(tag, text) for tag in (PROMPTS_TAG, STATE_TAG) for text in DAMAGE] + [(PROMPTS_TAG, NO_SEGMENT)],
)
def test_damage_is_said_in_words(a_segment, tag, text):
    write_state(a_segment, SegmentState(PROMPTS, mask="abc"))
    a_segment.SetTag(tag, text)
    with pytest.raises(PromptError):
        read_state(a_segment)
