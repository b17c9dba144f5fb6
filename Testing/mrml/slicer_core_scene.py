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

    scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, _add_to_subject_hierarchy)
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


def _connect_file_reading(scene: slicer.vtkMRMLScene, application: slicer.vtkSlicerApplicationLogic) -> None:
    # Without a data manager the storage nodes of a scene bundle read nothing.
    remote = slicer.vtkMRMLRemoteIOLogic()
    remote.SetMRMLApplicationLogic(application)
    remote.SetMRMLScene(scene)
    transfers = slicer.vtkDataIOManagerLogic()
    transfers.SetMRMLApplicationLogic(application)
    transfers.SetAndObserveDataIOManager(remote.GetDataIOManager())
    application.SetMRMLSceneDataIO(scene, remote, transfers)


@vtk.calldata_type(vtk.VTK_OBJECT)
def _add_to_subject_hierarchy(scene: slicer.vtkMRMLScene, _event: str, node: slicer.vtkMRMLNode) -> None:
    # In the application a Qt plugin does it. The segment editor logic expects the items.
    if node.IsA("vtkMRMLDisplayableNode") and not node.GetHideFromEditors():
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)


def _start_module(
    logic: slicer.vtkMRMLAbstractLogic, name: str, application: slicer.vtkSlicerApplicationLogic
) -> slicer.vtkMRMLAbstractLogic:
    # A logic registers its node classes when it gets the scene: before this they can't be created by name.
    logic.SetMRMLApplicationLogic(application)
    logic.SetMRMLScene(application.GetMRMLScene())
    application.SetModuleLogic(name, logic)
    return logic
