"""The Segment Editor effect. Slicer looks for the class under this package's name."""

from .SegmentEditorEffect import SegmentEditorEffect

__all__ = ["SegmentEditorEffect"]
