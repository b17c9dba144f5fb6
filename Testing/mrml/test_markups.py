"""What ENSAM reads from an ROI and from point lists."""

import numpy as np
import pytest
import slicer
import vtk
from ensam.errors import InputError, PromptError
from ensam.prompts import Box, Point
from ENSAMSegmentLib.markups import prompts_from_nodes, set_box
from ENSAMSegmentLib.volumes import points_to_world

from .conftest import add_warp, affine
from .nodes import add_points, add_roi, add_transform

SHEAR = np.array([[1, 0.4, 0, 3], [0, 1, 0.2, 4], [0, 0, 1, 5], [0, 0, 0, 1.0]])
PARENTS = {
    "no transform": None,
    "a turn": affine((30, 20, -40), (1, 1, 1), (7, 8, 9)),
    "a scaling turn": affine((30, 20, -40), (2, 0.5, 3), (7, 8, 9)),
    "a mirror": affine((30, 0, 0), (-1, 1, 1)),
    "a shear": SHEAR,
}


TURNED_BOX = Box((1, 2, 30), (10, 20, 5), tuple(map(tuple, affine((10, 20, 30))[:3, :3].T)))


@pytest.fixture(params=PARENTS, ids=str)
def any_parent(request, an_mrml_scene):
    return _add_parent(an_mrml_scene, request.param)


@pytest.fixture(params=["no transform", "a turn"])
def any_volume_parent(request, an_mrml_scene):
    return _add_parent(an_mrml_scene, request.param)


def _add_parent(scene, name):
    return None if PARENTS[name] is None else add_transform(scene, PARENTS[name])


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

    read = prompts_from_nodes(a_straight_volume_node, foreground=points).points

    drawn = sorted(tuple(points.GetNthControlPointPositionWorld(index)) for index in range(2))
    np.testing.assert_allclose([point.position_ras for point in read], drawn)


def test_the_list_says_which_points_are_background(an_mrml_scene, a_straight_volume_node):
    prompts = prompts_from_nodes(
        a_straight_volume_node,
        foreground=add_points(an_mrml_scene, [(1, 1, 1)]),
        background=add_points(an_mrml_scene, [(2, 2, 2)]),
    )

    assert prompts.points == (Point((1, 1, 1), True), Point((2, 2, 2), False))


def test_points_that_are_not_placed_are_left_out(an_mrml_scene, a_straight_volume_node):
    points = add_points(an_mrml_scene, [(1, 1, 1), (2, 2, 2), (3, 3, 3)])
    points.UnsetNthControlPointPosition(0)
    points.SetNthControlPointPositionMissing(1)

    read = prompts_from_nodes(a_straight_volume_node, foreground=points).points

    assert read == (Point((3, 3, 3), True),)


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


def test_a_muted_point_is_left_out_and_kept(an_mrml_scene, a_straight_volume_node):
    on, beside = (
        add_points(an_mrml_scene, positions) for positions in ([(1, 1, 1), (2, 2, 2)], [(3, 3, 3), (4, 4, 4)])
    )
    on.SetNthControlPointSelected(0, False)
    beside.SetNthControlPointSelected(1, False)

    prompts = prompts_from_nodes(a_straight_volume_node, None, on, beside)
    muted = prompts_from_nodes(a_straight_volume_node, None, on, beside, muted=True)

    assert prompts.points == (Point((2, 2, 2), True), Point((3, 3, 3), False))
    assert muted.points == (Point((1, 1, 1), True), Point((4, 4, 4), False))


def test_a_muted_box_is_left_out_and_kept(an_mrml_scene, a_straight_volume_node):
    roi = add_roi(an_mrml_scene, (0, 0, 0), (10, 20, 30))
    box = prompts_from_nodes(a_straight_volume_node, roi).box
    assert prompts_from_nodes(a_straight_volume_node, roi, muted=True).is_empty

    roi.SetNthControlPointSelected(0, False)

    assert prompts_from_nodes(a_straight_volume_node, roi).is_empty
    assert prompts_from_nodes(a_straight_volume_node, roi, muted=True).box == box


def test_a_box_of_which_one_corner_is_placed_is_no_prompt_yet(an_mrml_scene, a_straight_volume_node):
    roi = an_mrml_scene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    roi.AddControlPoint(0, 0, 0)

    assert prompts_from_nodes(a_straight_volume_node, roi).is_empty


@pytest.mark.parametrize("parent", ["no transform", "a turn", "a mirror"])
@pytest.mark.parametrize("is_placed", [False, True], ids=["a new box", "a box that moves"])
def test_a_placed_box_reads_back_as_it_was_given(
    an_mrml_scene, a_straight_volume_node, any_volume_parent, parent, is_placed
):
    _put_under(a_straight_volume_node, any_volume_parent)
    roi = an_mrml_scene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    _put_under(roi, _add_parent(an_mrml_scene, parent))
    if is_placed:
        set_box(roi, a_straight_volume_node, Box((0, 0, 0), (1, 1, 1)))

    set_box(roi, a_straight_volume_node, TURNED_BOX)

    read = prompts_from_nodes(a_straight_volume_node, roi).box
    distances = np.linalg.norm(read.corners_ras()[:, None] - TURNED_BOX.corners_ras(), axis=2)
    assert distances.min(axis=1).max() < 1e-6


@pytest.mark.parametrize("parent", ["a scaling turn", "a shear"])
def test_a_box_that_the_transform_above_its_node_would_bend_is_refused(
    an_mrml_scene, a_straight_volume_node, parent
):
    roi = an_mrml_scene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    _put_under(roi, _add_parent(an_mrml_scene, parent))

    with pytest.raises(InputError, match="would bend the box"):
        set_box(roi, a_straight_volume_node, TURNED_BOX)


@pytest.mark.parametrize("parent", ["a scaling turn", "a shear"])
def test_a_box_in_a_volume_that_is_bent_is_shown_by_an_upright_box_that_holds_it(
    an_mrml_scene, a_straight_volume_node, parent
):
    _put_under(a_straight_volume_node, _add_parent(an_mrml_scene, parent))
    roi = an_mrml_scene.AddNewNodeByClass("vtkMRMLMarkupsROINode")

    set_box(roi, a_straight_volume_node, TURNED_BOX)

    bounds = np.zeros(6)
    roi.GetRASBounds(bounds)
    corners = points_to_world(a_straight_volume_node, TURNED_BOX.corners_ras())
    np.testing.assert_allclose(bounds[::2], corners.min(axis=0), atol=1e-6)
    np.testing.assert_allclose(bounds[1::2], corners.max(axis=0), atol=1e-6)


def test_a_box_stays_oriented_where_the_volume_is_turned(an_mrml_scene, a_straight_volume_node):
    turn = add_transform(an_mrml_scene, PARENTS["a turn"])
    a_straight_volume_node.SetAndObserveTransformNodeID(turn.GetID())
    roi = add_roi(an_mrml_scene, (0, 0, 0), (10, 20, 30))

    box = prompts_from_nodes(a_straight_volume_node, roi).box

    np.testing.assert_allclose(box.size_mm, (10, 20, 30))
    np.testing.assert_allclose(np.array(box.axes_ras).T, PARENTS["a turn"][:3, :3].T, atol=1e-12)


def test_a_transform_above_volume_and_prompts_changes_nothing(
    an_mrml_scene, a_straight_volume_node, any_parent
):
    roi = add_roi(an_mrml_scene, (3, 4, 5), (10, 20, 30))
    points = add_points(an_mrml_scene, [(1.1, 2.2, 3.3)])
    before = prompts_from_nodes(a_straight_volume_node, roi, points)

    for parent in (any_parent, add_warp(an_mrml_scene)):
        for node in (a_straight_volume_node, roi, points):
            _put_under(node, parent)
        after = prompts_from_nodes(a_straight_volume_node, roi, points)

        assert after.points == before.points
        np.testing.assert_allclose(after.box.corners_ras(), before.box.corners_ras(), atol=0.01)
