"""The offer to install what is missing, in place of the tools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import slicer
from ensam.errors import InputError
from slicer.i18n import tr as _

from .reporting import errors_shown


class Installer(Protocol):
    """What `ENSAMSegmentLib.install` does."""

    def describe(self) -> str:
        """What is missing and what installing it will fetch, "" when all is there. May raise InputError."""

    def install(self, confirm: Callable[[str], bool]) -> bool:
        """Install it, if the user confirms. Raises InputError when it can't be done."""


class InstallBox:
    """Shows either this box or the panel's other part. Nothing is installed, nor asked, before the button is
    pressed."""

    def __init__(self, ui: object, installer: Installer) -> None:
        self._ui = ui
        self._installer = installer
        ui.installButton.connect("clicked()", self._on_install)

    def refresh(self) -> None:
        """Look again what is missing."""
        try:
            sentence = self._installer.describe()
            can_install = True
        except InputError as error:
            # A Slicer that is too old: there is nothing to press.
            sentence, can_install = str(error), False
        self._ui.installLabel.text = sentence
        self._ui.installButton.visible = can_install
        self._ui.installBox.visible = bool(sentence)
        self._ui.promptBox.visible = not sentence

    def cleanup(self) -> None:
        """Cut all connections."""
        self._ui.installButton.disconnect("clicked()", self._on_install)

    def _on_install(self) -> None:
        self._ui.installButton.enabled = False
        self._ui.installButton.text = _("Installing...")
        # Or the button would look as before until all is done.
        slicer.app.processEvents()
        try:
            with errors_shown():
                self._installer.install(slicer.util.confirmOkCancelDisplay)
        finally:
            self._ui.installButton.text = _("Install")
            self._ui.installButton.enabled = True
            self.refresh()
