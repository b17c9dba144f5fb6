"""What ENSAM reads from an ROI and from point lists."""

import numpy as np
import pytest
import slicer
import vtk
from ensam.errors import PromptError
from ENSAMSegmentLib.markups import prompts_from_nodes

from .conftest import affine
from .nodes import add_points, add_roi, add_transform

SHEAR = np.array([[1, 0.4, 0, 3], [0, 1, 0.2, 4], [0, 0, 1, 5], [0, 0, 0, 1.0]])
PARENTS = {
    "no transform": None,
    "a turn": affine((30, 20, -40), (1, 1, 1), (7, 8, 9)),
    "a scaling turn": affine((30, 20, -40), (2, 0.5, 3), (7, 8, 9)),
    "a mirror": affine((30, 0, 0), (-1, 1, 1)),
    "a shear": SHEAR,
}


@pytest.fixture(params=PARENTS, ids=str)
def any_parent(request, an_mrml_scene):
    matrix = PARENTS[request.param]
    return None if matrix is None else add_transform(an_mrml_scene, matrix)


def _put_under(node, parent):
    if parent is not None:
        node.SetAndObserveTransformNodeID(parent.GetID())


def _turn(roi, matrix):
    object_to_node = vtk.vtkMatrix4x4()
    object_to_node.DeepCopy(matrix.ravel())
    roi.SetAndObserveObjectToNodeMatrix(object_to_node)


def test_the_box_has_the_corners_that_slicer_draws(an_mrml_scene, any_parent, a_straight_volume_node):
    roi = add_roi(an_mrml_scene, (0, 0, 0), (10, 20, 30))
    _turn(roi, affine((0, 25, 60), (1, 1, 1), (1, 2, 3)))
    _put_under(roi, any_parent)

    corners = prompts_from_nodes(a_straight_volume_node, box=roi).box.corners_ras()

    drawn = roi.CreateROIBoxPolyDataWorld()
    drawn_corners = np.array([drawn.GetPoint(index) for index in range(drawn.GetNumberOfPoints())])
    distances = np.linalg.norm(corners[:, None] - drawn_corners, axis=2)
    assert distances.min(axis=1).max() < 1e-4
    assert distances.min(axis=0).max() < 1e-4


def test_points_are_where_slicer_draws_them(an_mrml_scene, any_parent, a_straight_volume_node):
    points = add_points(an_mrml_scene, [(1, 2, 3), (-4, 5, 60)])
    _put_under(points, any_parent)

    read = prompts_from_nodes(a_straight_volume_node, foreground=points).foreground_ras

    drawn = sorted(tuple(points.GetNthControlPointPositionWorld(index)) for index in range(2))
    np.testing.assert_allclose(read, drawn)


def test_the_list_says_which_points_are_background(an_mrml_scene, a_straight_volume_node):
    prompts = prompts_from_nodes(
        a_straight_volume_node,
        foreground=add_points(an_mrml_scene, [(1, 1, 1)]),
        background=add_points(an_mrml_scene, [(2, 2, 2)]),
    )

    np.testing.assert_array_equal(prompts.foreground_ras, [(1, 1, 1)])
    np.testing.assert_array_equal(prompts.background_ras, [(2, 2, 2)])


def test_points_that_are_not_placed_are_left_out(an_mrml_scene, a_straight_volume_node):
    points = add_points(an_mrml_scene, [(1, 1, 1), (2, 2, 2), (3, 3, 3)])
    points.UnsetNthControlPointPosition(0)
    points.SetNthControlPointPositionMissing(1)

    np.testing.assert_array_equal(
        prompts_from_nodes(a_straight_volume_node, foreground=points).foreground_ras, [(3, 3, 3)]
    )


def test_a_point_under_the_cursor_is_no_prompt_yet(an_mrml_scene, a_straight_volume_node):
    points = add_points(an_mrml_scene, [(1, 1, 1)])
    points.SetControlPointPlacementStartIndex(0)
    preview = slicer.vtkMRMLMarkupsNode.PositionPreview
    points.SetNthControlPointPosition(0, 5, 5, 5, preview)

    assert prompts_from_nodes(a_straight_volume_node, foreground=points).is_empty


def test_a_box_that_is_not_placed_is_no_prompt(an_mrml_scene, a_straight_volume_node):
    roi = an_mrml_scene.AddNewNodeByClass("vtkMRMLMarkupsROINode")

    assert prompts_from_nodes(a_straight_volume_node, box=roi).is_empty


def test_a_flat_box_is_refused(an_mrml_scene, a_straight_volume_node):
    with pytest.raises(PromptError, match="box is empty"):
        prompts_from_nodes(a_straight_volume_node, box=add_roi(an_mrml_scene, (0, 0, 0), (10, 0, 10)))


def test_no_nodes_give_no_prompts(a_straight_volume_node):
    assert prompts_from_nodes(a_straight_volume_node).is_empty


def test_moved_points_are_read_anew(an_mrml_scene, a_straight_volume_node):
    points = add_points(an_mrml_scene, [(1, 1, 1)])
    before = prompts_from_nodes(a_straight_volume_node, foreground=points)
    points.SetNthControlPointPosition(0, 2, 2, 2)

    assert prompts_from_nodes(a_straight_volume_node, foreground=points) != before
