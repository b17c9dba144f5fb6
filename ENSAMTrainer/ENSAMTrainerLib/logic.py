"""Retraining on one's own cases: collect, check, train, judge, install. Works with and without a GUI."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import slicer
from ensam.checkpoint_store import STARTER, CheckpointStore, KnownCheckpoint
from ensam.errors import InputError
from ensam.files import not_written
from ensam_training.recipe import Recipe, unfinished
from ENSAMSegmentLib.cards import card_text
from ENSAMSegmentLib.choosing import CHECKPOINT_KEY
from ENSAMSegmentLib.status import Status
from ENSAMSegmentLib.translation import tr as _

from . import scene_cases
from .case_display import CaseDisplay
from .cases import Cases
from .plots import RunPlot
from .process import Process
from .runs import Runs
from .tasks import Tasks
from .values import CaseRow, ComparisonRow, Judgement, SceneChoice, TrainingChoice
from .words import estimate_text, verdict

_POLL_S = 0.5


class Settings(Protocol):
    """Where Slicer keeps what belongs to the user and this computer."""

    def get(self, key: str) -> str: ...

    def set(self, key: str, value: str) -> None: ...


class ENSAMTrainerLogic:
    """Trains a checkpoint further on a collection of cases, in a process of its own, on this computer.

    Example::

        logic = ENSAMTrainerLogic(folder, CheckpointStore(models), settings, python)
        logic.add_scene_file("study.mrb")
        logic.choice = TrainingChoice(amount=10)
        logic.start()
        logic.wait()
        print(logic.judgement.verdict)
        if logic.can_install:
            logic.install()

    What the user can mend is raised as InputError. Nothing is sent anywhere.
    """

    def __init__(
        self,
        folder: Path,
        store: CheckpointStore,
        settings: Settings,
        python: Path,
        start: Callable[..., Process] = Process,
    ) -> None:
        """folder: of the collection, the trainings and their cache. store: the checkpoints that ENSAMSegment
        offers. python: the interpreter that trains. start: starts a process."""
        self.changed: Callable[[], None] = lambda: None  # called after anything that a GUI shows
        self.choice = TrainingChoice()
        self._store, self._settings = store, settings
        self._python, self._start = python, start
        self._display, self._plot = CaseDisplay(slicer.mrmlScene), RunPlot(slicer.mrmlScene)
        self._was_busy = False
        self._said: Status | None = None
        self._use(Path(folder))

    # The folder

    @property
    def folder(self) -> Path:
        return self._folder

    @folder.setter
    def folder(self, folder: Path) -> None:
        self._refuse_while_busy()
        self._use(Path(folder))
        self.changed()

    def _use(self, folder: Path) -> None:
        self._folder, self._said = folder, None
        self._cases = Cases(folder)
        self._tasks = Tasks(folder, self._python, self._start)
        self._runs = Runs(folder / "runs", self._python, self._start)

    # Cases

    @property
    def has_cases(self) -> bool:
        """Whether there is something to train on."""
        return not self._cases.collection.is_empty

    def rows(self) -> tuple[CaseRow, ...]:
        """The cases of the collection, with what the last check says of those that haven't changed since."""
        return self._cases.rows()

    def scene_choices(self) -> tuple[SceneChoice, ...]:
        """What can be added from the scene."""
        return scene_cases.choices(slicer.mrmlScene)

    def add_from_scene(
        self, volume_id: str, segmentation_id: str, segment_ids: Sequence[str], patient: str = ""
    ) -> str:
        """Keeps a copy of an image and of segments of it; gives the name of the first case it became.

        patient: who it is of, "" for who DICOM or the collection says; images of one scene are of one.
        """
        scene = slicer.mrmlScene
        names = self._cases.add_from_scene(scene, volume_id, segmentation_id, segment_ids, patient)
        self._say(Status("done", _("Added {names}.").format(names=", ".join(names))))
        return names[0]

    def add_scene_file(self, path: Path | str) -> tuple[str, ...]:
        """Keeps a copy of each image that has a segmentation in a saved scene; gives the cases' names.

        A segmentation that may be of any of several images is left out, which `status` says.
        """
        names, unclear = self._cases.add_scene_file(Path(path), slicer.mrmlScene)
        text = _("Added {names}.").format(names=", ".join(names))
        if unclear:
            left_out = _("Left out, since they don't tell which image they were made on: {segmentations}.")
            text = " ".join([text, left_out.format(segmentations=", ".join(unclear))])
        self._say(Status("done", text))
        return names

    def remove(self, name: str) -> None:
        """Deletes a case of the collection, and what trainings have prepared of it."""
        self._refuse_while_busy()  # a training opens what was prepared when it first needs it
        for path in self._cache.glob(f"{name}.*.npy"):
            try:
                path.unlink()
            except OSError as error:
                raise not_written(path, error.strerror) from error
        self._cases.remove(name)
        self.changed()

    def add_folder(self, path: Path | str) -> None:
        """Copies all usable cases of a folder or table, in any layout that training reads, in a process."""
        self._begin("collect", ["collect", str(path), "-o", str(self._cases.collection.folder)])

    def check(self) -> None:
        """Reads all cases in a process; `rows` then tell what it found."""
        self._need_cases()
        output = self._folder / "check.csv"
        self._begin("check", ["check", str(self._cases.collection.folder), "-o", str(output)])

    def show_case(self, name: str) -> None:
        """Puts a case into the scene and the slice views, in place of the one shown before."""
        self._display.show_case(self._cases.collection.case(name))

    # Training

    def estimate(self) -> None:
        """Measures a few steps of the training in a process; `estimate_text` then tells."""
        self._need_cases()
        path = self._folder / "estimate.json"
        path.unlink(missing_ok=True)
        self._begin("estimate", self._recipe(self._folder / "unused").estimating(path))

    @property
    def estimate_text(self) -> str:
        """What the last estimate says of the present choice, "" before."""
        try:
            values = json.loads((self._folder / "estimate.json").read_text(encoding="utf-8"))
            return estimate_text(values, self.choice)
        except (OSError, ValueError, LookupError, TypeError):  # none yet, or damaged
            return ""

    def start(self) -> None:
        """Begins a training as `choice` says."""
        self._refuse_while_busy()
        self._need_cases()
        self._runs.start(self._recipe(self._runs.new_folder()), self._base)
        self._say(None)

    def stop(self) -> None:
        """Ends the training between two steps and judges the best weights so far; `resume` can go on.

        A training that only prepares, a check, a copy or an estimate ends at once; what it has done stays,
        but for half of a recipe.
        """
        self._tasks.stop()
        self._runs.stop()
        self._say(None)

    def resume(self) -> None:
        """Goes on with the last training, also one of another day."""
        self._refuse_while_busy()
        self._runs.resume()
        self._say(None)

    @property
    def can_start(self) -> bool:
        return not self._is_busy and self.has_cases

    @property
    def can_stop(self) -> bool:
        return self._tasks.is_running or self._runs.state == "running"

    @property
    def can_resume(self) -> bool:
        return not self._is_busy and self._runs.can_resume

    def poll(self, wait_s: float = 0.0) -> float | None:
        """See how far the processes are. Gives the seconds until it wants to be called again, None when
        nothing runs."""
        if not self._is_busy:
            if self._was_busy:
                self._was_busy = False
                self.changed()
            return None
        self._was_busy = True
        if self._tasks.is_running:
            self._said = self._tasks.poll(wait_s)
            if not self._tasks.is_running:
                self._cases.read_again()
        else:
            self._runs.wait(wait_s)
            if self._runs.current is not None and self._plot_is_shown():
                self._plot.update(self._runs.current.path)
        self.changed()
        return _POLL_S

    def wait(self, timeout_s: float = 3600.0) -> None:
        """Until nothing runs, for scripts. Raises InputError with what went wrong, or in time."""
        end = time.monotonic() + timeout_s
        while self.poll(_POLL_S) is not None:
            if time.monotonic() > end:
                raise InputError(_("It is not done in time: wait again, or stop it."))
        if self.status.kind == "error":
            raise InputError(self.status.text)

    @property
    def status(self) -> Status:
        """What goes on, or came of what was done last."""
        if self._tasks.is_running:
            return self._tasks.status()
        if self._said is not None and self._runs.state not in ("running", "stopping"):
            return self._said
        if self._runs.state == "none" and self.has_cases:
            return Status("ready", _("Check the cases, then press 'Train'."))
        return self._runs.status()

    @property
    def can_plot(self) -> bool:
        """Whether a training has written something that could be plotted."""
        return self._runs.current is not None and (self._runs.current.path / "log.csv").is_file()

    def show_plot(self) -> None:
        """Loss and held-out Dice of the last training in a plot view."""
        if not self.can_plot:
            raise InputError(_("There is nothing to plot yet: start a training, and wait for some steps."))
        chart = self._plot.update(self._runs.current.path)
        slicer.modules.plots.logic().ShowChartInLayout(chart)

    # Judging

    @property
    def judgement(self) -> Judgement:
        """Whether the last training made the weights better."""
        outcome = self._runs.outcome
        if outcome is None:
            return Judgement()
        is_better = outcome.written if outcome.comparisons else None
        rows = self._cases.compared(outcome.comparisons)
        return Judgement(verdict(outcome), outcome.warning, is_better, rows)

    def show_comparison(self, row: ComparisonRow) -> None:
        """Image, corrected segment, and what was found before and after, in the scene and the slice views."""
        masks = self._runs.current.masks(row.case, row.label) if self._runs.current else None
        if masks is None:
            raise InputError(_("The masks of this object were not kept: they are only in the table."))
        self._display.show_masks(self._cases.collection.case(row.case), row.label, *masks)

    # Installing

    def checkpoints(self) -> tuple[KnownCheckpoint, ...]:
        """What can be trained further: the shipped weights, then what is installed."""
        return (KnownCheckpoint(_("Shipped with ENSAM"), ""), *self._store.installed())

    @property
    def can_install(self) -> bool:
        return not self._is_busy and self._runs.result is not None and self._runs.installed() is None

    @property
    def installed_result(self) -> str:
        """The name under which the last result is in the list, "" if it isn't."""
        installed = self._runs.installed()
        return "" if installed is None else installed.stem

    @property
    def last_installed(self) -> str:
        """The name of what `take_back` takes out of the list, of whatever training; "" if nothing."""
        last = self._runs.last_installed()
        return "" if last is None else last[0].stem

    def install(self) -> None:
        """Puts the last result into ENSAMSegment's list and chooses it there."""
        if self._runs.result is None:
            raise InputError(_("There is no better checkpoint to install: train again, or on more cases."))
        path = self._store.install(self._runs.result)
        self._runs.note_installed(path, self._settings.get(CHECKPOINT_KEY))
        self._settings.set(CHECKPOINT_KEY, str(path))
        self._say(Status("done", _("'{name}' is installed, and what ENSAM uses now.").format(name=path.stem)))

    def take_back(self) -> None:
        """Takes the result that was installed last out of the list; what was chosen before is chosen again,
        or what is shipped if that was removed since.

        Called again, it goes on with the one that was installed before that.
        """
        last = self._runs.last_installed()
        if last is None:
            raise InputError(_("No result is installed: there is nothing to take back."))
        path, previous = last
        if self._settings.get(CHECKPOINT_KEY) == str(path):
            self._settings.set(CHECKPOINT_KEY, previous if os.path.isfile(previous) else "")
        self._store.remove(path)
        self._runs.forget_installed(path)
        self._say(Status("done", _("'{name}' is no longer used.").format(name=path.stem)))

    @property
    def card_text(self) -> str:
        """What the last result says of itself, "" if there is none."""
        return "" if self._runs.result is None else card_text(str(self._runs.result))

    # Bigger machines

    def export_recipe(self, folder: Path | str) -> None:
        """Writes all that the training needs elsewhere into a new or an empty folder, in a process: cases,
        base, program, command."""
        self._need_cases()
        arguments = self._recipe(Path("unused")).exporting(self._base, Path(folder))
        self._begin("export", arguments, unfinished(Path(folder)))

    def import_result(self, path: Path | str) -> None:
        """Takes a checkpoint that was trained elsewhere, to be looked at and installed."""
        self._refuse_while_busy()
        card_text(str(path))  # a file that is no checkpoint is refused before it is copied
        self._runs.adopt(Path(path))
        self._say(Status("done", _("'{name}' is here: look at it below.").format(name=Path(path).stem)))

    # Life

    def activate(self) -> None:
        """The user is here, and may have been at the files."""
        self._cases.read_again()
        self.changed()

    def cleanup(self) -> None:
        """For good. A training goes on; what loses nothing by it is ended."""
        self.changed = lambda: None
        self._tasks.stop()

    # Inner workings

    @property
    def _is_busy(self) -> bool:
        return self._tasks.is_running or self._runs.state in ("running", "stopping")

    def _refuse_while_busy(self) -> None:
        if self._is_busy:
            raise InputError(_("Something is still running: wait for it, or stop it first."))

    def _need_cases(self) -> None:
        if not self.has_cases:
            raise InputError(_("There are no cases yet: add some from the scene, saved scenes or a folder."))

    @property
    def _base(self) -> Path:
        """The chosen base's file. Raises InputError when it is gone."""
        path = Path(self.choice.base) if self.choice.base else STARTER
        if not path.is_file():
            text = _("There is no checkpoint '{name}' any more: choose what to start from.")
            raise InputError(text.format(name=path.name))
        return path

    def _recipe(self, state: Path) -> Recipe:
        return self.choice.recipe(self._cases.collection.folder, state, self._cache)

    @property
    def _cache(self) -> Path:
        return self._folder / "cache"

    def _begin(self, name: str, arguments: Sequence[str], leaves: Path | None = None) -> None:
        self._refuse_while_busy()
        self._tasks.begin(name, arguments, leaves)
        self._say(None)

    def _say(self, status: Status | None) -> None:
        self._said = status
        self.changed()

    def _plot_is_shown(self) -> bool:
        return slicer.mrmlScene.GetSingletonNode("ENSAMTraining", "vtkMRMLPlotChartNode") is not None
