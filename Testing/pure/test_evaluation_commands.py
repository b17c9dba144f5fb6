"""The command line that evaluates methods, and makes the cases for it."""

from __future__ import annotations

import csv
import errno
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from ensam_training.__main__ import main
from ensam_training.challenge_cases import read_labelled_case
from ensam_training.evaluation_commands import split_command

from .toy_cases import SPACING_XYZ, labels_of_two, write_cases, write_images


def test_the_command_line_evaluates_a_folder(tmp_path, capsys):
    write_cases(tmp_path, "ct_one", "mr_two")
    output = tmp_path / "results"
    assert main(["evaluate", str(tmp_path), "-o", str(output), "--methods", "box,ellipsoid,box"]) == 0
    with open(output / "evaluation.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 6
    assert {row["method"] for row in rows} == {"box", "ellipsoid"}
    with open(output / "cases.csv", newline="") as file:
        rows = {(row["method"], row["case"]): row for row in csv.DictReader(file)}
    assert len(rows) == 4 and rows["box", "mr_two"]["modality"] == "MR"
    assert float(rows["box", "ct_one"]["DSC_AUC"]) == pytest.approx(4 * float(rows["box", "ct_one"]["DSC_0"]))
    assert (output / "evaluation.png").read_bytes().startswith(b"\x89PNG")
    figures = json.loads((output / "evaluation.json").read_text())
    assert figures["box"]["cases"] == 2 and len(figures["box"]["DSC_by_click"]) == 6
    assert figures["box"]["modalities"]["CT"]["cases"] == 1
    assert "NSD_AUC" in capsys.readouterr().out and "final NSD" in (output / "summary.md").read_text()


def test_a_case_that_cannot_be_used_is_named_and_the_others_go_on(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ensam_training.report.write_plot", lambda *_: None)  # it takes a second
    write_cases(tmp_path, "good")
    np.savez(tmp_path / "bad.npz", gts=np.zeros((2, 2, 2)))
    output = tmp_path / "results"
    assert main(["evaluate", str(tmp_path), "-o", str(output), "--methods", "box"]) == 2
    assert "'bad' is left out" in capsys.readouterr().err
    assert json.loads((output / "evaluation.json").read_text())["box"]["cases"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--methods", "magic"], "no method 'magic'"),
        (["--max-objects", "0"], "--max-objects"),
        (["--jobs", "0"], "--jobs"),
        (["--command", "run 'a"], "The --command 'run 'a' ends within quotes"),
        (["--cases", "nowhere.txt"], "nowhere.txt"),
        (["--methods", "box"], "."),
    ],
)
def test_the_command_line_explains_what_it_cannot_evaluate(tmp_path, capsys, options, message):
    assert main(["evaluate", str(tmp_path), "-o", str(tmp_path / "out"), *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_full_disk_leaves_the_old_summary_whole(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ensam_training.report.write_plot", lambda *_: None)  # it takes a second
    write_cases(tmp_path, "one")
    output = tmp_path / "out"
    given = ["evaluate", str(tmp_path), "-o", str(output), "--methods", "box"]
    assert main(given) == 0
    before = (output / "summary.md").read_text()
    write_text = Path.write_text

    def full(path, text, **named):
        if path.name.endswith("summary.md"):
            write_text(path, text[:20], **named)
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_text(path, text, **named)

    monkeypatch.setattr(Path, "write_text", full)
    assert main(given) == 2
    assert "'summary.md' can't be written" in capsys.readouterr().err
    assert (output / "summary.md").read_text() == before
    assert [path.name for path in output.glob("*summary*")] == ["summary.md"]


@pytest.mark.parametrize(
    ("system", "command", "words"),
    [
        ("linux", r"run 'a b' c\ d # e", ("run", "a b", "c d", "#", "e")),
        ("win32", r'"C:\Program Files\a.exe" C:\new\run.py', (r"C:\Program Files\a.exe", r"C:\new\run.py")),
        ("win32", r"""--in="C:\O'Brien\a b" -x""", (r"--in=C:\O'Brien\a b", "-x")),
    ],
)
def test_a_command_is_split_as_its_system_does(monkeypatch, system, command, words):
    monkeypatch.setattr(sys, "platform", system)
    assert split_command(command) == words


def test_the_command_line_makes_cases_from_images_and_labels(tmp_path):
    write_images(tmp_path / "data", "one", "two")
    (tmp_path / "names.txt").write_text("two\n")
    options = ["make-cases", str(tmp_path / "data"), "-o", str(tmp_path / "cases")]
    assert main([*options, "--cases", str(tmp_path / "names.txt"), "--max-objects", "1"]) == 0
    assert [path.name for path in (tmp_path / "cases").iterdir()] == ["two.npz"]
    made = read_labelled_case(tmp_path / "cases" / "two.npz")
    assert made.count == 1 and made.case.spacing == SPACING_XYZ
    assert np.array_equal(made.truth == 1, labels_of_two() == 2)
