"""Promises about the repository itself."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import ensam
import numpy as np
import pytest
import SimpleITK as sitk
from ensam.checkpoint import STARTER, load_checkpoint

ROOT = Path(__file__).resolve().parents[2]
ENSAM = ROOT / "ENSAMSegment" / "ensam"
TRAINING = ROOT / "ENSAMTrainer" / "ensam_training"
ADAPTERS = ROOT / "ENSAMSegment" / "ENSAMSegmentLib"
TRAINER_ADAPTERS = ROOT / "ENSAMTrainer" / "ENSAMTrainerLib"


def imports_of(path: Path) -> set[str]:
    """Top-level names of everything that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        (ENSAM, {"slicer", "vtk", "qt", "ctk", "ensam_training", "ENSAMSegmentLib"}),
        (TRAINING, {"slicer", "vtk", "qt", "ctk", "ENSAMSegmentLib"}),
        (ADAPTERS, {"qt", "ctk", "ensam_training", "ENSAMSegmentGUI"}),
        (TRAINER_ADAPTERS, {"qt", "ctk", "torch", "ENSAMSegmentGUI", "ENSAMTrainerGUI"}),
    ],
    ids=["ensam", "ensam_training", "ENSAMSegmentLib", "ENSAMTrainerLib"],
)
def test_imports_go_one_way(folder, forbidden):
    files = sorted(folder.rglob("*.py"))
    assert files
    assert {str(f.relative_to(ROOT)): imports_of(f) & forbidden for f in files} == {
        str(f.relative_to(ROOT)): set() for f in files
    }


def test_no_pickle_is_ever_loaded():
    for folder in (ENSAM, TRAINING, ADAPTERS, TRAINER_ADAPTERS):
        for path in folder.rglob("*.py"):
            text = path.read_text()
            assert not re.search(r"allow_pickle\s*=\s*True|pickle\.loads?\(|Unpickler", text), path
            for call in re.findall(r"torch\.load\([^)]*\)", text):
                assert "weights_only=True" in call, path


def test_no_handler_swallows_everything():
    for folder in (ENSAM, TRAINING, ADAPTERS, TRAINER_ADAPTERS):
        for path in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ExceptHandler):
                    assert node.type is not None, path
                    assert not (isinstance(node.type, ast.Name) and node.type.id == "Exception"), path


def test_the_starter_weights_are_small_and_tell_where_they_come_from():
    checkpoint = load_checkpoint()
    assert STARTER.stat().st_size <= 12_000_000
    assert 5_400_000 <= sum(t.numel() for t in checkpoint.state.values()) <= 5_600_000
    card = checkpoint.card
    assert {"licence", "intended_use", "training_data", "metrics", "date", "code_version"} <= set(card)
    assert all({"dataset", "cases", "licence", "source"} <= set(entry) for entry in card["training_data"])
    assert json.loads(STARTER.with_suffix(".json").read_text()) == card


def test_the_sample_case_carries_its_licence_and_was_not_trained_on():
    case = json.loads((ROOT / "ENSAMSegment" / "Resources" / "SampleCase" / "case.json").read_text())
    assert case["licence"].startswith("CC0")
    assert "CC0" in (ROOT / "ENSAMSegment" / "Resources" / "SampleCase" / "LICENCE.md").read_text()
    held_out = (ROOT / "ENSAMTrainer" / "Resources" / "starter-validation.txt").read_text().split()
    assert "mr_fetalsb_GA30_op" in held_out


def test_the_command_line_answers_a_wrong_argument_without_loading_torch():
    code = "import sys; from ensam.__main__ import main; print(main(['segment']), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["2", "False"], done.stderr


def test_every_command_in_the_readme_exists():
    readme = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake (\w+)", readme)) <= targets
    for program, package in (("ensam", "ensam"), ("ensam-train", "ensam_training")):
        named = set(re.findall(rf"^{program} ([\w-]+)", readme, re.MULTILINE))
        done = subprocess.run([sys.executable, "-m", package, "--help"], capture_output=True, text=True)
        assert named and all(name in done.stdout for name in named), done.stderr


def test_the_readmes_first_command_runs_as_it_stands(tmp_path):
    (line,) = re.findall(r"^ensam (segment ENSAMSegment/.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    *given, output = shlex.split(line)
    done = subprocess.run(
        [sys.executable, "-m", "ensam", *given, str(tmp_path / output)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0 and (tmp_path / output).is_file(), done.stderr
    assert re.search(r"^segment: [1-9]\d*\.\d\d mL$", done.stdout, re.MULTILINE)
    mask, labels = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        for path in (tmp_path / output, ROOT / "ENSAMSegment" / "Resources" / "SampleCase" / "label.nii.gz")
    )
    cerebellum = labels == 3
    assert 2 * np.sum(cerebellum & (mask == 1)) / (mask.sum() + cerebellum.sum()) > 0.89


def test_the_readmes_python_example_runs(tmp_path, monkeypatch):
    from .tiny import blob_volume

    readme = (ROOT / "README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    volume = blob_volume((50, 70, 70))
    sitk.WriteImage(volume.grid.to_itk(volume.array), str(tmp_path / "CT.nrrd"))
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(example, names)
    assert names["mask"].shape == (50, 70, 70) and names["mask"].any()
    assert names["first"].encoder_ran and not names["better"].encoder_ran
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage("mine.seg.nrrd")), names["mask"])


def test_the_library_tells_where_to_begin():
    for name in ("session.InteractiveSession", "volume", "prompts"):
        assert f"`ensam.{name}`" in ensam.__doc__


def test_every_picture_is_shown_somewhere():
    texts = "".join((ROOT / name).read_text() for name in ("README.md", "ENSAMTrainer/TRAINING_LOG.md"))
    pictures = sorted(path.name for path in (ROOT / "Resources" / "Screenshots").iterdir())
    assert [name for name in pictures if f"Resources/Screenshots/{name}" not in texts] == []


@pytest.mark.parametrize(
    ("script", "package"),
    [("compare_peers", "dynamic_network_architectures"), ("compare_surface_dice", "surface_distance")],
)
def test_a_comparison_asks_for_its_package_before_it_measures(script, package):
    code = "import runpy, sys; sys.modules[sys.argv[2]] = None; path = sys.argv[1]; del sys.argv[1:]\n"
    code += "runpy.run_path(path, run_name='__main__')"
    path = ROOT / "Testing" / f"{script}.py"
    done = subprocess.run([sys.executable, "-c", code, path, package], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert f"pip install {package.replace('_', '-')}" in line


def test_commits_are_checked_with_the_same_ruff_as_the_tests():
    (version,) = re.findall(r"\bruff==(\S+)", (ROOT / "Makefile").read_text())
    assert f"rev: v{version}\n" in (ROOT / ".pre-commit-config.yaml").read_text()
