"""The stand-in shows the names of the real classes' headers and no others."""

from __future__ import annotations

import json
import os

import pytest

from .stand_in import read_headers

NAMES = json.loads(read_headers.NAMES.read_text())
SOURCES = [os.environ.get(f"{name}_SOURCE") for name in ("SLICER", "CTK", "PYTHONQT")]


def classes_of_the_stand_in():
    import ctk
    import slicer

    shown = {**vars(ctk), **vars(slicer)}
    return {name: shown[name]._implementation for name in NAMES["classes"] if name in shown}


def test_every_name_says_which_header_it_is_from():
    for described in (*NAMES["classes"].values(), *NAMES["qt"].values()):
        assert described["header"].endswith(".h")


def test_classes_have_the_bases_of_the_headers(an_application):
    for name, implementation in classes_of_the_stand_in().items():
        bases = [each.__name__ for each in implementation.__mro__]
        assert NAMES["classes"][name]["base"] in bases, name


def an_object_of(implementation):
    from .stand_in.application import the_application

    return the_application() if issubclass(implementation, type(the_application())) else implementation()


def test_implemented_signals_have_the_arguments_of_the_headers(an_application):
    import re

    for name, implementation in classes_of_the_stand_in().items():
        target = an_object_of(implementation)
        meta = target.metaObject()
        ours = [meta.method(i).methodSignature().data().decode() for i in range(meta.methodCount())]
        for signal in NAMES["classes"][name]["signals"]:
            overloads = [each for each in ours if each.partition("(")[0] == signal.partition("(")[0]]
            assert not overloads or re.sub(r"\w+\*", "PyObject", signal) in overloads, (name, signal)


def test_properties_of_the_stand_in_are_in_the_headers(an_application):
    for name, implementation in classes_of_the_stand_in().items():
        target = an_object_of(implementation)
        meta = target.metaObject()
        own = {meta.property(i).name() for i in range(meta.propertyOffset(), meta.propertyCount())}
        assert own <= set(NAMES["classes"][name]["properties"]), name


@pytest.mark.parametrize("name", ["arrayFromVolume", "loadVolume", "qMRMLNodeSelector", "mainWindow"])
def test_the_namespace_slicer_has_no_more_than_slicer(an_application, name):
    import slicer

    assert not hasattr(slicer, name)


@pytest.mark.skipif(None in SOURCES, reason="set SLICER_SOURCE, CTK_SOURCE and PYTHONQT_SOURCE to git clones")
def test_the_names_are_those_of_the_sources(tmp_path, monkeypatch):
    monkeypatch.setattr(read_headers, "NAMES", tmp_path / "names.json")
    read_headers.main(*SOURCES)
    assert json.loads((tmp_path / "names.json").read_text()) == NAMES
