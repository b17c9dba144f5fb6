"""Damaged and hostile contents for the tests of readers, and what a refusal must be."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import strategies as st

NUMBERS = st.integers() | st.floats() | st.sampled_from([0, -1, 2**31, 2**63, 10**400, 1e308, 5e-324])
LEAVES = st.none() | st.booleans() | NUMBERS | st.text(max_size=20)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
)
DEEP = "[" * 100_000

PROMPTS = {
    "version": 1,
    "segments": [
        {
            "name": "liver",
            "box": {
                "center_ras": [38, 44, 70],
                "size_mm": [20, 20, 20],
                "axes_ras": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
            },
            "points": [{"position_ras": [38, 44, 70], "label": "foreground"}],
        },
        {"name": "spleen", "points": [{"position_ras": [30, 40, 60], "label": "background"}]},
    ],
}


def places(value, place=()):
    """All keys and indices at which something lies in a nest of dicts and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*place, key)
        yield from places(inner, (*place, key))


@st.composite
def damaged(draw, document):
    """The document with one to three of its parts gone, doubled, or something else."""
    document = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(document))
        if not found:
            break
        *way, last = draw(st.sampled_from(found))
        holder = document
        for key in way:
            holder = holder[key]
        if draw(st.booleans()):
            holder[last] = draw(VALUES)
        elif isinstance(holder, list):
            holder.extend([holder[last]] * draw(st.integers(0, 2)))
        else:
            del holder[last]
    return document


@st.composite
def with_other_bytes(draw, content, first=0, last=None):
    """The content with a few bytes in a part of it changed, or cut off."""
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(first, (last or len(content)) - 1))
        content[at] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.sampled_from([len(content), draw(st.integers(0, len(content)))]))])


def object_array(items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def one_sentence(error):
    """What a refusal must be."""
    text = str(error.value if hasattr(error, "value") else error)
    assert text.endswith(".") and "Traceback" not in text and len(text) < 2000
    return True
