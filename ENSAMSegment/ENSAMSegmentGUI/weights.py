"""The choice of the network's weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import ctk
import slicer
from ensam.checkpoint_store import CheckpointStore
from ENSAMSegmentLib.choosing import CHECKPOINT_KEY
from slicer.i18n import tr as _

from .choices import choose, chosen, fill

if TYPE_CHECKING:
    from ENSAMSegmentLib.logic import ENSAMSegmentLogic

_OTHER = "*"  # no path


class Weights:
    """A list: the shipped weights, those installed, or a file in any folder, whose path is then shown too."""

    def __init__(
        self, ui: object, logic: ENSAMSegmentLogic, store: CheckpointStore, changed: Callable[[], None]
    ) -> None:
        """changed: called when other weights have been chosen."""
        self.logic = logic
        self._ui = ui
        self._store = store
        self._changed = changed
        ui.checkpointPathLineEdit.filters = ctk.ctkPathLineEdit.Files
        self._connections = (
            (ui.checkpointComboBox, "currentIndexChanged(int)", self._on_chosen),
            (ui.checkpointPathLineEdit, "currentPathChanged(QString)", self._on_path),
        )
        for sender, signal, slot in self._connections:
            sender.connect(signal, slot)

    def load(self) -> None:
        """Give the logic this user's weights, and offer what is installed by now."""
        path = slicer.app.userSettings().value(CHECKPOINT_KEY) or ""
        self.logic.checkpoint = path
        installed = self._store.installed()
        fill(
            self._ui.checkpointComboBox,
            (
                ("", _("Shipped with the module")),
                *((known.path, known.name) for known in installed),
                (_OTHER, _("Other file...")),
            ),
        )
        # Not by the text: a path can be written in two ways.
        known = next((known.path for known in installed if path and Path(known.path) == Path(path)), _OTHER)
        choose(self._ui.checkpointComboBox, known if path else "")
        self._show_path(path if path and known == _OTHER else "")

    def cleanup(self) -> None:
        """Cut all connections."""
        for sender, signal, slot in self._connections:
            sender.disconnect(signal, slot)

    def _show_path(self, path: str) -> None:
        line = self._ui.checkpointPathLineEdit
        line.visible = chosen(self._ui.checkpointComboBox) == _OTHER
        blocked = line.blockSignals(True)
        line.currentPath = path
        line.blockSignals(blocked)

    def _on_chosen(self) -> None:
        path = chosen(self._ui.checkpointComboBox)
        self._show_path("")
        # Nothing changes before another file is named.
        if path != _OTHER:
            self._take(path)

    def _on_path(self) -> None:
        path = self._ui.checkpointPathLineEdit.currentPath.strip()
        # An emptied line names no file, and not the shipped one.
        if path:
            self._take(path)

    def _take(self, path: str) -> None:
        self.logic.checkpoint = path
        slicer.app.userSettings().setValue(CHECKPOINT_KEY, path)
        self._changed()
