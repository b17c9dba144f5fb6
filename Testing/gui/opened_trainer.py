"""The trainer's panel as tests work it."""

from __future__ import annotations

SCENE_AND_FILES = ("addFromSceneButton", "addScenesButton", "addFolderButton", "folderButton")
CASES = ("checkButton", "removeButton", "estimateButton", "exportButton")
RUNS = ("trainButton", "stopButton", "resumeButton", "plotButton")
RESULTS = ("useButton", "takeBackButton", "importButton")


class OpenedTrainer:
    """The panel, with a fake logic."""

    def __init__(self, application, installer_sentence=""):
        from ENSAMTrainerGUI.trainer_panel import TrainerPanel

        from .fake_logic import FakeInstaller
        from .fake_trainer_logic import FakeTrainerLogic

        self.logic = FakeTrainerLogic()
        self.installer = FakeInstaller(installer_sentence)
        self.panel = TrainerPanel(self.logic, self.installer)
        self.ui = self.panel.ui
        self.dialogs = application.dialogs
        self.calls = self.logic.calls

    def enabled(self):
        return {n for n in (*SCENE_AND_FILES, *CASES, *RUNS, *RESULTS) if getattr(self.ui, n).enabled}

    def made(self):
        """The last action."""
        return [call for call in self.calls.made if call[0] not in ("poll", "scene_choices")][-1]

    def texts(self, table):
        return [[table.item(r, c).text() for c in range(table.columnCount)] for r in range(table.rowCount)]

    def color(self, table, row, column):
        color = table.item(row, column).foreground().color()
        return f"#{bytes((color.red(), color.green(), color.blue())).hex()}"
