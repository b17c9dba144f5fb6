"""Look up each name that the modules use in the sources of Slicer's release, and write the list."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import unittest

import PySide6.QtCore
import PySide6.QtGui
import PySide6.QtWidgets
import slicer
import vtk
from gui.stand_in.read_headers import NAMES

from . import LIST, names_used

RELEASE = "5.12"
PYTHON = re.compile(
    r"(Base/Python/slicer/(?!tests)|Modules/Scripted/SampleData/|.*/SegmentEditorEffects/Abstract).*\.py"
)
SHOWN = json.loads(NAMES.read_text())  # of the classes of Slicer, CTK and Qt, from their headers
# What can't be read in declarations.
OTHERS = {
    # Given to every object, and made while Slicer runs.
    "slicer.app.connect": "PythonQt src/PythonQtStdDecorators.h",
    "slicer.modules": "Slicer Base/Python/slicer/__init__.py",
    "slicer.modules.plots": "Slicer Modules/Loadable/Plots/qSlicerPlotsModule.h",
    "slicer.modules.plots.logic": "Slicer Base/QTCore/qSlicerAbstractCoreModule.h",
    ".connectGui": "Slicer Base/Python/slicer/parameterNodeWrapper/wrapper.py",
    ".disconnectGui": "Slicer Base/Python/slicer/parameterNodeWrapper/wrapper.py",
    ".getValue": "Slicer Base/Python/slicer/parameterNodeWrapper/wrapper.py",
    "vtk.calldata_type": "VTK Wrapping/Python/vtkmodules/util/misc.py",
    "vtk.reference": "VTK Wrapping/PythonCore/PyVTKReference.h",
    "vtk.util.numpy_support.numpy_to_vtk": "VTK Wrapping/Python/vtkmodules/util/numpy_support.py",
    "vtk.util.numpy_support.vtk_to_numpy": "VTK Wrapping/Python/vtkmodules/util/numpy_support.py",
}


class Sources:
    """The files of a Slicer release in a git clone."""

    def __init__(self, repository: str) -> None:
        self._git = ("git", "-C", repository)
        branches = self._run("for-each-ref", "--format=%(refname)").split()
        self.branch = next(ref for ref in branches if ref.endswith(f"/{RELEASE}"))
        self.paths = self._run("ls-tree", "-r", "--name-only", self.branch).splitlines()
        self._texts: dict[str, str] = {}

    def _run(self, *arguments: str) -> str:
        return subprocess.run(
            (*self._git, *arguments), check=True, capture_output=True, text=True, errors="replace"
        ).stdout

    def text(self, path: str) -> str:
        if path not in self._texts:
            self._texts[path] = self._run("show", f"{self.branch}:{path}")
        return self._texts[path]

    def header(self, class_name: str) -> str | None:
        return next((p for p in self.paths if p.endswith(f"/{class_name}.h")), None)

    def declaring(self, name: str, class_name: str) -> str | None:
        """The class's header if it has the name, as such or made by one of VTK's macros."""
        path = self.header(class_name)
        stem = re.sub("^(Set|Get)", "", name)
        pattern = rf"\b{name}\b|Macro\(\s*{stem}\b|Macro\(\s*\w+,\s*{stem}\b"
        return f"Slicer {path}" if path and re.search(pattern, self.text(path)) else None

    def in_python(self, name: str) -> str | None:
        """The file of Slicer's own Python code, of a core module or of the library, that defines it."""
        for path in self.paths:
            if not PYTHON.fullmatch(path):
                continue
            if re.search(rf"(def|class) {name}\b|self\.{name} =", self.text(path)):
                return f"Slicer {path}"
        return None

    def in_module(self, module: str, *names: str) -> str | None:
        """The file of slicer.MODULE, or of the package's, if it defines all the names."""
        for path in (f"{module}.py", f"{module}/wrapper.py"):
            path = f"Base/Python/slicer/{path}"
            if path in self.paths and all(
                re.search(rf"(def|class) {name}\b", self.text(path)) for name in names
            ):
                return f"Slicer {path}"
        return None


def source_of_vtk(sources: Sources, cls: type, name: str) -> str | None:
    """Where the class, or the one that it has the name from, is declared."""
    for base in cls.__mro__:
        if name == base.__name__ or name in vars(base):
            module = base.__module__.rpartition(".")[2]
            if base.__module__.startswith("vtkmodules"):
                first, rest = re.fullmatch(r"vtk([A-Z]+(?=[A-Z])|[A-Z][a-z]+)(\w*)", module).groups()
                return f"VTK {first}/{rest}/{base.__name__}.h"
            return sources.declaring(name, base.__name__)
    return None


def source_of_qt(sources: Sources, class_name: str | None, name: str) -> str | None:
    """Where a class of Qt, CTK or Slicer's widgets, any if none is given, has the name."""
    for each, described in {**SHOWN["classes"], **SHOWN["qt"]}.items():
        if class_name in (None, each):
            shown = [*described["methods"], *described.get("properties", ()), *described.get("enums", ())]
            shown += [signal.partition("(")[0] for signal in described.get("signals", ())]
            if name in (*shown, each):
                return described["header"]
    for module in (PySide6.QtCore, PySide6.QtGui, PySide6.QtWidgets):
        for each in dir(module):
            cls = getattr(module, each)
            if class_name in (None, each) and isinstance(cls, type) and (name == each or hasattr(cls, name)):
                return f"Qt {each}"
    for path in sources.paths:
        wanted = (
            f".*/{class_name}\\.h" if class_name else r".*/qSlicer\w*(Effect|Editor\w*Widget|Module)\w*\.h"
        )
        if re.fullmatch(wanted, path) and re.search(rf"\b{name}\b", sources.text(path)):
            return f"Slicer {path}"
    return None


def source(sources: Sources, name: str) -> str | None:
    """The file that declares a name, with its project."""
    if name in OTHERS:
        return OTHERS[name]
    module, *parts = name.split(".")
    last = parts[-1]
    if not module:
        if last[0].isupper():
            spaces = (cls for space in (slicer, vtk) for cls in vars(space).values())
            classes = (cls for cls in spaces if isinstance(cls, type) and hasattr(cls, last))
            found = (source_of_vtk(sources, cls, last) for cls in classes)
            return next(filter(None, found), None) or sources.in_python(last)
        if hasattr(unittest.TestCase, last):
            return "Python unittest"
        return source_of_qt(sources, None, last) or sources.in_python(last)
    if module in ("qt", "ctk"):
        return source_of_qt(sources, parts[0], last)
    if module == "slicer" and parts[0] in ("app", "mrmlScene"):
        if len(parts) == 1:
            return "Slicer Base/Python/slicer/__init__.py"
        if parts[0] == "mrmlScene":
            return source_of_vtk(sources, slicer.vtkMRMLScene, last)
        return source_of_qt(sources, "qSlicerApplication", last) or source_of_qt(sources, None, last)
    space = {"slicer": slicer, "vtk": vtk}[module]
    if parts[0].startswith("vtk"):
        cls = getattr(space, parts[0], None)
        return cls and source_of_vtk(sources, cls, last)
    if parts[0].startswith("q"):
        return source_of_qt(sources, parts[0], last)
    if module == "vtk":
        return "VTK Common/Core/vtkType.h" if hasattr(vtk, last) else None
    return sources.in_module(*parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository", help=f"a git clone of Slicer with the branch of the release, {RELEASE}")
    sources = Sources(parser.parse_args().repository)
    found = {name: source(sources, name) for name in sorted(names_used())}
    missing = [name for name, place in found.items() if place is None]
    for name in missing:
        print(f"No source has {name}.", file=sys.stderr)
    LIST.write_text(json.dumps({n: p for n, p in found.items() if p}, indent=1) + "\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
