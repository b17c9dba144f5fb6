"""Nodes that a scene has one of, nodes of a class, and nodes that go."""

from __future__ import annotations

import slicer


def singleton(scene: slicer.vtkMRMLScene, class_name: str, tag: str) -> slicer.vtkMRMLNode:
    """The scene's node of that class and singleton tag; it is made if it isn't there."""
    node = scene.GetSingletonNode(tag, class_name)
    if node is None:
        node = scene.CreateNodeByClass(class_name)
        node.UnRegister(None)
        node.SetSingletonTag(tag)
        node = scene.AddNode(node)
    return node


def nodes_of_class(scene: slicer.vtkMRMLScene, class_name: str) -> list[slicer.vtkMRMLNode]:
    """The scene's nodes of that class and of those derived from it; Slicer's own function looks in
    `slicer.mrmlScene` whatever scene it is given."""
    nodes = scene.GetNodesByClass(class_name)
    nodes.UnRegister(None)
    return list(nodes)


def remove(node: slicer.vtkMRMLDisplayableNode) -> None:
    """Remove a node from its scene, and with it how it is displayed, which Slicer would leave there."""
    displays = [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
    scene = node.GetScene()
    for one in (node, *displays):
        scene.RemoveNode(one)
