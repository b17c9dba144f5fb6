"""The panel: tools, what happens, measures, prompts, options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import qt
import slicer
from ENSAMSegmentLib import install

from .advanced import Advanced
from .colors import BAD, style
from .icons import sign_icon
from .install_box import InstallBox, Installer
from .options import Options, give_options
from .palette_watch import PaletteWatch
from .prompt_table import PromptTable
from .reporting import errors_shown
from .shortcuts import Shortcuts
from .ticker import Ticker
from .words import measure_text, placing_text

if TYPE_CHECKING:
    from ENSAMSegmentLib.logic import ENSAMSegmentLogic

_UI_FILE = Path(__file__).resolve().parents[1] / "Resources" / "UI" / "ENSAMPromptPanel.ui"
_PROGRESS_STEPS = 100


def _mouse_is_pressed() -> bool:
    return bool(qt.QGuiApplication.mouseButtons())


class PromptPanel:
    """Shows one logic and works it. `widget` goes into the host's layout.

    The host keeps the options with its scene: it listens to `option_widgets`, and hands what it keeps to
    `apply_options`. Between `enter` and `exit` the logic is active and the keys work.
    """

    def __init__(
        self,
        logic: ENSAMSegmentLogic,
        installer: Installer = install,
        before_tool: Callable[[], bool] = lambda: True,
    ) -> None:
        """before_tool: called before a tool is used, for what the host has to have selected then; gives
        whether the tool can be used."""
        self.logic = logic
        self._before_tool = before_tool
        self.widget = slicer.util.loadUI(str(_UI_FILE))
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self._place_buttons = {
            "box": self.ui.boxButton,
            "foreground": self.ui.foregroundButton,
            "background": self.ui.backgroundButton,
        }
        self.ui.newSegmentButton.setIcon(sign_icon("segment"))
        self._eyes = self._drawn_eyes()
        for kind, button in self._place_buttons.items():
            button.setIcon(sign_icon(kind))

        self.table = PromptTable(self.ui, logic)
        self.advanced = Advanced(self.ui, logic)
        self.install_box = InstallBox(self.widget, self.ui.promptBox, installer)
        self.ticker = Ticker(self._poll)
        self.shortcuts = Shortcuts(
            {
                "N": self.add_segment,
                "D": self.place_box,
                "F": self.place_foreground,
                "B": self.place_background,
            }
        )
        self._palette_watch = PaletteWatch(self._repaint)
        self._connections: tuple[tuple[object, str, Callable[[], None]], ...] = (
            (self.ui.newSegmentButton, "clicked()", self.add_segment),
            (self.ui.boxButton, "clicked()", self.place_box),
            (self.ui.foregroundButton, "clicked()", self.place_foreground),
            (self.ui.backgroundButton, "clicked()", self.place_background),
            (self.ui.showPromptsButton, "clicked()", self.show_prompts),
            (self.ui.updateButton, "clicked()", self.update),
            (self.ui.cancelButton, "clicked()", self.cancel),
            (self.ui.measureLabel, "linkActivated(QString)", self.jump_to_diameters),
        )
        for sender, signal, slot in self._connections:
            sender.connect(signal, slot)
        self.use(logic)

    # Life

    def use(self, logic: ENSAMSegmentLogic) -> None:
        """Show another logic from now on; the one before is the host's to clean up."""
        self.logic.changed = lambda: None
        self.logic = self.table.logic = logic
        logic.changed = self._on_changed
        logic.is_pressed = _mouse_is_pressed
        self.advanced.use(logic)
        self.install_box.refresh()
        self.refresh()

    def enter(self) -> None:
        """The user is here."""
        self.advanced.load_settings()
        self.install_box.refresh()
        with errors_shown():
            self.logic.activate()
        self.shortcuts.install()
        self._on_changed()

    def exit(self) -> None:
        """The user has gone elsewhere."""
        self.shortcuts.remove()
        with errors_shown():
            self.logic.deactivate()
        self.ticker.stop()
        self.refresh()

    def cleanup(self) -> None:
        """Cut all connections. The logic is the host's to clean up."""
        self.shortcuts.remove()
        self.logic.changed = lambda: None
        self.ticker.cleanup()
        self._palette_watch.cleanup()
        for sender, signal, slot in self._connections:
            sender.disconnect(signal, slot)
        for part in (self.table, self.advanced, self.install_box):
            part.cleanup()

    # Options

    @property
    def option_widgets(self) -> tuple[tuple[object, str], ...]:
        """Each widget of an option with the signal that tells of a change."""
        return (
            (self.ui.autoUpdateCheckBox, "toggled(bool)"),
            (self.ui.lesionModeCheckBox, "toggled(bool)"),
            (self.ui.togetherCheckBox, "toggled(bool)"),
            (self.ui.keepOthersCheckBox, "toggled(bool)"),
            (self.ui.intensityComboBox, "currentIndexChanged(int)"),
        )

    def options(self) -> Options:
        """The options as they are ticked, by their names in the scene."""
        return {
            "autoUpdate": self.ui.autoUpdateCheckBox.checked,
            "lesionMode": self.ui.lesionModeCheckBox.checked,
            "together": self.ui.togetherCheckBox.checked,
            "keepOthers": self.ui.keepOthersCheckBox.checked,
            "intensity": self.advanced.intensity,
        }

    def apply_options(self, options: Options) -> None:
        """Show these options and give them to the logic."""
        give_options(self.logic, options)
        for name, value in options.items():
            if name == "intensity":
                self.advanced.intensity = value
            else:
                box = getattr(self.ui, f"{name}CheckBox")
                # Showing is not ticking.
                blocked = box.blockSignals(True)
                box.checked = value
                box.blockSignals(blocked)
        self.refresh()

    # What the user does

    def add_segment(self) -> None:
        """Key N."""
        with errors_shown():
            if self._before_tool():
                self.logic.add_segment()

    def place_box(self) -> None:
        """Key D."""
        self._toggle_placing("box")

    def place_foreground(self) -> None:
        """Key F."""
        self._toggle_placing("foreground")

    def place_background(self) -> None:
        """Key B."""
        self._toggle_placing("background")

    def show_prompts(self) -> None:
        """Show box and clicks in the views, or only the mask."""
        with errors_shown():
            self.logic.shows_prompts = self.ui.showPromptsButton.checked

    def update(self) -> None:
        """Compute now."""
        with errors_shown():
            self.logic.run()

    def cancel(self) -> None:
        """Give up what runs."""
        with errors_shown():
            self.logic.cancel()

    def jump_to_diameters(self) -> None:
        """Show the slice in which the longest diameter was measured."""
        with errors_shown():
            self.logic.jump_to_diameters()

    def _toggle_placing(self, kind: str) -> None:
        with errors_shown():
            if self.logic.placing == kind:
                self.logic.stop_placing()
            elif self._before_tool():
                self.logic.start_placing(kind)
        # A click has toggled the button, whatever came of it.
        self.refresh()

    # What the logic says

    def refresh(self) -> None:
        """Show everything as the logic has it now."""
        status = self.logic.status
        is_working = status.kind == "working"
        placing = self.logic.placing
        for kind, button in self._place_buttons.items():
            button.checked = kind == placing
        self.ui.showPromptsButton.checked = self.logic.shows_prompts
        self.ui.showPromptsButton.setIcon(self._eyes[self.logic.shows_prompts])
        self.ui.statusLabel.text = status.text
        self.ui.statusLabel.toolTip = status.technical
        detail = "\n".join(line for line in (status.detail, placing_text(placing)) if line)
        self.ui.detailLabel.text = detail
        self.ui.detailLabel.visible = bool(detail)
        self.ui.statusLabel.styleSheet = style(self.widget, BAD) if status.kind == "error" else ""
        self.ui.workingBox.visible = is_working
        # From 0 to 0 the bar runs to and fro.
        self.ui.progressBar.maximum = 0 if status.progress is None else _PROGRESS_STEPS
        self.ui.progressBar.value = round(_PROGRESS_STEPS * (status.progress or 0))
        self.ui.measureLabel.text = measure_text(
            self._segment_name(), self.logic.measures, self.logic.last_change
        )
        self.ui.measureLabel.visible = bool(self.ui.measureLabel.text)
        self.ui.updateButton.visible = self.logic.offers_update
        self.table.refresh()

    def _drawn_eyes(self) -> dict[bool, qt.QIcon]:
        """The eye, open and crossed out, in the colour that the palette has for text on buttons."""
        text = self.widget.palette.color(qt.QPalette.ButtonText)
        return {True: sign_icon("shown", text), False: sign_icon("hidden", text)}

    def _repaint(self) -> None:
        self._eyes = self._drawn_eyes()
        self.ui.measureLabel.text = ""  # a link keeps the colour that it was set with
        self.refresh()

    def _segment_name(self) -> str:
        segmentation, segment_id = self.logic.segmentation, self.logic.segment_id
        if segmentation is None or not segment_id:
            return ""
        segment = segmentation.GetSegmentation().GetSegment(segment_id)
        return segment.GetName() if segment else ""

    def _poll(self, wait_s: float) -> float | None:
        return self.logic.poll(wait_s)

    def _on_changed(self) -> None:
        self.refresh()
        self.ticker.wake()
