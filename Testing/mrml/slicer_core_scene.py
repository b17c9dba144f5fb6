"""A MRML scene that works as in Slicer, built from the libraries of the ``slicer-core`` wheel.

In the application, the core and each module's plugin set up what is set up here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import slicer
import vtk

# By the name under which the application knows the module. Colors and Terminologies are left out: they read
# files that the wheel doesn't have.
_MODULE_LOGICS = {
    "Units": slicer.vtkSlicerUnitsLogic,
    "Cameras": slicer.vtkSlicerCamerasModuleLogic,
    "SubjectHierarchy": slicer.vtkSlicerSubjectHierarchyModuleLogic,
    "Transforms": slicer.vtkSlicerTransformLogic,
    "Volumes": slicer.vtkSlicerVolumesLogic,
    "Models": slicer.vtkSlicerModelsLogic,
    "Markups": slicer.vtkSlicerMarkupsLogic,
    "Segmentations": slicer.vtkSlicerSegmentationsModuleLogic,
    "Tables": slicer.vtkSlicerTablesLogic,
    "Texts": slicer.vtkSlicerTextsLogic,
    "Plots": slicer.vtkSlicerPlotsLogic,
}

_DISPLAYABLE_MANAGER_FACTORIES = (
    slicer.vtkMRMLSliceViewDisplayableManagerFactory,
    slicer.vtkMRMLThreeDViewDisplayableManagerFactory,
)


@contextmanager
def create_scene() -> Iterator[slicer.vtkSlicerApplicationLogic]:
    """Set up a scene with its application logic and module logics, and take it down at the end.

    Within the block ``slicer.mrmlScene`` is the scene and ``slicer.modules.<name>.logic()`` a module's logic,
    as code written for the application expects. One scene at a time: the factories of displayable managers
    are global.

    Yields:
        The application logic; ``GetMRMLScene()`` gives the scene.

    Raises:
        AssertionError: At the end, if Slicer would have written errors into its log.
    """
    scene = slicer.vtkMRMLScene()
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)

    application = slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(scene)
    application.GetColorLogic().SetMRMLScene(scene)
    application.GetColorLogic().AddDefaultColorNodes()
    application.SetSliceLogics(vtk.vtkCollection())
    application.SetViewLogics(vtk.vtkCollection())
    for factory in _DISPLAYABLE_MANAGER_FACTORIES:
        factory.GetInstance().SetMRMLApplicationLogic(application)

    hierarchy = _SubjectHierarchy()
    scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, hierarchy.add)
    _connect_file_reading(scene, application)
    logics = {name: _start_module(logic(), name, application) for name, logic in _MODULE_LOGICS.items()}
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)

    slicer.mrmlScene = scene
    slicer.modules = SimpleNamespace(
        **{name.lower(): SimpleNamespace(logic=lambda logic=logic: logic) for name, logic in logics.items()}
    )
    try:
        yield application
    finally:
        scene.Clear(True)
        for factory in _DISPLAYABLE_MANAGER_FACTORIES:
            factory.GetInstance().SetMRMLApplicationLogic(None)
        del slicer.mrmlScene, slicer.modules
    assert not hierarchy.errors, f"Slicer would have written into its log: {sorted(hierarchy.errors)}"


def _connect_file_reading(scene: slicer.vtkMRMLScene, application: slicer.vtkSlicerApplicationLogic) -> None:
    # Without a data manager the storage nodes of a scene bundle read nothing.
    remote = slicer.vtkMRMLRemoteIOLogic()
    remote.SetMRMLApplicationLogic(application)
    remote.SetMRMLScene(scene)
    transfers = slicer.vtkDataIOManagerLogic()
    transfers.SetMRMLApplicationLogic(application)
    transfers.SetAndObserveDataIOManager(remote.GetDataIOManager())
    application.SetMRMLSceneDataIO(scene, remote, transfers)


class _SubjectHierarchy:
    """What Qt plugins of the application do. The segment editor logic expects the items.

    errors: what the plugin of the segmentations complains of: it looks for the item of any that changes.
    """

    def __init__(self) -> None:
        self.errors: set[str] = set()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def add(self, scene: slicer.vtkMRMLScene, _event: str, node: slicer.vtkMRMLNode) -> None:
        if node.IsA("vtkMRMLDisplayableNode") and not node.GetHideFromEditors():
            hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
        if node.IsA("vtkMRMLSegmentationNode"):
            events = slicer.vtkSegmentation
            for event in (
                events.SegmentAdded,
                events.SegmentRemoved,
                events.SegmentModified,
                node.DisplayModifiedEvent,
            ):
                node.AddObserver(event, self._look_for)

    def _look_for(self, node: slicer.vtkMRMLSegmentationNode, _event: str) -> None:
        scene = node.GetScene()
        if scene is None or scene.IsImporting() or scene.IsClosing():
            return
        if not slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene).GetItemByDataNode(node):
            self.errors.add(f"Unable to find subject hierarchy item for segmentation node {node.GetName()}")


def _start_module(
    logic: slicer.vtkMRMLAbstractLogic, name: str, application: slicer.vtkSlicerApplicationLogic
) -> slicer.vtkMRMLAbstractLogic:
    # A logic registers its node classes when it gets the scene: before this they can't be created by name.
    logic.SetMRMLApplicationLogic(application)
    logic.SetMRMLScene(application.GetMRMLScene())
    application.SetModuleLogic(name, logic)
    return logic
