"""The logic in scripts: its own example, and processes in which there is no torch."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from ensam.prompts import read_prompts
from ENSAMSegmentLib import logic as logic_module
from ENSAMSegmentLib.logic import ENSAMSegmentLogic
from ENSAMSegmentLib.segments import read_segment
from ENSAMSegmentLib.volumes import volume_from_node

from .nodes import load_volume

ROOT = Path(__file__).resolve().parents[2]
CASE = ROOT / "ENSAMSegment" / "Resources" / "SampleCase"
CEREBELLUM = 3

A_SCRIPT = """
import sys
sys.path[:0] = [{module!r}, {testing!r}]
if {blocked}:
    sys.modules["torch"] = None  # importing it fails as if it weren't installed
from ENSAMSegmentLib.logic import ENSAMSegmentLogic
from ENSAMSegmentLib.prompt_nodes import BOX, FOREGROUND
from mrml.nodes import load_volume
from mrml.slicer_core_scene import create_scene
from ensam.errors import InputError
from pathlib import Path

def imported():
    return sorted(name for name in ("torch", "safetensors") if sys.modules.get(name))

with create_scene() as application:
    volume = load_volume(application.GetMRMLScene(), Path({case!r}) / "image.nii.gz", "FetalBrain")
    logic = ENSAMSegmentLogic()
    logic.select(volume)
    logic.auto_update = False
    logic.start_placing(BOX)
    logic.stop_placing()
    logic.set_box((0, -14, -20), (36, 26, 28))
    logic.start_placing(FOREGROUND)
    logic.add_point((0, -7, -24), False)
    logic.flip(logic.prompt_rows()[1])
    for muted in (True, False):
        logic.set_muted(logic.prompt_rows()[1], muted)
    while logic.poll() is not None:
        pass
    logic.save_prompts("prompts.json")
    logic.load_prompts("prompts.json")
    assert [row.kind for row in logic.prompt_rows()] == ["box", "foreground"]
    assert "ensam-starter" in logic.card_text()
    assert not imported(), imported()
{rest}
"""


def run_script(folder, rest="", blocked=True):
    """Run it in a Python of its own, and give what it printed."""
    script = A_SCRIPT.format(
        module=str(ROOT / "ENSAMSegment"),
        testing=str(ROOT / "Testing"),
        case=str(CASE),
        blocked=blocked,
        rest=textwrap.indent(textwrap.dedent(rest), "    "),
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def the_example():
    """The code in the docstring of the logic."""
    code = re.search(r"Example.*::\n\n((?: {8}.*\n|\n)+)", logic_module.ENSAMSegmentLogic.__doc__)
    return textwrap.dedent(code.group(1))


def test_the_example_of_the_logic_runs_on_the_sample_case(an_mrml_scene, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    volume = load_volume(an_mrml_scene, CASE / "image.nii.gz", "FetalBrain")
    example = the_example()
    assert example.count("\n") > 8 and "logic.undo()" in example
    # What it did is to be seen before it cleans up.
    before, _, cleanup = example.rpartition("logic.cleanup()")
    assert cleanup.strip() == ""
    names = {"ENSAMSegmentLogic": ENSAMSegmentLogic, "volume": volume}
    exec(before, names)  # the project's own text
    logic = names["logic"]

    label = load_volume(an_mrml_scene, CASE / "label.nii.gz", "answer")
    truth = volume_from_node(label).array == CEREBELLUM
    mask = read_segment(logic.segmentation, logic.segment_id, volume).laid_out(truth.shape)
    assert 2 * np.count_nonzero(mask & truth) / (mask.sum() + truth.sum()) > 0.6
    printed_ml = float(capsys.readouterr().out.split()[-1])
    assert 5 < printed_ml < 20
    (saved,) = read_prompts(tmp_path / "prompts.json")
    assert saved.name == "cerebellum"
    # The click was undone.
    assert saved.prompts.box is not None and not saved.prompts.points
    logic.cleanup()
    assert logic.prompt_rows() == ()


def test_the_script_of_the_readme_gives_a_good_mask_and_its_click_a_better_one(an_mrml_scene):
    (code,) = re.findall(r"```\n(from ENSAMSegmentLib.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names = {"volume": load_volume(an_mrml_scene, CASE / "image.nii.gz", "FetalBrain")}
    label = load_volume(an_mrml_scene, CASE / "label.nii.gz", "answer")
    truth = volume_from_node(label).array == CEREBELLUM
    steps = code.replace('slicer.util.getNode("FetalBrain")', "volume").split("logic.wait()\n")[:2]
    dice = []
    for step in steps:
        exec(step + "logic.wait()", names)  # the project's own text
        logic = names["logic"]
        mask = read_segment(logic.segmentation, logic.segment_id, names["volume"]).laid_out(truth.shape)
        dice.append(2 * np.count_nonzero(mask & truth) / (mask.sum() + truth.sum()))
    assert 0.88 < dice[0] < dice[1]
    logic.cleanup()


@pytest.mark.parametrize("module", ["logic", "install", "sample_data", "cards"])
def test_what_is_imported_at_the_start_of_slicer_does_not_import_torch(module):
    code = f"""
import sys
import ENSAMSegmentLib.{module}
assert not {{"torch", "safetensors"}} & set(sys.modules)
"""
    environment = {"PYTHONPATH": str(ROOT / "ENSAMSegment"), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("blocked", [True, False], ids=["without torch", "with torch"])
def test_prompts_are_placed_saved_and_read_about_without_torch(tmp_path, blocked):
    run_script(tmp_path, blocked=blocked)
    assert (tmp_path / "prompts.json").is_file()


def test_without_torch_the_user_is_told_how_to_get_it_and_the_segment_stays(tmp_path):
    printed = run_script(
        tmp_path,
        """
        try:
            logic.run()
            logic.wait()
        except InputError as error:
            print(logic.status.kind, len(logic.prompt_rows()), logic.poll())
            print(error)
        """,
    )
    first, text = printed.splitlines()
    assert first == "error 2 None"
    assert "install PyTorch" in text
