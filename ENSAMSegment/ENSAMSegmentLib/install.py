"""What ENSAM needs and Slicer doesn't bring: says what is missing, and installs it once the user agrees.

Nothing here runs at start-up, and nothing is fetched while all is installed. `files` are the requirements in
pip's format; of a package that several of them name, a version must suit all. `packaging` is Slicer's
``slicer.packaging`` and `launch` its ``slicer.util.launchConsoleProcess``; tests hand in their own. Call
it on the main thread.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from ensam.errors import InputError

from . import stoppable
from .translation import tr as _

REQUIREMENTS = Path(__file__).resolve().parents[1] / "Resources" / "ENSAMSegment-requirements.txt"
TORCH = "torch"

# Finds the build of PyTorch that suits the graphics card's driver.
LIGHT_THE_TORCH = "light-the-torch>=0.5"


@dataclass(frozen=True)
class Requirement:
    """A Python package that ENSAM needs.

    Attributes:
        name: Its name in the package index.
        specifier: The versions that will do, as pip writes them.
        title: Its name in a sentence.
        why: What ENSAM needs it for.
        megabytes: The least and the most that pip fetches for it; the most is for a graphics card by NVIDIA.
    """

    name: str
    specifier: str
    title: str
    why: str
    megabytes: tuple[float, float]

    def __str__(self) -> str:
        """As pip wants it."""
        return self.name + self.specifier

    @property
    def is_loaded(self) -> bool:
        """Whether this Python has imported it, in whatever version."""
        return {"connected-components-3d": "cc3d"}.get(self.name, self.name) in sys.modules


def missing(
    packaging: ModuleType | None = None, files: Sequence[Path] = (REQUIREMENTS,)
) -> tuple[Requirement, ...]:
    """Give what isn't installed, or too old. Imports none of it, and needs no network.

    Raises:
        InputError: This Slicer is older than 5.12.
    """
    packaging = packaging or _slicer_packaging()
    known = _known()
    versions = {}
    for line in (line for file in files for line in packaging.load_requirements(file)):
        versions[line.name] = line.specifier & versions.get(line.name, line.specifier)
    needed = (Requirement(name, str(specifier), *known[name]) for name, specifier in versions.items())
    return tuple(item for item in needed if not packaging.pip_check(str(item)))


def describe(packaging: ModuleType | None = None, files: Sequence[Path] = (REQUIREMENTS,)) -> str:
    """Say what is missing and how much will be fetched; "" when nothing is missing. Raises as `missing`."""
    requirements = missing(packaging, files)
    return _description(requirements) if requirements else ""


def install(
    confirm: Callable[[str], bool],
    told: Callable[[str], None],
    ended: Callable[[InputError | None], None],
    packaging: ModuleType | None = None,
    launch: Callable | None = None,
    files: Sequence[Path] = (REQUIREMENTS,),
) -> bool:
    """Begin to install what is missing, after one question; the user goes on working meanwhile.

    It can be repeated, also after a failure or `cancel`: what is there by then isn't fetched again.

    Args:
        confirm: Gets the question and gives whether the user agrees.
        told: Gets each line that the installation prints.
        ended: Called once, at the end: with None if all is there now or it was cancelled, else with what the
            user is to do.

    Returns:
        Whether it has begun; False when the user declined.

    Raises:
        InputError: It can't begin; the message says what to do.
    """
    packaging = packaging or _slicer_packaging()
    needed = missing(packaging, files)
    if not needed:
        ended(None)
        return True
    # Before the question: nobody should agree to a download that can't begin.
    if _Installation.under_way is not None or packaging.isPipInstallInProgress():
        raise InputError(_("Slicer is installing packages: try again when that is done."))
    _check_may_write(Path(sysconfig.get_path("purelib")))
    if not confirm(_("{description} Install it now?").format(description=_description(needed))):
        return False
    launch = launch or importlib.import_module("slicer.util").launchConsoleProcess
    _Installation(needed, told, ended, lambda: missing(packaging, files), launch).go_on()
    return True


def cancel() -> None:
    """Give up what is being installed, as soon as no package is left half unpacked. Nothing else happens
    where nothing is being installed."""
    if _Installation.under_way is not None:
        _Installation.under_way.cancel()


class _Installation:
    """Runs pip for one thing after the other, each in a process of its own that Slicer watches.

    The PyTorch extension fetches PyTorch in the same way, but Slicer's window waits for it.
    """

    under_way: _Installation | None = None

    def __init__(
        self,
        needed: tuple[Requirement, ...],
        told: Callable[[str], None],
        ended: Callable[[InputError | None], None],
        still_missing: Callable[[], tuple[Requirement, ...]],
        launch: Callable,
    ) -> None:
        self._told, self._ended, self._still_missing, self._launch = told, ended, still_missing, launch
        self._loaded = [item.title for item in needed if item.is_loaded]
        self._reason = ""  # pip's last error, in its words
        torch = [str(item) for item in needed if item.name == TORCH]
        others = [str(item) for item in needed if item.name != TORCH]
        # First PyTorch: for a package that builds on it pip would fetch it too, in a build for any computer.
        self._steps = [
            *((("pip", [LIGHT_THE_TORCH]), ("light_the_torch", torch)) if torch else ()),
            *((("pip", others),) if others else ()),
        ]
        self._go_ahead: Path | None = None  # the file while which pip works
        self._is_cancelled = False
        _Installation.under_way = self

    def cancel(self) -> None:
        """Begin no further step, and end this one once no package is left half unpacked."""
        self._is_cancelled = True
        self._withdraw_go_ahead()

    def go_on(self, exit_code: int = 0) -> None:
        """Begin the next step, or end: after a failure, when cancelled, or after the last step."""
        self._withdraw_go_ahead()
        if self._is_cancelled:
            self._end("")
            return
        if exit_code != 0:
            self._end(self._reason or _("pip ended with exit code {code}").format(code=exit_code))
            return
        if not self._steps:
            self._end(_("they are still missing"))
            return
        self._reason = ""  # pip warns in such lines, too, and goes on
        module, packages = self._steps.pop(0)
        python = shutil.which("PythonSlicer")  # as Slicer looks for it
        if python is None:
            self._end(_("Slicer's Python was not found"))
            return
        try:
            handle, path = tempfile.mkstemp(prefix="ENSAM-")
            os.close(handle)
            self._go_ahead = Path(path)
            self._launch(
                [python, stoppable.__file__, path, module, "install", *packages],
                useStartupEnvironment=False,
                blocking=False,
                logCallback=self._heard,
                completedCallback=self.go_on,
            )
        except OSError as error:  # a system that refuses, or no space
            self._end(str(error))

    def _withdraw_go_ahead(self) -> None:
        if self._go_ahead is not None:
            self._go_ahead.unlink(missing_ok=True)

    def _heard(self, line: str) -> None:
        print(line)  # for Slicer's log, as its own installations do
        if line.startswith("ERROR:"):
            self._reason = line.removeprefix("ERROR:").strip()
        self._told(line)

    def _end(self, reason: str) -> None:
        _Installation.under_way = None
        self._withdraw_go_ahead()
        importlib.invalidate_caches()
        left = self._still_missing()
        if left and self._is_cancelled:
            self._ended(None)
        elif left:
            self._ended(InputError(_failed(left, reason)))
        elif self._loaded:
            self._ended(
                InputError(
                    _("{packages} was in use in an older version: restart Slicer.").format(
                        packages=_enumerated(self._loaded)
                    )
                )
            )
        else:
            self._ended(None)


def _known() -> dict[str, tuple[str, str, tuple[float, float]]]:
    """Title, purpose and size of each requirement."""
    # Sizes of the package indexes in November 2026. PyTorch's packages have 127 MB for Windows and 139 MB for
    # the Mac, 192 MB for Linux without a graphics card, and 3.2 GB for Linux with CUDA and all that it needs.
    return {
        TORCH: ("PyTorch", _("runs the network"), (130, 3200)),
        "safetensors": ("safetensors", _("reads the network's weights"), (0.5, 0.5)),
        # For training.
        "monai": ("MONAI", _("varies the images in training"), (2, 2)),
        "connected-components-3d": ("connected-components-3d", _("finds the separate objects"), (5, 5)),
        "edt": ("edt", _("places the simulated clicks"), (3, 3)),
        "tqdm": ("tqdm", _("counts the steps"), (0.1, 0.1)),
        "matplotlib": ("Matplotlib", _("draws the curves beside a run"), (25, 25)),
    }


def _check_may_write(folder: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass  # on Windows a folder's rights don't tell what may be done in it
    except OSError as error:
        raise InputError(
            _(
                "Slicer keeps its Python packages in '{folder}', where you may not write: install Slicer in "
                "a folder of your own, or ask whoever looks after this computer to install them."
            ).format(folder=folder)
        ) from error


def _slicer_packaging() -> ModuleType:
    try:
        return importlib.import_module("slicer.packaging")
    except ModuleNotFoundError as error:
        raise InputError(_("ENSAM needs 3D Slicer 5.12 or newer: update Slicer.")) from error


def _description(requirements: tuple[Requirement, ...]) -> str:
    parts = [
        _("{title} ({size}; {why})").format(title=item.title, size=_size(item.megabytes), why=item.why)
        for item in requirements
    ]
    return _(
        "ENSAM needs {packages}. Slicer downloads this once and keeps it among its own Python packages."
    ).format(packages=_enumerated(parts))


def _failed(requirements: tuple[Requirement, ...], reason: str) -> str:
    return _(
        "{packages} could not be installed ({reason}): check the internet connection and the free disk "
        "space, restart Slicer and try again. View > Error Log has the whole story."
    ).format(packages=_enumerated([item.title for item in requirements]), reason=reason)


def _enumerated(parts: list[str]) -> str:
    *before, last = parts
    return _("{before} and {last}").format(before=", ".join(before), last=last) if before else last


def _size(megabytes: tuple[float, float]) -> str:
    least, most = megabytes
    if least == most:
        return _("{megabytes} MB").format(megabytes=f"{least:g}")
    return _("{megabytes} MB, up to {gigabytes} GB with an NVIDIA graphics card").format(
        megabytes=f"{least:g}", gigabytes=f"{most / 1000:g}"
    )
