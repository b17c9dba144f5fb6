"""Draws the trainer's panel at three moments of a real training, for the README and to be looked at.

Run it with ``.venv/bin/python -m gui.render_trainer FOLDER`` in ``Testing``, where FOLDER is what
``python -m mrml.retrain ... -o FOLDER`` has left. It works on a copy, in which it trains half a minute more.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from .render_panel import ROOT, save

MODULE = ROOT / "ENSAMTrainer" / "ENSAMTrainer.py"


def main() -> int:
    """Write the pictures to a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, default=ROOT / "Resources" / "Screenshots", metavar="DIR")
    options = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from .stand_in.installation import installed

    with tempfile.TemporaryDirectory() as folder, installed(Path(folder)) as application:
        import slicer
        from ENSAMTrainerGUI.user_settings import TRAINING_FOLDER_KEY

        copy = Path(folder) / "ENSAM" / "Training"
        shutil.copytree(options.folder / "training", copy)
        slicer.app.userSettings().setValue(TRAINING_FOLDER_KEY, str(copy))
        put_python_in_place()
        widget = application.open_module(MODULE)
        widget.parent.enter()
        for name, show in {
            "trainer-judged": judged_and_installed,
            "trainer-cases": cases_checked,
            "trainer-runs": training_runs,
        }.items():
            show(application, widget)
            save(application, widget.parent, options.output / f"{name}.png")
        widget.logic.stop()
        application.pump(lambda: widget.logic.can_start, 300)
        widget.parent.exit()
        widget.cleanup()
    return 0


def put_python_in_place() -> None:
    """This Python as Slicer's."""
    import slicer

    program = Path(slicer.app.slicerHome) / "bin" / "PythonSlicer"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    program.chmod(0o755)


def open_only(ui: Any, *sections: str) -> None:
    """As a user would have it at this moment."""
    for name in ("cases", "train", "judge", "use", "machine"):
        getattr(ui, f"{name}Section").collapsed = name not in sections


def judged_and_installed(application: Any, widget: Any) -> None:
    """The result of the training that is there is in use."""
    if widget.logic.can_install:
        widget.panel.ui.useButton.click()
    open_only(widget.panel.ui, "judge", "use", "machine")


def cases_checked(application: Any, widget: Any) -> None:
    """The collection after the check, before the next training."""
    widget.panel.ui.checkButton.click()
    application.pump(lambda: widget.logic.can_start, 300)
    open_only(widget.panel.ui, "cases", "train")
    widget.panel.ui.caseTable.selectRow(0)


def training_runs(application: Any, widget: Any) -> None:
    """In the middle of a training."""
    widget.panel.ui.amountSpinBox.value = 0.5
    widget.panel.ui.trainButton.click()
    application.pump(lambda: (widget.logic.status.progress or 0) > 0.3, 300)


if __name__ == "__main__":
    sys.exit(main())
