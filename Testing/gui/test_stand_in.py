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


def test_module(an_application, grab):
    w = an_application.open_module("/work/main/ENSAMSegment/ENSAMSegment.py")
    w.parent.resize(460, 900)
    w.parent.enter()
    grab(w.parent, "/tmp/m.png")


def test_effect(an_application, grab):
    import slicer

    an_application.load_module("/work/main/ENSAMSegment/SegmentEditorENSAM.py")
    an_application.finish_start()
    e = slicer.qMRMLSegmentEditorWidget()
    e.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    e.setMRMLScene(slicer.mrmlScene)
    e.setSegmentationNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode"))
    e.setActiveEffectByName("ENSAM")
    print(e.activeEffect().name)
    grab(e, "/tmp/e.png")
