"""Runs `in_slicer.py` inside the Slicer application that the variable SLICER_EXECUTABLE names.

Without a screen, run pytest under `xvfb-run`: Slicer needs one even when it opens no window.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIMIT_S = 900
SHOWN = 20_000  # characters of Slicer's output, its end


def test_the_extension_works_in_the_application():
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
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=LIMIT_S,
        )
    except subprocess.TimeoutExpired as error:
        output = (error.stdout or b"").decode(errors="replace")
        pytest.fail(f"Slicer did not end within {LIMIT_S} s:\n{output[-SHOWN:]}", pytrace=False)
    print(done.stdout)
    if done.returncode != 0 or "All tests passed in Slicer" not in done.stdout:
        pytest.fail(f"Slicer ended with {done.returncode}:\n{done.stdout[-SHOWN:]}", pytrace=False)
