"""Volume and diameters of the selected segment, by whatever it was made."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk
from ensam.measures import measure
from ENSAMSegmentLib import updates
from ENSAMSegmentLib.volumes import grid_from_node, points_to_world

from .conftest import SHAPE
from .prompting import (
    draw_box,
    paint,
)


def test_a_jump_to_the_diameters_shows_the_slice_where_the_segment_is_longest(a_logic, an_mrml_scene):
    view = an_mrml_scene.AddNode(slicer.vtkMRMLSliceNode())
    view.SetFieldOfView(100, 100, 1)
    transform = an_mrml_scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.GetMatrixTransformToParent().SetElement(0, 3, 5.0)
    for node in (a_logic.volume, a_logic.segmentation):
        node.SetAndObserveTransformNodeID(transform.GetID())
    a_logic.jump_to_diameters()  # of an empty segment nothing is shown
    mask = np.zeros(SHAPE, bool)
    mask[3, 5:7, 8:10] = mask[4, 5, 3:16] = True
    paint(a_logic, mask)
    a_logic.jump_to_diameters()
    (expected,) = points_to_world(
        a_logic.volume, grid_from_node(a_logic.volume).zyx_to_ras(np.array((4.0, 5.0, 9.0)))
    )
    assert [view.GetSliceToRAS().GetElement(row, 3) for row in range(3)] == pytest.approx(expected)


def test_measures_are_taken_once_for_each_mask(a_logic, monkeypatch):
    taken = []
    monkeypatch.setattr(updates, "measure", lambda *given: taken.append(1) or measure(*given))
    paint(a_logic, np.ones(SHAPE, bool))
    first, segments = a_logic.segment_id, a_logic.segmentation.GetSegmentation()
    a_logic.changed = lambda: a_logic.measures
    a_logic.add_segment("kidney")
    a_logic.select(segment_id=first)
    taken.clear()
    assert a_logic.measures is a_logic.measures
    for name in ("left kidney", "right kidney"):
        segments.GetSegment(a_logic._target.segment_ids[1]).SetName(name)
    assert len(taken) <= 1


def test_measures_are_those_of_the_image_and_the_place_that_are_shown(a_logic, an_mrml_scene):
    paint(a_logic, np.ones(SHAPE, bool))
    whole = a_logic.measures.volume_ml
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 15.0)
    transform = an_mrml_scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(matrix)
    a_logic.segmentation.SetAndObserveTransformNodeID(transform.GetID())
    aside = a_logic.measures.volume_ml
    assert aside < whole
    matrix.SetElement(0, 3, 30.0)
    transform.SetMatrixTransformToParent(matrix)
    assert a_logic.measures.volume_ml < aside
    a_logic.segmentation.SetAndObserveTransformNodeID(None)
    slicer.util.updateVolumeFromArray(a_logic.volume, np.zeros((4, 5, 6), np.int16))
    assert a_logic.measures.volume_ml < whole
    a_logic.jump_to_diameters()


def test_a_new_name_or_colour_is_no_other_mask(a_logic):
    draw_box(a_logic)
    measures, segment = (
        a_logic.measures,
        a_logic.segmentation.GetSegmentation().GetSegment(a_logic.segment_id),
    )
    segment.SetName("left liver")
    segment.SetColor(0.1, 0.2, 0.3)
    assert measures is not None and a_logic.measures is measures
    paint(a_logic, np.ones(SHAPE, bool))
    assert a_logic.measures.volume_ml == pytest.approx(
        np.prod(SHAPE) * np.prod(a_logic.volume.GetSpacing()) / 1000
    )
    assert a_logic.last_change is None
