"""A ball drawn in the world is found, and its segment lies where the ball is, in every geometry."""

import numpy as np
import pytest
from ENSAMSegmentLib.markups import prompts_from_nodes, set_box
from ENSAMSegmentLib.volumes import transform_between, transform_points

from .geometries import GEOMETRIES, attempt
from .nodes import add_points, add_roi, add_volume


@pytest.fixture(params=GEOMETRIES, ids=lambda geometry: geometry.name)
def any_geometry(request):
    return request.param


@pytest.fixture
def a_volume_in_it(any_geometry, an_mrml_scene):
    volume = add_volume(
        an_mrml_scene, np.zeros(any_geometry.volume.shape, np.int16), any_geometry.volume.ijk_to_ras
    )
    if any_geometry.volume_transform is not None:
        volume.SetAndObserveTransformNodeID(any_geometry.volume_transform(an_mrml_scene).GetID())
    return volume


def test_the_ball_is_where_it_was_drawn(any_geometry):
    trial = attempt(any_geometry)

    assert trial.box_short < 0.05
    assert not any_geometry.is_box_exact or trial.box_beyond < 0.05
    # Where the grids don't meet, each voxel of the segment may be half a voxel off.
    assert trial.dice > trial.possible - 0.025
    assert trial.read_back > 0.9
    if any_geometry.segmentation is None and any_geometry.segmentation_transform is None:
        assert trial.dice == trial.possible
        assert trial.read_back == 1


def test_points_in_the_world_are_read_where_slicer_sees_them_in_the_volume(an_mrml_scene, a_volume_in_it):
    points = np.random.default_rng(3).uniform(-10, 20, (20, 3))
    node = add_points(an_mrml_scene, points)

    read = prompts_from_nodes(a_volume_in_it, foreground=node).points

    from_world = transform_between(None, a_volume_in_it.GetParentTransformNode())
    expected = transform_points(from_world, points)
    read = np.array([point.position_ras for point in read])
    np.testing.assert_allclose(np.sort(read, axis=0), np.sort(expected, axis=0), atol=1e-9)


def test_a_box_that_was_read_is_the_same_after_it_is_placed_below_the_volumes_transform(
    an_mrml_scene, a_volume_in_it
):
    drawn = prompts_from_nodes(a_volume_in_it, add_roi(an_mrml_scene, (8, -6, 12), (20, 24, 28))).box
    node = an_mrml_scene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    node.SetAndObserveTransformNodeID(a_volume_in_it.GetTransformNodeID())

    set_box(node, a_volume_in_it, drawn)

    read = prompts_from_nodes(a_volume_in_it, node).box
    distances = np.linalg.norm(read.corners_ras()[:, None] - drawn.corners_ras(), axis=2)
    # Slicer keeps a box's centre as a point of the world too, and the way back through a warp isn't exact.
    parent = a_volume_in_it.GetParentTransformNode()
    is_linear = parent is None or parent.IsTransformToWorldLinear()
    assert distances.min(axis=1).max() < (1e-6 if is_linear else 0.01)
