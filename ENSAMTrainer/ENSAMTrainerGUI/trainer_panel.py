"""The panel: cases, training, judgement, use."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import qt
import slicer
from ensam.errors import InputError
from ENSAMSegmentGUI.install_box import InstallBox, Installer
from ENSAMSegmentGUI.palette_watch import PaletteWatch
from ENSAMSegmentGUI.reporting import errors_shown
from ENSAMSegmentGUI.ticker import Ticker
from ENSAMSegmentLib import install
from ENSAMSegmentLib.status import Status

from .cases import Cases
from .judging import Judging
from .results import Results
from .training import Training
from .user_settings import load_choice

if TYPE_CHECKING:
    from ENSAMTrainerLib.logic import ENSAMTrainerLogic

_RESOURCES = Path(__file__).resolve().parents[1] / "Resources"
_REQUIREMENTS = (install.REQUIREMENTS, _RESOURCES / "ENSAMTrainer-requirements.txt")


def installer() -> Installer:
    """Of what segmenting and training need together."""
    return SimpleNamespace(
        describe=partial(install.describe, files=_REQUIREMENTS),
        install=partial(install.install, files=_REQUIREMENTS),
        cancel=install.cancel,
    )


class TrainerPanel:
    """Shows one logic and works it. `widget` goes into the host's layout.

    A training goes on when the user leaves the module or closes the scene. So does the asking how far it is,
    by a timer that ends with it: the plot may be in sight meanwhile.
    """

    def __init__(self, logic: ENSAMTrainerLogic, installer: Installer) -> None:
        self.logic = logic
        self.widget = slicer.util.loadUI(str(_RESOURCES / "UI" / "ENSAMTrainer.ui"))
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self.install_box = InstallBox(self.widget, self.ui.toolsBox, installer)
        self.cases = Cases(self.ui, logic)
        self._training = Training(self.ui, logic)
        self._judging = Judging(self.ui, logic)
        self._parts = (self.cases, self._training, self._judging, Results(self.ui, logic))
        self.ticker = Ticker(self._poll)
        # The scene tells of every single node: all of one go are answered once.
        self._scene_timer = qt.QTimer()
        self._scene_timer.setSingleShot(True)
        self._connections = (
            (self._scene_timer, "timeout()", self.cases.look_at_scene),
            *(connection for part in self._parts for connection in part.connections),
        )
        for sender, signal, slot in self._connections:
            sender.connect(signal, slot)
        self._palette_watch = PaletteWatch(self._repaint)
        with errors_shown():
            logic.choice = load_choice()
        logic.changed = self._on_changed
        self.install_box.refresh()
        self.refresh()

    def enter(self) -> None:
        """The user is here."""
        self.install_box.refresh()
        with errors_shown():
            self.logic.activate()
            self.cases.look_at_scene()
            self._on_changed()

    def exit(self) -> None:
        """The user has gone elsewhere."""
        self._scene_timer.stop()

    def scene_changed(self) -> None:
        """Nodes have come or gone."""
        self._scene_timer.start(0)

    def refresh(self) -> None:
        """Show everything as the logic has it now."""
        try:
            for part in self._parts:
                part.refresh()
        except InputError as error:
            # In the panel: a dialog would come again with every second of a training.
            self._training.show(Status("error", str(error)))

    def cleanup(self) -> None:
        """Cut all connections. The logic is the host's to clean up."""
        self.logic.changed = lambda: None
        self._scene_timer.stop()
        self.ticker.cleanup()
        self._palette_watch.cleanup()
        for sender, signal, slot in self._connections:
            sender.disconnect(signal, slot)
        self.install_box.cleanup()

    def _repaint(self) -> None:
        self.cases.fill()
        self._judging.fill()
        self.refresh()

    def _poll(self, wait_s: float) -> float | None:
        delay_s = self.logic.poll(wait_s)
        if delay_s is None:
            # What ran may have ended by itself since the last time.
            self.refresh()
        return delay_s

    def _on_changed(self) -> None:
        self.refresh()
        self.ticker.wake()
