"""From a training state to a checkpoint with its card."""

from __future__ import annotations

import json

import pytest
import torch
from ensam.checkpoint import load_checkpoint
from ensam.errors import InputError
from ensam.network import ENSAM
from ensam_training.configuration import TrainingConfig
from ensam_training.release import export_checkpoint
from ensam_training.state import save_whole
from ensam_training.trainer import Trainer

from .tiny import BUDGET, TINY


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
    (tmp_path / "card.json").write_text(json.dumps({"name": "mine", "licence": "CC0"}))
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


def test_a_missing_file_is_named(a_card, tmp_path):
    with pytest.raises(InputError, match=r"no file '.*state\.pt'"):
        export_checkpoint(tmp_path / "state.pt", a_card, BUDGET, tmp_path / "m.safetensors")
