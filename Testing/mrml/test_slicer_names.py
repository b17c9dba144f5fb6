"""The listed names of classes of Slicer and VTK are there in slicer-core, the libraries of the release."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import slicer
import vtk
from slicer_names import listed


def test_the_class_of_each_listed_header_has_the_name(an_mrml_scene):
    checked = 0
    for name, source in listed().items():
        project, _, path = source.partition(" ")
        class_name = path.rpartition("/")[2].removesuffix(".h")
        cls = getattr(slicer, class_name, None) or getattr(vtk, class_name, None)
        if not path.endswith(".h") or not class_name.startswith("vtk") or project not in ("Slicer", "VTK"):
            continue
        if class_name != "vtkType":
            last = name.rpartition(".")[2]
            assert cls is not None and (last == class_name or hasattr(cls, last)), name
            checked += 1
    assert checked > 200


def test_the_command_that_lists_them_tells_what_it_needs():
    pytest.importorskip("PySide6")
    folder = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-m", "slicer_names", "--help"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0 and "a git clone of Slicer" in done.stdout, done.stderr
