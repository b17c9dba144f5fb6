"""A trainer's logic that only keeps what it is told, and lets a test say what it shows."""

from __future__ import annotations

from pathlib import Path

from ensam.checkpoint_store import KnownCheckpoint
from ENSAMSegmentLib.status import Status
from ENSAMTrainerLib.values import (
    CaseRow,
    ComparisonRow,
    Judgement,
    SceneChoice,
    SceneSegment,
    TrainingChoice,
)

from .fake_logic import Calls, Telling

SHIPPED = KnownCheckpoint("Shipped with ENSAM", "")
LIVERS = KnownCheckpoint("livers of May", "/models/livers of May.safetensors")

CASES = (
    CaseRow("CT chest", "scene", ("liver", "spleen"), 7, "2026-05-04", "good"),
    CaseRow("CT abdomen 2", "study.mrb", ("liver",), 3, "2026-05-04", "warned", "'liver' is in two pieces."),
    CaseRow("CT abdomen 3", "folder nnUNet", ("liver",), 0, "2026-05-05", "refused", "It has no image."),
    CaseRow("CT abdomen 4", "scene", ("liver",), 4, "2026-05-06", "unchecked"),
)

SCENE = (
    SceneChoice(
        "vtkMRMLScalarVolumeNode1",
        "CT chest",
        "vtkMRMLSegmentationNode1",
        "corrected",
        (SceneSegment("s1", "liver", 4), SceneSegment("s2", "ribs", 0), SceneSegment("s3", "spleen", 3)),
    ),
    SceneChoice(
        "vtkMRMLScalarVolumeNode2",
        "MR brain",
        "vtkMRMLSegmentationNode2",
        "by hand",
        (SceneSegment("t1", "tumour", 0), SceneSegment("t2", "oedema", 0)),
    ),
)

COMPARISONS = (
    ComparisonRow("CT chest", 1, "liver", 0.801, 0.874, 0.902, 0.931),
    ComparisonRow("CT chest", 2, "spleen", 0.700, 0.652, 0.8104, 0.8101),
)

TRAINING = Status(
    "working",
    "Training: 3 of 10 minutes, about 7 minutes left.",
    "Step 412, held-out Dice 0.871, best 0.874.",
    0.3,
)

RUNNING = {"status": TRAINING, "can_stop": True, "can_plot": True}


class FakeTrainerLogic(Telling):
    """Behaves towards the panel as ENSAMTrainerLogic does: `changed` is called when something is other."""

    def __init__(self, folder=Path("/data/ENSAM"), store=None, settings=None, python=None):
        self.given = (folder, store, settings, python)
        self.changed = lambda: None
        self.calls = Calls([])
        self.choice = TrainingChoice()
        self.folder = Path(folder)
        self.cases, self.scene = (), ()
        self.known = (SHIPPED,)
        self.estimate_text = self.installed_result = self.last_installed = self.card_text = ""
        self.can_start = self.can_stop = self.can_resume = self.can_plot = self.can_install = False
        self.judgement = Judgement()
        self.status = Status("ready", "Add cases to train on.")
        self.polls = []  # what the next calls of poll give

    @property
    def has_cases(self):
        return bool(self.cases)

    def rows(self):
        return tuple(self.cases)

    def scene_choices(self):
        self.calls("scene_choices")
        return tuple(self.scene)

    def checkpoints(self):
        return tuple(self.known)

    def poll(self, wait_s=0.0):
        self._do("poll", wait_s)
        return self.polls.pop(0) if self.polls else None

    def add_from_scene(self, volume_id, segmentation_id, segment_ids, patient=""):
        self._do("add_from_scene", volume_id, segmentation_id, tuple(segment_ids), patient)
        self.say(cases=CASES)
        return CASES[1].name

    def add_scene_file(self, path):
        self._do("add_scene_file", path)
        return ()

    def remove(self, name):
        self._do("remove", name)
        self.say(cases=tuple(case for case in self.cases if case.name != name))

    def __getattr__(self, name):
        """All other actions of the interface do nothing but be noted."""
        if name not in _ACTIONS:
            raise AttributeError(name)
        return lambda *arguments: self._do(name, *arguments)


_ACTIONS = {"add_folder", "check", "show_case", "estimate", "start", "stop", "resume", "show_plot"}
_ACTIONS |= {"show_comparison", "install", "take_back", "export_recipe", "import_result"}
_ACTIONS |= {"activate", "cleanup"}
