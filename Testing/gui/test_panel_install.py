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
    panel.installer.end()
    assert not panel.install_box.widget.visible
    assert panel.ui.promptBox.visible
    panel.panel.cleanup()


def test_while_packages_are_fetched_the_panel_says_how_far_it_is(an_application, rows):
    panel = OpenedPanel(an_application, rows, "ENSAM needs PyTorch.")
    panel.panel.widget.show()
    box = panel.install_box
    box.ui.installButton.click()
    assert not box.ui.installButton.enabled and box.ui.installButton.text == "Installing..."
    panel.installer.told("  Downloading https://example.org/whl/cpu/torch-2.13.0.whl (192.0 MB)")
    panel.panel.enter()  # back from another module
    assert box.ui.installLabel.text == (
        "You can go on working in Slicer while ENSAM's packages are installed.\n"
        "Downloading torch-2.13.0.whl (192.0 MB)"
    )
    assert box.widget.visible and not panel.ui.promptBox.visible
    panel.installer.end()
    assert panel.ui.promptBox.visible
    panel.panel.exit()
    panel.panel.cleanup()


def test_a_failed_installation_says_so_and_can_be_tried_again(an_application, rows):
    from ensam.errors import InputError

    panel = OpenedPanel(an_application, rows, "ENSAM needs PyTorch.")
    panel.panel.widget.show()
    for number in (1, 2):
        panel.install_box.ui.installButton.click()
        panel.installer.told("ERROR: No space left on device")
        panel.installer.end(InputError("PyTorch could not be installed: check the free disk space."))
        assert panel.dialogs.errors == number * ["PyTorch could not be installed: check the free disk space."]
        assert panel.install_box.ui.installButton.enabled
        assert panel.install_box.ui.installButton.text == "Install"
        assert panel.install_box.ui.installLabel.text == "ENSAM needs PyTorch."
    panel.panel.cleanup()


def test_an_installation_can_be_cancelled_and_begun_again(an_application, rows):
    panel = OpenedPanel(an_application, rows, "ENSAM needs PyTorch.")
    panel.panel.widget.show()
    box = panel.install_box
    assert not box.ui.cancelInstallButton.visible
    for number in (1, 2):
        box.ui.installButton.click()
        assert box.ui.cancelInstallButton.visible and box.ui.cancelInstallButton.enabled
        panel.installer.told("Downloading torch")
        box.ui.cancelInstallButton.click()
        assert panel.installer.cancels == number
        assert not box.ui.cancelInstallButton.enabled
        panel.installer.told("ERROR: Operation cancelled by user")
        assert box.ui.installLabel.text.startswith("Cancelling.")
        panel.installer.ended(None)  # and it is still missing
        assert box.ui.installLabel.text == "ENSAM needs PyTorch." and box.ui.installButton.enabled
        assert not box.ui.cancelInstallButton.visible and panel.dialogs.errors == []
    panel.panel.cleanup()


def test_an_installation_that_cannot_begin_says_why(an_application, rows, monkeypatch):
    from ensam.errors import InputError

    panel = OpenedPanel(an_application, rows, "ENSAM needs PyTorch.")

    def refuse(confirm, told, ended):
        raise InputError("Slicer is installing packages: try again when that is done.")

    monkeypatch.setattr(panel.installer, "install", refuse)
    panel.install_box.ui.installButton.click()
    assert panel.dialogs.errors == ["Slicer is installing packages: try again when that is done."]
    assert panel.install_box.ui.installButton.enabled
    panel.panel.cleanup()


def test_packages_that_arrive_when_the_panel_is_gone_disturb_nobody(an_application, rows):
    panel = OpenedPanel(an_application, rows, "ENSAM needs PyTorch.")
    panel.install_box.ui.installButton.click()
    panel.panel.cleanup()
    panel.panel.widget.deleteLater()
    panel.installer.told("Downloading torch")
    panel.installer.end()
    assert panel.dialogs.errors == []


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
