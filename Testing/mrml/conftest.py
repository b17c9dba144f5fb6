"""A scene and the nodes that the tests of the MRML adapters begin with."""

from __future__ import annotations

import numpy as np
import pytest

# An installation without slicer-core runs the other tests.
pytest.importorskip("slicer", reason="slicer-core is not installed")

import vtk
from ensam.worker import Worker
from ENSAMSegmentLib.logic import ENSAMSegmentLogic
from ENSAMSegmentLib.segment_writer import SegmentWriter
from ENSAMSegmentLib.segments import add_segmentation

from .geometries import axes
from .nodes import add_segment_editor, add_transform, add_volume
from .rendering import RenderingError, check_rendering
from .slicer_core_scene import create_scene
from .stub_session import StubSession
from .stub_training import Training

SHAPE = (20, 30, 40)


def affine(angles_deg=(0.0, 0.0, 0.0), scales=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0)):
    """Scale, then turn about x, y and z, then move: 4x4."""
    matrix = np.eye(4)
    matrix[:3, :3] = axes(angles_deg, scales)
    matrix[:3, 3] = origin
    return matrix


@pytest.fixture(scope="session")
def off_screen_rendering():
    """For tests that draw: skips them where nothing can be drawn."""
    try:
        check_rendering()
    except RenderingError as error:
        pytest.skip(str(error))


STRAIGHT = affine(scales=(0.8, 0.8, 3.0), origin=(-10, 5, 40))
OBLIQUE = affine((20, -35, 50), (0.7, 1.1, 2.5), (12, -30, 7))
LEFT_HANDED = affine((10, 5, -15), (-0.7, 0.9, 1.6), (12, -30, 7))


def ball(center, radius):
    """A ball in voxels on the whole grid."""
    zyx = np.indices(SHAPE).transpose(1, 2, 3, 0)
    return ((zyx - center) ** 2).sum(axis=3) <= radius**2


def add_warp(scene, moved_by=4.0):
    """A thin-plate transform node that bends the space of the test volumes by some millimetres."""
    rng = np.random.default_rng(5)
    landmarks = np.array(np.meshgrid((-40, 60), (-40, 60), (-20, 110))).reshape(3, -1).T.astype(float)
    inner = np.array([(5.0, 15, 65), (15, 20, 50), (0, 10, 80)])
    points, targets = vtk.vtkPoints(), vtk.vtkPoints()
    for point in (*landmarks, *inner):
        points.InsertNextPoint(point)
        targets.InsertNextPoint(point + rng.uniform(-moved_by, moved_by, 3))
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetBasisToR()
    spline.SetSourceLandmarks(points)
    spline.SetTargetLandmarks(targets)
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", "breathing")
    node.SetAndObserveTransformToParent(spline)
    return node


# Two organs that touch.
LIVER = ball((8, 12, 14), 6)
KIDNEY = ball((10, 14, 26), 7) & ~LIVER
# The liver, grown far into the kidney.
GROWN = ball((9, 13, 18), 9)


@pytest.fixture
def an_application():
    """Slicer's application logic, with an empty scene."""
    with create_scene() as application:
        yield application


@pytest.fixture
def an_mrml_scene(an_application):
    return an_application.GetMRMLScene()


@pytest.fixture(params=[STRAIGHT, OBLIQUE, LEFT_HANDED], ids=["straight", "oblique", "left-handed"])
def any_ijk_to_ras(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["in the world", "under a transform"])
def a_volume_node(request, an_mrml_scene, any_ijk_to_ras):
    voxels = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    node = add_volume(an_mrml_scene, voxels, any_ijk_to_ras, "CT chest")
    if request.param:
        transform = add_transform(an_mrml_scene, affine((0, 30, 10), (1, 1, 1), (5, 6, 7)))
        node.SetAndObserveTransformNodeID(transform.GetID())
    return node


@pytest.fixture
def a_straight_volume_node(an_mrml_scene):
    voxels = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    return add_volume(an_mrml_scene, voxels, STRAIGHT, "CT chest")


@pytest.fixture
def a_segment_editor(an_mrml_scene):
    return add_segment_editor(an_mrml_scene)


@pytest.fixture
def a_writer(a_segment_editor):
    return SegmentWriter(a_segment_editor)


@pytest.fixture
def two_neighbours(a_straight_volume_node):
    """A segmentation with two segments, both empty, that share a labelmap."""
    node = add_segmentation(a_straight_volume_node, "organs")
    for name in ("liver", "kidney"):
        node.GetSegmentation().AddEmptySegment(name, name)
    return node


@pytest.fixture
def a_session():
    return StubSession()


@pytest.fixture
def a_worker_of_it(a_session):
    worker = Worker(lambda _settings: a_session)
    yield worker
    worker.close()


@pytest.fixture
def a_volume(an_mrml_scene):
    voxels = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    ijk_to_ras = np.array([[1.2, 0, 0, 0], [0, 1.0, 0, -19], [0, 0, 2.0, 51], [0, 0, 0, 1.0]])
    return add_volume(an_mrml_scene, voxels, ijk_to_ras, "CT chest")


@pytest.fixture
def a_logic(a_volume, a_worker_of_it):
    logic = ENSAMSegmentLogic(worker=a_worker_of_it)
    logic.select(a_volume)
    logic.add_segment("liver")
    yield logic
    logic.cleanup()


@pytest.fixture
def a_training(an_mrml_scene, tmp_path):
    training = Training(tmp_path)
    yield training
    training.logic.cleanup()
