"""Whatever the files of a training hold, they are read or refused in one sentence.

For 100 times as many inputs, other ones each time: FUZZ=100 python -m pytest Testing/pure/test_hostile_*
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ensam.errors import InputError
from ensam_training.collection import read_facts
from ensam_training.discovery import find_cases
from ensam_training.recipe import read_arguments
from ensam_training.run_folder import OUTCOME, PROGRESS, RunFolder
from fuzzing import inputs
from hypothesis import given
from hypothesis import strategies as st

from .hostile import DEEP, PROMPTS, VALUES, damaged, one_sentence

FACTS = {
    "version": 1,
    "source": "scene",
    "added": "2026-11-25",
    "patient": "7",
    "image": "ab",
    "segments": ["liver"],
    "prompts": PROMPTS,
}
OUTCOMES = {
    "comparisons": [{"case": "a", "label": 1, "before": [0.5, 0.6], "after": [0.6, 0.7]}],
    "steps": 3,
    "minutes": 0.5,
    "written": True,
    "stopped": False,
    "warning": "",
}
TABLE = "image,label,name,group\na.nrrd,b.nrrd,one,p1\nc.nrrd,d.nrrd,two,p2\n"


def read_or_refused(read):
    try:
        return read()
    except InputError as error:
        assert one_sentence(error)


@inputs(100)
@given(text=damaged(FACTS).map(json.dumps) | st.text() | VALUES.map(json.dumps) | st.just(DEEP))
def test_any_case_json_is_read_or_refused(tmp_path, text):
    path = tmp_path / "case.json"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    read_or_refused(lambda: read_facts(path))


@inputs(100)
@given(text=damaged(OUTCOMES).map(json.dumps) | st.text() | VALUES.map(json.dumps) | st.just(DEEP))
def test_any_word_of_a_training_is_read_or_refused(tmp_path, text):
    for name in (OUTCOME, PROGRESS):
        (tmp_path / name).write_text(text, encoding="utf-8", errors="surrogatepass")
    folder = RunFolder(tmp_path)
    read_or_refused(lambda: folder.outcome and folder.outcome.gain)
    read_or_refused(lambda: folder.progress and folder.progress.is_over)
    read_or_refused(lambda: read_arguments(tmp_path / OUTCOME))


@inputs(100)
@given(text=st.text() | st.lists(st.sampled_from([*TABLE, "\x00", '"', "\n", ",", "/", ".."])).map("".join))
def test_any_table_of_cases_is_read_or_refused(tmp_path, text):
    path = tmp_path / "cases.csv"
    path.write_text(TABLE[: len(text)] + text, encoding="utf-8", errors="surrogatepass", newline="")
    cases = read_or_refused(lambda: find_cases(path))
    # A name becomes a file's in the cache: those that lead elsewhere have a problem, which leaves them out.
    assert all(case.problem or Path(case.name).name == case.name for case in cases or ())


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x80", b""])
def test_bytes_that_are_no_text_are_refused(tmp_path, content):
    for name in ("case.json", PROGRESS, "cases.csv"):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError):
        read_facts(tmp_path / "case.json")
    with pytest.raises(InputError):
        _ = RunFolder(tmp_path).progress
    with pytest.raises(InputError):
        find_cases(tmp_path / "cases.csv")
