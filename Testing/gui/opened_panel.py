"""The prompt panel as tests work it."""

from __future__ import annotations


class OpenedPanel:
    """The panel, with a fake logic."""

    def __init__(self, application, rows, installer_sentence=""):
        from ENSAMSegmentGUI.prompt_panel import PromptPanel

        from .fake_logic import FakeInstaller, FakeLogic

        self.logic = FakeLogic(rows)
        self.installer = FakeInstaller(installer_sentence)
        self.panel = PromptPanel(self.logic, self.installer)
        self.ui = self.panel.ui
        self.install_box = self.panel.install_box
        self.dialogs = application.dialogs
        self.calls = self.logic.calls

    def select(self, row):
        self.ui.promptTable.selectRow(row)

    def tick(self, row, ticked):
        import qt

        self.ui.promptTable.item(row, 0).setCheckState(qt.Qt.Checked if ticked else qt.Qt.Unchecked)
