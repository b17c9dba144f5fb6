"""What can be wrong with what the user gave, each with one sentence that says what to do."""

from __future__ import annotations


class InputError(Exception):
    """The input is wrong and the user can mend it. The message is one sentence for the user."""


class PromptError(InputError):
    """A box or a point that can't be used on this volume."""


class VolumeError(InputError):
    """An image that can't be read or can't be segmented."""


class CheckpointError(InputError):
    """A checkpoint that is damaged, or not one of ENSAM's."""


class ChallengeFileError(InputError):
    """A challenge case (.npz) that is damaged or holds what such a file must not hold."""


class OutputError(InputError):
    """A result that can't be written where the user asked for it."""


class Cancelled(Exception):
    """The answer is not wanted any more. Nothing is wrong, so it is no InputError."""
