"""Puts the stand-in in the place of Slicer's modules, and takes it away."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
import traceback
import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import slicer
from mrml.slicer_core_scene import create_scene
from PySide6.QtCore import QtMsgType, qInstallMessageHandler

from . import (
    ctk_widgets,
    effects,
    i18n_module,
    mistakes,
    module_widgets,
    mrml_widgets,
    observation,
    packaging_module,
    qt_module,
    segment_editor,
    segment_editor_effects,
    signals,
    ui_loader,
)
from .application import qSlicerApplication, qSlicerModuleManager, the_application
from .dialogs import Dialogs
from .wrapping import class_wrapper, implementation_of, wrap

_HARMLESS = ("This plugin does not support",)


class Application:
    """What a test asks of the application.

    Attributes:
        scene: The MRML scene.
        logic: The application logic.
        dialogs: What message boxes showed, and what the user answers.
        packaging: The module `slicer.packaging`.
    """

    def __init__(self, host: qSlicerApplication, logic: Any, dialogs: Dialogs) -> None:
        self._host = host
        self.logic = logic
        self.scene = logic.GetMRMLScene()
        self.dialogs = dialogs
        self.packaging = packaging_module.Packaging()

    def mistakes(self) -> list[str]:
        """What Slicer would have printed so far. It no longer fails the test."""
        return mistakes.taken()

    def set_testing(self, is_testing: bool) -> None:
        """As with ``Slicer --testing``."""
        self._host.is_testing = is_testing

    def pump(self, wanted: float | Callable[[], bool], limit: float = 10.0) -> None:
        """Let events happen for some seconds, or until a condition holds.

        Raises:
            TimeoutError: The condition doesn't hold after ``limit`` seconds.
        """
        end = time.monotonic() + (limit if callable(wanted) else wanted)
        while not (callable(wanted) and wanted()):
            self._host.processEvents()
            if time.monotonic() > end:
                if callable(wanted):
                    raise TimeoutError(f"Nothing happened within {limit} s")
                return
            time.sleep(0.002)

    def load_module(self, path: str | Path) -> types.ModuleType:
        """Load a scripted module, as at start: its file and the class that describes it."""
        path = Path(path)
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))
        name = path.stem
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        description = module_widgets.qSlicerScriptedLoadableModule()
        description.fixed_path, description.fixed_name = str(path), name
        setattr(slicer.modules, name.lower(), wrap(description))
        setattr(slicer.modules, f"{name}Instance", getattr(module, name)(wrap(description)))
        self._host.moduleManager().add(name, description)
        return module

    def open_module(self, path: str | Path) -> Any:
        """Load a scripted module and build its panel. Returns the Python widget; it is not entered yet."""
        module = self.load_module(path)
        name = Path(path).stem
        panel = module_widgets.qSlicerScriptedLoadableModuleWidget()
        panel.setMRMLScene(self.scene)
        self._host.moduleManager().module(name).panel = panel
        panel.python_self = getattr(module, f"{name}Widget")(wrap(panel))
        # Slicer takes care that it isn't called twice; tests may call it themselves.
        panel.python_self.cleanup = _once(panel.python_self.cleanup)
        setattr(slicer.modules, f"{name}Widget", panel.python_self)
        panel.python_self.setup()
        return panel.python_self

    def reload_module(self, widget: Any) -> Any:
        """Slicer's "Reload": a new Python widget in the same panel, which isn't entered anew. Returns it."""
        panel = implementation_of(widget.parent)
        widget.cleanup()
        panel.python_self = type(widget)(widget.parent)
        panel.python_self.cleanup = _once(panel.python_self.cleanup)
        panel.python_self.setup()
        # Whoever pressed the button does nothing else before the event loop has deleted what is to go.
        self._host.sendPostedEvents(None, 52)  # QEvent::DeferredDelete
        return panel.python_self

    def forget_modules(self) -> None:
        """Let the next test load modules afresh."""
        for name in self._host.moduleManager().modulesNames():
            sys.modules.pop(name, None)

    def send_to_effect(self, editor: Any, interactor: Any, event: int, view_widget: Any) -> bool:
        """Hand an event of a view to the editor's active effect, as the editor does. True: it is used up."""
        active = implementation_of(editor).activeEffect()
        return active is not None and active.process_interaction_events(interactor, event, view_widget)

    def finish_start(self) -> None:
        """Tell modules that the application has started."""
        self._host.startupCompleted.emit()


def _once(function: Callable[[], None]) -> Callable[[], None]:
    calls = []

    def called() -> None:
        if not calls:
            calls.append(True)
            function()

    return called


@contextmanager
def installed(folder: Path) -> Iterator[Application]:
    """The stand-in with a scene of its own; settings and temporary files go to ``folder``."""
    host = the_application()
    dialogs = Dialogs()
    hooks = ExitStack()
    with create_scene() as logic, hooks:
        host.begin(logic, folder)
        application = Application(host, logic, dialogs)
        hooks.enter_context(mock.patch.object(sys, "path", list(sys.path)))
        hooks.enter_context(mock.patch.object(sys, "excepthook", _note_exception))
        previous = qInstallMessageHandler(_note_message)
        hooks.callback(qInstallMessageHandler, previous)
        hooks.enter_context(dialogs.in_place())
        hooks.enter_context(_without_shortcuts())
        for name, value in {**_shown_in_slicer(), "app": wrap(host)}.items():
            hooks.enter_context(mock.patch.object(slicer, name, value, create=True))
        _put_in_place(_modules() | {"slicer.packaging": application.packaging}, hooks)
        _put_in_place(_late_modules(), hooks)
        effects.qSlicerSegmentEditorEffectFactory.forget()
        hooks.callback(host.end)
        hooks.callback(observation.end_all)
        hooks.callback(application.forget_modules)
        hooks.callback(host.unload_modules)
        yield application
    signals.forget_all()


def _put_in_place(modules: dict[str, types.ModuleType], hooks: ExitStack) -> None:
    for name, module in modules.items():
        # Not mock.patch.dict: at the end it would forget all that was imported meanwhile, numpy's parts too.
        sys.modules[name] = module
        hooks.callback(sys.modules.pop, name, None)
        attribute = name.removeprefix("slicer.")
        if attribute != name:
            hooks.enter_context(mock.patch.object(slicer, attribute, module, create=True))


@contextmanager
def _without_shortcuts() -> Iterator[None]:
    """The wheel shows the functions of ``slicer.util`` in ``slicer`` too; the application doesn't."""
    hidden = {name: vars(slicer).pop(name) for name in slicer.util.__all__ if name in vars(slicer)}
    try:
        yield
    finally:
        vars(slicer).update(hidden)


def _note_exception(kind: type, error: BaseException, trace: Any) -> None:
    mistakes.note("".join(traceback.format_exception(kind, error, trace)))


def _note_message(kind: QtMsgType, context: Any, message: str) -> None:
    is_serious = kind not in (QtMsgType.QtDebugMsg, QtMsgType.QtInfoMsg)
    if is_serious and not message.startswith(_HARMLESS):
        mistakes.note(f"Qt: {message}")


@cache
def _shown_in_slicer() -> dict[str, Any]:
    """Classes in the namespace ``slicer``."""
    classes = (
        qSlicerApplication,
        qSlicerModuleManager,
        module_widgets.qSlicerWidget,
        module_widgets.qSlicerScriptedLoadableModule,
        module_widgets.qSlicerScriptedLoadableModuleWidget,
        segment_editor.qMRMLSegmentEditorWidget,
        *mrml_widgets.CLASSES,
        *effects.CLASSES,
    )
    return {each.__name__: class_wrapper(each) for each in classes}


@cache
def _modules() -> dict[str, types.ModuleType]:
    ctk = types.ModuleType("ctk", "Stand-in for PythonQt's module ctk")
    for each in ctk_widgets.CLASSES:
        setattr(ctk, each.__name__, class_wrapper(each))
    widgets = (*ctk_widgets.CLASSES, *mrml_widgets.CLASSES, segment_editor.qMRMLSegmentEditorWidget)
    ui_loader.CUSTOM_WIDGETS.update({each.__name__: each for each in widgets})
    in_python = types.ModuleType("qSlicerSegmentationsEditorEffectsPythonQt", "Stand-in for Slicer's module")
    for each in effects.CLASSES:
        setattr(in_python, each.__name__, class_wrapper(each))
    return {
        "qt": qt_module.make(),
        "ctk": ctk,
        "slicer.i18n": i18n_module,
        "SegmentEditorEffects": segment_editor_effects,
        in_python.__name__: in_python,
    }


@cache
def _late_modules() -> dict[str, types.ModuleType]:
    """Modules that import the others."""
    return {
        "slicer.ScriptedLoadableModule": importlib.import_module(".scripted_module", __package__),
        "slicer.parameterNodeWrapper": importlib.import_module(".parameter_node", __package__),
    }
