"""``slicer.i18n`` in the language of the source code."""

from __future__ import annotations


def translate(context: str, text: str) -> str:
    return _as_text(text)


def tr(text: str) -> str:
    return _as_text(text)


def _as_text(text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"Only a string can be translated, not {text!r}")
    return text
