"""The offer to install what is missing, in place of the tools."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import slicer
from ensam.errors import InputError
from slicer.i18n import tr as _

from .reporting import errors_shown

_LONGEST_LINE = 120  # characters of what pip prints
_FOLDERS = re.compile(r"https?://\S*/")  # of addresses: what is fetched is told by its name
_UI_FILE = Path(__file__).resolve().parents[1] / "Resources" / "UI" / "ENSAMInstallBox.ui"


class Installer(Protocol):
    """What `ENSAMSegmentLib.install` does."""

    def describe(self) -> str:
        """What is missing and what installing it will fetch, "" when all is there. May raise InputError."""

    def install(
        self,
        confirm: Callable[[str], bool],
        told: Callable[[str], None],
        ended: Callable[[InputError | None], None],
    ) -> bool:
        """Begin to install it, if the user confirms. Raises InputError when it can't begin."""

    def cancel(self) -> None:
        """Give that up."""


class InstallBox:
    """Shows either this box or the tools. Nothing is installed, nor asked, before the button is pressed."""

    def __init__(self, panel: object, tools: object, installer: Installer) -> None:
        """panel: the widget that gets the box at its top; tools: the widget of it that waits meanwhile."""
        self._tools = tools
        self._installer = installer
        self._is_busy = self._is_cancelling = self._is_gone = False
        self.widget = slicer.util.loadUI(str(_UI_FILE))
        self.ui = slicer.util.childWidgetVariables(self.widget)
        panel.layout().insertWidget(0, self.widget)
        self._connections = (
            (self.ui.installButton, "clicked()", self._on_install),
            (self.ui.cancelInstallButton, "clicked()", self._on_cancel),
        )
        for sender, signal, slot in self._connections:
            sender.connect(signal, slot)
        self.ui.cancelInstallButton.visible = False

    def refresh(self) -> None:
        """Look again what is missing."""
        if self._is_busy:
            return
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
        """Cut all connections. An installation that is under way goes on."""
        self._is_gone = True
        for sender, signal, slot in self._connections:
            sender.disconnect(signal, slot)

    def _on_install(self) -> None:
        self._set_busy(True)
        has_begun = False
        try:
            with errors_shown():
                has_begun = self._installer.install(
                    slicer.util.confirmOkCancelDisplay, self._on_told, self._on_ended
                )
        finally:
            if not has_begun:
                self._set_busy(False)

    def _on_cancel(self) -> None:
        self._is_cancelling = True
        self.ui.cancelInstallButton.enabled = False
        self.ui.installLabel.text = _(
            "Cancelling. A package that is being unpacked is finished first, and what is there by then "
            "needn't be fetched again."
        )
        with errors_shown():
            self._installer.cancel()

    def _on_told(self, line: str) -> None:
        if not (self._is_gone or self._is_cancelling):
            self.ui.installLabel.text = _(
                "You can go on working in Slicer while ENSAM's packages are installed.\n{line}"
            ).format(line=_FOLDERS.sub("", line).strip()[:_LONGEST_LINE])

    def _on_ended(self, error: InputError | None) -> None:
        if self._is_gone:
            return
        self._set_busy(False)
        if error is not None:
            with errors_shown():
                raise error

    def _set_busy(self, is_busy: bool) -> None:
        self._is_busy, self._is_cancelling = is_busy, False
        self.ui.installButton.enabled = not is_busy
        self.ui.installButton.text = _("Installing...") if is_busy else _("Install")
        self.ui.cancelInstallButton.visible = self.ui.cancelInstallButton.enabled = is_busy
        self.refresh()
