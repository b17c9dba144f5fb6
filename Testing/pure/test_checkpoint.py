"""Checkpoints: what is written comes back, and what is wrong is refused with a reason."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from ensam.checkpoint import FORMAT, load_checkpoint, save_checkpoint
from ensam.errors import CheckpointError
from ensam.network import ENSAM
from safetensors.torch import load_file, save_file

from .tiny import BUDGET, TINY, write_checkpoint


@pytest.fixture
def a_file(tmp_path):
    return write_checkpoint(tmp_path / "model.safetensors")


def rewrite(path, change_state=lambda s: s, change_card=lambda c: c, kind=FORMAT):
    card = json.loads(path.with_suffix(".json").read_text())
    save_file(change_state(load_file(path)), path, {"format": kind, "card": json.dumps(change_card(card))})
    return path


def test_weights_and_card_come_back_in_half_precision(tmp_path):
    network = ENSAM(TINY)
    save_checkpoint(tmp_path / "m.safetensors", network, BUDGET, {"licence": "CC-BY-4.0"})
    checkpoint = load_checkpoint(tmp_path / "m.safetensors")
    assert checkpoint.config == TINY and checkpoint.voxel_budget == BUDGET
    assert checkpoint.card["licence"] == "CC-BY-4.0"
    for name, tensor in checkpoint.network().state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, network.state_dict()[name].half().float())


@pytest.mark.parametrize("value", [70_000.0, float("nan")])
def test_weights_that_half_precision_cannot_hold_are_not_written(tmp_path, value):
    network = ENSAM(TINY)
    with torch.no_grad():
        network.mask_decoder.head.weight[0] = value
    with pytest.raises(CheckpointError, match=r"beyond 65,504 or not finite: train again"):
        save_checkpoint(tmp_path / "m.safetensors", network, BUDGET, {})
    assert list(tmp_path.iterdir()) == []


def test_loading_imports_no_compiler(a_file):
    """Which torch does by itself for random numbers on the meta device, and takes a second for."""
    code = "import sys; from ensam.checkpoint import load_checkpoint; load_checkpoint(sys.argv[1])\n"
    code += "print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, a_file], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False"]


def test_the_card_lies_beside_for_people_to_read(a_file):
    assert json.loads(a_file.with_suffix(".json").read_text()) == load_checkpoint(a_file).card


def test_other_weights_have_another_digest(tmp_path):
    first, second = (load_checkpoint(write_checkpoint(tmp_path / f"{i}.safetensors", i)) for i in range(2))
    assert first.digest != second.digest


def without_a_tensor(state):
    state.pop(next(iter(state)))
    return state


def of_another_shape(state):
    return {name: tensor[..., :1].contiguous() if tensor.ndim else tensor for name, tensor in state.items()}


def not_finite(state):
    return {name: tensor * float("nan") for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"change_state": without_a_tensor}, "another architecture"),
        ({"change_state": of_another_shape}, "another architecture"),
        ({"change_state": not_finite}, "not finite"),
        ({"change_card": lambda card: {**card, "architecture": {"depth": 3}}}, "another architecture"),
        ({"change_card": lambda card: {"voxel_budget": 5}}, "another architecture"),
        ({"kind": "something else"}, "not an ENSAM checkpoint"),
    ],
)
def test_a_wrong_checkpoint_is_refused_with_a_reason(a_file, changes, expected):
    with pytest.raises(CheckpointError, match=expected):
        load_checkpoint(rewrite(a_file, **changes))


@pytest.mark.parametrize("keep", [0, 7, 100, 5000])
def test_a_damaged_file_is_refused(a_file, keep):
    a_file.write_bytes(a_file.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_checkpoint(a_file)


def test_a_pickle_is_never_opened(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_checkpoint(path)


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no checkpoint '.*none\.safetensors'"):
        load_checkpoint(tmp_path / "none.safetensors")


@torch.no_grad()
def test_the_shipped_weights_features_fit_float16():
    """Which Apple's and older graphics cards compute in; what does not fit would be no answer at all."""
    image = torch.rand(1, 1, 32, 32, 32, generator=torch.manual_seed(0))
    for level in load_checkpoint().network().image_encoder(image):
        assert level.half().isfinite().all() and level.abs().max() < 1000
