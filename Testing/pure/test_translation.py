"""Every text that users read can be translated, as Slicer's tools find texts: literals within `_()`."""

from __future__ import annotations

import ast
import builtins
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from ensam import errors

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    path
    for pattern in (
        "ENSAMSegment/*.py",
        "ENSAMSegment/SegmentEditorENSAMLib/*.py",
        "ENSAMSegment/ENSAMSegmentGUI/*.py",
        "ENSAMSegment/ENSAMSegmentLib/*.py",
        "ENSAMTrainer/*.py",
        "ENSAMTrainer/ENSAMTrainerGUI/*.py",
        "ENSAMTrainer/ENSAMTrainerLib/*.py",
    )
    for path in ROOT.glob(pattern)
)
ERRORS = {
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.InputError)
}
# Where texts come to be seen: which arguments of a call, by place and by name, and which properties.
SINKS: dict[str, tuple[int | str, ...]] = {
    **dict.fromkeys(ERRORS, (0,)),
    "Status": (1, 2, "text", "detail", "technical"),
    **dict.fromkeys(("setText", "setToolTip", "setWindowTitle", "setStatusTip", "setTitle"), (0,)),
    **dict.fromkeys(("addItem", "showStatusMessage", "delayDisplay", "tryWithErrorDisplay"), (0,)),
    **dict.fromkeys(
        (
            *("errorDisplay", "warningDisplay", "infoDisplay", "messageBox"),
            *("confirmOkCancelDisplay", "confirmYesNoDisplay"),
        ),
        (0, 1, "windowTitle", "informativeText"),
    ),
    "confirm": (0,),
    "getSaveFileName": (1, 3),
    "getOpenFileName": (1, 3),
    "getOpenFileNames": (1, 3),
    "getExistingDirectory": (1,),
    "QTableWidgetItem": (0,),
    "QListWidgetItem": (0,),
    # Names of nodes and segments.
    "SetName": (0,),
    "AddNewNodeByClass": (1,),
    "add_segmentation": (1,),
    "add_segment": (0, 1, "name"),
}
PROPERTIES = {"text", "toolTip", "title", "windowTitle", "statusTip", "placeholderText"}
PROPERTIES |= {"helpText", "acknowledgementText", "categories"}
# What is the same in every language: who made this, Slicer's name of a representation, a word of the logic's,
# what pip prints.
SAME_EVERYWHERE = {"ENSAM contributors", "Binary labelmap", "soft tissue", "Installing collected packages"}

_WORD = re.compile(r"[^\W\d_]{2}")
_SENTENCE = re.compile(r"[^\W\d_] [^\W\d_]|[^\W\d_]{2} $|^ [^\W\d_]{2}")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)

each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())


class Source:
    """A file's syntax, without the module's self-test, which developers read."""

    def __init__(self, text: str, name: str = "") -> None:
        self.name = name
        self.tree = ast.parse(text)
        self.tree.body = [node for node in self.tree.body if not _is_self_test(node)]
        self.parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}
        self.functions = {
            node.name: node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef)
        }

    @classmethod
    def of(cls, path: Path) -> Source:
        return cls(path.read_text(encoding="utf-8"), path.stem)

    def nodes(self, *kinds: type) -> Iterator[ast.AST]:
        return (node for node in ast.walk(self.tree) if isinstance(node, kinds))

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        while node in self.parents:
            node = self.parents[node]
            yield node

    def scopes(self, node: ast.AST) -> list[ast.AST]:
        """The functions around a node, and the module."""
        return [one for one in self.above(node) if isinstance(one, (*_FUNCTIONS, ast.Module))]

    def translations(self) -> list[ast.Call]:
        return [call for call in self.nodes(ast.Call) if is_translation(call)]

    def seen_by_users(self) -> Iterator[ast.expr]:
        """The expressions that give texts to where they are seen."""
        for call in self.nodes(ast.Call):
            wanted = SINKS.get(called(call), ())
            yield from (call.args[at] for at in wanted if isinstance(at, int) and at < len(call.args))
            yield from (keyword.value for keyword in call.keywords if keyword.arg in wanted)
        for node in self.nodes(ast.Assign, ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Attribute) and target.attr in PROPERTIES for target in targets):
                yield node.value

    def untranslated(self, node: ast.AST, seen: frozenset[ast.AST] = frozenset()) -> Iterator[str]:
        """The words in an expression, and in what it is made from, that no translator gets to see."""
        if node in seen:
            return
        seen |= {node}
        below: list[ast.AST] = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str) and node.value != self.name and _has_words(node.value):
                yield node.value
        elif isinstance(node, ast.Dict):
            below = list(node.values)
        elif isinstance(node, ast.FormattedValue | ast.Subscript):
            below = [node.value]  # neither how a number is written nor a key is a text
        elif isinstance(node, ast.IfExp):
            below = [node.body, node.orelse]
        elif isinstance(node, ast.Compare | ast.Attribute):
            below = []
        elif isinstance(node, ast.Name):
            below = self._values_of(node)
        elif isinstance(node, ast.Call):
            if is_translation(node):
                below = []
            elif called(node) not in ("str", "format", "join") and called(node) not in self.functions:
                below = _owner(node)  # words for another function's use
            else:
                below = [*_owner(node), *node.args, *node.keywords]
                if called(node) in self.functions:
                    function = self.functions[called(node)]
                    below += [n.value for n in ast.walk(function) if isinstance(n, ast.Return) and n.value]
        for child in below:
            yield from self.untranslated(child, seen)

    def _values_of(self, name: ast.Name) -> list[ast.AST]:
        """What is assigned to a name, in the nearest function that does so or in the module."""
        for scope in self.scopes(name):
            values = []
            for node in ast.walk(scope):
                if isinstance(node, ast.Assign | ast.AnnAssign) and self.scopes(node)[0] is scope:
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    if any(isinstance(t, ast.Name) and t.id == name.id for t in targets) and node.value:
                        values.append(node.value)
            if values:
                return values
        return []

    def sentences(self) -> Iterator[str]:
        """All texts of several words outside of `_()`, but for docstrings, keys and developers' errors."""
        for node in self.nodes(ast.Constant):
            if not isinstance(node.value, str) or not _SENTENCE.search(node.value):
                continue
            above = list(self.above(node))
            if isinstance(above[0], ast.Expr | ast.Compare | ast.Subscript):
                continue
            if any(is_translation(one) for one in above):
                continue
            if any(isinstance(one, ast.Call) and _is_for_developers(called(one)) for one in above):
                continue
            yield node.value


def _is_self_test(node: ast.AST) -> bool:
    return isinstance(node, ast.ClassDef) and any(
        isinstance(base, ast.Name) and base.id == "ScriptedLoadableModuleTest" for base in node.bases
    )


def _owner(call: ast.Call) -> list[ast.AST]:
    """What a method is called on."""
    return [call.func.value] if isinstance(call.func, ast.Attribute) else []


def _has_words(text: str) -> bool:
    # Patterns of file names and addresses are the same in every language.
    return bool(_WORD.search(re.sub(r"\*\.\w+|https://\S+", "", text)))


def _is_for_developers(name: str) -> bool:
    value = getattr(builtins, name, None)
    return isinstance(value, type) and issubclass(value, Exception)


def called(call: ast.Call) -> str:
    return getattr(call.func, "id", "") or getattr(call.func, "attr", "")


def is_translation(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("_", "translate")
    )


def is_the_same_everywhere(text: str) -> bool:
    return text in SAME_EVERYWHERE or "arxiv.org" in text


def problems(source: Source) -> list[str]:
    """What would reach users in English only."""
    found = [text for node in source.seen_by_users() for text in source.untranslated(node)]
    return [text for text in (*found, *source.sentences()) if not is_the_same_everywhere(text)]


@each_file
def test_every_text_that_users_see_goes_through_translation(path):
    assert problems(Source.of(path)) == []


@each_file
def test_what_is_translated_is_a_literal(path):
    for call in Source.of(path).translations():
        texts = [one.value if isinstance(one, ast.Constant) else None for one in call.args]
        assert texts and all(isinstance(one, str) for one in texts), ast.unparse(call)
        assert not call.keywords and len(texts) == (1 if called(call) == "_" else 2), ast.unparse(call)


@each_file
def test_what_varies_has_a_name_and_a_value(path):
    source = Source.of(path)
    for call in source.translations():
        fields = re.findall(r"\{([^{}]*)\}", call.args[-1].value)
        # Slicer compares what is in the braces of a text and of its translation.
        assert all(field.isidentifier() for field in fields), ast.unparse(call)
        method = source.parents[call]
        if isinstance(method, ast.Attribute) and method.attr == "format":
            given = source.parents[method]
            assert not given.args, ast.unparse(given)
            assert {keyword.arg for keyword in given.keywords} == set(fields), ast.unparse(given)


@each_file
def test_texts_are_translated_when_they_are_used_and_not_at_import(path):
    source = Source.of(path)
    for call in source.translations():
        assert not isinstance(source.scopes(call)[0], ast.Module), ast.unparse(call)


@each_file
def test_each_file_asks_for_translations_under_its_own_name(path):
    # Slicer goes by the file that calls its function, so there must be no function of ours in between.
    source = Source.of(path)
    origins = {
        "." * node.level + (node.module or "")
        for node in source.nodes(ast.ImportFrom)
        if any((alias.name, alias.asname) == ("tr", "_") for alias in node.names)
    }
    adapters = {"ENSAMSegmentLib": ".translation", "ENSAMTrainerLib": "ENSAMSegmentLib.translation"}
    assert origins <= {adapters.get(path.parent.name, "slicer.i18n")}
    assert bool(origins) == any(called(call) == "_" for call in source.translations())


@each_file
def test_nothing_else_is_called_like_the_translation(path):
    source = Source.of(path)
    names = [node for node in source.nodes(ast.Name) if node.id == "_" and isinstance(node.ctx, ast.Store)]
    assert names == [] and all(node.arg != "_" for node in source.nodes(ast.arg))


@pytest.mark.parametrize(
    "text",
    [
        "raise InputError('There is no image.')",
        "raise PromptError(f'No {x}.')",
        "def f():\n    raise VolumeError('No {}'.format(x))",
        "TEXT = 'Damaged'\ndef f():\n    raise InputError(TEXT.format(x))",
        "def f():\n    text = f'After {x:.0f} s'\n    return Status('done', text)",
        "def f():\n    return Status('done', _('Done'), detail=more())\ndef more():\n    return 'more'",
        "def f():\n    return Status('done', _('Done') if x else 'Not')",
        "label.text = 'Install'",
        "button.toolTip = f'{name} again'",
        "slicer.util.errorDisplay('Failed')",
        "qt.QFileDialog.getSaveFileName(None, 'Save', 'a.json', _('All'))",
        "WHY = {'torch': 'runs the network'}",
        "node.SetName(f'{name} box')",
    ],
)
def test_a_text_that_is_not_translated_is_found(text):
    assert problems(Source(text))


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    raise InputError(_('No {x}.').format(x=x))",
        "def f():\n    try:\n        g()\n    except InputError as e:\n        raise PromptError(str(e))",
        "def f():\n    return Status('done', _('{n} mm').format(n=f'{n:.2f}'), d['a key'])",
        "def f():\n    '''What it does.'''\n    raise TypeError('Not a number')",
        "label.text = ''",
        "label.text = f'{x:.1f} x {y}'",
        "label.styleSheet = 'color: red; font-weight: bold;'",
    ],
)
def test_a_text_that_is_translated_or_needs_no_translation_is_left_alone(text):
    assert problems(Source(text)) == []


# Where translations come from


@pytest.fixture
def translation(monkeypatch):
    """Imports the file anew, with a `slicer.i18n` that has these names."""
    monkeypatch.delitem(sys.modules, "ENSAMSegmentLib.translation", raising=False)

    def imported_with(**names):
        i18n = ModuleType("slicer.i18n")
        vars(i18n).update(names)
        monkeypatch.setitem(sys.modules, "slicer", ModuleType("slicer"))
        monkeypatch.setitem(sys.modules, "slicer.i18n", i18n if names else None)
        return importlib.import_module("ENSAMSegmentLib.translation")

    yield imported_with
    sys.modules.pop("ENSAMSegmentLib.translation", None)


def test_in_the_application_slicers_own_function_translates(translation):
    def tr(text):
        return f"{text} auf Deutsch"

    assert translation(tr=tr).tr is tr


def test_without_the_application_texts_stay_as_they_are(translation):
    assert translation().tr("Press N for a new segment.") == "Press N for a new segment."
