"""What Slicer's build, its extensions index and its start-up ask of the extension."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXTENSION = "ENSAMExtension"
SCHEMA = (
    "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/"
    "slicer-extension-catalog-entry-schema-v1.0.1.json#"
)
# Some of the categories that the index accepts, and the names of a licence file that it finds.
CATEGORIES = {"Segmentation", "Active Learning", "Analysis"}
LICENCES = {"LICENSE", "LICENCE", "License.txt", "license.txt", "LICENSE.txt", "COPYING", "COPYING.txt"}

# What the application itself has at start-up, so that importing it costs nothing.
OF_THE_APPLICATION = {"slicer", "vtk", "qt", "ctk", "SegmentEditorEffects"}


def script(folder: Path) -> str:
    """A CMake script without its comments."""
    return re.sub(
        r"^\s*#.*$", "", (folder / "CMakeLists.txt").read_text(encoding="utf-8"), flags=re.MULTILINE
    )


def facts() -> dict[str, str]:
    """What the extension's CMake script says of it, by the name after EXTENSION_."""
    return dict(re.findall(r'^set\(EXTENSION_(\w+) "([^"\n]+)"\)$', script(ROOT), re.MULTILINE))


def description() -> dict[str, object]:
    return json.loads((ROOT / f"{EXTENSION}.json").read_text(encoding="utf-8"))


def old_description() -> dict[str, str]:
    lines = (ROOT / f"{EXTENSION}.s4ext").read_text(encoding="utf-8").splitlines()
    return dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))


def module_folders() -> list[Path]:
    return [ROOT / name for name in re.findall(r"^add_subdirectory\((\w+)\)$", script(ROOT), re.MULTILINE)]


def listed(folder: Path) -> dict[str, dict[str, list[str]]]:
    """The files that CMake packages: by module, its scripts and its resources."""
    modules = {}
    text = script(folder)
    for name, body in re.findall(r"set\(MODULE_NAME (\w+)\)(.*?)(?=set\(MODULE_NAME|\Z)", text, re.DOTALL):
        lists = dict(re.findall(r"set\(MODULE_PYTHON_(SCRIPTS|RESOURCES)\s+([^)]*)\)", body))
        modules[name] = {kind: files.split() for kind, files in lists.items()}
        assert "NAME ${MODULE_NAME}" in body and "WITH_GENERIC_TESTS" in body
        assert "SCRIPTS ${MODULE_PYTHON_SCRIPTS}" in body and "RESOURCES ${MODULE_PYTHON_RESOURCES}" in body
    return modules


def files_of(modules: dict[str, dict[str, list[str]]]) -> list[str]:
    return [file for lists in modules.values() for files in lists.values() for file in files]


def on_disk(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
        and path.name != "CMakeLists.txt"
        and not (path.parent == folder and path.suffix == ".md")  # for developers
        and path.suffix != ".pyc"
        and not any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(folder).parts)
    }


each_folder = pytest.mark.parametrize("folder", module_folders(), ids=lambda folder: folder.name)


# Packaging


@each_folder
def test_cmake_packages_every_file_of_the_modules_and_no_other(folder):
    assert sorted(files_of(listed(folder))) == sorted(on_disk(folder))


@each_folder
def test_scripts_are_listed_as_scripts_and_the_rest_as_resources(folder):
    for lists in listed(folder).values():
        assert all(file.endswith(".py") for file in lists["SCRIPTS"])
        assert not any(file.endswith(".py") for file in lists["RESOURCES"])


@each_folder
def test_tests_and_bytecode_are_not_packaged(folder):
    for file in files_of(listed(folder)):
        assert not re.search(r"(^|/)(Testing|test_\w*|__pycache__)(/|\.|$)|\.pyc$", file), file


def test_no_two_modules_of_the_extension_package_a_file_to_the_same_place():
    # Slicer installs all modules into one folder; on Windows and the Mac case makes no difference.
    places = Counter(file.lower() for folder in module_folders() for file in files_of(listed(folder)))
    assert [place for place, count in places.items() if count > 1] == []


@each_folder
def test_every_python_file_at_the_top_is_a_module_with_its_class(folder):
    modules = set(listed(folder))
    assert {
        Path(file).stem for file in on_disk(folder) if file.endswith(".py") and "/" not in file
    } == modules
    for name in modules:
        text = (folder / f"{name}.py").read_text(encoding="utf-8")
        # Slicer takes a file that begins with #! for a command line module.
        assert not text.startswith("#!")
        assert {name, f"{name}Test"} <= {n.name for n in ast.parse(text).body if isinstance(n, ast.ClassDef)}


@each_folder
def test_python_files_carry_our_name_for_all_extensions_share_one_search_path(folder):
    for file in files_of(listed(folder)):
        assert "ensam" in file.split("/")[0].lower() or not file.endswith(".py"), file


@each_folder
def test_every_package_of_the_modules_is_complete(folder):
    files = on_disk(folder)
    packages = {str(Path(file).parent.as_posix()) for file in files if file.endswith(".py") and "/" in file}
    assert {f"{package}/__init__.py" for package in packages} <= files


# Start-up


def imported_at_once(path: Path) -> list[tuple[str, int]]:
    """What a file imports when it is imported itself: each name, and how many dots are before it."""
    found = []
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found += [(alias.name, 0) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.module or "", node.level))
            # `from .package import file` imports the file.
            found += [(".".join(filter(None, [node.module, n.name])), node.level) for n in node.names]
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return found


def file_of(name: str, folder: Path) -> Path | None:
    """Where one of our own modules or packages lies."""
    path = folder.joinpath(*name.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def foreign_imports(start: Path, folder: Path) -> set[str]:
    """The packages of others that importing a file brings in, also through our own files."""
    foreign, seen, waiting = set(), set(), [start]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for name, level in imported_at_once(path):
            if level:
                parts = path.relative_to(folder).parts[:-level]
                name = ".".join((*parts, *filter(None, [name])))
            own = file_of(name, folder)
            if own is not None:
                waiting.append(own)
            elif (folder / name.split(".")[0]).exists():
                pass  # a name out of one of our own files, which is looked at for itself
            elif name.split(".")[0] not in sys.stdlib_module_names:
                foreign.add(name.split(".")[0])
    return foreign


def start_up_files() -> list[Path]:
    """What Slicer imports at its start: the modules, and the effect when they register it."""
    return [
        path
        for folder in module_folders()
        for path in (*sorted(folder.glob("*.py")), *sorted(folder.glob("SegmentEditor*Lib/*.py")))
    ]


@pytest.mark.parametrize("path", start_up_files(), ids=lambda path: path.stem)
def test_slicers_start_imports_nothing_but_slicer_and_python(path):
    folder = next(folder for folder in module_folders() if path.is_relative_to(folder))
    assert foreign_imports(path, folder) <= OF_THE_APPLICATION


def test_an_import_that_waits_for_its_use_is_told_from_one_that_does_not(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "__init__.py").write_text("")
    (tmp_path / "lib" / "deep.py").write_text("import torch\n")
    (tmp_path / "lib" / "near.py").write_text("from . import deep\n")
    start = tmp_path / "start.py"
    start.write_text("import os\ndef later():\n    import torch\n    import lib.deep\n")
    assert foreign_imports(start, tmp_path) == set()
    for text in (
        "import torch",
        "try:\n    from torch import nn\nfinally:\n    pass",
        "class A:\n    import torch",
        "import lib.deep",
        "from lib import deep",
        "from lib.deep import x",
        "from lib.near import y",
    ):
        start.write_text(text)
        assert foreign_imports(start, tmp_path) == {"torch"}, text


# The index


def test_the_description_keeps_to_the_indexs_schema():
    entry = description()
    types = {
        "$schema": str,
        "category": str,
        "scm_url": str,
        "scm_revision": str,
        "scm_type": str,
        "build_dependencies": list,
        "build_subdirectory": str,
        "enabled": bool,
        "tier": int,
    }
    assert {"$schema", "category", "scm_url"} <= set(entry) <= set(types)
    assert all(type(value) is types[name] for name, value in entry.items())
    assert all(type(name) is str for name in entry["build_dependencies"])
    assert entry["$schema"] == SCHEMA
    assert entry.get("scm_type", "git") in ("git", "local")
    assert entry.get("tier", 1) in (1, 3, 5)


def test_the_description_passes_the_indexs_own_checks():
    entry = description()
    assert entry["category"] in CATEGORIES
    assert re.fullmatch(r"(https|git)://[^/]+/[^/]+/Slicer\w*(\.git)?", entry["scm_url"])
    # The extension's name must not begin with Slicer, the repository's must.
    assert not EXTENSION.lower().startswith("slicer")
    assert b"\r" not in (ROOT / f"{EXTENSION}.json").read_bytes()


def test_the_build_has_the_name_of_the_description():
    assert re.findall(r"^project\((\w+)\)$", script(ROOT), re.MULTILINE) == [EXTENSION]


def test_the_three_descriptions_agree():
    cmake, new, old = facts(), description(), old_description()
    assert (old["scm"], old["scmurl"], old["scmrevision"]) == ("git", new["scm_url"], new["scm_revision"])
    assert cmake["CATEGORY"] == new["category"] == old["category"]
    assert cmake["DEPENDS"] == old["depends"] == (" ".join(new["build_dependencies"]) or "NA")
    assert int(cmake["TIER"]) == new["tier"] == int(old["tier"])
    assert new["build_subdirectory"] == old["build_subdirectory"] == "."
    for name in ("HOMEPAGE", "CONTRIBUTORS", "STATUS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS"):
        assert cmake[name] == old[name.lower()], name


def test_all_addresses_are_in_one_home_and_the_pictures_exist():
    cmake = facts()
    home = cmake["HOMEPAGE"]
    assert description()["scm_url"] == f"{home}.git"
    raw = home.replace("https://github.com/", "https://raw.githubusercontent.com/")
    branch = description()["scm_revision"]
    for address in (cmake["ICONURL"], *cmake["SCREENSHOTURLS"].split()):
        picture = ROOT / address.removeprefix(f"{raw}/{branch}/")
        assert picture.is_relative_to(ROOT) and picture.read_bytes().startswith(b"\x89PNG"), address


@each_folder
def test_a_modules_help_leads_to_its_part_of_the_readme(folder):
    (address,) = re.findall(r'^_DOCUMENTATION = "(.+)"$', (folder / f"{folder.name}.py").read_text(), re.M)
    page, part = address.split("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    assert page == facts()["HOMEPAGE"]
    assert part in {heading.lower().replace(" ", "-") for heading in headings}


def test_the_icon_is_as_large_as_the_catalog_shows_it():
    icon = (ROOT / facts()["ICONURL"].split("/main/")[1]).read_bytes()
    assert [int.from_bytes(icon[at : at + 4], "big") for at in (16, 20)] == [128, 128]


def test_the_description_tells_the_licences_and_that_it_is_no_medical_device():
    text = facts()["DESCRIPTION"]
    assert "Apache-2.0" in text and "CC-BY-SA-4.0" in text and "not for diagnosis" in text
    assert ";" not in text, "CMake would take it for a list"


def test_a_licence_lies_where_the_index_looks_for_it():
    assert LICENCES & {path.name for path in ROOT.iterdir()}
