"""From a training state to a checkpoint with its card."""

from __future__ import annotations

import json

import pytest
import torch
from ensam.checkpoint import load_checkpoint, save_checkpoint
from ensam.errors import InputError
from ensam.network import ENSAM, NetworkConfig
from ensam_training.__main__ import main
from ensam_training.configuration import TrainingConfig
from ensam_training.release import export_checkpoint
from ensam_training.state import save_whole
from ensam_training.trainer import Trainer, architecture_of

from .tiny import BUDGET, TINY

CARD = {
    "name": "mine",
    "intended_use": "Research.",
    "licence": "CC0",
    "training_data": [{"dataset": "mr_mine", "cases": 4}],
}


@pytest.fixture
def a_state(tmp_path):
    torch.manual_seed(0)
    trainer = Trainer(ENSAM(TINY), TrainingConfig())
    trainer.step_count, trainer.seconds, trainer.earlier_seconds = 12, 1800.0, 5400.0
    for tensor in trainer.average.values():
        tensor.mul_(0.5)
    save_whole(trainer.state(), tmp_path / "state.pt")
    return tmp_path / "state.pt"


@pytest.fixture
def a_card(tmp_path):
    (tmp_path / "card.json").write_text(json.dumps(CARD))
    return tmp_path / "card.json"


def test_the_averaged_weights_are_shipped_on_the_sphere(a_state, a_card, tmp_path):
    export_checkpoint(a_state, a_card, BUDGET, tmp_path / "m.safetensors")
    state = load_checkpoint(tmp_path / "m.safetensors").state
    average = torch.load(a_state, weights_only=True)["average"]
    name = "image_encoder.stem.weight"
    assert torch.allclose(state[name], average[name], atol=1e-3)
    rows = state["interaction.0.prompt_self.query.weight"].norm(dim=1)
    assert torch.allclose(rows, torch.ones_like(rows), atol=1e-2)


def test_the_card_tells_what_was_done_and_measured(a_state, a_card, tmp_path):
    (tmp_path / "metrics.json").write_text('{"DSC_Final": 0.5}')
    export_checkpoint(a_state, a_card, BUDGET, tmp_path / "m.safetensors", tmp_path / "metrics.json")
    card = load_checkpoint(tmp_path / "m.safetensors").card
    assert card["name"] == "mine" and card["licence"] == "CC0"
    assert card["training"]["steps"] == 12 and card["training"]["hours"] == 2.0
    assert card["metrics"] == {"DSC_Final": 0.5} and card["date"] and card["code_version"]


def test_the_best_weights_of_a_run_can_be_shipped(a_card, tmp_path):
    network = ENSAM(TINY)
    best = {"network": network.state_dict(), "architecture": TINY.to_dict(), "step": 5, "total_seconds": 36.0}
    save_whole(best, tmp_path / "best.pt")
    export_checkpoint(tmp_path / "best.pt", a_card, BUDGET, tmp_path / "m.safetensors")
    checkpoint = load_checkpoint(tmp_path / "m.safetensors")
    assert checkpoint.config == TINY and checkpoint.card["training"] == {"steps": 5, "hours": 0.01}


def test_the_card_of_another_checkpoint_changes_neither_architecture_nor_budget(a_state, tmp_path):
    other = ENSAM(NetworkConfig(**{**TINY.to_dict(), "mlp_width": 32}))
    save_checkpoint(tmp_path / "other.safetensors", other, 24**3, CARD)
    export_checkpoint(a_state, tmp_path / "other.json", 96**3, tmp_path / "m.safetensors")
    checkpoint = load_checkpoint(tmp_path / "m.safetensors")
    assert (checkpoint.config, checkpoint.voxel_budget) == (TINY, 96**3)


@pytest.mark.parametrize("edge", [-8, 7, 513])
def test_windows_that_no_checkpoint_may_have_are_refused(a_state, a_card, tmp_path, capsys, edge):
    output = tmp_path / "m.safetensors"
    given = ["export", str(a_state), "-o", str(output), "--card", str(a_card), "--edge", str(edge)]
    assert main(given) == 2
    assert f"edge of {edge} voxels is of no use: give 8 to 512" in capsys.readouterr().err
    assert not output.exists()


def test_a_missing_file_is_named(a_card, tmp_path):
    with pytest.raises(InputError, match=r"no file '.*state\.pt'"):
        export_checkpoint(tmp_path / "state.pt", a_card, BUDGET, tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no JSON", "holds no JSON object"),
        ("[]", "holds no JSON object"),
        *((json.dumps({k: v for k, v in CARD.items() if k != name}), "must have name") for name in CARD),
        (json.dumps({**CARD, "training_data": "four cases"}), "must have name"),
        (json.dumps({**CARD, "training_data": [{"dataset": "mr_mine"}]}), "must have name"),
    ],
)
def test_a_card_that_slicer_could_not_show_is_refused(a_state, tmp_path, text, said):
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(InputError, match=said):
        export_checkpoint(a_state, tmp_path / "card.json", BUDGET, tmp_path / "m.safetensors")
    assert not (tmp_path / "m.safetensors").exists()


@pytest.mark.parametrize("content", [b"", b"# A text", b"PK\x03\x04", "another value"])
def test_what_is_no_training_state_is_refused_in_one_sentence(a_card, tmp_path, content):
    path = tmp_path / "state.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        save_whole(content, path)
    for read in (
        lambda: export_checkpoint(path, a_card, BUDGET, tmp_path / "m.safetensors"),
        lambda: architecture_of(path),
        lambda: Trainer(ENSAM(TINY), TrainingConfig()).start_from(path),
    ):
        with pytest.raises(InputError, match="no state that ensam-train has written"):
            read()
