"""What the user is told, asked and spared when packages are missing. Slicer and pip are stand-ins."""

from __future__ import annotations

import importlib
import sys
import tomllib
from pathlib import Path

import pytest
from ensam.errors import InputError
from ENSAMSegmentLib import install
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
FOR_TRAINING = ROOT / "ENSAMTrainer" / "Resources" / "ENSAMTrainer-requirements.txt"
TORCH, SAFETENSORS = ("torch", "2.13.0+cpu"), ("safetensors", "0.8.0")
NO_SPACE = "Could not install packages due to an OSError: [Errno 28] No space left on device"


class SlicerWith:
    """A Slicer with these packages: what ENSAM calls of slicer.packaging and slicer.util.

    As Slicer's, a module that runs tells later: when the test lets it `work`.
    """

    # Names and signatures are Slicer's.

    def __init__(self, *installed):
        self.versions = dict(installed)
        self.is_installing = False
        self.refuses = ""  # what the system says when a process is to be started
        self.fails = {}  # by package, the line that pip prints last, "" for none
        self.calls, self.running = [], []
        self.questions, self.lines, self.ends = [], [], []

    # slicer.packaging

    def load_requirements(self, path):
        lines = (line.strip() for line in Path(path).read_text().splitlines())
        return [Requirement(line) for line in lines if line and line[0] not in "#-"]

    def pip_check(self, req, _seen=None):
        return all(self.versions.get(one.name, "") in one.specifier for one in self._parsed(req))

    def isPipInstallInProgress(self):
        return self.is_installing

    # slicer.util

    def launchConsoleProcess(
        self, args, useStartupEnvironment=True, blocking=True, logCallback=None, completedCallback=None
    ):
        assert not blocking, "Slicer's window would wait"
        assert not useStartupEnvironment, "Slicer's Python would not be found"
        if self.refuses:
            raise OSError(self.refuses)
        python, script, go_ahead, module, *args = args
        assert python.endswith("PythonSlicer") and Path(script).is_file() and Path(go_ahead).is_file()
        self.go_ahead = Path(go_ahead)
        self.calls.append(f"{module} {' '.join(args)}")
        self.running.append((args, logCallback, completedCallback))

    def _parsed(self, req):
        listed = req if isinstance(req, list) else [req]
        return [Requirement(one) if isinstance(one, str) else one for one in listed]

    # The user, and the time that passes

    def press_install(self, agrees=True, files=(install.REQUIREMENTS,)):
        return install.install(
            lambda question: self.questions.append(question) or agrees,
            self.lines.append,
            self.ends.append,
            self,
            self.launchConsoleProcess,
            files,
        )

    def work(self):
        while self.running:
            (command, *packages), log, completed = self.running.pop(0)
            assert command == "install"
            for requirement in self._parsed(packages):
                log(f"Collecting {requirement}")
                if requirement.name in self.fails:
                    log(self.fails[requirement.name])
                    completed(1)
                    break
                self.versions[requirement.name] = "9.0"
            else:
                completed(0)

    def install_all(self, **options):
        assert self.press_install(**options)
        self.work()
        return self.ends.pop()


@pytest.fixture(autouse=True)
def nothing_is_left_under_way(monkeypatch):
    monkeypatch.setattr(install._Installation, "under_way", None)
    monkeypatch.setattr(install.shutil, "which", lambda name: f"/opt/Slicer/bin/{name}")
    for name in ("torch", "safetensors", "monai", "cc3d", "edt", "tqdm", "matplotlib"):
        monkeypatch.delitem(sys.modules, name, raising=False)  # as in a Slicer that has just been started


def names(requirements):
    return [item.name for item in requirements]


def test_a_fresh_slicer_misses_torch_and_safetensors_and_nothing_that_it_brings_itself():
    assert names(install.missing(SlicerWith())) == ["torch", "safetensors"]


def test_nothing_is_asked_or_fetched_when_all_is_there():
    slicer = SlicerWith(TORCH, SAFETENSORS)
    assert install.missing(slicer) == ()
    assert install.describe(slicer) == ""
    assert slicer.install_all() is None
    assert slicer.questions == slicer.calls == []


def test_a_torch_that_is_too_old_counts_as_missing():
    assert names(install.missing(SlicerWith(("torch", "2.2.1"), SAFETENSORS))) == ["torch"]


def test_the_description_says_what_is_missing_why_and_how_much_is_fetched():
    text = install.describe(SlicerWith())
    assert "PyTorch (130 MB, up to 3.2 GB with an NVIDIA graphics card; runs the network)" in text
    assert "safetensors (0.5 MB; reads the network's weights)" in text
    assert "PyTorch" not in install.describe(SlicerWith(TORCH))


def test_one_agreement_installs_everything_torch_in_the_build_that_suits_the_computer():
    slicer = SlicerWith()
    assert slicer.install_all() is None
    assert len(slicer.questions) == 1 and "130 MB" in slicer.questions[0]
    assert slicer.calls[:2] == ["pip install light-the-torch>=0.5", "light_the_torch install torch>=2.6"]
    assert install.missing(slicer) == ()


def test_slicer_goes_on_meanwhile_and_what_pip_prints_is_told():
    slicer = SlicerWith()
    assert slicer.press_install()
    assert not slicer.ends and not slicer.lines and install.missing(slicer)
    slicer.work()
    assert "Collecting torch>=2.6" in slicer.lines
    assert slicer.ends == [None]


def test_without_agreement_nothing_is_changed():
    slicer = SlicerWith()
    assert not slicer.press_install(agrees=False)
    assert slicer.calls == slicer.ends == [] and slicer.versions == {}
    assert slicer.install_all() is None


def test_only_what_is_missing_is_installed():
    slicer = SlicerWith(TORCH)
    assert slicer.install_all() is None
    assert [call.split()[:2] for call in slicer.calls] == [["pip", "install"]]
    assert "safetensors" in slicer.calls[0] and "torch>" not in slicer.calls[0]


@pytest.mark.parametrize("whose", ["ENSAM's", "another extension's"])
def test_no_two_installations_at_a_time(whose):
    slicer = SlicerWith()
    if whose == "ENSAM's":
        slicer.press_install()
    else:
        slicer.is_installing = True
    questions, calls = list(slicer.questions), list(slicer.calls)
    with pytest.raises(InputError, match="try again when that is done"):
        slicer.press_install()
    assert slicer.questions == questions and slicer.calls == calls


@pytest.mark.parametrize("line", [f"ERROR: {NO_SPACE}", ""], ids=["with a reason", "without"])
def test_a_failure_says_what_to_do_and_a_second_press_goes_on_from_there(line):
    reason = NO_SPACE if line else "pip ended with exit code 1"
    slicer = SlicerWith()
    slicer.fails["safetensors"] = line
    told = str(slicer.install_all())
    assert told.startswith(f"safetensors could not be installed ({reason}): check the internet")
    slicer.fails.clear()
    slicer.calls.clear()
    assert slicer.install_all() is None
    assert not any("torch" in call for call in slicer.calls) and install.missing(slicer) == ()
    slicer.versions.clear()
    slicer.fails["torch"] = line
    told = str(slicer.install_all())
    assert told.startswith(f"PyTorch and safetensors could not be installed ({reason})")


def test_what_an_earlier_step_warned_of_is_not_the_reason_of_a_later_failure():
    slicer = SlicerWith()
    slicer.fails["safetensors"] = ""
    assert slicer.press_install()
    slicer.running[0][1]("ERROR: pip's dependency resolver does not take into account ...")
    slicer.work()
    assert "(pip ended with exit code 1)" in str(slicer.ends.pop())


def test_without_a_python_to_run_the_user_is_told_and_can_try_again(monkeypatch):
    slicer = SlicerWith()
    with monkeypatch.context() as patch:
        patch.setattr(install.shutil, "which", lambda name: None)
        assert "(Slicer's Python was not found)" in str(slicer.install_all())
    slicer.refuses = "[Errno 12] Cannot allocate memory"
    assert "(Cannot allocate memory)" in str(slicer.install_all()).replace("[Errno 12] ", "")
    slicer.refuses = ""
    assert slicer.install_all() is None


@pytest.mark.parametrize("exit_code", [1, 0], ids=["while it is fetched", "while it is unpacked"])
def test_what_is_cancelled_ends_without_an_error_and_goes_on_from_there_when_asked_again(exit_code):
    slicer = SlicerWith()
    assert slicer.press_install()
    slicer.running.pop()[2](0)  # light-the-torch
    go_ahead = slicer.go_ahead
    assert go_ahead.exists() and not slicer.ends
    install.cancel()
    assert not go_ahead.exists() and not slicer.ends  # pip has yet to end
    if exit_code == 0:
        slicer.versions["torch"] = "9.0"
    slicer.running.pop()[2](exit_code)
    assert slicer.ends == [None] and not slicer.running
    slicer.ends.clear()
    slicer.calls.clear()
    assert slicer.install_all() is None
    assert any("torch>=" in call for call in slicer.calls) is (exit_code == 1)
    assert not slicer.go_ahead.exists()


def test_a_cancel_where_nothing_is_installed_does_nothing():
    install.cancel()


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


def test_an_installation_that_changes_nothing_is_not_taken_for_done():
    slicer = SlicerWith(TORCH)
    assert slicer.press_install()
    slicer.running.pop()[2](0)
    assert "safetensors could not be installed (they are still missing)" in str(slicer.ends.pop())


def test_what_was_in_use_in_an_older_version_asks_for_a_restart(monkeypatch):
    monkeypatch.setitem(sys.modules, "cc3d", object())
    slicer = SlicerWith(TORCH, SAFETENSORS, ("connected-components-3d", "1.0"))
    told = str(slicer.install_all(files=BOTH))
    assert told == "connected-components-3d was in use in an older version: restart Slicer."
    assert install.missing(slicer, BOTH) == ()


def test_an_older_slicer_is_told_to_be_updated(monkeypatch):
    def import_module(name):
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    with pytest.raises(InputError, match=r"3D Slicer 5\.12 or newer"):
        install.missing()


def test_torch_comes_before_what_would_make_pip_fetch_it():
    slicer = SlicerWith()
    assert slicer.install_all(files=BOTH) is None
    *_, torch, others = slicer.calls
    assert torch.startswith("light_the_torch install torch") and "monai" in others and "torch" not in others


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
    assert slicer.install_all(files=BOTH) is None
    assert install.missing(slicer, BOTH) == ()
    assert "light_the_torch install torch>=2.6,>=2.8" in slicer.calls


@pytest.mark.parametrize(
    ("file", "extras"), [(install.REQUIREMENTS, ()), (FOR_TRAINING, ("training",))], ids=["segment", "train"]
)
def test_the_requirements_are_those_of_the_library(file, extras):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    library = [*project["dependencies"], *(x for e in extras for x in project["optional-dependencies"][e])]
    needed = [str(requirement) for requirement in SlicerWith().load_requirements(file)]
    assert needed and set(needed) <= set(library)
    assert not {Requirement(one).name for one in needed} & {"numpy", "scipy", "SimpleITK"}
