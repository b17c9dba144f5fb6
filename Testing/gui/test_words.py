"""Numbers and places as a radiologist reads them."""

from __future__ import annotations

import pytest


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
