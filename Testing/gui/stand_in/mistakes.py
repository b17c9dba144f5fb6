"""Mistakes that Slicer only prints. The fixture of the tests fails on them."""

from __future__ import annotations

import sys

found: list[str] = []


def note(message: str) -> None:
    """Print the message, as Slicer would, and keep it."""
    print(message, file=sys.stderr)
    found.append(message)


def taken() -> list[str]:
    """The mistakes so far, which are forgotten."""
    mistakes = list(found)
    found.clear()
    return mistakes
