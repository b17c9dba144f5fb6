"""The choices that are kept with a scene. Segment editors read this early: it imports nothing."""

from __future__ import annotations

Options = dict[str, bool | str]

DEFAULT_OPTIONS: Options = {
    "autoUpdate": True,
    "lesionMode": False,
    "together": False,
    "keepOthers": True,
    "intensity": "auto",
}

_LOGIC_NAMES = {
    "autoUpdate": "auto_update",
    "lesionMode": "lesion_mode",
    "together": "together",
    "keepOthers": "keep_others",
    "intensity": "intensity",
}


def give_options(logic: object, options: Options) -> None:
    """Set the logic's properties."""
    for name, value in options.items():
        setattr(logic, _LOGIC_NAMES[name], value)
