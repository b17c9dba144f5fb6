"""Numbers and places as a radiologist reads them."""

from __future__ import annotations

import pytest
from ensam.measures import Measures


@pytest.fixture
def words(an_application):
    from ENSAMSegmentGUI import words

    return words


@pytest.mark.parametrize(
    ("millilitres", "expected"),
    [(0, "0.0 mL"), (0.0314, "31 mm³"), (0.314, "0.3 mL"), (152.34, "152.3 mL")],
)
def test_a_small_volume_is_told_in_cubic_millimetres(words, millilitres, expected):
    assert words.volume_text(millilitres) == expected


def test_a_position_names_the_sides_of_the_patient(words):
    assert words.position_text((1.25, 2.0, -3.0)) == "R 1.2, A 2.0, I 3.0"
    assert words.position_text((-0.04, 0.0, 0.0)) == "R 0.0, A 0.0, S 0.0"
    assert words.position_text((-1.0, -2.0, 3.0)) == "L 1.0, P 2.0, S 3.0"


def test_points_are_counted_from_one(words):
    assert words.prompt_name("box", 0) == "Box"
    assert words.prompt_name("foreground", 0) == "Foreground 1"
    assert words.prompt_name("background", 2) == "Background 3"


def test_without_measures_there_is_nothing_to_say(words):
    assert words.measure_text("liver", None, None) == ""


def test_a_tool_says_what_a_click_does_and_how_to_stop(words):
    assert words.placing_text("") == ""
    assert "corners of the box" in words.placing_text("box")
    for kind, key in (("foreground", "F"), ("background", "B")):
        assert f"{key} or a right-click: stop" in words.placing_text(kind)


def test_small_diameters_are_told_in_tenths(words):
    small = Measures(0.05, 9.64, 4.2, 3)
    assert words.measure_text("node", small, None) == 'node: 50 mm³, <a href="diameters">9.6 × 4.2 mm</a>'


def test_a_segments_name_is_shown_as_it_is(words):
    text = words.measure_text("T1 <b> & T2", Measures(0.05, 9.64, 4.2, 3), None)
    assert text.startswith("T1 &lt;b&gt; &amp; T2: ")
