"""What happens in the scene, noted for someone who looks later.

Observers run in the middle of other code, in any order, and VTK only prints what they raise. So they note
that something happened, and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import slicer
import vtk

REST_S = 1.0  # without a movement of a prompt that is held

_Events = list[tuple[vtk.vtkObject, int]]


class SceneWatch:
    """Follows a segment editor node, its segmentation and the prompts of its segment.

    touched: whether prompts may have changed since this was last set to False.
    """

    def __init__(
        self,
        on_selection: Callable[[], None],
        on_segments: Callable[[], None],
        on_prompts: Callable[[], None],
        is_pressed: Callable[[], bool],
    ) -> None:
        """is_pressed: whether a mouse button is held down."""
        self.touched = self._grabbed = False
        self._last_touch = 0.0
        self._on_selection, self._on_segments = on_selection, on_segments
        self._on_prompts, self._is_pressed = on_prompts, is_pressed
        self._own_edits = 0
        self._scene_events: _Events = []
        self._segment_events: _Events = []
        self._prompt_events: _Events = []
        self._volume_events: _Events = []
        self.prompts: tuple[slicer.vtkMRMLMarkupsNode, ...] = ()  # whose changes are heard of

    @property
    def dragging(self) -> bool:
        """Whether the user holds a prompt and moves it."""
        # Slicer doesn't tell the end of every movement: one that rests counts as over. And of a box that is
        # scaled with Alt it tells neither beginning nor end.
        is_held = self._grabbed or self._is_pressed()
        return is_held and time.monotonic() - self._last_touch < REST_S

    @property
    def is_own_edit(self) -> bool:
        """Whether what happens now is our own doing."""
        return self._own_edits > 0

    @contextmanager
    def own_edit(self) -> Iterator[None]:
        """What happens within is our own doing, and isn't noted."""
        self._own_edits += 1
        try:
            yield
        finally:
            self._own_edits -= 1

    def follow_scene(
        self,
        editor: slicer.vtkMRMLSegmentEditorNode,
        interaction: slicer.vtkMRMLInteractionNode,
        selection: slicer.vtkMRMLSelectionNode,
    ) -> None:
        """Hear of another selection, of nodes that go, and of the end of placing."""
        node, scene = slicer.vtkMRMLNode, slicer.vtkMRMLScene
        for source, *events in (
            (editor, vtk.vtkCommand.ModifiedEvent),
            (editor, node.ReferenceAddedEvent, node.ReferenceModifiedEvent, node.ReferenceRemovedEvent),
            (editor.GetScene(), scene.NodeRemovedEvent, scene.EndImportEvent),
            (interaction, vtk.vtkCommand.ModifiedEvent),
            (selection, selection.ActivePlaceNodeIDChangedEvent),
        ):
            self._observe(self._scene_events, source, events, self._on_selection)

    def follow_segments(self, segmentation: slicer.vtkMRMLSegmentationNode | None) -> None:
        """Hear of changes to this segmentation, no longer of the one before."""
        _forget(self._segment_events)
        if segmentation is not None:
            source, events = segmentation.GetSegmentation(), slicer.vtkSegmentation
            kinds = (
                events.SegmentModified,
                events.SegmentAdded,
                events.SegmentRemoved,
                events.SourceRepresentationModified,
            )
            self._observe(self._segment_events, source, kinds, self._on_segments)

    def follow_prompts(self, nodes: Iterable[slicer.vtkMRMLMarkupsNode]) -> None:
        """Hear of changes to these prompts, no longer of those before. They count as touched."""
        _forget(self._prompt_events)
        self._grabbed = False
        markups = slicer.vtkMRMLMarkupsNode
        self.prompts = tuple(nodes)
        for node in self.prompts:
            kinds = (
                vtk.vtkCommand.ModifiedEvent,
                markups.PointAddedEvent,
                markups.PointModifiedEvent,
                markups.PointPositionDefinedEvent,
                markups.PointPositionUndefinedEvent,
                markups.PointRemovedEvent,
                slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
            )
            self._observe(self._prompt_events, node, kinds, self.touch)
            start, end = markups.PointStartInteractionEvent, markups.PointEndInteractionEvent
            self._observe(self._prompt_events, node, [start], lambda: self._drag(True))
            self._observe(self._prompt_events, node, [end], lambda: self._drag(False))
        self.touch()

    def follow_volume(self, volume: slicer.vtkMRMLScalarVolumeNode, note: Callable[[], None]) -> None:
        """Hear when this volume is put under another transform or has other voxels, no longer of the one
        before."""
        _forget(self._volume_events)
        event = slicer.vtkMRMLTransformableNode.TransformModifiedEvent
        self._observe(self._volume_events, volume, [event], note)
        # The prompts stay as they are, but there is something to show.
        self._observe(self._volume_events, volume, [volume.ImageDataModifiedEvent], self._on_prompts)

    def touch(self) -> None:
        """Note that prompts may have changed."""
        self.touched = True
        self._last_touch = time.monotonic()
        self._on_prompts()

    def let_go(self) -> None:
        """Hear no more of segments and prompts."""
        for events in (self._segment_events, self._prompt_events, self._volume_events):
            _forget(events)
        self.prompts = ()
        self.touched = self._grabbed = False

    def stop(self) -> None:
        """Hear of nothing any more."""
        self.let_go()
        _forget(self._scene_events)

    def _drag(self, begins: bool) -> None:
        self._grabbed = begins
        self.touch()

    def _observe(
        self, kept: _Events, source: vtk.vtkObject, events: Iterable[int | str], note: Callable[[], None]
    ) -> None:
        listener = _Listener(self, note)
        kept += [(source, source.AddObserver(event, listener.hear)) for event in events]


class _Listener:
    """Passes on that something happened, unless it was our own doing.

    A method, and no function with what it needs around it: garbage collection may empty that before the scene
    that goes with it calls it for the last time, and VTK doesn't survive the call.
    """

    def __init__(self, watch: SceneWatch, note: Callable[[], None]) -> None:
        self._watch, self._note = watch, note

    def hear(self, *_ignored: object) -> None:
        # Events of batches say nothing about what changed: all is always read anew.
        if not self._watch.is_own_edit:
            self._note()


def _forget(kept: _Events) -> None:
    for source, tag in kept:
        source.RemoveObserver(tag)
    kept.clear()
