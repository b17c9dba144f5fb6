"""The effect "ENSAM": the module's panel in the Segment Editor, on the editor's own node and undo stack."""

from __future__ import annotations

from pathlib import Path

import qt
import slicer
from ENSAMSegmentGUI.options import DEFAULT_OPTIONS
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from slicer.i18n import tr as _

# Nothing else of ENSAM is imported before the effect is first activated: each editor of each module has one.


class SegmentEditorEffect(AbstractScriptedSegmentEditorEffect):
    """One for each segment editor. The network and the features it keeps are shared by all."""

    def __init__(self, scriptedEffect: object) -> None:
        scriptedEffect.name = "ENSAM"  # the key in scenes; never translated
        scriptedEffect.title = _("ENSAM")
        scriptedEffect.perSegment = True
        scriptedEffect.requireSegments = False  # key N makes one
        scriptedEffect.showEffectCursorInSliceView = False
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)
        self.logic = None
        self.panel = None
        self._logicNode = None

    def clone(self) -> object:
        """The effect for another editor."""
        effect = slicer.qSlicerSegmentEditorScriptedEffect(None)
        effect.setPythonSource(Path(__file__).as_posix())
        return effect

    def icon(self) -> qt.QIcon:
        """The button's picture."""
        path = Path(__file__).with_suffix(".png")
        return qt.QIcon(str(path)) if path.exists() else qt.QIcon()

    def helpText(self) -> str:
        """What the help box says."""
        return "<html>" + _(
            "Segment from a box and clicks<br>."
            "<ul><li>Draw a <b>box</b> round the object (D), or click on it as <b>foreground</b> (F).</li>"
            "<li>Click as <b>background</b> (B) on what does not belong to it.</li>"
            "<li>Move, untick or delete any of them: the segment follows.</li>"
            "<li><b>N</b> starts a new segment.</li></ul>"
        )

    def setupOptionsFrame(self) -> None:
        """The panel is put there when the effect is first activated."""

    def activate(self) -> None:
        """The user chose the effect."""
        self._prepare()
        self.panel.enter()
        self.updateGUIFromMRML()

    def deactivate(self) -> None:
        """The user chose another effect, or left the editor."""
        if self.panel is not None:
            self.panel.exit()

    def cleanup(self) -> None:
        """The editor is going."""
        if self.panel is None:
            return
        self.panel.exit()
        for widget, signal in self.panel.option_widgets:
            widget.disconnect(signal, self.updateMRMLFromGUI)
        self.panel.cleanup()
        self.logic.cleanup()
        self.panel = self.logic = self._logicNode = None

    def interactionNodeModified(self, interactionNode: object) -> None:
        """Placing a prompt is part of the effect: by default place mode would deactivate it."""

    def sourceVolumeNodeChanged(self) -> None:
        """The logic observes the editor's node by itself; the panel shows what it says."""
        if self.panel is not None and self.scriptedEffect.active():
            self.panel.refresh()

    # Options, kept in the editor's node

    def setMRMLDefaults(self) -> None:
        """What holds before the user chooses."""
        for name, value in DEFAULT_OPTIONS.items():
            self.scriptedEffect.setParameterDefault(name, _stored(value))

    def updateGUIFromMRML(self) -> None:
        """The editor's node has changed."""
        if self.panel is not None:
            # A scene that was saved without them has replaced the node's contents, and tells no one.
            self.setMRMLDefaults()
            options = {
                name: self.scriptedEffect.parameter(name)
                if isinstance(default, str)
                else bool(self.scriptedEffect.integerParameter(name))
                for name, default in DEFAULT_OPTIONS.items()
            }
            self.panel.apply_options(options)

    def updateMRMLFromGUI(self) -> None:
        """The user changed an option."""
        for name, value in self.panel.options().items():
            self.scriptedEffect.setParameter(name, _stored(value))

    def _prepare(self) -> None:
        """Make the logic for the editor's node, and the panel if there is none yet."""
        from ENSAMSegmentGUI.prompt_panel import PromptPanel
        from ENSAMSegmentLib.logic import ENSAMSegmentLogic

        node = self.scriptedEffect.parameterSetNode()
        if node is self._logicNode:
            return
        old, self._logicNode = self.logic, node
        self.logic = ENSAMSegmentLogic(node, self.scriptedEffect.saveStateForUndo)
        if self.panel is None:
            self.panel = PromptPanel(self.logic)
            for widget, signal in self.panel.option_widgets:
                widget.connect(signal, self.updateMRMLFromGUI)
            self.scriptedEffect.addOptionsWidget(self.panel.widget)
        else:
            self.panel.use(self.logic)
            old.cleanup()


def _stored(value: bool | str) -> int | str:
    # The editor's node keeps numbers and words.
    return value if isinstance(value, str) else int(value)
