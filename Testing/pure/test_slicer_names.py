"""Every name of Slicer, Qt and VTK that the modules use is listed with the source that declares it."""

from __future__ import annotations

import json
import os

import pytest
import slicer_names
from slicer_names import listed, names_in, names_used

SLICER_SOURCE = os.environ.get("SLICER_SOURCE")


def test_no_name_is_used_that_is_not_listed():
    unlisted = names_used() - listed().keys()
    assert not unlisted, f"Misspelt, or new: then run `python -m slicer_names SLICER` in Testing. {unlisted}"


def test_no_name_is_listed_that_is_not_used():
    assert not listed().keys() - names_used()


def test_every_name_has_a_source():
    projects = ("Slicer", "VTK", "CTK", "Qt", "PythonQt", "SlicerPyTorch", "Python")
    for name, source in listed().items():
        project, _, place = source.partition(" ")
        assert project in projects and place, name


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("import slicer\nslicer.util.laodUI('x')", "slicer.util.laodUI"),
        ("import slicer\ndef f(node: slicer.vtkMRMLVolmeNode): ...", "slicer.vtkMRMLVolmeNode"),
        ("def f(node):\n    return node.GetNmae()", ".GetNmae"),
        ("def f(label):\n    label.setTxet('')", ".setTxet"),
        ("import vtk\nvtk.vtkCommand.ModifedEvent", "vtk.vtkCommand.ModifedEvent"),
        ("import qt\nqt.Qt.Chekced", "qt.Qt.Chekced"),
        ("def f(scene):\n    scene.CreateNode('vtkMRMLSegmentatoinNode')", "slicer.vtkMRMLSegmentatoinNode"),
        ("from slicer.i18n import trr as _", "slicer.i18n.trr"),
        ("from vtk.util import numpy_suport as ns\nns.numpy_to_vtk", "vtk.util.numpy_suport.numpy_to_vtk"),
        ("def f():\n    import slicer.pakaging as p\n    p.pip_check", "slicer.pakaging.pip_check"),
    ],
)
def test_a_misspelt_name_is_seen_wherever_it_stands(code, name):
    assert name in names_in(code) and name not in listed()


def test_our_own_names_and_words_in_texts_are_none():
    code = (
        "def show_box(node):\n    '''Reads GetName.'''\n    print(node.segment_id, 'GetName of a vtkThing')"
    )
    assert names_in(code) == set()


@pytest.mark.skipif(not SLICER_SOURCE, reason="set SLICER_SOURCE to a git clone of Slicer")
def test_the_list_is_what_the_sources_say(tmp_path, monkeypatch):
    from slicer_names import __main__ as lookup

    monkeypatch.setattr(lookup, "LIST", tmp_path / "names.json")
    assert lookup.main(SLICER_SOURCE) == 0
    assert json.loads((tmp_path / "names.json").read_text()) == json.loads(slicer_names.LIST.read_text())
