"""The offer to install what is missing, in place of the tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import slicer
from ensam.errors import InputError
from slicer.i18n import tr as _

from .reporting import errors_shown

_UI_FILE = Path(__file__).resolve().parents[1] / "Resources" / "UI" / "ENSAMInstallBox.ui"


class Installer(Protocol):
    """What `ENSAMSegmentLib.install` does."""

    def describe(self) -> str:
        """What is missing and what installing it will fetch, "" when all is there. May raise InputError."""

    def install(self, confirm: Callable[[str], bool]) -> bool:
        """Install it, if the user confirms. Raises InputError when it can't be done."""


class InstallBox:
    """Shows either this box or the tools. Nothing is installed, nor asked, before the button is pressed."""

    def __init__(self, panel: object, tools: object, installer: Installer) -> None:
        """panel: the widget that gets the box at its top; tools: the widget of it that waits meanwhile."""
        self._tools = tools
        self._installer = installer
        self.widget = slicer.util.loadUI(str(_UI_FILE))
        self.ui = slicer.util.childWidgetVariables(self.widget)
        panel.layout().insertWidget(0, self.widget)
        self.ui.installButton.connect("clicked()", self._on_install)

    def refresh(self) -> None:
        """Look again what is missing."""
        try:
            sentence = self._installer.describe()
            can_install = True
        except InputError as error:
            # A Slicer that is too old: there is nothing to press.
            sentence, can_install = str(error), False
        self.ui.installLabel.text = sentence
        self.ui.installButton.visible = can_install
        self.widget.visible = bool(sentence)
        self._tools.visible = not sentence

    def cleanup(self) -> None:
        """Cut all connections."""
        self.ui.installButton.disconnect("clicked()", self._on_install)

    def _on_install(self) -> None:
        self.ui.installButton.enabled = False
        self.ui.installButton.text = _("Installing...")
        # Or the button would look as before until all is done.
        slicer.app.processEvents()
        try:
            with errors_shown():
                self._installer.install(slicer.util.confirmOkCancelDisplay)
        finally:
            self.ui.installButton.text = _("Install")
            self.ui.installButton.enabled = True
            self.refresh()
