"""Training on another machine: the recipe that goes there, and the result that comes back."""

from __future__ import annotations

from pathlib import Path

import pytest
from ensam.errors import InputError
from ensam_training.recipe import ARGUMENTS, unfinished
from ENSAMTrainerLib.values import TrainingChoice
from pure.tiny import write_checkpoint

from .stub_training import BETTER, by_the_command


@pytest.fixture
def logic(a_training):
    return a_training.logic


def test_a_recipe_holds_all_that_another_machine_needs(a_training, logic, tmp_path):
    a_training.does = by_the_command
    logic.choice = TrainingChoice(name="liver", amount=30, unit="epochs", edge=56, licence="CC0")
    written = tmp_path / "recipe"
    written.mkdir()  # a dialog for folders gives one that is there
    logic.export_recipe(written)
    assert logic.status.kind == "working" and logic.can_stop
    logic.wait()
    assert logic.status.text == f"Written: README.txt in '{written}' says how to run it."
    assert {p.name for p in written.iterdir()} == {
        "cases", "base.safetensors", "ensam", "ensam_training", ARGUMENTS, "README.txt",
    }  # fmt: skip
    arguments = (written / ARGUMENTS).read_text().split("\n")
    assert arguments[:3] == ["finetune", "base.safetensors", "cases"]
    assert "result/liver.safetensors" in arguments
    text = " ".join(arguments)
    assert all(part in text for part in ("--epochs 30", "--edge 56", "--licence CC0", "--device auto"))
    assert not [a for a in arguments if str(tmp_path) in a]
    logic.export_recipe(written)
    with pytest.raises(InputError, match="is there already: choose a new or an empty folder"):
        logic.wait()
    assert {p.name for p in tmp_path.iterdir()} == {"recipe", "training"}


def test_a_recipe_that_is_given_up_leaves_nothing(a_training, logic, tmp_path):
    logic.export_recipe(tmp_path / "recipe")
    half = Path(unfinished(tmp_path / "recipe"), "cases")
    half.mkdir(parents=True)
    logic.stop()
    assert a_training.process.killed and not half.parent.exists()
    # Also one that nobody could clean up after.
    half.mkdir(parents=True)
    a_training.does = by_the_command
    logic.export_recipe(tmp_path / "recipe")
    logic.wait()
    assert {p.name for p in tmp_path.iterdir()} == {"recipe", "training"}


def test_a_result_from_elsewhere_is_judged_and_installed_as_ones_own(a_training, logic, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    a_training.ends(BETTER)(["--state", str(elsewhere), "-o", str(elsewhere / "big.safetensors")], None)
    logic.import_result(elsewhere / "big.safetensors")
    assert logic.judgement.verdict.startswith("Better") and logic.can_install and not logic.can_resume
    assert "Licence of the weights: CC0" in logic.card_text
    logic.show_comparison(logic.judgement.comparisons[0])
    logic.install()
    assert logic.installed_result == "big"


def test_a_result_that_was_stopped_elsewhere_is_not_said_to_go_on_here(a_training, logic, tmp_path):
    path = tmp_path / "elsewhere" / "big.safetensors"
    path.parent.mkdir()
    a_training.ends(BETTER, stopped=True)(["--state", str(path.parent), "-o", str(path)], None)
    logic.import_result(path)
    logic._said = None
    assert logic.status.text == "Stopped. What was best so far is judged below." and not logic.can_resume


def test_a_result_without_its_table_says_that_nothing_is_known(logic, tmp_path):
    path = write_checkpoint(tmp_path / "alone.safetensors")
    path.with_suffix(".json").unlink()
    logic.import_result(path)
    assert "not known" in logic.judgement.verdict and logic.can_install
    with pytest.raises(InputError, match="There is no checkpoint"):
        logic.import_result(tmp_path / "none.safetensors")
