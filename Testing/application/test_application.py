"""Runs `in_slicer.py` inside the Slicer application that the variable SLICER_EXECUTABLE names.

Without a screen, run pytest under `xvfb-run`: Slicer needs one even when it opens no window.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIMIT_S = 900
SHOWN = 20_000  # characters of Slicer's output, its end


def test_the_extension_works_in_the_application(tmp_path):
    executable = os.environ.get("SLICER_EXECUTABLE")
    if not executable:
        pytest.skip("SLICER_EXECUTABLE is not set: nothing is tried in the Slicer application")
    command = [
        executable,
        "--testing",
        "--no-splash",
        "--no-main-window",
        "--additional-module-paths",
        str(ROOT / "ENSAMSegment"),
        str(ROOT / "ENSAMTrainer"),
        "--python-script",
        str(HERE / "in_slicer.py"),
    ]
    # The tests of the panels ask Qt for a platform that Slicer's Qt doesn't have.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QT_")}
    log = tmp_path / "slicer.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            code = process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            code = None
            end_with_children(process)
    said = log.read_text(encoding="utf-8", errors="replace")
    print(said)
    if code is None:
        pytest.fail(f"Slicer did not end within {LIMIT_S} s:\n{said[-SHOWN:]}", pytrace=False)
    if code != 0 or "All tests passed in Slicer" not in said:
        pytest.fail(f"Slicer ended with {code}:\n{said[-SHOWN:]}", pytrace=False)


def end_with_children(process):
    """The executable is a launcher: what it has launched would stay."""
    if os.name == "nt":
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False)
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
