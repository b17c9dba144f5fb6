"""What a session does where memory, a device or a precision falls short."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ensam.errors import InputError
from ensam.network import ENSAM
from ensam.prompts import PromptSet
from ensam.session import InteractiveSession

from .tiny import BUDGET, blob_volume, box_of


def test_out_of_memory_falls_back_to_a_smaller_window_and_says_so(a_checkpoint, a_volume, monkeypatch):
    checkpoint = type(a_checkpoint)(a_checkpoint.config, 4 * BUDGET, {}, "digest", a_checkpoint.state)
    session = InteractiveSession(checkpoint, "cpu")
    session.set_volume(a_volume)
    encode = ENSAM.encode

    def hungry(self, image, spacing):
        if image.numel() > 1.5 * BUDGET:
            raise torch.OutOfMemoryError("out of memory")
        return encode(self, image, spacing)

    monkeypatch.setattr(ENSAM, "encode", hungry)
    result = session.segment(PromptSet(box_of(a_volume, (2, 2, 2), (38, 46, 54))))
    assert result.notes[0].startswith("Memory ran out") and result.mask.any()


def test_memory_that_features_of_other_windows_held_is_given_back_before_the_window_shrinks(
    a_session, a_volume, a_box, monkeypatch
):
    a_session.segment(PromptSet(box_of(a_volume, (2, 2, 2), (10, 10, 10))))
    encode = ENSAM.encode

    def hungry(self, image, spacing):
        if a_session.cache.nbytes:
            raise torch.OutOfMemoryError("out of memory")
        return encode(self, image, spacing)

    monkeypatch.setattr(ENSAM, "encode", hungry)
    result = a_session.segment(PromptSet(a_box))
    assert not result.warnings
    monkeypatch.undo()
    a_session.cache.clear()
    assert np.array_equal(result.logits, a_session.segment(PromptSet(a_box)).logits)


def on_other_device(session, monkeypatch, error):
    """The session as if it had been opened on a device where the encoder fails."""
    encode = ENSAM.encode

    def failing(self, image, spacing):
        if image.is_meta:
            raise error
        return encode(self, image, spacing)

    monkeypatch.setattr(ENSAM, "encode", failing)
    session._chosen = torch.device("meta")
    session._move_to(session._chosen)


def test_a_device_with_too_little_memory_gets_its_chance_with_another_volume(
    a_session, a_box, a_volume, monkeypatch
):
    on_other_device(a_session, monkeypatch, torch.OutOfMemoryError("out of memory"))
    first = a_session.segment(PromptSet(a_box))
    assert "The memory of meta is too small" in first.warnings[-1] and "on cpu" in first.window
    a_session.set_volume(None)
    a_session.set_volume(a_volume)
    assert not a_session.segment(PromptSet(a_box)).warnings and a_session.device.type == "cpu"
    a_session.set_volume(blob_volume(seed=1))
    assert a_session.device.type == "meta"


def test_where_pytorch_lacks_a_part_of_the_network_the_cpu_runs_it_for_good(a_session, a_box, monkeypatch):
    error = NotImplementedError("The operator 'aten::linalg_matrix_exp' is not implemented for the device")
    on_other_device(a_session, monkeypatch, error)
    first = a_session.segment(PromptSet(a_box))
    assert first.warnings == ("This PyTorch can't run ENSAM on meta: it went on on the CPU.",)
    a_session.set_volume(blob_volume(seed=1))
    assert a_session.device.type == "cpu" and not a_session.segment(PromptSet(a_box)).warnings
    monkeypatch.setattr(ENSAM, "encode", lambda *_given: (_ for _ in ()).throw(error))
    a_session.cache.clear()
    with pytest.raises(NotImplementedError):
        a_session.segment(PromptSet(a_box))


@pytest.mark.parametrize("words", ["can't allocate memory", "not enough memory"], ids=["Linux", "Windows"])
def test_out_of_memory_without_end_is_one_clear_sentence(a_session, a_box, monkeypatch, words):
    def starving(self, image, spacing):
        raise RuntimeError(f"[enforce fail] DefaultCPUAllocator: {words}: you tried to allocate 9 bytes.")

    monkeypatch.setattr(ENSAM, "encode", starving)
    with pytest.raises(InputError, match="too little free memory"):
        a_session.segment(PromptSet(a_box))


def test_a_defect_is_not_taken_for_a_lack_of_memory(a_session, a_box, monkeypatch):
    def broken(self, image, spacing):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(ENSAM, "encode", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        a_session.segment(PromptSet(a_box))


def test_a_device_that_is_not_there_is_refused(a_checkpoint):
    with pytest.raises(InputError, match="choose one of auto, cpu, cuda, mps"):
        InteractiveSession(a_checkpoint, "tpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match=r"no usable 'cuda' device: .* automatic .* \(cpu\)"):
            InteractiveSession(a_checkpoint, "cuda")


def test_the_memory_foreseen_grows_with_the_window_and_holds_its_features(a_checkpoint, a_volume):
    foreseen = []
    for budget in (12**3, 24**3, 40**3):
        checkpoint = type(a_checkpoint)(a_checkpoint.config, budget, {}, "digest", a_checkpoint.state)
        session = InteractiveSession(checkpoint, "cpu")
        session.set_volume(a_volume)
        prompts = PromptSet(box_of(a_volume, (2, 2, 2), (38, 46, 54)))
        first = session.preview(prompts)
        session.segment(prompts)
        assert first.memory_bytes > session.preview(prompts).memory_bytes
        assert first.memory_bytes > session.cache.nbytes
        foreseen.append(first.memory_bytes)
    assert foreseen == sorted(set(foreseen))


def test_weights_that_give_no_numbers_are_no_empty_mask(a_session, a_box, monkeypatch):
    decode = ENSAM.decode
    monkeypatch.setattr(ENSAM, "decode", lambda *arguments: decode(*arguments) * float("nan"))
    with pytest.raises(InputError, match="give no numbers on cpu: choose the CPU or other weights"):
        a_session.segment(PromptSet(a_box))
