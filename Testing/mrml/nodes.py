"""Short ways to put nodes into a scene and to load and save them through their storage nodes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import slicer
from slicer.util import vtkMatrixFromArray
from vtk.util.numpy_support import numpy_to_vtk


def add_volume(
    scene: slicer.vtkMRMLScene, array: np.ndarray, ijk_to_ras: np.ndarray, name: str = "volume"
) -> slicer.vtkMRMLScalarVolumeNode:
    """Add a volume of the array (z, y, x) with its matrix from (i, j, k, 1) to (R, A, S, 1)."""
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(array.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(array.ravel(), deep=True))
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetAndObserveImageData(image)
    node.SetIJKToRASMatrix(vtkMatrixFromArray(ijk_to_ras))
    return node


def add_transform(scene: slicer.vtkMRMLScene, to_parent: np.ndarray) -> slicer.vtkMRMLLinearTransformNode:
    """Add a linear transform with its 4x4 matrix in RAS."""
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(vtkMatrixFromArray(to_parent))
    return node


def add_slice_view(
    scene: slicer.vtkMRMLScene, name: str = "Red"
) -> tuple[slicer.vtkMRMLSliceCompositeNode, slicer.vtkMRMLSliceNode]:
    """Add the two nodes of a slice view that the layout shows."""
    composite = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    composite.SetLayoutName(name)
    view = slicer.vtkMRMLSliceNode()
    view.SetLayoutName(name)
    view.SetName(name)
    view.SetMappedInLayout(True)
    scene.AddNode(view)
    return composite, view


def add_roi(
    scene: slicer.vtkMRMLScene, center_ras: Iterable[float], size_mm: Iterable[float], name: str = "box"
) -> slicer.vtkMRMLMarkupsROINode:
    """Add a box along R, A and S."""
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", name)
    node.CreateDefaultDisplayNodes()
    node.SetCenter(*center_ras)
    node.SetSize(*size_mm)
    return node


def add_points(
    scene: slicer.vtkMRMLScene, positions_ras: Iterable[Iterable[float]], name: str = "points"
) -> slicer.vtkMRMLMarkupsFiducialNode:
    """Add a list of points."""
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
    node.CreateDefaultDisplayNodes()
    for position in positions_ras:
        node.AddControlPoint(*position)
    return node


def add_segment_editor(scene: slicer.vtkMRMLScene) -> slicer.vtkSlicerSegmentEditorLogic:
    """Make a segment editor logic with the parameter node that Slicer's editor uses."""
    node = scene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
    node.UnRegister(None)
    node.SetSingletonTag("SegmentEditor")
    logic = slicer.vtkSlicerSegmentEditorLogic()
    logic.SetMRMLScene(scene)
    logic.SetSegmentEditorNode(scene.AddNode(node))
    return logic


def load_volume(scene: slicer.vtkMRMLScene, path: Path, name: str) -> slicer.vtkMRMLScalarVolumeNode:
    """Load a volume file. Raises OSError when Slicer can't read it."""
    return _load(scene, path, scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name))


def load_segmentation(scene: slicer.vtkMRMLScene, path: Path) -> slicer.vtkMRMLSegmentationNode:
    """Load a segmentation file. Raises OSError when Slicer can't read it."""
    return _load(scene, path, scene.AddNewNodeByClass("vtkMRMLSegmentationNode"))


def save(node: slicer.vtkMRMLStorableNode, path: Path) -> None:
    """Save a node with its storage node. Raises OSError when Slicer can't write it."""
    if not _storage(node, path).WriteData(node):
        raise OSError(f"Slicer could not write '{path}'.")


def _load(
    scene: slicer.vtkMRMLScene, path: Path, node: slicer.vtkMRMLStorableNode
) -> slicer.vtkMRMLStorableNode:
    if not _storage(node, path).ReadData(node):
        scene.RemoveNode(node)
        raise OSError(f"Slicer could not read '{path}'.")
    node.CreateDefaultDisplayNodes()
    return node


def _storage(node: slicer.vtkMRMLStorableNode, path: Path) -> slicer.vtkMRMLStorageNode:
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetFileName(str(path))
    return node.GetStorageNode()


def exported(segmentation, segment_id, volume):
    """The segment as Slicer itself exports it to the volume's grid."""
    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, volume).astype(bool)
