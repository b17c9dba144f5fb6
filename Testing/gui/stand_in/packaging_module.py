"""``slicer.packaging``: looks up what is installed, and installs nothing."""

from __future__ import annotations

import types
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement


class Packaging(types.ModuleType):
    """The module."""

    def __init__(self) -> None:
        super().__init__("slicer.packaging")

    def load_requirements(self, path: str | Path) -> list[Requirement]:
        lines = (line.partition("#")[0].strip() for line in Path(path).read_text().splitlines())
        return [Requirement(line) for line in lines if line]

    def pip_check(self, req: str | Requirement | list) -> bool:
        return all(_is_installed(each) for each in _requirements(req))

    def isPipInstallInProgress(self) -> bool:
        return False


def _requirements(given: str | Requirement | list) -> list[Requirement]:
    parts = given.split() if isinstance(given, str) else given if isinstance(given, list) else [given]
    return [each if isinstance(each, Requirement) else Requirement(each) for each in parts]


def _is_installed(requirement: Requirement) -> bool:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    try:
        return requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False
