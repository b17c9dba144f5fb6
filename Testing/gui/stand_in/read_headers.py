"""Take the names that Python sees of Qt, CTK and Slicer classes from their headers, and write ``names.json``.

    python read_headers.py SLICER CTK PYTHONQT

The arguments are git clones, bare or not. ``names.json`` keeps the path of each header, so that a name can be
looked up again. Of a class of CTK or Slicer PythonQt shows properties, public slots, signals and what is
marked Q_INVOKABLE. Of a class of Qt it shows what its generated wrapper declares; Qt tells properties, slots
and signals itself.
"""

from __future__ import annotations

import functools
import json
import operator
import re
import subprocess
import sys
from pathlib import Path

NAMES = Path(__file__).with_name("names.json")

SLICER_HEADERS = """
Base/QTCore/qSlicerAbstractCoreModule.h
Base/QTCore/qSlicerCoreApplication.h
Base/QTCore/qSlicerModuleManager.h
Base/QTGUI/qSlicerAbstractModule.h
Base/QTGUI/qSlicerAbstractModuleWidget.h
Base/QTGUI/qSlicerApplication.h
Base/QTGUI/qSlicerLoadableModule.h
Base/QTGUI/qSlicerScriptedLoadableModule.h
Base/QTGUI/qSlicerScriptedLoadableModuleWidget.h
Base/QTGUI/qSlicerWidget.h
Libs/MRML/Widgets/qMRMLNodeComboBox.h
Libs/MRML/Widgets/qMRMLWidget.h
Modules/Loadable/Segmentations/EditorEffects/qSlicerSegmentEditorAbstractEffect.h
Modules/Loadable/Segmentations/EditorEffects/qSlicerSegmentEditorEffectFactory.h
Modules/Loadable/Segmentations/EditorEffects/qSlicerSegmentEditorScriptedEffect.h
Modules/Loadable/Segmentations/Widgets/qMRMLSegmentEditorWidget.h
"""
# Slots of these headers add methods to the classes of their first argument.
SLICER_DECORATORS = """
Base/QTCore/qSlicerBaseQTCorePythonQtDecorators.h
Base/QTGUI/qSlicerBaseQTGUIPythonQtDecorators.h
Modules/Loadable/Segmentations/EditorEffects/qSlicerSegmentationsEditorEffectsPythonQtDecorators.h
"""
CTK_HEADERS = """
Libs/Widgets/ctkCollapsibleButton.h
Libs/Widgets/ctkPathLineEdit.h
"""
QT_CLASSES = """
QAbstractButton QAbstractItemView QAbstractScrollArea QAbstractSpinBox QApplication QBoxLayout QBrush
QCheckBox QColor QComboBox QCoreApplication QCursor QDateTime QDialog QDialogButtonBox QDir QDoubleSpinBox
QEvent QFile QFileDialog QFileInfo QFont QFormLayout QFrame QGuiApplication QHBoxLayout QIODevice QIcon
QImage QKeySequence QLabel QLayout QLayoutItem QLineEdit QListView QListWidget QListWidgetItem QLocale
QMainWindow QMessageBox QObject QPainter QPalette QPen QPixmap QPoint QProgressBar QProgressDialog
QPushButton QRect QSettings QShortcut QSize QSpinBox QTableWidget QTableWidgetItem QTimer QToolBar
QToolButton QUiLoader QVBoxLayout QWidget
"""


def read(repository: str, path: str) -> str:
    return subprocess.run(
        ["git", "-C", repository, "show", f"HEAD:{path}"], check=True, capture_output=True, text=True
    ).stdout


def without_comments(text: str) -> str:
    return re.sub(r"//[^\n]*", "", re.sub(r"/\*.*?\*/", "", text, flags=re.S))


def argument_types(arguments: str) -> list[str]:
    """The types of a C++ argument list, as Qt normalises them: no const reference, no name, no default."""
    types = []
    for argument in filter(None, (part.strip() for part in arguments.split(","))):
        argument = argument.split("=")[0].strip()
        argument = re.sub(r"^const (.*)&", r"\1 ", argument)
        match = re.match(r"((?:unsigned )?[\w:]+(?:<[^>]*>)?\s*[*&]*)", argument)
        types.append(match.group(1).replace(" ", "") if match else argument)
    return types


def read_class(text: str, name: str) -> dict:
    """Properties, methods, signals and enums of one class."""
    text = without_comments(text)
    start = re.search(rf"class\s+(?:\w+_EXPORT\s+)?{name}\s*:\s*public\s+(\w+)", text)
    body = text[start.end() :]
    body = body[: body.index("\n};")]
    access, methods, signals, enums = "private", set(), [], {}
    # Bodies of inline functions would look like declarations.
    flat = re.sub(r"enum\s+(\w+)\s*\{([^}]*)\}", lambda found: _keep_enum(found, enums), body)
    while re.search(r"\{[^{}]*\}", flat):
        flat = re.sub(r"\{[^{}]*\}", ";", flat)
    for statement in re.split(r"[;\n](?=\s*(?:public|protected|private|signals|Q_SIGNALS)\b)|;", flat):
        for label in re.findall(
            r"((?:public|protected|private)(?: +(?:slots|Q_SLOTS))?|signals|Q_SIGNALS) *:", statement
        ):
            access = label.replace("Q_SLOTS", "slots").replace("Q_SIGNALS", "signals")
        call = re.search(
            r"(\w+)\s*\(((?:[^()]|\(\))*)\)\s*(?:const)?\s*(?:override|=\s*0)?\s*$", statement.strip()
        )
        if not call or call.group(1).startswith("Q_"):
            continue
        if access == "signals":
            signals.append(f"{call.group(1)}({','.join(argument_types(call.group(2)))})")
        elif access == "public slots" or "Q_INVOKABLE" in statement:
            methods.add(call.group(1))
    return {
        "base": start.group(1),
        "properties": sorted(set(re.findall(r"Q_PROPERTY\(\s*[\w:<>]+\s+(\w+)", body))),
        "methods": sorted(methods),
        "signals": signals,  # their order counts: "widget.signal" is the first overload
        "enums": enums,
    }


def _keep_enum(found: re.Match, enums: dict) -> str:
    values: dict[str, int] = {}
    for entry in filter(None, (part.strip() for part in found.group(2).split(","))):
        key, _, value = (part.strip() for part in entry.partition("="))
        if not value:
            values[key] = max(values.values(), default=-1) + 1
        elif re.fullmatch(r"-?(0x)?[0-9a-fA-F]+", value):
            values[key] = int(value, 0)
        elif set(parts := re.split(r"[\s|]+", value)) <= set(values):
            values[key] = functools.reduce(operator.or_, (values[part] for part in parts))
    enums.update(values)
    return ""


def read_decorators(text: str) -> list[tuple[str, str]]:
    """(class, method) pairs."""
    pairs = re.findall(r"static_(\w+?)_(\w+)\s*\(", text)
    return pairs + [
        (owner, method)
        for method, owner in re.findall(r"^\s*[\w:<>]+\*?\s+(\w+)\((\w+)\* _?\w+", text, flags=re.M)
        if not method.startswith("static_")
    ]


def read_qt_classes(repository: str) -> dict[str, dict]:
    """Methods that PythonQt's generated wrappers add to the classes of Qt."""
    listing = subprocess.run(
        ["git", "-C", repository, "ls-tree", "-r", "--name-only", "HEAD", "generated_cpp_515"],
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    classes = {}
    for path in listing:
        if not re.search(r"com_trolltech_qt_(core|gui|uitools)(_builtin)?\d*\.h$", path):
            continue
        for name, body in re.findall(
            r"^class PythonQtWrapper_(\w+) .*?$(.*?)^};", read(repository, path), flags=re.S | re.M
        ):
            if name in QT_CLASSES.split():
                declared = re.findall(
                    r"^\s+[\w:<>,*& ]*?(\w+)\(", body.partition("public slots:")[2], flags=re.M
                )
                methods = {re.sub(rf"^static_{name}_", "", each) for each in declared}
                hidden = ("py_q_", "new_", "delete_", "operator_", "__")
                methods = sorted(each for each in methods if not each.startswith(hidden))
                classes[name] = {"header": f"PythonQt {path}", "methods": methods}
    return classes


def main(slicer: str, ctk: str, pythonqt: str) -> None:
    classes = {}
    for title, repository, paths in (("Slicer", slicer, SLICER_HEADERS), ("CTK", ctk, CTK_HEADERS)):
        for path in paths.split():
            name = Path(path).stem
            classes[name] = {"header": f"{title} {path}"} | read_class(read(repository, path), name)
    for path in SLICER_DECORATORS.split():
        for owner, method in read_decorators(read(slicer, path)):
            if owner in classes:
                classes[owner]["methods"] = sorted({*classes[owner]["methods"], method})
    names = {"classes": classes, "qt": read_qt_classes(pythonqt)}
    NAMES.write_text(json.dumps(names, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
