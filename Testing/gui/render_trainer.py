"""Draws the trainer's panel at three moments, for the README and to be looked at.

Run it with ``.venv/bin/python -m gui.render_trainer`` in ``Testing``. The values are made up, and the
pictures say so.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import types
from pathlib import Path
from typing import Any
from unittest import mock

from .render_panel import ROOT, save

MODULE = ROOT / "ENSAMTrainer" / "ENSAMTrainer.py"
MADE_UP = "All names and numbers in this picture are made up."


def main() -> int:
    """Write the pictures to a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "Resources" / "Screenshots", metavar="DIR")
    options = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from . import fake_trainer_logic
    from .stand_in.installation import installed

    logic = types.ModuleType("ENSAMTrainerLib.logic")
    logic.ENSAMTrainerLogic = fake_trainer_logic.FakeTrainerLogic
    with (
        tempfile.TemporaryDirectory() as folder,
        installed(Path(folder)) as application,
        mock.patch.dict(sys.modules, {logic.__name__: logic}),
    ):
        widget = application.open_module(MODULE)
        widget.parent.enter()
        label_as_made_up(widget)
        for name, show in {
            "trainer-cases": cases_checked,
            "trainer-runs": training_runs,
            "trainer-judged": judged_and_installed,
        }.items():
            show(widget)
            save(application, widget.parent, options.output / f"{name}.png")
        widget.parent.exit()
        widget.cleanup()
    return 0


def label_as_made_up(widget: Any) -> None:
    """Or somebody might take the numbers for results."""
    import qt

    label = qt.QLabel(MADE_UP)
    label.styleSheet = "background: #ffcc33; color: black; padding: 4px;"
    widget.layout.insertWidget(0, label)


def cases_checked(widget: Any) -> None:
    """The collection after the check, before the first training."""
    from ENSAMSegmentLib.status import Status
    from ENSAMTrainerLib.values import CaseRow

    from .fake_trainer_logic import SCENE

    def case(name: str, source: str, prompts: int, state: str, remark: str = "") -> CaseRow:
        return CaseRow(name, source, ("liver",), prompts, "2026-05-04", state, remark)

    cases = (
        case("CT abdomen 1", "scene", 9, "good"),
        case("CT abdomen 2", "study.mrb", 5, "good"),
        case("CT abdomen 3", "study.mrb", 4, "warned", "'liver' has 3 separate pieces."),
        case("Patient 12", "folder nnUNet", 0, "refused", "Image and label differ in size."),
    )
    ui = widget.panel.ui
    ui.judgeSection.collapsed = ui.useSection.collapsed = True
    widget.logic.scene = SCENE
    widget.logic.folder = Path("/home/user/.config/slicer.org/ENSAM/Training")
    widget.panel.cases.look_at_scene()
    widget.logic.say(
        cases=cases,
        can_start=True,
        estimate_text="About 0.4 s a step and 1.2 GB of memory on the processor; 1,500 steps in 10 minutes.",
        status=Status("done", "3 of 4 cases can be used."),
    )
    ui.caseTable.selectRow(2)


def training_runs(widget: Any) -> None:
    """In the middle of a training."""
    from .fake_trainer_logic import TRAINING

    widget.logic.say(status=TRAINING, can_start=False, can_stop=True, can_plot=True)


def judged_and_installed(widget: Any) -> None:
    """The training has made it better, and its result is in use."""
    from ENSAMSegmentLib.status import Status

    from .fake_trainer_logic import COMPARISONS, LIVERS, SHIPPED

    ui = widget.panel.ui
    ui.casesSection.collapsed = ui.trainSection.collapsed = True
    ui.judgeSection.collapsed = ui.useSection.collapsed = ui.machineSection.collapsed = False
    widget.logic.say(
        status=Status("done", "'livers of May' is installed, and what ENSAM uses now."),
        can_start=True,
        can_stop=False,
        known=(SHIPPED, LIVERS),
        compared=COMPARISONS,
        verdict="Better: on 1 held-out case the mean Dice rises by 0.014.",
        is_better=True,
        installed_result="livers of May",
        card_text="livers of May.safetensors\nLicence of the weights: CC-BY-4.0\nTrained on: own cases (3)",
    )


if __name__ == "__main__":
    sys.exit(main())
