"""train on the command line: what it is given, what it holds out, what it writes."""

import filecmp
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from ensam.checkpoint_store import STARTER
from ensam.network import NetworkConfig
from ensam_training import training as training_module
from ensam_training.__main__ import main
from ensam_training.ablations import SUITES
from ensam_training.cache import Cache
from ensam_training.conditions import CONDITIONS
from ensam_training.curves import read_rows
from ensam_training.evaluation_run import METHODS
from ensam_training.training_data import names_in

from .tiny_network import TINY, ball


@pytest.fixture(scope="module")
def a_folder_of_cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for seed in range(4):
        image, mask = ball(np.random.default_rng(seed), (24, 24, 24))
        case = folder / f"mr_ball_{seed:03}"
        case.mkdir()
        for name, array in (("image", (100 * image).astype(np.int16)), ("label", mask.astype(np.uint8))):
            sitk.WriteImage(sitk.GetImageFromArray(array), str(case / f"{name}.nii.gz"))
    return folder


@pytest.fixture
def a_tiny_network(monkeypatch):
    train = training_module.train

    def train_tiny(network, *arguments):
        return train(NetworkConfig(**{**network.to_dict(), **TINY}), *arguments)

    monkeypatch.setattr(training_module, "train", train_tiny)


def arguments(data, output, *more):
    fixed = ["--steps", "1", "--budget", "16", "28", "--workers", "0", "--device", "cpu"]
    return ["train", str(data), "-o", str(output), *fixed, *more]


def test_files_are_cached_trained_on_and_judged(a_folder_of_cases, a_tiny_network, tmp_path, capsys):
    (tmp_path / "names.txt").write_text("mr_ball_001\n")
    given = arguments(a_folder_of_cases, tmp_path / "run", "--validation", str(tmp_path / "names.txt"))
    assert main(given) == 0
    said = "3 cases of 3 patients with 3 objects of 1 datasets to train on, 1 cases of 1 patients held out"
    assert said in capsys.readouterr().out
    assert len(read_rows(tmp_path / "run" / "validation.csv")) == 1
    assert {"state.pt", "best.pt", "curve.png"} <= {p.name for p in (tmp_path / "run").iterdir()}
    assert len(Cache(tmp_path / "run" / "cache").cases()) == 4


def test_it_says_where_the_result_is_and_a_damaged_state_stops_it(
    a_folder_of_cases, a_tiny_network, tmp_path, capsys
):
    given = arguments(a_folder_of_cases, tmp_path / "run")
    assert main(given) == 0
    assert f"The best weights are in {tmp_path / 'run' / 'best.pt'}" in capsys.readouterr().out
    (tmp_path / "run" / "state.pt").write_bytes(b"nothing")
    assert main(given) == 2
    assert "state.pt' is damaged" in capsys.readouterr().err


def test_a_run_that_is_stopped_before_it_validates_promises_no_best_weights(
    a_folder_of_cases, a_tiny_network, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(training_module.StopRequest, "made", True)
    assert main(arguments(a_folder_of_cases, tmp_path / "run")) == 0
    assert not (tmp_path / "run" / "best.pt").exists()
    said = capsys.readouterr().out
    assert "Stopped after step 0" in said and "best.pt" not in said


def help_of(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("command", "choices"),
    [
        ("evaluate", METHODS),
        ("clicks", CONDITIONS),
        ("ablate", [variant.name for suite in SUITES.values() for variant in suite]),
    ],
)
def test_the_help_names_what_can_be_chosen(command, choices, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    assert f"of {', '.join(choices)}" in help_of(command, capsys).replace("; of the rates", ",")


def test_a_recipe_may_start_from_the_starter_weights(a_folder_of_cases, tmp_path):
    out = tmp_path / "recipe"
    assert main(["recipe", "starter", str(a_folder_of_cases), "-o", str(out)]) == 0
    assert filecmp.cmp(out / "base.safetensors", STARTER, shallow=False)


@pytest.mark.parametrize(
    "command",
    [
        ["train", "data", "-o", "out"],
        ["ablate", "data", "-o", "out"],
        ["finetune", "starter", "data", "-o", "out.safetensors"],
        ["estimate", "starter", "data", "-o", "out.json"],
        ["evaluate", "data", "-o", "out"],
        ["clicks", "data", "-o", "out", "--cases", "names.txt"],
        ["synthetic", "-o", "out.png"],
    ],
    ids=lambda command: command[0],
)
def test_negative_seeds_are_refused_before_anything_is_done(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    assert main([*command, "--seed", "-1"]) == 2
    assert capsys.readouterr().err.startswith("Argument --seed: -1 is negative, use 0 or more")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("given", [[], ["nonsense"], ["check"], ["train", "data"]])
def test_wrong_arguments_are_answered_in_one_line(given, capsys):
    assert main(given) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("--help).")


def test_a_coreset_is_trained_on_and_who_is_held_out_stays_out(
    a_folder_of_cases, a_tiny_network, tmp_path, capsys
):
    names = tmp_path / "names.txt"
    assert main(["coreset", str(a_folder_of_cases), "--share", "0.5", "-o", str(names)]) == 0
    (tmp_path / "out.txt").write_text("mr_ball_001\n")
    chosen = set(names.read_text().split())
    assert len(chosen) == 2
    more = ["--validation", str(tmp_path / "out.txt"), "--cases", str(names)]
    capsys.readouterr()
    assert main(arguments(a_folder_of_cases, tmp_path / "run", *more)) == 0
    left = len(chosen - {"mr_ball_001"})
    assert f"{left} cases of {left} patients with {left} objects of 1 datasets" in capsys.readouterr().out
    names.write_text("mr_ball_001\n")
    assert main(arguments(a_folder_of_cases, tmp_path / "run", *more)) == 2
    assert "names no case that isn't held out" in capsys.readouterr().err


def test_who_is_trained_on_and_held_out_at_once_is_warned_of(
    a_folder_of_cases, a_tiny_network, tmp_path, capsys
):
    shutil.copytree(a_folder_of_cases, tmp_path / "data")
    shutil.copytree(a_folder_of_cases / "mr_ball_001", tmp_path / "data" / "mr_again_07")
    (tmp_path / "names.txt").write_text("mr_ball_001\nmr_ball_002\n")
    more = ["--validation", str(tmp_path / "names.txt")]
    assert main(arguments(tmp_path / "data", tmp_path / "run", *more)) == 0
    assert "Warning: 1 held-out cases are of patients who are trained on as well" in capsys.readouterr().out


def test_a_share_of_the_patients_can_be_held_out_instead(a_folder_of_cases, a_tiny_network, tmp_path, capsys):
    assert main(arguments(a_folder_of_cases, tmp_path / "run", "--validation-share", "0.5")) == 0
    said = "2 cases of 2 patients with 2 objects of 1 datasets to train on, 2 cases of 2 patients held out"
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("text", ["Patient 1\nMüller, A.\n", "\ufeff  Patient 1 \r\n\r\nMüller, A."])
def test_a_list_of_cases_has_a_name_a_line_which_may_hold_spaces(tmp_path, text):
    (tmp_path / "names.txt").write_bytes(text.encode())
    assert names_in(tmp_path / "names.txt") == ["Patient 1", "Müller, A."]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--validation", "gone.txt"], "can't be read"),
        (["--validation", "names.txt"], "no usable cases, such as 'mr_nobody'"),
        (["--validation", "latin-1.txt"], "save it as UTF-8"),
        (["--validation-share", "2"], "between 0 and 1"),
        (["--cases", "names.txt"], "no usable cases, such as 'mr_nobody'"),
        (["--accumulate", "0"], "--accumulate"),
        (["--start", "names.txt"], "no state that ensam-train has written"),
        (["--minutes", "3"], "not allowed with argument --steps"),
        (["--speed", "3"], "--speed"),
    ],
    ids=[
        "no list",
        "an unknown name",
        "a list in Latin-1",
        "a share of 2",
        "unknown cases",
        "no window",
        "no start",
        "two limits",
        "no option",
    ],
)
def test_what_can_not_be_done_is_said_in_one_line(
    a_folder_of_cases, tmp_path, monkeypatch, capsys, more, said
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names.txt").write_text("mr_nobody\n")
    (tmp_path / "latin-1.txt").write_bytes("Müller".encode("latin-1"))
    assert main(arguments(a_folder_of_cases, tmp_path / "run", *more)) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert said in line
