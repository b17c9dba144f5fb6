"""Slicer's Python environment without Slicer: see ``stand_in``."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache

import numpy as np
import pytest

os.environ["QT_QPA_PLATFORM"] = "offscreen"


@cache
def why_qt_cannot_start() -> str:
    """Empty when it can. Qt ends the process when it can't start, so another process tries."""
    attempt = subprocess.run(
        [sys.executable, "-c", "from PySide6.QtWidgets import QApplication; QApplication([])"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return "" if attempt.returncode == 0 else (attempt.stderr.strip().splitlines() or ["it crashed"])[-1]


@pytest.fixture
def an_application(tmp_path):
    """Slicer's modules on the stand-in, with a fresh scene. What Slicer would only print fails the test."""
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    if why_qt_cannot_start():
        pytest.skip(f"Qt does not start: {why_qt_cannot_start()}")
    from .stand_in.installation import installed

    with installed(tmp_path) as application:
        yield application
        left = application.mistakes()
    assert not left, "Slicer would have printed:\n" + "\n".join(left)


@pytest.fixture
def pump(an_application):
    """``pump(seconds)`` or ``pump(condition)`` lets events happen."""
    return an_application.pump


@pytest.fixture
def grab(an_application):
    """``grab(widget, path)`` draws a widget to a PNG file."""

    def draw(widget, path):
        if not widget.visible:
            widget.show()
        an_application.pump(0.05)
        assert widget.grab().save(str(path))
        return path

    return draw


@pytest.fixture
def a_main_window(an_application, monkeypatch):
    import qt
    import slicer

    window = qt.QMainWindow()
    monkeypatch.setattr(slicer.util, "mainWindow", lambda: window)
    return window


@pytest.fixture
def a_stub_worker(an_application, monkeypatch):
    """In place of the network."""
    from ensam.worker import Worker
    from ENSAMSegmentLib import following
    from mrml.stub_session import StubSession

    session = StubSession()
    worker = Worker(lambda _settings: session)
    monkeypatch.setattr(following, "shared_worker", lambda: worker)
    yield worker
    worker.close()


@pytest.fixture
def a_volume(an_application):
    from mrml.nodes import add_volume

    ijk_to_ras = np.array([[1.2, 0, 0, 0], [0, 1.0, 0, -19], [0, 0, 2.0, 51], [0, 0, 0, 1.0]])
    voxels = np.arange(24_000, dtype=np.int16).reshape(20, 30, 40)
    return add_volume(an_application.scene, voxels, ijk_to_ras, "CT chest")


@pytest.fixture
def rows():
    """Prompts for a panel to show."""
    pytest.importorskip("slicer")
    from .fake_logic import BACKGROUND, BOX, FOREGROUND

    return [BOX, FOREGROUND, BACKGROUND]


@pytest.fixture
def a_panel(an_application, rows):
    """The prompt panel, with a fake logic that has these rows."""
    from .opened_panel import OpenedPanel

    panel = OpenedPanel(an_application, rows)
    panel.panel.widget.show()
    yield panel
    panel.panel.cleanup()


@pytest.fixture
def a_trainer(an_application):
    """The trainer's panel, with a fake logic."""
    from .opened_trainer import OpenedTrainer

    panel = OpenedTrainer(an_application)
    panel.panel.widget.show()
    yield panel
    panel.panel.cleanup()


@pytest.fixture
def trainer_fakes():
    """The module of the trainer's fake logic."""
    pytest.importorskip("slicer")
    from . import fake_trainer_logic

    return fake_trainer_logic
