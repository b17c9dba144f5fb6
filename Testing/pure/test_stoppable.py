"""pip in a process that can be stopped, except where it unpacks. A module of ours stands in for pip."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from ENSAMSegmentLib import stoppable

PIP = """
import sys, time
print(*sys.argv[1:], __name__, flush=True)
try:
    for _ in range(100 if "Collecting" in sys.argv else 10):
        time.sleep(0.1)
except KeyboardInterrupt:
    sys.exit("taken away")
print("done")
"""


@pytest.fixture
def begin(tmp_path):
    """Runs the stand-in, which prints these words and works for a while; gives the process and its file."""
    (tmp_path / "stand_in_pip.py").write_text(PIP)
    file = tmp_path / "go ahead"
    file.touch()
    processes = []

    def run(*words):
        command = [sys.executable, stoppable.__file__, str(file), "stand_in_pip", *words]
        processes.append(
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env={**os.environ, "PYTHONPATH": str(tmp_path)},
            )
        )
        return processes[-1], file

    yield run
    for process in processes:
        process.kill()
        process.wait()


def test_a_module_runs_as_by_itself_while_its_file_is_there(begin):
    process, _file = begin("install", "torch")
    assert process.communicate(timeout=30)[0] == "install torch __main__\ndone\n"
    assert process.returncode == 0


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN], ids=["", "a shell's background"])
def how_it_was_started(request):
    """What a new process does with Ctrl+C, it has from the one that starts it."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("how_it_was_started")
def test_without_its_file_it_is_interrupted_and_takes_away_what_it_has_begun(begin):
    process, file = begin("Collecting", "torch")
    assert process.stdout.readline().startswith("Collecting torch")
    file.unlink()
    start = time.monotonic()
    assert process.communicate(timeout=30)[0] == "taken away\n"
    assert process.returncode == 1 and time.monotonic() - start < 8


def test_what_it_unpacks_it_finishes(begin):
    process, file = begin("Installing collected packages:", "torch")
    assert process.stdout.readline().startswith("Installing collected packages")
    file.unlink()
    assert process.communicate(timeout=30)[0] == "done\n"
    assert process.returncode == 0


def test_the_modules_beside_it_are_not_in_the_way(begin, tmp_path):
    process, _file = begin("install")
    process.communicate(timeout=30)
    (tmp_path / "stand_in_pip.py").write_text("import status")  # one of ENSAM's own has that name
    process, _file = begin("install")
    assert "No module named 'status'" in process.communicate(timeout=30)[0]
