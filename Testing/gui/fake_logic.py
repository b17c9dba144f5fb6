"""A logic that does nothing but keep what it is told, and lets a test say what it shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

from ensam.errors import InputError
from ensam.measures import Measures
from ENSAMSegmentLib.prompt_nodes import PromptRow
from ENSAMSegmentLib.status import Status


@dataclass
class Calls:
    """The names of the methods called, in order, with their arguments."""

    made: list

    def __call__(self, name, *arguments):
        self.made.append((name, *arguments))

    def names(self):
        return [name for name, *_ in self.made]


class Telling:
    """What the logics of both panels share here: a test says what they show, and what they refuse."""

    refusal = ""  # what the next action is refused with

    def say(self, **what):
        for name, value in what.items():
            setattr(self, name, value)
        self.changed()

    def _do(self, name, *arguments):
        self.calls(name, *arguments)
        if self.refusal:
            refusal, self.refusal = self.refusal, ""
            raise InputError(refusal)


class FakeLogic(Telling):
    """Behaves towards the panel as ENSAMSegmentLogic does: `changed` is called when something is other."""

    def __init__(self, rows=()):
        self.changed = lambda: None
        self.calls = Calls([])
        self.rows = list(rows)
        self.status = Status("ready", "Draw a box round the object, or click on it.")
        self.measures = None
        self.last_change = None
        self.volume = self.segmentation = None
        self.segment_id = ""
        self.placing = ""
        self.auto_update = True
        self.lesion_mode = False
        self.together = False
        self.keep_others = True
        self.intensity = "auto"
        self.device = "auto"
        self.checkpoint = ""
        self.waits = False
        self.shows_prompts = True
        self.polls = []  # what the next calls of poll give

    @property
    def offers_update(self):
        return not self.auto_update or self.waits

    def prompt_rows(self):
        return tuple(self.rows)

    def poll(self, wait_s=0.0):
        self.calls("poll", wait_s)
        return self.polls.pop(0) if self.polls else None

    def card_text(self):
        if "broken" in self.checkpoint:
            raise InputError("There is no checkpoint there.")
        return f"Card of {self.checkpoint or 'the shipped weights'}"

    def add_segment(self, name=None):
        self._do("add_segment")
        return "Segment_1"

    def start_placing(self, kind):
        self._do("start_placing", kind)
        self.say(placing=kind)

    def stop_placing(self):
        self._do("stop_placing")
        self.say(placing="")

    def set_muted(self, row, muted):
        self._do("set_muted", row, muted)
        self.rows[self.rows.index(row)] = replace(row, muted=muted)
        self.changed()

    def flip(self, row):
        self._do("flip", row)

    def remove(self, row):
        self._do("remove", row)
        self.rows.remove(row)
        self.changed()

    def clear_prompts(self):
        self._do("clear_prompts")

    def jump_to(self, row):
        self._do("jump_to", row)

    def jump_to_diameters(self):
        self._do("jump_to_diameters")

    def run(self):
        self._do("run")

    def cancel(self):
        self._do("cancel")

    def save_prompts(self, path):
        self._do("save_prompts", path)

    def load_prompts(self, path):
        self._do("load_prompts", path)

    def activate(self):
        self._do("activate")

    def deactivate(self):
        self._do("deactivate")

    def cleanup(self):
        self._do("cleanup")


BOX = PromptRow("box", 0, (4.0, -12.5, 60.0), False)
FOREGROUND = PromptRow("foreground", 0, (-6.25, 3.0, 58.0), False)
BACKGROUND = PromptRow("background", 0, (20.0, 3.0, -1.0), True)

LIVER = {
    "measures": Measures(152.34, 84.2, 60.9, 3),
    "last_change": SimpleNamespace(added_ml=2.13, removed_ml=0.4),
}


class FakeInstaller:
    """Says what is missing until it is installed."""

    def __init__(self, sentence=""):
        self.sentence = sentence
        self.error = None
        self.asked = []
        self.cancels = 0

    def describe(self):
        if self.error is not None:
            raise self.error
        return self.sentence

    def install(self, confirm, told, ended):
        self.asked.append(self.sentence)
        if not confirm(f"{self.sentence} Install it now?"):
            return False
        self.told, self.ended = told, ended
        return True

    def cancel(self):
        self.cancels += 1

    def end(self, error=None):
        """What the packages' arrival, or a failure, is to the panel."""
        if error is None:
            self.sentence = ""
        self.ended(error)
