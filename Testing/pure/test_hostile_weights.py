"""Whatever a checkpoint holds, it is read or refused in one sentence, and nothing large is built for it.

For 100 times as many inputs, other ones each time: FUZZ=100 python -m pytest Testing/pure/test_hostile_*
"""

from __future__ import annotations

import json
import struct

import pytest
import torch
from ensam import checkpoint
from ensam.checkpoint import FORMAT, load_checkpoint
from ensam.errors import CheckpointError
from fuzzing import inputs
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from .hostile import DEEP, VALUES, damaged, one_sentence, with_other_bytes
from .tiny import write_checkpoint


@pytest.fixture(scope="module")
def a_checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


def read_or_refuse(path):
    try:
        assert load_checkpoint(path).network() is not None
    except CheckpointError as error:
        assert one_sentence(error)


@pytest.fixture(scope="module")
def a_card(a_checkpoint):
    return json.loads(a_checkpoint.with_suffix(".json").read_text())


@inputs(60)
@given(data=st.data())
def test_any_card_is_read_or_refused(a_checkpoint, a_card, data, tmp_path_factory):
    text = data.draw(damaged(a_card).map(json.dumps) | st.text() | VALUES.map(json.dumps))
    path = tmp_path_factory.getbasetemp() / "card.safetensors"
    save_file(load_file(a_checkpoint), path, {"format": FORMAT, "card": text})
    read_or_refuse(path)


@inputs(60)
@given(data=st.data())
def test_any_header_of_weights_is_read_or_refused(a_checkpoint, data, tmp_path_factory):
    content = a_checkpoint.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    if data.draw(st.booleans()):
        changed = data.draw(with_other_bytes(content, 0, 8 + length))
    else:
        header = json.dumps(data.draw(damaged(json.loads(content[8 : 8 + length])))).encode()
        changed = struct.pack("<Q", len(header)) + header + content[8 + length :]
    path = tmp_path_factory.getbasetemp() / "header.safetensors"
    path.write_bytes(changed)
    read_or_refuse(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"blocks": [1, 1, 10**9]},
        {"widths": [8, 16, 8 * 10**9]},
        {"widths": [8, 16, 2**62]},
        {"interaction_blocks": 10**9},
        {"mlp_width": 10**12},
        {"heads": 10**9, "widths": [8, 16, 10**9]},
        {"widths": [8] * 40, "blocks": [1] * 40},
        {"interaction_blocks": 300},
    ],
    ids=str,
)
def test_a_network_beyond_all_bounds_is_not_built(a_checkpoint, a_card, tmp_path, monkeypatch, changes):
    card = {**a_card, "architecture": {**a_card["architecture"], **changes}}
    # So many that the blocks could be among them.
    state = load_file(a_checkpoint) | {f"more {number}": torch.zeros(1) for number in range(300)}
    save_file(state, tmp_path / "x.safetensors", {"format": FORMAT, "card": json.dumps(card)})
    monkeypatch.setattr(checkpoint, "ENSAM", lambda config: pytest.fail("It was built."))
    with pytest.raises(CheckpointError, match="another architecture"):
        load_checkpoint(tmp_path / "x.safetensors")


@pytest.mark.parametrize("card", ["", DEEP, "[]", '{"architecture": [], "voxel_budget": 4096}'])
def test_a_card_of_another_form_is_refused(a_checkpoint, tmp_path, card):
    save_file(load_file(a_checkpoint), tmp_path / "x.safetensors", {"format": FORMAT, "card": card})
    with pytest.raises(CheckpointError, match="another architecture"):
        load_checkpoint(tmp_path / "x.safetensors")


def test_weights_that_are_none_of_the_network_s_are_not_read(a_checkpoint, a_card, tmp_path, monkeypatch):
    state = {**load_file(a_checkpoint), "huge": torch.zeros(10)}
    save_file(state, tmp_path / "x.safetensors", {"format": FORMAT, "card": json.dumps(a_card)})
    monkeypatch.setattr(torch.Tensor, "float", lambda _tensor: pytest.fail("It was read."))
    with pytest.raises(CheckpointError, match="another architecture"):
        load_checkpoint(tmp_path / "x.safetensors")
