"""Whatever a prompts file holds, it is read or refused in one sentence.

For 100 times as many inputs, other ones each time: FUZZ=100 python -m pytest Testing/pure/test_hostile_*
"""

from __future__ import annotations

import json
import os
import warnings

import numpy as np
import pytest
from ensam import files
from ensam.errors import InputError, PromptError
from ensam.manifest import read_manifest
from ensam.prompts import Box, PromptSet, from_json, read_prompts
from ensam.session import InteractiveSession
from fuzzing import inputs
from hypothesis import given
from hypothesis import strategies as st

from .hostile import DEEP, PROMPTS, VALUES, damaged, one_sentence
from .tiny import blob_volume, tiny_checkpoint


@inputs(150)
@given(text=damaged(PROMPTS).map(json.dumps) | st.text() | VALUES.map(json.dumps))
def test_any_prompts_text_is_read_or_refused(text):
    try:
        assert all(isinstance(one.prompts, PromptSet) for one in from_json(text))
    except PromptError as error:
        assert one_sentence(error)


@pytest.fixture(scope="module")
def a_session(tmp_path_factory):
    session = InteractiveSession(tiny_checkpoint(tmp_path_factory.mktemp("tiny")), "cpu")
    session.set_volume(blob_volume())
    return session


@inputs(60)
@given(document=damaged(PROMPTS))
def test_prompts_that_were_read_can_be_asked_about_or_are_refused(a_session, document):
    try:
        segments = from_json(json.dumps(document))
        for one in segments:
            preview = a_session.preview(one.prompts)
            assert min(preview.window_voxels) > 0 and np.prod(preview.window_voxels) <= 2 * 24**3
    except InputError as error:
        assert one_sentence(error)


def one_segment(rest):
    return '{"version": 1, "segments": [{"name": "a", ' + rest + "}]}"


HOSTILE = {
    "deep": DEEP,
    "deep within": '{"version": 1, "segments": ' + DEEP,
    "many of one name": '{"version": 1, "segments": [' + ",".join(['{"name": "a"}'] * 20_000) + "]}",
    "a key twice": one_segment('"points": [], "points": []'),
    "a long key": one_segment('"' + "x" * 10**6 + '": 1'),
    "a long label": one_segment('"points": [{"position_ras": [1, 2, 3], "label": "%s"}]' % ("x" * 10**6)),
    "a long number": '{"version": ' + "1" * 10_000 + ', "segments": []}',
    "not a number": one_segment('"points": [{"position_ras": [NaN, 0, 0], "label": "foreground"}]'),
    "half a character": '{"version": 1, "segments": [{"name": "\\ud800"}]}',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_prompts_are_refused(text):
    with pytest.raises(PromptError) as error:
        from_json(text)
    assert one_sentence(error)


def test_many_segments_are_read_in_their_order():
    names = [f"lesion {number}" for number in range(20_000)]
    text = json.dumps({"version": 1, "segments": [{"name": name} for name in names]})
    assert [one.name for one in from_json(text)] == names


def test_texts_larger_than_any_and_pipes_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_TEXT_BYTES", 10)
    (tmp_path / "large.json").write_text(json.dumps(PROMPTS))
    os.mkfifo(tmp_path / "pipe.json")
    for name, prompts, manifest in (
        ("large.json", "can't be opened", "can't be read"),
        ("pipe.json", "no prompts file", "no manifest"),
    ):
        with pytest.raises(PromptError, match=prompts):
            read_prompts(tmp_path / name)
        with pytest.raises(InputError, match=manifest):
            read_manifest(tmp_path / name)


@inputs(40)
@given(
    center=st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 3),
    size=st.tuples(*[st.floats(1e-300, 1e300)] * 3),
)
def test_any_box_is_asked_about_or_refused(a_session, center, size):
    try:
        with warnings.catch_warnings(action="error"):  # numpy would print them
            preview = a_session.preview(PromptSet(Box(center, size)))
        assert min(preview.window_voxels) > 0
    except InputError as error:
        assert one_sentence(error)
