"""The stand-in behaves as Slicer's application where the extension meets it."""

from __future__ import annotations

import sys

import pytest

UI = """
<ui version="4.0"><class>Panel</class>
 <widget class="qMRMLWidget" name="Panel"><layout class="QVBoxLayout" name="layout">
  <item><widget class="qMRMLNodeComboBox" name="volumeSelector">
   <property name="nodeTypes"><stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
   <property name="noneEnabled"><bool>true</bool></property>
  </widget></item>
  <item><widget class="QCheckBox" name="autoCheckBox"><property name="text"><string>Auto</string></property>
   <property name="SlicerParameterName" stdset="0"><string>auto</string></property></widget></item>
  <item><widget class="ctkCollapsibleButton" name="advancedButton">
   <property name="text"><string>Advanced</string></property>
   <property name="collapsed"><bool>true</bool></property>EXTRA</widget></item>
 </layout></widget>
 <connections><connection>
  <sender>Panel</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
  <receiver>volumeSelector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot>
 </connection></connections></ui>
"""


@pytest.fixture
def load_ui(an_application, tmp_path):
    import slicer

    def load(extra=""):
        path = tmp_path / "Panel.ui"
        path.write_text(UI.replace("EXTRA", extra))
        widget = slicer.util.loadUI(str(path))
        return widget, slicer.util.childWidgetVariables(widget)

    return load


def add(class_name, name="node"):
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass(class_name, name)


# .ui files


def test_ui_files_are_loaded_with_their_connections(load_ui):
    import slicer

    widget, ui = load_ui()
    assert ui.autoCheckBox.text == "Auto"
    assert ui.advancedButton.collapsed
    assert ui.volumeSelector.nodeTypes == ("vtkMRMLScalarVolumeNode",)
    widget.setMRMLScene(slicer.mrmlScene)
    volume = add("vtkMRMLScalarVolumeNode")
    assert ui.volumeSelector.mrmlScene() is slicer.mrmlScene
    ui.volumeSelector.setCurrentNode(volume)
    assert ui.volumeSelector.currentNode() is volume


def test_a_property_that_the_class_lacks_is_a_mistake(load_ui, an_application):
    load_ui('<property name="folded"><bool>true</bool></property>')
    assert "the property folded that ctkCollapsibleButton does not have" in an_application.mistakes()[0]


def test_a_missing_ui_file_is_an_error(an_application):
    import slicer

    with pytest.raises(RuntimeError, match="file not found"):
        slicer.util.loadUI("/nowhere.ui")


# Names


def test_a_collapsible_button_keeps_hidden_what_was_hidden(an_application):
    import ctk
    import qt

    button = ctk.ctkCollapsibleButton()
    button.setLayout(qt.QVBoxLayout())
    shown, hidden, later = (qt.QLabel(text) for text in ("shown", "hidden", "later"))
    for label in (shown, hidden, later):
        button.layout().addWidget(label)
    hidden.visible = False
    button.show()
    assert [label.visible for label in (shown, hidden, later)] == [True, False, True]
    button.collapsed = True
    assert not any(label.visible for label in (shown, hidden, later))
    later.visible = False
    hidden.visible = True
    assert not hidden.visible
    button.collapsed = False
    assert [label.visible for label in (shown, hidden, later)] == [True, True, False]


@pytest.mark.parametrize("name", ["setCollapsed", "collapse", "setContent", "isFlat"])
def test_ctk_shows_slots_and_properties_only(an_application, name):
    import ctk

    with pytest.raises(AttributeError):
        getattr(ctk.ctkCollapsibleButton(), name)


def test_what_slicer_has_and_the_stand_in_lacks_says_so(an_application):
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    with pytest.raises(NotImplementedError, match="the stand-in lacks it"):
        selector.renameCurrentNode()
    with pytest.raises(NotImplementedError, match="the stand-in lacks it"):
        selector.connect("currentNodeRenamed(QString)", print)
    with pytest.raises(AttributeError):
        selector.currentNodeName()


def test_signals_have_the_types_of_the_header(an_application):
    import slicer

    editor = slicer.qMRMLSegmentEditorWidget()
    assert editor.connect("segmentationNodeChanged(vtkMRMLSegmentationNode*)", lambda node: None)
    assert not editor.connect("segmentationNodeChanged(vtkMRMLNode*)", lambda node: None)
    assert an_application.mistakes()


# Parameter nodes


PARAMETERS = """
from slicer.parameterNodeWrapper import parameterNodeWrapper

@parameterNodeWrapper
class Parameters:
    auto: bool = True
    mode: str = "exact"
"""


@pytest.fixture
def parameters_of(an_application, tmp_path, monkeypatch):
    # From a file: slicer.parameterNodeWrapper is there only with the application.
    def parameters_of(text):
        (tmp_path / "some_parameters.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "some_parameters", raising=False)
        from some_parameters import Parameters

        return Parameters(add("vtkMRMLScriptedModuleNode"))

    return parameters_of


@pytest.fixture
def some_parameters(parameters_of):
    return parameters_of(PARAMETERS)


def test_parameters_have_defaults_and_keep_their_types(some_parameters):
    assert (some_parameters.auto, some_parameters.mode) == (True, "exact")
    some_parameters.auto = False
    some_parameters.mode = "fast"
    again = type(some_parameters)(some_parameters.parameterNode)
    assert (again.getValue("auto"), again.getValue("mode")) == (False, "fast")
    assert some_parameters.parameterNode.GetParameter("auto") == "False"


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [("auto", None, ValueError), ("auto", 1, TypeError), ("mode", True, TypeError)],
)
def test_wrong_values_are_refused(some_parameters, name, value, error):
    with pytest.raises(error):
        setattr(some_parameters, name, value)


def test_parameters_of_unknown_names_are_refused(some_parameters):
    with pytest.raises(ValueError, match="Cannot find a param"):
        some_parameters.getValue("colour")


@pytest.mark.parametrize(
    ("parameter", "error"),
    [
        ("scale: float = 1.0", NotImplementedError),
        ("mode: str", NotImplementedError),
        ("getValue: str = ''", ValueError),
    ],
)
def test_parameters_that_the_stand_in_cannot_keep_are_refused(parameters_of, parameter, error):
    text = PARAMETERS[: PARAMETERS.index("auto")]
    with pytest.raises(error):
        parameters_of(f"{text}{parameter}\n")


def test_widgets_and_parameters_follow_each_other(load_ui, some_parameters):
    _widget, ui = load_ui()
    some_parameters.auto = False
    tag = some_parameters.connectGui(ui)
    assert not ui.autoCheckBox.checked
    ui.autoCheckBox.click()
    assert some_parameters.auto
    some_parameters.auto = False
    assert not ui.autoCheckBox.checked
    some_parameters.disconnectGui(tag)
    ui.autoCheckBox.click()
    assert not some_parameters.auto


@pytest.mark.parametrize(
    ("name", "kind", "error"),
    [
        ("mode", "QCheckBox", RuntimeError),
        ("auto", "QLineEdit", RuntimeError),
        ("colour", "QCheckBox", ValueError),
    ],
)
def test_a_widget_of_another_kind_or_name_cannot_be_bound(some_parameters, name, kind, error):
    from types import SimpleNamespace

    import qt

    widget = getattr(qt, kind)()
    widget.setProperty("SlicerParameterName", name)
    with pytest.raises(error):
        some_parameters.connectGui(SimpleNamespace(it=widget))


# Nodes


def test_a_node_selector_follows_the_scene(an_application):
    import slicer

    first = add("vtkMRMLScalarVolumeNode")
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    assert not selector.enabled
    selector.setMRMLScene(slicer.mrmlScene)
    assert selector.currentNode() is first
    second, seen = add("vtkMRMLScalarVolumeNode"), []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    selector.connect("currentNodeChanged(bool)", seen.append)
    selector.currentNodeID = second.GetID()
    assert seen == [second, True]
    slicer.mrmlScene.RemoveNode(second)
    assert selector.currentNode() is first


def test_place_mode_is_slicers_own(an_application):
    import slicer

    points = add("vtkMRMLMarkupsFiducialNode")
    interaction = slicer.mrmlScene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    selection = slicer.mrmlScene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
    logic = slicer.modules.markups.logic()
    logic.SetActiveList(points)
    logic.StartPlaceMode(False)
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    assert selection.GetActivePlaceNodeID() == points.GetID()


# Modules and the application

MODULE = """
import qt
import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import *
from slicer.util import VTKObservationMixin

class Small(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Small one")
        self.parent.dependencies = ["Markups"]
        slicer.app.connect("startupCompleted()", self.start)
        self.started = False

    def start(self):
        self.started = True

class SmallWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.calls = []

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        self.layout.addWidget(qt.QLabel(_("Hello {name}").format(name="you")))
        self.calls.append("setup")

    def enter(self):
        self.calls.append("enter")

    def exit(self):
        self.calls.append("exit")

    def cleanup(self):
        self.calls.append("cleanup")
"""


@pytest.fixture
def a_small_module(an_application, tmp_path):
    path = tmp_path / "Small.py"
    path.write_text(MODULE)
    return an_application.open_module(path)


def test_a_module_is_loaded_opened_entered_and_left(a_small_module, an_application, tmp_path):
    import slicer

    assert slicer.modules.small.title == "Small one"
    assert slicer.modules.small.dependencies == ("Markups",)
    assert slicer.modules.SmallWidget is a_small_module
    assert a_small_module.resourcePath("UI/Small.ui") == str(tmp_path / "Resources" / "UI" / "Small.ui")
    an_application.finish_start()
    assert slicer.modules.SmallInstance.started
    assert not a_small_module.parent.isEntered
    a_small_module.parent.enter()
    a_small_module.parent.exit()
    a_small_module.cleanup()
    assert a_small_module.calls == ["setup", "enter", "exit", "cleanup"]


def test_a_logic_has_one_parameter_node(an_application):
    from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

    class SmallLogic(ScriptedLoadableModuleLogic):
        pass

    node = SmallLogic().getParameterNode()
    assert node is SmallLogic().getParameterNode()
    assert node.GetAttribute("ModuleName") == "Small"
    assert node.GetSingletonTag() == "Small"


def test_message_boxes_are_answered_and_kept(an_application):
    import slicer

    dialogs = an_application.dialogs
    slicer.util.errorDisplay("bad")
    slicer.util.infoDisplay("good")
    assert slicer.util.confirmOkCancelDisplay("Install?")
    dialogs.answer = False
    assert not slicer.util.confirmYesNoDisplay("Really?")
    with (
        pytest.raises(ZeroDivisionError),
        slicer.util.tryWithErrorDisplay("It failed.", waitCursor=True),
    ):
        1 / 0
    assert dialogs.errors == ["bad", "It failed.\n\ndivision by zero"]
    assert dialogs.infos == ["good"]
    assert dialogs.questions == ["Install?", "Really?"]


def test_in_testing_mode_nothing_is_asked(an_application):
    import slicer

    an_application.set_testing(True)
    assert slicer.app.testingEnabled()
    slicer.util.delayDisplay("Passed")
    assert an_application.dialogs.infos == ["Passed"]


def test_there_is_no_main_window(an_application):
    import slicer

    assert slicer.util.mainWindow() is None
    assert slicer.app.layoutManager() is None
    with pytest.raises(RuntimeError, match="main window"):
        slicer.util.selectModule("Data")


def test_packages_are_looked_up(an_application):
    import slicer

    assert slicer.packaging.pip_check("numpy>=1.20")
    assert not slicer.packaging.pip_check("numpy>=99")
    assert not slicer.packaging.isPipInstallInProgress()


def test_only_strings_are_translated(an_application):
    from slicer.i18n import tr

    with pytest.raises(TypeError):
        tr(None)
