"""What the user is told, asked and spared when packages are missing. Slicer and pip are stand-ins."""

from __future__ import annotations

import importlib
import subprocess
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from ensam.errors import InputError
from ENSAMSegmentLib import install
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
FOR_TRAINING = ROOT / "ENSAMTrainer" / "Resources" / "ENSAMTrainer-requirements.txt"
TORCH, SAFETENSORS = ("torch", "2.13.0+cpu"), ("safetensors", "0.8.0")
PIP_FAILED = subprocess.CalledProcessError(1, ["PythonSlicer", "-m", "pip", "install", "..."])


class SlicerWith:
    """A Slicer with these packages: what ENSAM calls of slicer.packaging and PyTorchUtils."""

    # Names and signatures are Slicer's.

    def __init__(self, *installed):
        self.versions = dict(installed)
        self.has_torch_extension = True
        self.is_testing = False
        self.fails = {}  # by package, what its installation raises
        self.calls = []

    # slicer.packaging

    def load_requirements(self, path):
        lines = (line.strip() for line in Path(path).read_text().splitlines())
        return [Requirement(line) for line in lines if line and line[0] not in "#-"]

    def pip_check(self, req, _seen=None):
        return all(self.versions.get(one.name, "") in one.specifier for one in self._parsed(req))

    def pip_ensure(
        self,
        requirements,
        constraints=None,
        skip_packages=None,
        prompt_install=True,
        prompt_restart=True,
        requester=None,
        skip_in_testing=True,
        show_progress=True,
    ):
        if self.is_testing and skip_in_testing:
            return
        if prompt_install:
            raise AssertionError("Slicer would ask a second time")
        for one in self._parsed(requirements):
            self._install(one.name, "9.0")

    # PyTorchUtils

    def import_module(self, name):
        if not self.has_torch_extension:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        assert name == "PyTorchUtils"
        return SimpleNamespace(PyTorchUtilsLogic=lambda: SimpleNamespace(installTorch=self._install_torch))

    def _install_torch(
        self,
        askConfirmation=False,
        forceComputationBackend=None,
        torchVersionRequirement=None,
        torchvisionVersionRequirement=None,
    ):
        assert not askConfirmation, "the PyTorch extension would ask a second time"
        self.calls.append(f"PyTorchUtils: torch{torchVersionRequirement}")
        self._install("torch", "2.15.0")

    def _install(self, name, version):
        self.calls.append(name)
        if name in self.fails:
            raise self.fails[name]
        self.versions[name] = version

    def _parsed(self, req):
        listed = req if isinstance(req, list) else [req]
        return [Requirement(one) if isinstance(one, str) else one for one in listed]

    # The user

    def press_install(self, agrees=True, files=(install.REQUIREMENTS,)):
        self.questions = []
        return install.install(
            lambda question: self.questions.append(question) or agrees, self, self.import_module, files
        )


def names(requirements):
    return [item.name for item in requirements]


def test_a_fresh_slicer_misses_torch_and_safetensors_and_nothing_that_it_brings_itself():
    assert names(install.missing(SlicerWith())) == ["torch", "safetensors"]


def test_nothing_is_asked_or_fetched_when_all_is_there():
    slicer = SlicerWith(TORCH, SAFETENSORS)
    slicer.has_torch_extension = False
    assert install.missing(slicer) == ()
    assert install.describe(slicer) == ""
    assert slicer.press_install()
    assert slicer.questions == slicer.calls == []


def test_a_torch_that_is_too_old_counts_as_missing():
    assert names(install.missing(SlicerWith(("torch", "2.2.1"), SAFETENSORS))) == ["torch"]


def test_the_description_says_what_is_missing_why_and_how_much_is_fetched():
    text = install.describe(SlicerWith())
    assert "PyTorch (130 MB, up to 3.2 GB with an NVIDIA graphics card; runs the network)" in text
    assert "safetensors (0.5 MB; reads the network's weights)" in text
    assert "PyTorch" not in install.describe(SlicerWith(TORCH))


def test_one_agreement_installs_everything_torch_through_its_extension():
    slicer = SlicerWith()
    assert slicer.press_install()
    assert len(slicer.questions) == 1 and "130 MB" in slicer.questions[0]
    assert "PyTorchUtils: torch>=2.6" in slicer.calls
    assert install.missing(slicer) == ()


def test_without_agreement_nothing_is_changed():
    slicer = SlicerWith()
    assert not slicer.press_install(agrees=False)
    assert slicer.calls == [] and slicer.versions == {}


def test_only_what_is_missing_is_installed():
    slicer = SlicerWith(TORCH)
    slicer.has_torch_extension = False
    assert slicer.press_install()
    assert slicer.calls == ["safetensors"]


def test_without_the_pytorch_extension_the_user_is_sent_to_it_and_not_asked():
    slicer = SlicerWith()
    slicer.has_torch_extension = False
    with pytest.raises(InputError, match="install 'PyTorch' in the Extensions Manager"):
        slicer.press_install()
    assert slicer.questions == slicer.calls == []


def test_a_pytorch_extension_that_cannot_be_loaded_is_not_mistaken_for_a_missing_one():
    def import_module(name):
        raise ModuleNotFoundError("No module named 'light_the_torch'", name="light_the_torch")

    with pytest.raises(InputError, match=r"can't be loaded .*light_the_torch"):
        install.install(lambda question: True, SlicerWith(), import_module)


@pytest.mark.parametrize(
    "error",
    [
        PIP_FAILED,
        RuntimeError("PythonSlicer executable not found"),
        OSError("No space left on device"),
        ImportError("DLL load failed while importing _C"),
        ValueError("Failed to get computation backend."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failure_says_what_to_do_and_a_second_press_goes_on_from_there(error):
    slicer = SlicerWith()
    slicer.fails["safetensors"] = error
    with pytest.raises(InputError, match=r"^safetensors could not be installed .*: check the internet"):
        slicer.press_install()
    slicer.fails.clear()
    slicer.calls.clear()
    assert slicer.press_install()
    assert "torch" not in slicer.calls and install.missing(slicer) == ()
    slicer.versions.clear()
    slicer.fails["torch"] = error
    with pytest.raises(InputError, match=r"^PyTorch and safetensors could not be installed"):
        slicer.press_install()


def test_where_the_user_may_not_write_nothing_is_asked_or_fetched(monkeypatch):
    slicer, folder = SlicerWith(), "/opt/Slicer/lib/Python"

    def refuse(dir):
        assert str(dir) == folder
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(install.sysconfig, "get_path", lambda name: folder)
    monkeypatch.setattr(install.tempfile, "TemporaryFile", refuse)
    with pytest.raises(InputError, match=f"in '{folder}', where you may not write: install Slicer in"):
        slicer.press_install()
    assert not slicer.questions and not slicer.calls


def test_a_failure_of_pip_is_told_without_its_command_line():
    slicer = SlicerWith(TORCH)
    slicer.fails["safetensors"] = PIP_FAILED
    with pytest.raises(
        InputError, match=r"^safetensors could not be installed \(pip ended with exit code 1\)"
    ):
        slicer.press_install()


def test_an_installation_that_slicer_skips_is_not_taken_for_done():
    slicer = SlicerWith(TORCH)
    slicer.is_testing = True
    with pytest.raises(InputError, match="safetensors could not be installed"):
        slicer.press_install()


def test_an_older_slicer_is_told_to_be_updated(monkeypatch):
    def import_module(name):
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    with pytest.raises(InputError, match=r"3D Slicer 5\.12 or newer"):
        install.missing()


def test_torch_comes_before_what_would_make_pip_fetch_it():
    slicer = SlicerWith()
    assert slicer.press_install()
    assert slicer.calls.index("torch") < slicer.calls.index("safetensors")


# Several files of requirements

BOTH = (install.REQUIREMENTS, FOR_TRAINING)


def test_what_several_files_need_is_told_once_and_in_one_sentence():
    text = install.describe(SlicerWith(SAFETENSORS, ("matplotlib", "3.10")), BOTH)
    assert text.count("PyTorch") == 1 and "safetensors" not in text and "Matplotlib" not in text
    assert ", MONAI (2 MB; " in text and " and tqdm (0.1 MB; " in text
    assert "MONAI" not in install.describe(SlicerWith())


def test_a_version_must_suit_all_files():
    slicer = SlicerWith(("torch", "2.7.1"), SAFETENSORS)
    assert install.missing(slicer) == ()
    assert "torch" in names(install.missing(slicer, BOTH))
    slicer.press_install(files=BOTH)
    assert install.missing(slicer, BOTH) == ()
    assert [call for call in slicer.calls if "PyTorchUtils" in call] == ["PyTorchUtils: torch>=2.6,>=2.8"]


@pytest.mark.parametrize(
    ("file", "extras"), [(install.REQUIREMENTS, ()), (FOR_TRAINING, ("training",))], ids=["segment", "train"]
)
def test_the_requirements_are_those_of_the_library(file, extras):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    library = [*project["dependencies"], *(x for e in extras for x in project["optional-dependencies"][e])]
    needed = [str(requirement) for requirement in SlicerWith().load_requirements(file)]
    assert needed and set(needed) <= set(library)
    assert not {Requirement(one).name for one in needed} & {"numpy", "scipy", "SimpleITK"}
