"""Choices from a list: the logic's words and the user's."""

from __future__ import annotations

from slicer.i18n import tr as _

Choices = tuple[tuple[str, str], ...]


def intensity_choices() -> Choices:
    """The logic's word for each window of grey values, and the user's."""
    return (
        ("auto", _("Automatic")),
        ("percentile", _("All but the extremes (MR, PET, others)")),
        ("soft tissue", _("CT soft tissue")),
        ("lung", _("CT lung")),
        ("brain", _("CT brain")),
        ("bone", _("CT bone")),
    )


def device_choices() -> Choices:
    """The logic's word for each device, and the user's."""
    return (
        ("auto", _("Automatic")),
        ("cpu", _("Processor (CPU)")),
        ("cuda", _("NVIDIA graphics card (CUDA)")),
        ("mps", _("Apple graphics (MPS)")),
    )


def fill(combo_box: object, choices: Choices) -> None:
    """Offer these choices in place of all others. Filling is not choosing: no signal is sent."""
    blocked = combo_box.blockSignals(True)
    combo_box.clear()
    for word, label in choices:
        combo_box.addItem(label, word)
    combo_box.blockSignals(blocked)


def choose(combo_box: object, word: str) -> None:
    """Show what is chosen; the first choice for a word that isn't offered. No signal is sent."""
    blocked = combo_box.blockSignals(True)
    combo_box.currentIndex = max(0, combo_box.findData(word))
    combo_box.blockSignals(blocked)


def chosen(combo_box: object) -> str:
    """The logic's word for what is shown as chosen."""
    return combo_box.itemData(combo_box.currentIndex)
