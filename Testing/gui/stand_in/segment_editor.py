"""``qMRMLSegmentEditorWidget`` on the real segment editor logic, which Python code doesn't get to see."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6.QtCore import Property, Qt, Signal
from PySide6.QtGui import QColor, QKeySequence, QPixmap, QShortcut
from PySide6.QtWidgets import QWidget

from . import mistakes
from .effects import qSlicerSegmentEditorScriptedEffect
from .mrml_widgets import qMRMLWidget
from .observation import Observations
from .segment_editor_effects_part import EditorEffects
from .segment_editor_keys import keys_of
from .segment_editor_panel import SegmentEditorPanel, is_listed


class qMRMLSegmentEditorWidget(EditorEffects, qMRMLWidget):
    """Follows its segment editor node as the real one does; effects are those registered by scripts."""

    currentSegmentIDChanged = Signal(str)
    sourceVolumeNodeChanged = Signal(object)
    masterVolumeNodeChanged = Signal(object)
    segmentationNodeChanged = Signal(object)

    unorderedEffectsVisible = Property(
        bool, lambda self: self._unordered_visible, lambda self, visible: self._show_unordered(visible)
    )

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._logic = slicer.vtkSlicerSegmentEditorLogic()
        self._node: Any = None
        self._segmentation: Any = None
        self._volume: Any = None
        self._interaction: Any = None
        self._effects: list[qSlicerSegmentEditorScriptedEffect] = []
        self._active: qSlicerSegmentEditorScriptedEffect | None = None
        self._last_active: qSlicerSegmentEditorScriptedEffect | None = None
        self._order: list[str] = []
        self._unordered_visible = True
        self._shortcuts: list[QShortcut] = []
        self._of_node = Observations()
        self._of_segmentation = Observations()
        self._of_scene = Observations()
        self._of_logic = Observations()
        self._panel = panel = SegmentEditorPanel(self)
        panel.segmentations.currentNodeChanged[object].connect(self._on_segmentation_chosen)
        panel.volumes.currentNodeChanged[object].connect(self.setSourceVolumeNode)
        panel.segments.itemSelectionChanged.connect(self._on_selection)
        panel.add.clicked.connect(lambda: self._logic.AddEmptySegment("", 0))
        panel.remove.clicked.connect(self._logic.RemoveSelectedSegment)
        panel.undo.clicked.connect(self.undo)
        panel.redo.clicked.connect(self.redo)
        self._of_logic.add(self._logic, self._logic.SegmentationHistoryChangedEvent, self._update_undo)
        self.updateEffectList()

    # Scene and node

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self.mrmlScene():
            return
        combo_boxes = (self._panel.segmentations, self._panel.volumes)
        blocked = [each.blockSignals(True) for each in combo_boxes]
        super().setMRMLScene(scene)
        for each, before in zip(combo_boxes, blocked, strict=True):
            each.setMRMLScene(scene)
            each.blockSignals(before)
        self._logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self._logic.SetMRMLScene(scene)
        self._logic.SetVerbose(True)
        self._of_scene.clear()
        if scene is not None:
            self.setInteractionNode(scene.GetNodeByID("vtkMRMLInteractionNodeSingleton"))
            self._of_scene.add(scene, scene.EndCloseEvent, self._initialize_node)
            self._of_scene.add(scene, scene.EndBatchProcessEvent, self._on_end_of_batch)
        self.updateWidgetFromMRML()

    def interactionNode(self) -> Any:
        return self._interaction

    def setInteractionNode(self, node: Any) -> None:
        self._interaction = node
        if node is not None:
            self._of_scene.add(node, "ModifiedEvent", self._on_interaction)

    def _on_interaction(self) -> None:
        if self._active is not None:
            self._active.interactionNodeModified(self._interaction)

    def mrmlSegmentEditorNode(self) -> Any:
        return self._node

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        if node is self._node:
            return
        self._of_node.clear()
        self._node = node
        self._logic.SetSegmentEditorNode(node)
        if node is not None:
            self._of_node.add(node, "ModifiedEvent", self.updateWidgetFromMRML)
            for effect in self._effects:
                self._of_node.add(node, node.EffectParameterModified, effect.updateGUIFromMRML)
            self._initialize_node()

    def _initialize_node(self) -> None:
        if self._node is None:
            return
        modifying = self._node.StartModify()
        for effect in self._effects:
            effect.setParameterSetNode(self._node)
            effect.set_mrml_defaults()
        self._node.EndModify(modifying)
        self.updateWidgetFromMRML()

    def updateWidgetFromMRML(self) -> None:
        scene = self.mrmlScene()
        if scene is None or scene.IsClosing() or scene.IsBatchProcessing() or self._node is None:
            return
        modifying = self._node.StartModify()
        self._follow_segmentation()
        self._follow_volume()
        self._show_segments()
        self._panel.add.setEnabled(self._logic.CanAddSegments())
        self._panel.remove.setEnabled(bool(self.currentSegmentID()))
        self._follow_effect()
        self._update_undo()
        self._node.EndModify(modifying)

    # Segmentation, volume and segment

    def segmentationNode(self) -> Any:
        return self._segmentation

    def _on_segmentation_chosen(self, node: Any) -> None:
        scene = self.mrmlScene()
        if scene is not None and not scene.IsBatchProcessing():
            self.setSegmentationNode(node)

    def _on_end_of_batch(self) -> None:
        """Slicer's editor takes over what its selectors show then."""
        if self.mrmlScene() is None:
            return
        if self._node is not None:
            if self._node.GetSegmentationNode() is not self._panel.segmentations.currentNode():
                self.setSegmentationNode(self._panel.segmentations.currentNode())
            if self._node.GetSourceVolumeNode() is not self._panel.volumes.currentNode():
                self.setSourceVolumeNode(self._panel.volumes.currentNode())
        self.updateWidgetFromMRML()

    def setSegmentationNode(self, node: Any) -> None:
        if self._logic.GetSegmentationNode() is not node:
            self._logic.SetSegmentationNode(node)
            self.setActiveEffect(None)

    def sourceVolumeNode(self) -> Any:
        return self._volume

    def setSourceVolumeNode(self, node: Any) -> None:
        self._logic.SetSourceVolumeNode(node)

    def currentSegmentID(self) -> str:
        return (self._node.GetSelectedSegmentID() or "") if self._node is not None else ""

    def setCurrentSegmentID(self, segment_id: str) -> None:
        if self._node is not None:
            self._node.SetSelectedSegmentID(segment_id)

    def selectNextSegment(self) -> None:
        self.selectSegmentAtOffset(1)

    def selectPreviousSegment(self) -> None:
        self.selectSegmentAtOffset(-1)

    def selectSegmentAtOffset(self, offset: int) -> None:
        count = self._panel.segments.count()
        if self.currentSegmentID() and count:
            at = max(0, (self._panel.segments.currentRow() + offset) % count)
            self.setCurrentSegmentID(self._panel.segments.item(at).data(Qt.ItemDataRole.UserRole))

    def _follow_segmentation(self) -> None:
        node = self._logic.GetSegmentationNode()
        blocked = self._panel.segmentations.blockSignals(True)
        self._panel.segmentations.setCurrentNode(node)
        self._panel.segmentations.blockSignals(blocked)
        if node is self._segmentation:
            return
        self._of_segmentation.clear()
        self._segmentation = node
        if node is not None:
            events = slicer.vtkSegmentation
            for event in (events.SegmentAdded, events.SegmentRemoved, events.SegmentModified):
                self._of_segmentation.add(node, event, self._on_segments)
            self._of_segmentation.add(node, "ModifiedEvent", self.updateWidgetFromMRML)
            # The image that the segmentation was made on becomes the source volume, or none does.
            role = node.GetReferenceImageGeometryReferenceRole()
            self._panel.volumes.setCurrentNode(node.GetNodeReference(role))
            node.CreateDefaultDisplayNodes()
            ids = node.GetSegmentation().GetSegmentIDs()
            self._show_segments()
            if ids:
                self._panel.segments.setCurrentRow(0)
        self.segmentationNodeChanged.emit(node)

    def _on_segments(self) -> None:
        if self._node is None:
            mistakes.note("qMRMLSegmentEditorWidget: Invalid segment editor parameter set node")
        self.updateWidgetFromMRML()

    def _follow_volume(self) -> None:
        node = self._logic.GetSourceVolumeNode()
        if self._node.GetSegmentationNode() is None or node is self._volume:
            return
        self._volume = node
        blocked = self._panel.volumes.blockSignals(True)
        self._panel.volumes.setCurrentNode(node)
        self._panel.volumes.blockSignals(blocked)
        self.sourceVolumeNodeChanged.emit(node)
        self.masterVolumeNodeChanged.emit(node)
        for effect in self._effects:
            effect.source_volume_node_changed()

    def _show_segments(self) -> None:
        shown = self._panel.segments
        segmentation = self._segmentation.GetSegmentation() if self._segmentation is not None else None
        segments = []
        for segment_id in segmentation.GetSegmentIDs() if segmentation is not None else ():
            segment = segmentation.GetSegment(segment_id)
            if not is_listed(self._segmentation, segment):
                continue
            colour = QPixmap(16, 16)
            colour.fill(QColor.fromRgbF(*segment.GetColor()))
            segments.append((segment_id, segment.GetName(), colour))
        selected = self.currentSegmentID()
        blocked = shown.blockSignals(True)
        self._panel.fill(segments, selected)
        shown.blockSignals(blocked)
        if selected and not shown.selectedItems():
            self._on_selection()

    def _on_selection(self) -> None:
        selected = self._panel.selected_segment()
        if self._node is None or selected == self.currentSegmentID():
            return
        if selected:
            self._node.SetSelectedSegmentID(selected)
        else:
            self._node.SetSelectedSegmentID(None)
            if self._active is not None and self._active.perSegment:
                self.setActiveEffect(None)
        self.updateWidgetFromMRML()
        self.currentSegmentIDChanged.emit(selected)

    # Undo

    def saveStateForUndo(self) -> None:
        self._logic.SaveStateForUndo()

    def undo(self) -> None:
        self._logic.Undo()

    def redo(self) -> None:
        self._logic.Redo()

    def _limit_undo(self, states: int) -> None:
        self._logic.SetMaximumNumberOfUndoStates(states)

    maximumNumberOfUndoStates = Property(
        int, lambda self: self._logic.GetMaximumNumberOfUndoStates(), _limit_undo
    )

    def _update_undo(self) -> None:
        self._panel.undo.setEnabled(self._logic.CanUndo())
        self._panel.redo.setEnabled(self._logic.CanRedo())

    # Views and keys. There are no views.

    def removeViewObservations(self) -> None: ...

    def installKeyboardShortcuts(self, parent: QWidget | None = None) -> None:
        from .wrapping import implementation_of

        self.uninstallKeyboardShortcuts()
        window = parent or slicer.util.mainWindow()
        if window is None:
            mistakes.note("installKeyboardShortcuts needs a window: there is no main window")
            return
        window = window if isinstance(window, QWidget) else implementation_of(window)
        for key, action in keys_of(self):
            shortcut = QShortcut(QKeySequence(key), window)
            shortcut.activated.connect(action)
            self._shortcuts.append(shortcut)

    def toggleSourceVolumeIntensityMaskEnabled(self) -> None:
        self._logic.ToggleSourceVolumeIntensityMask()

    def uninstallKeyboardShortcuts(self) -> None:
        for each in self._shortcuts:
            each.setParent(None)
            each.deleteLater()
        self._shortcuts.clear()
