"""Whatever the command line is given, it ends in a sentence, and results stay where they belong.

For 100 times as many inputs, other ones each time: FUZZ=100 python -m pytest Testing/pure/test_hostile_*
"""

from __future__ import annotations

import csv
import json
import os

import pytest
import SimpleITK as sitk
from ensam.__main__ import main
from ensam.errors import InputError
from ensam.manifest import read_manifest
from fuzzing import inputs
from hypothesis import given
from hypothesis import strategies as st

from .hostile import DEEP, PROMPTS, one_sentence
from .hostile_images import LYING_IMAGES, nrrd
from .tiny import blob_volume, write_checkpoint


@pytest.fixture(scope="module")
def a_checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@inputs(100)
@given(
    content=st.binary(max_size=200)
    | st.lists(st.lists(st.text(max_size=12), max_size=4), max_size=5).map(
        lambda rows: "\n".join(["volume,prompts", *(",".join(row) for row in rows)]).encode(
            "utf-8", "replace"
        )
    )
)
def test_any_manifest_is_read_or_refused_and_results_stay_in_their_folder(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "manifest.csv"
    path.write_bytes(content)
    try:
        cases = read_manifest(path)
    except InputError as error:
        assert one_sentence(error)
        return
    folder = path.parent / "results"
    assert all((folder / case.output).resolve().parent == folder.resolve() for case in cases)
    assert len({case.output.casefold() for case in cases}) == len(cases)


@pytest.mark.parametrize("prompts", ["../../up.json", "/etc/passwd", "..", ".", "a/../../b.json"])
def test_a_result_lies_in_the_output_folder_wherever_its_prompts_are(tmp_path, prompts):
    (tmp_path / "manifest.csv").write_text(f"volume,prompts\nct.nrrd,{prompts}\n")
    (case,) = read_manifest(tmp_path / "manifest.csv")
    assert (tmp_path / "results" / case.output).resolve().parent == tmp_path / "results"


def test_two_results_that_are_one_file_on_some_systems_are_refused(tmp_path):
    (tmp_path / "manifest.csv").write_text("volume,prompts\na.nrrd,a.json\nb.nrrd,sub/A.json\n")
    with pytest.raises(InputError, match=r"repeats the output 'A\.seg\.nrrd'"):
        read_manifest(tmp_path / "manifest.csv")


def test_a_manifest_in_an_encoding_of_old_is_refused_with_the_reason(tmp_path):
    (tmp_path / "manifest.csv").write_bytes("volume,prompts\nMüller.nrrd,a.json\n".encode("cp1252"))
    with pytest.raises(InputError, match="isn't UTF-8: save it from the spreadsheet as 'CSV UTF-8'"):
        read_manifest(tmp_path / "manifest.csv")


def test_a_field_beyond_the_limit_of_the_csv_module_is_refused(tmp_path):
    long = "x" * (csv.field_size_limit() + 1)
    (tmp_path / "manifest.csv").write_text(f"volume,prompts\n{long},a.json\n")
    with pytest.raises(InputError, match="can't be read"):
        read_manifest(tmp_path / "manifest.csv")


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_folder_of_an_old_encoding_is_named_and_ends_nothing(tmp_path, a_checkpoint, capsys):
    """SimpleITK ends the process for such a name."""
    folder = tmp_path / os.fsdecode(b"Universit\xe4t")
    folder.mkdir()
    (folder / "manifest.csv").write_text("volume,prompts\nct.nrrd,a.json\n")
    (folder / "a.json").write_text(json.dumps(PROMPTS))
    (folder / "ct.nrrd").write_bytes(nrrd("4 4 4", data=bytes(range(128))))
    weights = ["--checkpoint", str(a_checkpoint)]
    click, unicode = ["--fg", "0", "0", "0"], tmp_path / "out.nrrd"
    for arguments in (
        ["batch", str(folder / "manifest.csv"), "-o", str(folder / "results"), *weights],
        ["segment", str(folder / "ct.nrrd"), *click, "-o", str(unicode), *weights],
        ["segment", str(unicode), *click, "-o", str(folder / "out.nrrd"), *weights],
    ):
        assert main(arguments) == 2
        assert "Unicode: " in capsys.readouterr().err
    assert b"Universit\xe4t" in (folder / "results" / "summary.csv").read_bytes()


def test_a_name_with_a_line_break_is_still_one_line(tmp_path, capsys):
    assert (
        main(
            [
                "segment",
                str(tmp_path / "two\nlines.nrrd"),
                "--fg",
                "0",
                "0",
                "0",
                "-o",
                str(tmp_path / "o.nrrd"),
            ]
        )
        == 2
    )
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    "kind",
    ["10^15 voxels.nrrd", "tiny voxels.nrrd", "prompts.json", "x.safetensors", "manifest.csv", "case.npz"],
)
def test_a_hostile_file_ends_the_command_with_exit_code_2(tmp_path, a_checkpoint, kind, capsys):
    path, good = tmp_path / kind, tmp_path / "good.nrrd"
    volume = blob_volume()
    sitk.WriteImage(volume.grid.to_itk(volume.array), str(good))
    path.write_bytes(LYING_IMAGES.get(kind, DEEP.encode()))
    out, weights = ["-o", str(tmp_path / "out.nrrd")], ["--checkpoint", str(a_checkpoint)]
    click = ["--fg", "38", "44", "70"]
    arguments = {
        ".nrrd": ["segment", str(path), *click, *out, *weights],
        ".json": ["segment", str(good), "--prompts", str(path), *out, *weights],
        ".safetensors": ["segment", str(good), *click, *out, "--checkpoint", str(path)],
        ".csv": ["batch", str(path), "-o", str(tmp_path / "results"), *weights],
        ".npz": ["predict-npz", "--input", str(tmp_path), "--output", str(tmp_path / "answers"), *weights],
    }[path.suffix]
    assert main(arguments) == 2
    assert "Traceback" not in (error := capsys.readouterr().err) and error.strip()
