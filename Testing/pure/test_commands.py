"""The command line: masks in files, bad input in one sentence, nothing half written."""

from __future__ import annotations

import csv
import json
import resource
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
from ensam import __version__, commands
from ensam.__main__ import main
from ensam.challenge import boxes_from_labels, write_case
from ensam.checkpoint import load_checkpoint, save_checkpoint
from ensam.network import ENSAM
from ensam.prompts import Point, PromptSet, SegmentPrompts, write_prompts
from ensam.volume import read_volume

from .command_files import Files


@pytest.fixture
def files(tmp_path):
    made = Files(tmp_path)
    made.remember()
    return made


def test_what_was_not_found_is_told_by_its_name(files, capsys, monkeypatch):
    decode = ENSAM.decode
    for added, is_told in ((-1000, True), (1000, False)):
        monkeypatch.setattr(ENSAM, "decode", lambda self, *given, a=added: decode(self, *given) + a)
        assert main(files.arguments()) == 0
        assert ("other was not found: give it a closer box" in capsys.readouterr().out) == is_told


def test_segments_are_written_on_the_volumes_grid(files, capsys):
    assert main(files.arguments()) == 0
    image = sitk.ReadImage(str(files.output))
    assert image.GetSize() == sitk.ReadImage(str(files.volume)).GetSize()
    assert image.GetMetaData("Segment1_Name") == "other"
    assert set(np.unique(sitk.GetArrayFromImage(image))) == {0, 1, 2}
    printed = capsys.readouterr().out
    assert "ball:" in printed and "mL" in printed and "percentile" in printed


def test_the_volume_of_a_cell_is_told_as_that_of_an_organ(files, capsys):
    image = sitk.ReadImage(str(files.volume))
    image.SetSpacing((5e-4, 5e-4, 5e-4))
    sitk.WriteImage(image, str(files.volume))
    grid = read_volume(files.volume).grid
    inside = Point(tuple(grid.zyx_to_ras(np.array(grid.shape) // 2)), True)
    write_prompts(files.prompts, [SegmentPrompts("cell", PromptSet(points=(inside,)))])
    assert main(files.arguments()) == 0
    (printed,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("cell: ")]
    (files.folder / "manifest.csv").write_text("volume,prompts\nblob.nrrd,prompts.json\n")
    weights = ["--checkpoint", str(files.checkpoint), "--device", "cpu"]
    assert main(["batch", str(files.folder / "manifest.csv"), "-o", str(files.folder / "r"), *weights]) == 0
    (row,) = csv.DictReader((files.folder / "r" / "summary.csv").read_text().splitlines())
    voxels = np.count_nonzero(sitk.GetArrayFromImage(sitk.ReadImage(str(files.output))))
    assert float(row["volume_ml"]) == pytest.approx(voxels * 5e-4**3 / 1000, rel=1e-5)
    assert float(printed.split()[1]) == pytest.approx(float(row["volume_ml"]), rel=0.01)


def test_box_and_clicks_can_be_given_on_the_command_line(files):
    arguments = files.arguments(**{"--prompts": None, "-o": files.folder / "out.nii.gz"})
    lower, upper = (files.volume_value.grid.zyx_to_ras(np.array(v)) for v in ((12, 16, 20), (27, 31, 35)))
    arguments += ["--box", *map(str, (*lower, *upper)), "--fg", *map(str, (lower + upper) / 2)]
    assert main(arguments) == 0
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(files.folder / "out.nii.gz"))).any()


def bad_inputs():
    def nan(f):
        array = f.volume_value.array.copy()
        array[3, 4, 5] = np.nan
        return {"volume": image(f, array)}

    def image(f, array, vector=False):
        path = f.folder / "bad.nrrd"
        sitk.WriteImage(sitk.GetImageFromArray(array, isVector=vector), str(path))
        return path

    def prompts(f, text):
        path = f.folder / "bad.json"
        path.write_text(text)
        return {"--prompts": path}

    def garbage(f):
        path = f.folder / "bad.nii.gz"
        path.write_bytes(b"not an image")
        return {"volume": path}

    def damaged_checkpoint(f):
        path = f.folder / "bad.safetensors"
        path.write_bytes(f.checkpoint.read_bytes()[:1000])
        return {"--checkpoint": path}

    def segment(**values):
        return json.dumps({"version": 1, "segments": [{"name": "a", **values}]})

    far = {"box": {"center_ras": [999, 0, 0], "size_mm": [5, 5, 5],
                   "axes_ras": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}}  # fmt: skip
    empty = {"box": {**far["box"], "size_mm": [0, 5, 5]}}
    label = {"points": [{"position_ras": [20, 40, 60], "label": "maybe"}]}
    outside = {"points": [{"position_ras": [-500, 0, 0], "label": "foreground"}]}
    return {
        "point outside the volume": (lambda f: prompts(f, segment(**outside)), "lies outside"),
        "box outside the volume": (lambda f: prompts(f, segment(**far)), "lies outside"),
        "empty box": (lambda f: prompts(f, segment(**empty)), "mm"),
        "unknown label": (lambda f: prompts(f, segment(**label)), "foreground"),
        "no prompts at all": (lambda f: {"--prompts": None}, "nothing to segment"),
        "not-a-number voxels": (nan, "aren't finite"),
        "one slice": (lambda f: {"volume": image(f, f.volume_value.array[:1])}, "single slice"),
        "vector volume": (lambda f: {"volume": image(f, np.ones((8, 8, 8, 3)), True)}, "3 values a voxel"),
        "4D volume": (lambda f: {"volume": image(f, np.ones((2, 8, 8, 8)))}, "4 dimensions"),
        "constant volume": (lambda f: {"volume": image(f, np.ones((8, 8, 8)))}, "same value"),
        "unreadable file": (garbage, "can't be read"),
        "missing file": (lambda f: {"volume": f.folder / "none.nrrd"}, "no image file"),
        "damaged checkpoint": (damaged_checkpoint, "not a readable safetensors"),
        "output of an unknown kind": (lambda f: {"-o": f.folder / "out.png"}, "must end in"),
        "output folder missing": (lambda f: {"-o": f.folder / "no" / "out.nrrd"}, "no folder"),
        "unknown device": (lambda f: {"--device": "tpu"}, "no device"),
        "unknown intensity window": (lambda f: {"--intensity": "liver"}, "no intensity window"),
    }


@pytest.mark.parametrize("kind", bad_inputs())
def test_bad_input_ends_in_one_sentence_and_exit_code_2(files, kind, capsys):
    make, expected = bad_inputs()[kind]
    changes = make(files)
    files.remember()
    assert main(files.arguments(**changes)) == 2
    captured = capsys.readouterr()
    assert expected in captured.err
    assert len(captured.err.strip().splitlines()) == 1 and "Traceback" not in captured.err
    assert files.left_behind() == set()


def test_an_unusable_argument_is_one_line_as_well(capsys):
    assert main(["segment"]) == 2
    error = capsys.readouterr().err
    assert "required" in error and len(error.strip().splitlines()) == 1


def test_a_disk_without_room_leaves_nothing_half_written(files):
    def no_room():
        # The kernel refuses every byte past the limit, as it does on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))

    done = subprocess.run(
        [sys.executable, "-m", "ensam", *files.arguments()],
        capture_output=True,
        text=True,
        preexec_fn=no_room,
    )
    assert done.returncode == 2, done.stderr
    assert "can't be written" in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert files.left_behind() == set()


def challenge_folder(files):
    labels = np.zeros(files.volume_value.grid.shape, np.uint8)
    labels[12:28, 16:32, 20:36] = 1
    labels[30:36, 30:40, 30:40] = 2
    image = np.clip(files.volume_value.array + 50, 0, 255).astype(np.uint8)
    folder = files.folder / "cases"
    folder.mkdir()
    clicks = [{"fg": [[20, 24, 28]], "bg": []}, {"fg": [], "bg": [[2, 2, 2]]}]
    write_case(folder / "a.npz", image, (1.0, 1.0, 2.0), boxes_from_labels(labels))
    write_case(folder / "c.npz", image, (1.0, 1.0, 2.0), None, clicks)
    return folder


def test_challenge_cases_are_answered_and_a_damaged_one_is_reported(files, capsys):
    folder = challenge_folder(files)
    (folder / "b.npz").write_bytes((folder / "a.npz").read_bytes()[:-200])
    out = files.folder / "answers"
    arguments = ["predict-npz", "--input", str(folder), "--output", str(out)]
    assert main([*arguments, "--checkpoint", str(files.checkpoint)]) == 2
    assert "b.npz" in capsys.readouterr().err
    assert sorted(p.name for p in out.iterdir()) == ["a.npz", "c.npz"]
    answers = {name: np.load(out / name)["segs"] for name in ("a.npz", "c.npz")}
    for segs in answers.values():
        assert segs.dtype == np.uint8 and segs.shape == files.volume_value.grid.shape
    assert set(np.unique(answers["a.npz"])) == {0, 1, 2}
    assert set(np.unique(answers["c.npz"])) == {0, 1}  # the second object has no foreground prompt yet


def test_hidden_files_are_no_challenge_cases(files):
    folder, out = challenge_folder(files), files.folder / "answers"
    (folder / "._a.npz").write_bytes(b"what macOS keeps of a file")
    arguments = ["predict-npz", "--input", str(folder), "--output", str(out)]
    assert main([*arguments, "--checkpoint", str(files.checkpoint)]) == 0
    assert sorted(p.name for p in out.iterdir()) == ["a.npz", "c.npz"]


@pytest.mark.parametrize("error", [RuntimeError("CUDA error"), MemoryError("4 GiB"), OSError("gone")])
def test_a_challenge_case_that_fails_for_a_reason_nobody_foresaw_leaves_the_others(
    files, capsys, monkeypatch, error
):
    folder, out, original = challenge_folder(files), files.folder / "answers", commands.read_case

    def failing(path):
        if path.name == "a.npz":
            raise error
        return original(path)

    monkeypatch.setattr(commands, "read_case", failing)
    arguments = ["predict-npz", "--input", str(folder), "--output", str(out)]
    assert main([*arguments, "--checkpoint", str(files.checkpoint)]) == 1
    assert f"a.npz: {type(error).__name__}: {error}" in capsys.readouterr().err
    assert [p.name for p in out.iterdir()] == ["c.npz"]


def test_info_tells_what_a_checkpoint_is_and_costs(files, capsys):
    assert main(["info", str(files.checkpoint), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert set(values) == {"parameters", "gflop_encode_128", "gflop_decode_128", "voxel_budget", "card"}
    assert values["card"]["name"] == "tiny 0" and values["parameters"] > 1000
    assert main(["info", str(files.checkpoint)]) == 0
    assert "GFLOP" in capsys.readouterr().out


def test_bench_measures_a_click_against_a_first_prompt(files, capsys):
    path = files.folder / "bench.json"
    arguments = ["bench", "--edge", "24", "--checkpoint", str(files.checkpoint), "--json", str(path)]
    assert main(arguments) == 0
    values = json.loads(path.read_text())
    assert values["window"] == [24, 24, 24]
    assert 0 < values["decode_s"] <= values["click_s"]
    assert values["click_ratio"] == pytest.approx(
        values["click_s"] / (values["encode_s"] + values["decode_s"]), rel=0.05
    )
    assert values["click_ratio_active"] > 0
    assert values["peak_mb"] is None or values["peak_mb"] > 50


def test_where_bench_writes_is_looked_at_before_it_measures(files, monkeypatch, capsys):
    monkeypatch.setattr(commands, "measure_click", lambda *given: {"click_s": 0.1})
    given = ["bench", "--checkpoint", str(files.checkpoint), "--json"]
    assert main([*given, str(files.folder / "new" / "bench.json")]) == 0
    assert json.loads((files.folder / "new" / "bench.json").read_text()) == {"click_s": 0.1}
    monkeypatch.setattr(commands, "measure_click", lambda *given: pytest.fail("It measured."))
    assert main([*given, str(files.volume / "bench.json")]) == 2
    assert "can't be written" in capsys.readouterr().err


def test_the_image_and_the_cases_are_never_replaced(files, capsys):
    before = files.volume.read_bytes()
    assert main(files.arguments(**{"-o": files.volume})) == 2
    assert "is the image itself" in capsys.readouterr().err
    assert files.volume.read_bytes() == before
    folder = challenge_folder(files)
    assert main(["predict-npz", "--input", str(folder), "--output", f"{folder}/../cases"]) == 2
    assert "would replace the cases" in capsys.readouterr().err


def test_positions_may_be_written_as_programs_print_them(files, capsys):
    arguments = [*files.arguments(**{"--prompts": None}), "--fg", "-1e-05", "-15.", "3"]
    assert main(arguments) == 2
    assert "lies outside" in capsys.readouterr().err


def test_info_writes_what_a_card_lists_a_line_each(files, capsys):
    network = load_checkpoint(files.checkpoint).network()
    data = [{"dataset": "ct_a", "cases": 2, "licence": "CC0"}, {"dataset": "mr_b", "cases": 3}]
    card = {"name": "mine", "training_data": data, "training": {"steps": 4}, "metrics": {}}
    save_checkpoint(files.folder / "m.safetensors", network, 24**3, card)
    assert main(["info", str(files.folder / "m.safetensors")]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("training_data")
    assert lines[at : at + 5] == ["training_data", "  ct_a, 2, CC0", "  mr_b, 3", "training", "  steps: 4"]


def test_info_leaves_tables_to_json_and_a_card_does_not_steer_the_terminal(files, capsys):
    network = load_checkpoint(files.checkpoint).network()
    figures = {"DSC_AUC": 3.04, "DSC_by_click": [0.66, 0.71], "modalities": {"CT": {"cases": 3}}}
    card = {"name": "mine\x1b[2J", "note": "Léber", "metrics": {"ensam": figures, "note": "a\nb"}}
    save_checkpoint(files.folder / "m.safetensors", network, 24**3, card)
    assert main(["info", str(files.folder / "m.safetensors")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "name           mine\\x1b[2J" in lines and "note           Léber" in lines
    at = lines.index("metrics")
    assert lines[at + 1 :] == ["  ensam: DSC_AUC 3.04, DSC_by_click [0.66, 0.71]", "  note: a\\nb"]


def test_a_name_beside_a_prompts_file_is_refused_and_not_ignored(files, capsys):
    assert main([*files.arguments(), "--name", "liver"]) == 2
    assert "either --prompts or" in capsys.readouterr().err
    assert not files.output.exists()


def test_a_position_however_far_is_told_in_a_few_digits(files, capsys):
    assert main([*files.arguments(**{"--prompts": None}), "--fg", "1e308", "0", "-12.25"]) == 2
    assert "The point at (1e+308, 0, -12.25) lies outside" in capsys.readouterr().err


def test_the_help_of_bench_tells_what_it_prints(files, capsys):
    path = files.folder / "bench.json"
    main(["bench", "--edge", "16", "--checkpoint", str(files.checkpoint), "--json", str(path)])
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["bench", "--help"])
    said = capsys.readouterr().out
    assert all(key in said for key in json.loads(path.read_text()) if key.endswith(("_s", "_mb", "active")))


def test_a_folder_is_no_image_and_dicom_is_shown_a_way(files, capsys):
    given = ["segment", str(files.folder), "--fg", "0", "0", "0", "-o", str(files.folder / "o.nrrd")]
    assert main(given) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is a folder" in line and "DICOM" in line


def test_a_wrong_path_is_answered_before_the_network_is_loaded(files, capsys):
    given = ["segment", "none.nrrd", "--fg", "0", "0", "0", "-o", str(files.folder / "o.nrrd")]
    assert main([*given, "--checkpoint", "none.safetensors"]) == 2
    assert "no image file 'none.nrrd'" in capsys.readouterr().err


def test_a_sheared_image_is_segmented_and_what_cannot_hold_its_mask_is_refused_before(files, capsys):
    image = sitk.ReadImage(str(files.volume))
    image.SetDirection((1, 0.05, 0, 0, 1, 0, 0, 0, 1))
    sitk.WriteImage(image, str(files.folder / "sheared.nrrd"))
    volume = read_volume(files.folder / "sheared.nrrd")
    click = ["--fg", *map(str, volume.grid.zyx_to_ras(np.array((20, 24, 28))))]
    given = ["segment", str(files.folder / "sheared.nrrd"), *click]
    mask = files.folder / "mask.seg.nrrd"
    assert main([*given, "-o", str(mask), "--checkpoint", str(files.checkpoint)]) == 0
    assert np.allclose(read_volume(mask).grid.ijk_to_ras, volume.grid.ijk_to_ras, atol=1e-9)
    none = ["-o", str(files.folder / "mask.nii.gz"), "--checkpoint", "none.safetensors"]
    capsys.readouterr()
    assert main([*given, *none]) == 2
    assert "choose .nrrd or .mha" in capsys.readouterr().err


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out == f"ensam {__version__}\n"
