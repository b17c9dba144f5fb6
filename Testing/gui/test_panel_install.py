"""What the panel offers where packages are missing."""

from __future__ import annotations

from .opened_panel import OpenedPanel


def test_the_offer_to_install_takes_the_place_of_the_tools(an_application, rows):
    panel = OpenedPanel(an_application, rows, "ENSAM needs PyTorch (130 MB).")
    panel.panel.widget.show()
    assert panel.install_box.widget.visible
    assert not panel.ui.promptBox.visible
    assert panel.install_box.ui.installLabel.text == "ENSAM needs PyTorch (130 MB)."
    assert panel.dialogs.questions == []
    panel.dialogs.answer = False
    panel.install_box.ui.installButton.click()
    assert panel.dialogs.questions == ["ENSAM needs PyTorch (130 MB). Install it now?"]
    assert panel.install_box.widget.visible
    assert panel.install_box.ui.installButton.enabled
    panel.dialogs.answer = True
    panel.install_box.ui.installButton.click()
    assert not panel.install_box.widget.visible
    assert panel.ui.promptBox.visible
    panel.panel.cleanup()


def test_a_failed_installation_says_so_and_can_be_tried_again(an_application, rows, monkeypatch):
    from ensam.errors import InputError

    panel = OpenedPanel(an_application, rows, "ENSAM needs PyTorch.")
    panel.panel.widget.show()

    def fail(confirm):
        raise InputError("PyTorch could not be installed: check the internet connection.")

    monkeypatch.setattr(panel.installer, "install", fail)
    panel.install_box.ui.installButton.click()
    assert panel.dialogs.errors == ["PyTorch could not be installed: check the internet connection."]
    assert panel.install_box.ui.installButton.enabled
    assert panel.install_box.ui.installButton.text == "Install"
    panel.panel.cleanup()


def test_a_slicer_that_is_too_old_is_told_without_a_button(an_application, rows):
    from ensam.errors import InputError

    panel = OpenedPanel(an_application, rows)
    panel.installer.error = InputError("ENSAM needs 3D Slicer 5.12 or newer: update Slicer.")
    panel.panel.install_box.refresh()
    panel.panel.widget.show()
    assert panel.install_box.widget.visible
    assert panel.install_box.ui.installLabel.text == "ENSAM needs 3D Slicer 5.12 or newer: update Slicer."
    assert not panel.install_box.ui.installButton.visible
    panel.panel.cleanup()
