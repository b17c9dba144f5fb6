"""Nothing leaves the computer, and nothing names a patient but what answers the user."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk

from .tiny import blob_volume, write_checkpoint

ROOT = Path(__file__).resolve().parents[2]
PATIENT = "Doe_Jane_19500101"

# A firewall within Python: whoever opens a socket, asks for an address or starts a program is found out.
WITHOUT_NETWORK = """
import sys

FORBIDDEN = ("socket.", "urllib.Request", "http.client", "ftplib", "smtplib", "subprocess.Popen", "os.system")

def firewall(event, arguments):
    if event.startswith(FORBIDDEN):
        print("FORBIDDEN", event, arguments, file=sys.stderr)
        raise PermissionError(event)

sys.addaudithook(firewall)
"""


def run(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_NETWORK + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_firewall_of_these_tests_stops_a_connection():
    done = run("import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')")
    assert done.returncode == 1 and "FORBIDDEN" in done.stderr


@pytest.fixture(scope="module")
def a_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / PATIENT
    folder.mkdir()
    volume = blob_volume()
    sitk.WriteImage(volume.grid.to_itk(volume.array), str(folder / f"{PATIENT}.nrrd"))
    write_checkpoint(folder / "tiny.safetensors")
    return folder


COMMANDS = """
from pathlib import Path
from ensam.__main__ import main
from ensam.prompts import Point, PromptSet, SegmentPrompts, write_prompts
folder = Path(sys.argv[1])
write_prompts(folder / "p.json", [SegmentPrompts("liver", PromptSet(points=(Point((38, 44, 70), True),)))])
(folder / "manifest.csv").write_text(f"volume,prompts\\n{sys.argv[2]}.nrrd,p.json\\n")
weights = ["--checkpoint", str(folder / "tiny.safetensors"), "--device", "cpu"]
volume = str(folder / f"{sys.argv[2]}.nrrd")
prompts = ["--prompts", str(folder / "p.json")]
assert main(["segment", volume, *prompts, "-o", str(folder / "o.nrrd"), *weights]) == 0
assert main(["batch", str(folder / "manifest.csv"), "-o", str(folder / "r"), *weights]) == 0
assert main(["info"]) == 0
import ensam_training.__main__
"""


def test_no_command_reaches_for_the_network(a_folder):
    done = run(COMMANDS, a_folder, PATIENT)
    assert done.returncode == 0 and "FORBIDDEN" not in done.stderr, done.stderr


A_SESSION = """
import logging
from pathlib import Path
logging.basicConfig(level=logging.DEBUG)
from ensam.errors import InputError
from ensam.prompts import Point, PromptSet
from ensam.session import InteractiveSession
from ensam.volume import read_volume
folder = Path(sys.argv[1])
session = InteractiveSession(folder / "tiny.safetensors", "cpu")
session.set_volume(read_volume(folder / f"{sys.argv[2]}.nrrd"))
notes = session.segment(PromptSet(points=(Point((38, 44, 70), True),))).notes
assert not any(sys.argv[2] in note for note in notes)
try:
    session.segment(PromptSet(points=(Point((9999, 0, 0), True),)))
except InputError as error:
    assert sys.argv[2] in str(error)  # who asked is told which image
"""


def test_the_library_prints_and_logs_nothing_that_names_a_patient(a_folder):
    done = run(A_SESSION, a_folder, PATIENT)
    assert done.returncode == 0, done.stderr
    assert PATIENT not in done.stdout + done.stderr and "FORBIDDEN" not in done.stderr
