"""What ENSAM needs and Slicer doesn't bring: says what is missing, and installs it once the user agrees.

Nothing here runs at start-up, and nothing is fetched while all is installed. `files` are the requirements in
pip's format; of a package that several of them name, a version must suit all. `packaging` is Slicer's
``slicer.packaging`` and `import_module` Python's; tests hand in their own. Call it on the main thread.
"""

from __future__ import annotations

import importlib
import subprocess
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from ensam.errors import InputError

from .translation import tr as _

REQUIREMENTS = Path(__file__).resolve().parents[1] / "Resources" / "ENSAMSegment-requirements.txt"
TORCH = "torch"

# What pip, Slicer and the PyTorch extension raise: pip's exit code; no Python to run pip with, or a refusal;
# a package that can't be loaded; a full disk or a library that Windows refuses; a version that doesn't exist.
_FAILURES = (subprocess.CalledProcessError, RuntimeError, ImportError, OSError, ValueError)


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
    packaging: ModuleType | None = None,
    import_module: Callable[[str], ModuleType] = importlib.import_module,
    files: Sequence[Path] = (REQUIREMENTS,),
) -> bool:
    """Install what is missing, after one question. It can be repeated, also after a failure.

    Args:
        confirm: Gets the question and gives whether the user agrees. Isn't called when nothing is missing.

    Returns:
        Whether all is there now; False when the user declined.

    Raises:
        InputError: Something can't be installed; the message says what to do.
    """
    packaging = packaging or _slicer_packaging()
    needed = missing(packaging, files)
    if not needed:
        return True
    torch = next((item for item in needed if item.name == TORCH), None)
    # Looked for before the question: nobody should agree to a download that can't begin.
    torch_installer = _torch_installer(import_module) if torch else None
    _check_may_write(Path(sysconfig.get_path("purelib")))
    if not confirm(_("{description} Install it now?").format(description=_description(needed))):
        return False
    try:
        # First: for a package that builds on PyTorch pip would fetch it too, in a build for any computer.
        if torch:
            torch_installer.installTorch(askConfirmation=False, torchVersionRequirement=torch.specifier)
        others = [str(item) for item in needed if item.name != TORCH]
        if others:
            # The user has agreed already: one question is enough.
            packaging.pip_ensure(others, prompt_install=False, requester="ENSAM")
    except _FAILURES as error:
        raise InputError(_failed(missing(packaging, files) or needed, _reason(error))) from error
    importlib.invalidate_caches()
    left = missing(packaging, files)
    if left:
        raise InputError(_failed(left, _("they are still missing")))
    return True


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


def _torch_installer(import_module: Callable[[str], ModuleType]) -> object:
    try:
        return import_module("PyTorchUtils").PyTorchUtilsLogic()
    except ModuleNotFoundError as error:
        if error.name != "PyTorchUtils":
            raise InputError(
                _("Slicer's PyTorch extension can't be loaded ({error}): update it.").format(error=error)
            ) from error
        raise InputError(
            _(
                "ENSAM gets PyTorch from the PyTorch extension: install 'PyTorch' in the Extensions Manager, "
                "restart Slicer and try again."
            )
        ) from error


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


def _reason(error: BaseException) -> str:
    # The command itself is long and helps nobody; Slicer's log has it.
    if isinstance(error, subprocess.CalledProcessError):
        return _("pip ended with exit code {code}").format(code=error.returncode)
    return str(error)


def _size(megabytes: tuple[float, float]) -> str:
    least, most = megabytes
    if least == most:
        return _("{megabytes} MB").format(megabytes=f"{least:g}")
    return _("{megabytes} MB, up to {gigabytes} GB with an NVIDIA graphics card").format(
        megabytes=f"{least:g}", gigabytes=f"{most / 1000:g}"
    )
