"""What a user chooses that holds for all segments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ensam.preprocessing import IntensityChoice
from ensam.worker import Settings

# Where Slicer keeps the path of the chosen checkpoint, "" for the shipped one.
CHECKPOINT_KEY = "ENSAM/checkpoint"


@dataclass(frozen=True)
class Choices:
    """What decides, beside the prompts, what a segment's mask becomes."""

    settings: Settings = field(default_factory=Settings)
    together: bool = False
    keep_others: bool = True


class Choosing:
    """Has the choices as properties, and tells when one is another than before."""

    def __init__(self) -> None:
        self.changed: Callable[[], None] = lambda: None  # called after anything that a GUI shows
        self._choices = Choices()

    @property
    def together(self) -> bool:
        """Whether all segments that have prompts are asked for at once, and share out the voxels."""
        return self._choices.together

    @together.setter
    def together(self, together: bool) -> None:
        self._choose(replace(self._choices, together=together))

    @property
    def keep_others(self) -> bool:
        """Whether other segments keep all their voxels; if not, the editor's overwrite mode decides."""
        return self._choices.keep_others

    @keep_others.setter
    def keep_others(self, keep: bool) -> None:
        self._choose(replace(self._choices, keep_others=keep))

    @property
    def intensity(self) -> IntensityChoice:
        """Which grey values are told apart."""
        return self._choices.settings.intensity

    @intensity.setter
    def intensity(self, choice: IntensityChoice) -> None:
        self._choose_settings(intensity=choice)

    @property
    def device(self) -> str:
        """Where the network runs."""
        return self._choices.settings.device

    @device.setter
    def device(self, name: str) -> None:
        self._choose_settings(device=name)

    @property
    def checkpoint(self) -> str:
        """The path of the network's weights, "" for those that ship with ENSAM."""
        return self._choices.settings.checkpoint

    @checkpoint.setter
    def checkpoint(self, path: str) -> None:
        self._choose_settings(checkpoint=path)

    def _choose_settings(self, **chosen: str) -> None:
        self._choose(replace(self._choices, settings=replace(self._choices.settings, **chosen)))

    def _choose(self, choices: Choices) -> None:
        if choices != self._choices:
            self._choices = choices
            self.changed()
