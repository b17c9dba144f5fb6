"""Prompts are values: the same prompts are equal in any order, and JSON keeps them to the last bit."""

import json
import math

import numpy as np
import pytest
from ensam.errors import InputError, OutputError, PromptError
from ensam.prompts import (
    Box,
    Point,
    PromptSet,
    SegmentPrompts,
    from_json,
    one_line,
    read_prompts,
    to_json,
    write_prompts,
)
from fuzzing import inputs
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

fast = inputs(60)
numbers = st.floats(-1e6, 1e6)
vectors = st.tuples(numbers, numbers, numbers)
boxes = st.builds(
    lambda center, size, angles: Box(
        center, size, tuple(map(tuple, Rotation.from_euler("xyz", angles).as_matrix().tolist()))
    ),
    vectors,
    st.tuples(*[st.floats(1e-3, 1e4)] * 3),
    st.tuples(*[st.floats(-3, 3)] * 3),
)
point_tuples = st.lists(
    st.builds(Point, vectors, st.booleans()), max_size=6, unique_by=lambda point: point.position_ras
).map(tuple)
prompt_sets = st.builds(PromptSet, st.none() | boxes, point_tuples)
names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)
documents = st.lists(st.builds(SegmentPrompts, names, prompt_sets), max_size=3, unique_by=lambda s: s.name)

keys = st.sampled_from(["center_ras", "size_mm", "axes_ras", "position_ras", "label"])
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)

POINT = {"position_ras": [1, 2, 3], "label": "foreground"}
BOX = {"center_ras": [0, 0, 0], "size_mm": [1, 2, 3], "axes_ras": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}


def document(version=1, **segment):
    return json.dumps({"version": version, "segments": [{"name": "liver", **segment}]})


@fast
@given(prompt_sets, st.randoms())
def test_the_order_of_the_points_and_repeats_do_not_matter(prompts, random):
    shuffled = list(prompts.points) * 2
    random.shuffle(shuffled)
    other = PromptSet(prompts.box, tuple(shuffled))
    assert other == prompts and hash(other) == hash(prompts)
    assert to_json([SegmentPrompts("a", other)]) == to_json([SegmentPrompts("a", prompts)])


def test_a_point_that_moves_makes_another_prompt_set():
    assert PromptSet(points=(Point((1, 2, 3), True),)) != PromptSet(points=(Point((1, 2, 3.001), True),))
    assert PromptSet(points=(Point((1, 2, 3), True),)) != PromptSet(points=(Point((1, 2, 3), False),))


@pytest.mark.parametrize("foreground", ["background", "foreground", 1, None, np.array(True)])
def test_a_point_is_foreground_or_not_and_nothing_else(foreground):
    with pytest.raises(PromptError, match="foreground=True"):
        Point((1, 2, 3), foreground)


def test_numpys_booleans_are_as_good_as_pythons():
    assert Point((1, 2, 3), np.bool_(False)) == Point((1, 2, 3), False)


@pytest.mark.parametrize("name", ["肝臓\u3000右葉", "foie\xa0droit", "می\u200cخواهم", "a  b"])
def test_a_name_may_be_written_as_any_language_does(name):
    (read,) = from_json(to_json([SegmentPrompts(name, PromptSet())]))
    assert read.name == name == one_line(name)


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\x7f", "a\u2028b", "a\u2029b", "a\ud800"])
def test_a_name_of_more_than_a_line_is_refused(name):
    with pytest.raises(PromptError, match="one line of text"):
        SegmentPrompts(name, PromptSet())
    assert SegmentPrompts(one_line(name), PromptSet()).name == one_line(name)


def test_negative_zero_is_zero():
    assert math.copysign(1, Point((-0.0, 0, 0), True).position_ras[0]) == 1


def test_a_prompt_set_is_empty_without_box_and_points_only():
    assert PromptSet().is_empty
    assert not PromptSet(Box((0, 0, 0), (1, 1, 1))).is_empty
    assert not PromptSet().with_point(Point((0, 0, 0), False)).is_empty


def test_with_point_keeps_the_box_and_the_old_set():
    before = PromptSet(Box((0, 0, 0), (1, 1, 1)), (Point((1, 1, 1), True),))
    after = before.with_point(Point((0, 0, 0), True))
    assert after.box == before.box and len(after.points) == 2 and len(before.points) == 1


def test_a_box_or_a_foreground_point_is_enough():
    on, off, box = Point((1, 2, 3), True), Point((4, 5, 6), False), Box((0, 0, 0), (9, 9, 9))
    given = ((None, ()), (None, (off,)), (None, (on,)), (box, ()), (box, (off,)))
    assert [PromptSet(*one).is_enough for one in given] == [False, False, True, True, True]


def test_what_was_added_is_told_and_joined_to_other_prompts():
    on, off, box = Point((1, 2, 3), True), Point((4, 5, 6), False), Box((0, 0, 0), (9, 9, 9))
    before, now = PromptSet(None, (on,)), PromptSet(box, (on, off))
    added = now.added_to(before)
    assert added == PromptSet(box, (off,))
    assert before.joined(added) == now
    assert PromptSet(None, (off,)).added_to(before).is_empty  # one is gone: moved, perhaps
    # What is there already stays as it is.
    other = PromptSet(Box((0, 0, 0), (1, 1, 1)), (Point((4, 5, 6), True),))
    assert other.joined(added) == other


def test_a_position_that_is_both_foreground_and_background_is_refused():
    with pytest.raises(PromptError, match=r"1, 2, 3\.25 mm is marked both"):
        PromptSet(points=(Point((1, 2, 3.25), True), Point((9, 9, 9), True), Point((1, 2, 3.25), False)))


@fast
@given(boxes)
def test_the_corners_of_a_box_lie_at_half_its_size_along_each_axis(box):
    corners = box.corners_ras()
    assert corners.shape == (8, 3)
    along_axes = (corners - box.center_ras) @ np.array(box.axes_ras).T
    assert np.allclose(np.abs(along_axes), np.array(box.size_mm) / 2, atol=1e-6, rtol=1e-6)
    assert len(np.unique(np.sign(along_axes), axis=0)) == 8


def test_a_box_from_bounds_has_these_bounds():
    box = Box.from_bounds_ras((-1, 2, 3), (1, 6, 9))
    assert box == Box((0, 4, 6), (2, 4, 6))
    assert box.corners_ras().min(axis=0).tolist() == [-1, 2, 3]
    assert box.corners_ras().max(axis=0).tolist() == [1, 6, 9]


@pytest.mark.parametrize("upper", [(1, 1, 0), (1, 1, -1)])
def test_an_empty_box_is_refused(upper):
    with pytest.raises(PromptError, match="box is empty"):
        Box.from_bounds_ras((0, 0, 0), upper)


@pytest.mark.parametrize(
    "axes",
    [
        ((2, 0, 0), (0, 1, 0), (0, 0, 1)),
        ((1, 0, 0), (0.1, 1, 0), (0, 0, 1)),
        ((1, 0, 0), (0, 1, 0)),
        ((1e300, 0, 0), (0, 1, 0), (0, 0, 1)),
    ],
    ids=["too long", "slanted", "two", "huge"],
)
def test_axes_that_are_not_orthonormal_are_refused(axes):
    with pytest.raises(PromptError, match="right angles"):
        Box((0, 0, 0), (1, 1, 1), axes)


@pytest.mark.parametrize("position", [(1, 2, math.nan), (1, 2, math.inf), (1, 2), (1, 2, "3"), 7, None])
def test_a_position_that_is_not_three_finite_numbers_is_refused(position):
    with pytest.raises(PromptError, match="three finite numbers"):
        Point(position, True)


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", None])
def test_a_segment_name_that_is_not_a_line_of_text_is_refused(name):
    with pytest.raises(PromptError, match="name of one line"):
        SegmentPrompts(name, PromptSet())


@fast
@given(documents)
def test_json_gives_back_exactly_the_same_prompts(segments):
    assert from_json(to_json(segments)) == tuple(segments)


def test_prompts_are_close_that_differ_by_rounding_and_in_nothing_else():
    box, near = Box((0, 0, 0), (1, 2, 3)), Box((0, 0, 1e-5), (1, 2, 3))
    points = (Point((1, 2, 3), True), Point((1, 2, 4), False))
    rounded = (Point((1 + 1e-9, 2, 3), True), Point((1, 2, 4 - 1e-9), False))
    prompts = PromptSet(box, points)
    assert prompts.is_close(PromptSet(near, rounded)) and PromptSet().is_close(PromptSet())
    for other in (
        PromptSet(None, points),
        PromptSet(box, points[:1]),
        PromptSet(Box((0, 0, 1e-2), (1, 2, 3)), points),
        PromptSet(box, (points[0], Point((1, 2, 4), True))),
        PromptSet(box, (points[0], Point((1, 2, 4.01), False))),
    ):
        assert not prompts.is_close(other) and not other.is_close(prompts)


def test_json_has_the_agreed_form():
    segments = [SegmentPrompts("liver", PromptSet(Box((0, 0, 0), (1, 2, 3)), (Point((1, 2, 3), True),)))]
    written = json.loads(to_json(segments))
    assert written == {"version": 1, "segments": [{"name": "liver", "box": BOX, "points": [POINT]}]}


def test_box_and_points_may_be_left_out():
    (segment,) = from_json(document())
    assert segment == SegmentPrompts("liver", PromptSet())
    assert from_json(document(box=None)) == (segment,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a JSON object"),
        ('{"version": 1}', "lacks 'segments'"),
        ('{"version": 1, "segments": {}}', "not a JSON list"),
        ('{"version": 1, "segments": [3]}', "Segment 1 is not a JSON object"),
        ('{"version": 1, "segments": [{}]}', "Segment 1 lacks 'name'"),
        ('{"version": 1, "segments": [{"name": 3}]}', "name of one line"),
        ('{"version": 1, "segments": [{"name": "a"}, {"name": "a"}]}', "Two segments are called 'a'"),
        (document(version=2), "version other than 1"),
        (document(version=True), "version other than 1"),
        (document(version="1"), "version other than 1"),
        (document(point=[]), "Segment 1 has the unknown key 'point'"),
        (document(points={}), "'points' of 'liver' is not a JSON list"),
        (document(points=[POINT, {**POINT, "label": "maybe"}]), "Point 2 of 'liver' has the label 'maybe'"),
        (document(points=[{**POINT, "label": ["foreground"]}]), "use 'foreground' or 'background'"),
        (document(points=[{"label": "foreground"}]), "Point 1 of 'liver' lacks 'position_ras'"),
        (document(points=[{**POINT, "position_ras": [1, math.nan, 3]}]), "Point 1 of 'liver': 'posi"),
        (document(points=[{**POINT, "position_ras": [1, 2, 10**400]}]), "three finite numbers"),
        (document(points=[{**POINT, "position_ras": [1, 2, True]}]), "three finite numbers"),
        (document(points=[POINT, {**POINT, "label": "background"}]), "both foreground and background"),
        (document(box=[]), "The box of 'liver' is not a JSON object"),
        (document(box={**BOX, "size_mm": [1, 0, 1]}), "box is empty"),
        (document(box={**BOX, "size_mm": [1, 1]}), "The box of 'liver': 'size_mm'"),
        (document(box={**BOX, "axes_ras": [[1, 0, 0], [1, 0, 0], [0, 0, 1]]}), "right angles"),
        (document(box={"center_ras": [0, 0, 0]}), "The box of 'liver' lacks 'axes_ras'"),
    ],
)
def test_a_wrong_document_is_refused_in_one_sentence(text, message):
    with pytest.raises(PromptError) as raised:
        from_json(text)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value) and str(raised.value).endswith(".")


@fast
@given(st.dictionaries(st.sampled_from(["box", "points"]), json_values), st.text(max_size=3))
def test_no_document_breaks_the_reader(segment, name):
    text = json.dumps({"version": 1, "segments": [{"name": name, **segment}]})
    try:
        segments = from_json(text)
    except PromptError as error:
        assert "\n" not in str(error)
        return
    assert len(segments) == 1


def test_a_file_of_prompts_reads_back(tmp_path):
    segments = (SegmentPrompts("Léber", PromptSet(points=(Point((0.1, 0.2, 0.3), False),))),)
    write_prompts(tmp_path / "p.json", segments)
    assert read_prompts(tmp_path / "p.json") == segments
    assert [file.name for file in tmp_path.iterdir()] == ["p.json"]


def test_a_file_that_an_editor_marked_as_utf8_reads_too(tmp_path):
    (tmp_path / "p.json").write_text(document(points=[POINT]), encoding="utf-8-sig")
    assert len(read_prompts(tmp_path / "p.json")[0].prompts.points) == 1


def test_a_missing_file_and_one_that_is_not_text_are_refused_by_name(tmp_path):
    with pytest.raises(PromptError, match=r"There is no prompts file '.*missing\.json': check"):
        read_prompts(tmp_path / "missing.json")
    (tmp_path / "p.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PromptError, match=r"'p\.json' isn't text"):
        read_prompts(tmp_path / "p.json")


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    with pytest.raises(OutputError, match="can't be written"):
        write_prompts(tmp_path / "no folder" / "p.json", [])
    (tmp_path / "p.json").mkdir()
    with pytest.raises(InputError, match="can't be written"):
        write_prompts(tmp_path / "p.json", [])
    assert [file.name for file in tmp_path.iterdir()] == ["p.json"]
