"""Message boxes that answer by themselves and keep what they were asked."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import slicer


@dataclass
class Dialogs:
    """What the user would have seen, and what the user answers.

    Attributes:
        errors, warnings, infos, questions: Texts, in order; of a box with more to say below its text, that.
        answer: What questions get: True is OK or Yes.
    """

    answer: bool = True
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    infos: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Answer instead of the boxes that functions of ``slicer.util`` open."""
        with (
            mock.patch.object(slicer.util, "_messageDisplay", self._display),
            mock.patch.object(slicer.util, "messageBox", self._box),
            mock.patch.object(slicer.util, "delayDisplay", self._delay),
        ):
            yield

    def _display(self, log_level: int, text: str, testing_value: Any, *rest: Any, **options: Any) -> Any:
        import qt

        logging.log(log_level, text)  # as Slicer does, into its log
        text = options.get("informativeText", text)
        if testing_value is None:
            texts = {logging.ERROR: self.errors, logging.WARNING: self.warnings}.get(log_level, self.infos)
            texts.append(text)
            return None
        self.questions.append(text)
        buttons = int(options["standardButtons"])
        positive = next(
            each for each in (qt.QMessageBox.Ok, qt.QMessageBox.Yes, qt.QMessageBox.Retry) if buttons & each
        )
        return positive if self.answer else qt.QMessageBox.Cancel

    def _box(self, text: str, parent: Any = None, **options: Any) -> Any:
        import qt

        self.infos.append(text)
        return qt.QMessageBox.Ok if self.answer else qt.QMessageBox.Cancel

    def _delay(self, message: str, autoCloseMsec: int = 1000, parent: Any = None, **options: Any) -> None:
        self.infos.append(message)
