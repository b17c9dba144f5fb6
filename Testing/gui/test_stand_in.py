"""The stand-in keeps PythonQt's rules: what would fail in Slicer fails here."""

from __future__ import annotations

import gc
import sys

import pytest

# Attributes


def test_properties_are_attributes(an_application):
    import qt

    button = qt.QPushButton("Press")
    assert (button.text, button.enabled, button.checkable, button.visible) == ("Press", True, False, False)
    button.text = "Wait"
    button.enabled = False
    assert (button.text, button.enabled, button.isEnabled()) == ("Wait", False, False)
    with pytest.raises(TypeError, match="'str' object is not callable"):
        button.text()
    button.setText("by slot")
    button.setChecked(False)
    assert button.text == "by slot"


def test_name_is_the_object_name(an_application):
    import qt

    label = qt.QLabel()
    label.name = "statusLabel"
    assert (label.objectName, label.name) == ("statusLabel", "statusLabel")


@pytest.mark.parametrize(
    ("attribute", "reason"),
    [
        ("colour", "does not exist on QPushButton and creating new attributes"),
        ("setText", "Slot 'setText' can not be overwritten"),
        ("clicked", "Signal 'clicked' can not be overwritten"),
        ("sizeHint", "is not writable"),
        ("enabled", "does not accept an object of type str"),
        ("text", "does not accept an object of type NoneType"),
    ],
)
def test_only_writable_properties_can_be_set(an_application, attribute, reason):
    import qt

    value = "x" if attribute != "text" else None
    with pytest.raises(AttributeError, match=reason):
        setattr(qt.QPushButton(), attribute, value)


@pytest.mark.parametrize("attribute", ["colour", "checkState", "StandardButton", "isNotThere", "addItem"])
def test_unknown_attributes_are_errors(an_application, attribute):
    import qt

    with pytest.raises(AttributeError, match=f"QPushButton has no attribute named '{attribute}'"):
        getattr(qt.QPushButton(), attribute)


def test_dynamic_properties_can_be_read_and_set(an_application):
    import qt

    widget = qt.QWidget()
    widget.setProperty("SlicerParameterName", "threshold")
    assert widget.property("SlicerParameterName") == widget.SlicerParameterName == "threshold"


def test_keyword_arguments_are_unknown(an_application):
    import qt

    with pytest.raises(TypeError):
        qt.QVBoxLayout().addWidget(qt.QWidget(), stretch=1)


def test_a_python_class_has_attributes_of_its_own_and_overrides_what_qt_calls(an_application, pump):
    import qt

    class Watcher(qt.QObject):
        def __init__(self, parent):
            qt.QObject.__init__(self, parent)
            self.seen = []

        def eventFilter(self, watched, event):
            self.seen.append((watched, event.type()))
            return False

    widget = qt.QWidget()
    watcher = Watcher(widget)
    widget.installEventFilter(watcher)
    widget.show()
    pump(0.02)
    assert (widget, qt.QEvent.Show) in watcher.seen
    del watcher
    gc.collect()
    assert any(type(child) is Watcher for child in widget.children())


# Classes


def test_classes_do_not_inherit_from_one_another(an_application):
    import qt
    import slicer

    assert isinstance(qt.QPushButton(), qt.QPushButton)
    assert not isinstance(qt.QPushButton(), qt.QWidget)
    assert not isinstance(slicer.qSlicerWidget(), qt.QWidget)
    assert qt.QPushButton().inherits("QWidget")


@pytest.mark.parametrize("name", ["Signal", "Slot", "Property", "QtWidgets", "QAbstractListModel5"])
def test_the_module_is_flat_and_lacks_what_pythonqt_lacks(an_application, name):
    import qt

    assert not hasattr(qt, name)


def test_enums_are_ints_at_class_scope(an_application):
    import qt

    assert qt.QMessageBox.Ok == 0x400
    assert qt.QMessageBox.Ok | qt.QMessageBox.Cancel == 0x400400
    label = qt.QLabel()
    label.alignment = qt.Qt.AlignRight | qt.Qt.AlignTop
    assert label.alignment == qt.Qt.AlignRight | qt.Qt.AlignTop
    label.setAlignment(qt.Qt.AlignLeft)
    assert label.alignment == qt.Qt.AlignLeft
    assert not hasattr(qt.Qt, "AlignmentFlag")


def test_a_check_state_compares_with_what_the_signal_brings(an_application):
    import qt

    states = []
    box = qt.QCheckBox()
    box.connect("stateChanged(int)", states.append)
    box.checked = True
    assert states == [qt.Qt.Checked]


def test_lists_come_as_tuples(an_application):
    import qt

    widget = qt.QWidget()
    label = qt.QLabel(widget)
    assert widget.children() == (label,)
    assert widget.findChildren(qt.QLabel) == (label,)
    assert qt.QSettings().allKeys() == ()


def test_one_object_has_one_wrapper(an_application):
    import qt

    widget = qt.QWidget()
    label = qt.QLabel(widget)
    label.name = "here"
    assert widget.findChild(qt.QLabel, "here") is label
    assert widget.findChild("QLabel", "here") is label
    assert label.parent() is widget
    assert widget.findChild(qt.QPushButton) is None


def test_a_deleted_object_says_so(an_application):
    import qt

    label = qt.QLabel()
    label.delete()
    assert not label
    with pytest.raises(ValueError, match="destroyed QLabel"):
        label.text


def test_exec_has_an_underscore(an_application):
    import qt

    dialog = qt.QDialog()
    qt.QTimer.singleShot(0, dialog.accept)
    assert dialog.exec_() == qt.QDialog.Accepted


# Signals


def test_connecting_returns_whether_it_worked(an_application):
    import qt

    button = qt.QPushButton()
    assert button.connect("clicked()", lambda: None) is True
    assert button.connect("pressed(int)", lambda: None) is False
    assert an_application.mistakes() == [
        "PythonQt: QObject::connect() signal 'pressed(int)' does not exist on QPushButton"
    ]


def test_signals_of_qt6_alone_do_not_exist(an_application):
    import qt

    assert not qt.QCheckBox().connect("checkStateChanged(Qt::CheckState)", lambda: None)
    assert an_application.mistakes()


def test_arguments_are_cut_to_what_the_function_takes(an_application):
    import qt

    class Listener:
        def __init__(self):
            self.got = []

        def nothing(self):
            self.got.append("nothing")

        def one(self, checked):
            self.got.append(checked)

    listener, got = Listener(), []
    button = qt.QPushButton()
    button.connect("clicked(bool)", listener.nothing)
    button.connect("clicked(bool)", listener.one)
    button.connect("clicked(bool)", lambda *arguments: got.append(arguments))
    # A default is overwritten by the signal's argument: the trap of "lambda x=x:".
    button.connect("clicked(bool)", lambda segment="liver": got.append(segment))
    button.connect("clicked()", lambda segment="liver": got.append(segment))
    button.click()
    assert listener.got == ["nothing", False]
    assert got == [(False,), False, "liver"]


def test_signals_hold_their_methods(an_application):
    import qt

    got = []

    class Listener:
        def hear(self):
            got.append("heard")

    button = qt.QPushButton()
    button.connect("clicked()", Listener().hear)
    gc.collect()
    button.click()
    assert got == ["heard"]


def test_disconnected_methods_are_silent(an_application):
    import qt

    got = []
    button = qt.QPushButton()
    button.connect("clicked()", got.clear)
    button.connect("toggled(bool)", got.append)
    button.checkable = True
    button.click()
    assert button.disconnect("toggled(bool)", got.append) is True
    assert button.disconnect("toggled(bool)", got.append) is False
    button.click()
    assert got == []


def test_signals_are_attributes_too(an_application):
    import qt

    got = []
    edit = qt.QLineEdit()
    assert edit.textChanged.connect(got.append)
    edit.text = "a"
    assert edit.textChanged.disconnect(got.append)
    edit.text = "b"
    assert got == ["a"]


def test_an_error_in_a_slot_is_kept(an_application):
    import qt

    button = qt.QPushButton()
    button.connect("clicked()", lambda: 1 / 0)
    button.click()
    assert "ZeroDivisionError" in an_application.mistakes()[0]


def test_what_qt_warns_of_is_kept(an_application):
    import qt

    widget = qt.QWidget()
    qt.QVBoxLayout(widget)
    qt.QVBoxLayout(widget)
    assert "already has a layout" in an_application.mistakes()[0]


# Time, keys, settings, pictures


def test_timers_run_with_the_event_loop(an_application, pump):
    import qt

    ticks = []
    timer = qt.QTimer()
    timer.interval = 5
    timer.connect("timeout()", lambda: ticks.append(1))
    timer.start()
    pump(lambda: len(ticks) >= 2)
    timer.stop()
    with pytest.raises(AttributeError, match="Slot 'singleShot' can not be overwritten"):
        timer.singleShot = True
    timer.setSingleShot(True)
    qt.QTimer.singleShot(0, lambda: ticks.append("once"))
    pump(lambda: ticks[-1] == "once")
    with pytest.raises(TimeoutError):
        pump(lambda: False, 0.05)


def test_keys_trigger_shortcuts(an_application, pump):
    import qt
    from PySide6.QtTest import QTest

    from .stand_in.wrapping import implementation_of

    got = []
    window = qt.QMainWindow()
    shortcut = qt.QShortcut(qt.QKeySequence("N"), window)
    shortcut.connect("activated()", lambda: got.append("N"))
    window.show()
    window.activateWindow()
    pump(0.05)
    QTest.keyClick(implementation_of(window), "n")
    assert got == ["N"]


def test_settings_are_of_one_test(an_application):
    import qt
    import slicer

    assert slicer.app.userSettings().value("ENSAM/device") is None
    slicer.app.userSettings().setValue("ENSAM/device", "cpu")
    assert qt.QSettings().value("ENSAM/device") == "cpu"
    assert slicer.util.settingsValue("ENSAM/device", "auto") == "cpu"
    assert slicer.util.settingsValue("ENSAM/other", "auto") == "auto"


def test_widgets_are_drawn_with_text(an_application, grab, tmp_path):
    import matplotlib.image
    import qt

    def ink(text):
        label = qt.QLabel(text)
        label.setFixedSize(200, 40)
        return float((matplotlib.image.imread(grab(label, tmp_path / "label.png"))[:, :, :3] < 0.4).mean())

    assert ink("") == 0 < ink("A few words")


def test_dialogs_do_not_wait_for_ever(an_application):
    import qt

    assert qt.QFileDialog.getOpenFileName(None, "Load") == ""
    assert "QFileDialog.getOpenFileName was opened" in an_application.mistakes()[0]


# Taken away at the end


def test_the_modules_exist(an_application):
    import ctk
    import qt

    assert qt.QWidget and ctk.ctkCollapsibleButton


def test_without_the_fixture_they_do_not():
    assert "qt" not in sys.modules
    assert "ctk" not in sys.modules
    assert "slicer.ScriptedLoadableModule" not in sys.modules
