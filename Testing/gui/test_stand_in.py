def test_starts(an_application):
    import qt
    import slicer
    from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

    assert slicer.app.mrmlScene() is slicer.mrmlScene
    print(
        slicer.mrmlScene.GetNodeByID("vtkMRMLInteractionNodeSingleton"),
        slicer.mrmlScene.GetNodeByID("vtkMRMLSelectionNodeSingleton"),
    )
    w = slicer.qSlicerWidget()
    assert not isinstance(w, qt.QWidget)
    assert slicer.util.mainWindow() is None
    slicer.util.errorDisplay("bad")
    assert an_application.dialogs.errors == ["bad"]
    print(ScriptedLoadableModuleLogic().getParameterNode())


def test_grabs(an_application, grab):
    import qt

    w = qt.QWidget()
    layout = qt.QFormLayout(w)
    import ctk

    b = ctk.ctkCollapsibleButton("Prompts")
    layout.addRow(b)
    f = qt.QFormLayout(b)
    f.addRow("Name:", qt.QLineEdit("text"))
    f.addRow(qt.QPushButton("Press"))
    f.addRow("path", ctk.ctkPathLineEdit())
    grab(w, "/tmp/g.png")
