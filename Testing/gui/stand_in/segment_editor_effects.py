"""``SegmentEditorEffects``: the base class of effects in Python."""

from __future__ import annotations

from typing import Any

import slicer


class AbstractScriptedSegmentEditorEffect:
    """Calls its C++ side by ``self.scriptedEffect``."""

    def __init__(self, scriptedEffect: Any) -> None:
        self.scriptedEffect = scriptedEffect

    def register(self) -> None:
        slicer.qSlicerSegmentEditorEffectFactory.instance().registerEffect(self.scriptedEffect)

    def cleanup(self) -> None:
        """For subclasses: disconnect signals, remove observers."""
