"""The names of slicer, qt, ctk and vtk that the modules use, each with the source that declares it.

``names.json`` is the list. ``python -m slicer_names SLICER`` in ``Testing`` makes it anew from a git clone of
Slicer with the branch of the release (5.12), and tells the names that no source has.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("names.json")
MODULES = ("slicer", "qt", "ctk", "vtk")
# What is installed with the modules and imports these; ensam and ensam_training do not.
FOLDERS = ("ENSAMSegment", "ENSAMTrainer")
_CLASS_IN_TEXT = re.compile(r"(vtk(MRML|Slicer)|qSlicer|qMRML)\w+")
_VTK_STYLE = re.compile(r"[A-Z]\w*[a-z]\w*")
_QT_STYLE = re.compile(r"[a-z]+[A-Z]\w*")


def product_files() -> list[Path]:
    """All files of the modules."""
    found = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return [p for p in found if not {"ensam", "ensam_training"} & set(p.relative_to(ROOT).parts)]


def listed() -> dict[str, str]:
    return json.loads(LIST.read_text())


def names_used() -> set[str]:
    """What all files of the modules use, without what they define themselves."""
    texts = [path.read_text() for path in product_files()]
    own = set().union(*(_defined(ast.parse(text)) for text in texts))
    for ui in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.ui")):
        own |= set(re.findall(r'name="(\w+)"', ui.read_text()))
    return {name for text in texts for name in names_in(text) if name.removeprefix(".") not in own}


def names_in(text: str) -> set[str]:
    """What a file's text uses of Slicer, Qt and VTK.

    Names that begin with a module are written out ("slicer.util.loadUI"). Of any other object each attribute
    counts that is written as VTK or Qt write theirs (".GetName", ".setText"), since ours are in small letters
    with underscores; so do texts that are the name of a class ("vtkMRMLScalarVolumeNode").
    """
    tree = ast.parse(text)
    imported, others = _imported(tree), _imported_whole(tree)
    names = set(imported.values())
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            chain = _chain(node)
            if chain and chain[0] in imported:
                names.add(".".join((imported[chain[0]], *chain[1:])))
            elif chain and chain[0] in others:
                continue
            elif _VTK_STYLE.fullmatch(node.attr) or _QT_STYLE.fullmatch(node.attr):
                names.add(f".{node.attr}")
        elif isinstance(node, ast.Constant) and _CLASS_IN_TEXT.fullmatch(str(node.value)):
            names.add(f"slicer.{node.value}")
    return names - set(MODULES)


def _defined(tree: ast.Module) -> set[str]:
    """Functions, classes, and attributes of self."""
    kinds = ast.FunctionDef | ast.ClassDef
    names = {node.name for node in ast.walk(tree) if isinstance(node, kinds)}
    return names | {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and _chain(node)[:-1] == ("self",)
    }


def _imported(tree: ast.Module) -> dict[str, str]:
    """By the name in the file: what was imported of these modules."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                if first in MODULES:
                    found[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in MODULES:
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def _imported_whole(tree: ast.Module) -> set[str]:
    """Other modules that are imported as such: what is taken of them is not Slicer's."""
    aliases = (alias for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names)
    return {a.asname or a.name.split(".")[0] for a in aliases if a.name.split(".")[0] not in MODULES}


def _chain(node: ast.expr) -> tuple[str, ...]:
    """The parts of a.b.c; none where it begins with something else than a name."""
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute):
        inner = _chain(node.value)
        return (*inner, node.attr) if inner else ()
    return ()
