"""Slicer's views on a logic, drawn off-screen."""

from __future__ import annotations

import numpy as np
import pytest
from ENSAMSegmentLib.logic import ENSAMSegmentLogic

from ..nodes import add_volume
from ..views import SliceView
from .mouse import CENTRE, FIELD_MM, GREY, SHAPE, name_segment


@pytest.fixture(scope="module", autouse=True)
def _in_views(off_screen_rendering):
    """All tests here draw."""


@pytest.fixture
def a_logic(an_mrml_scene, a_worker_of_it):
    voxels = np.full(SHAPE, GREY, np.int16)
    voxels[0, 0, 0] = GREY + 1  # an image with a single value is refused
    ijk_to_ras = np.array([[1.2, 0, 0, 0], [0, 1.0, 0, -19], [0, 0, 2.0, 51], [0, 0, 0, 1.0]])
    volume = add_volume(an_mrml_scene, voxels, ijk_to_ras, "CT chest")
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevelMinMax(0, 255)
    logic = ENSAMSegmentLogic(worker=a_worker_of_it)
    logic.select(volume)
    name_segment(logic, "liver")
    yield logic
    logic.cleanup()


@pytest.fixture
def a_slice_view(an_application, a_logic):
    view = SliceView(an_application, "Axial", a_logic.volume, CENTRE, FIELD_MM)
    yield view
    view.close()
