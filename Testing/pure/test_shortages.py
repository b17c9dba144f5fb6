"""What a session does where memory, a device or a precision falls short."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ensam import device as device_module
from ensam import execution as execution_module
from ensam import session as session_module
from ensam.errors import InputError
from ensam.network import ENSAM
from ensam.prompts import PromptSet
from ensam.session import InteractiveSession

from .tiny import BUDGET, blob_volume, box_of, point_at


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


@pytest.fixture
def a_short_session(a_checkpoint, a_volume, monkeypatch):
    """A session with too little memory for the checkpoint's windows, and the voxels that its encoder got."""
    checkpoint = type(a_checkpoint)(a_checkpoint.config, 4 * BUDGET, {}, "digest", a_checkpoint.state)
    session, voxels = InteractiveSession(checkpoint, "cpu"), []
    session.set_volume(a_volume)
    encode = ENSAM.encode

    def hungry(self, image, spacing):
        voxels.append(image.numel())
        if image.numel() > 1.5 * BUDGET:
            raise torch.OutOfMemoryError("out of memory")
        return encode(self, image, spacing)

    monkeypatch.setattr(ENSAM, "encode", hungry)
    return session, voxels


def test_the_window_that_fits_is_kept_for_the_volume_and_said_with_each_answer(a_short_session, a_volume):
    session, voxels = a_short_session
    box = box_of(a_volume, (2, 2, 2), (38, 46, 54))
    first = session.segment(PromptSet(box))
    assert len(voxels) > 1
    del voxels[:]
    prompts = PromptSet(box, (point_at(a_volume, (20, 24, 28)),))
    assert not session.preview(prompts).runs_encoder
    click = session.segment(prompts)
    assert not voxels and not click.encoder_ran and click.mask.shape == first.mask.shape
    words = [note for answer in (first, click) for note in answer.notes if "Memory ran out" in note]
    assert len(words) == 2 and words[0] == words[1] == click.notes[0]
    small = session.segment(PromptSet(box_of(a_volume, (0, 0, 0), (3, 3, 3))))
    assert not small.warnings
    elsewhere = session.segment(PromptSet(box_of(a_volume, (2, 2, 2), (38, 46, 52))))
    assert elsewhere.warnings and max(voxels) <= 1.5 * BUDGET


def test_objects_that_shared_a_window_too_large_for_the_memory_get_one_each(a_short_session, a_volume):
    session, voxels = a_short_session
    asked = [PromptSet(box_of(a_volume, (16, 16, x), (23, 23, x + 7))) for x in (8, 32)]
    together = session.segment_all(asked)
    assert all(answer.warnings for answer in together) and together[0].offset == together[1].offset
    del voxels[:]
    apart = session.segment_all(asked)
    assert voxels == [BUDGET, BUDGET] and not any(answer.warnings for answer in apart)


@pytest.mark.parametrize("leave", ["another volume", "the scene is closed"])
def test_the_whole_window_is_tried_again_with(a_short_session, a_volume, leave):
    session, voxels = a_short_session
    box = box_of(a_volume, (2, 2, 2), (38, 46, 54))
    session.segment(PromptSet(box))
    session.set_volume(None)
    session.set_volume(a_volume)
    assert not session.segment(PromptSet(box)).encoder_ran
    if leave == "another volume":
        session.set_volume(blob_volume(seed=1))
    else:
        session.forget()
        session.set_volume(a_volume)
    del voxels[:]
    session.segment(PromptSet(box))
    assert voxels[0] > 1.5 * BUDGET


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
    session._execution._chosen = torch.device("meta")
    session._execution._put_on(session._execution._chosen)


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


@pytest.fixture
def a_card(monkeypatch):
    """The best device, which refuses the network with an error while there is one."""
    card, to = SimpleNamespace(error=None), ENSAM.to

    def moved(network, device):
        if device.type == "meta" and card.error is not None:
            raise card.error
        return to(network, device)

    monkeypatch.setattr(ENSAM, "to", moved)
    monkeypatch.setattr(execution_module, "choose_device", lambda name: torch.device("meta"))
    return card


FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB")
TOO_OLD = RuntimeError("CUDA error: no kernel image is available for execution on the device")


def test_a_device_that_is_full_at_the_beginning_leaves_the_cpu_to_answer(
    a_checkpoint, a_volume, a_box, a_card
):
    a_card.error = FULL
    session = InteractiveSession(a_checkpoint)
    session.set_volume(a_volume)
    first = session.segment(PromptSet(a_box))
    assert first.warnings == ("The memory of meta is too small: ENSAM went on on the CPU.",)
    a_card.error = None
    session.set_volume(a_volume)
    assert session.device.type == "cpu" and not session.segment(PromptSet(a_box)).warnings
    session.set_volume(blob_volume(seed=1))
    assert session.device.type == "meta"


def test_a_device_that_had_no_room_before_there_was_a_volume_is_tried_again_with_the_first(
    a_checkpoint, a_volume, a_card
):
    a_card.error = FULL
    session = InteractiveSession(a_checkpoint)
    assert session.device.type == "cpu"
    a_card.error = None
    session.set_volume(a_volume)
    assert session.device.type == "meta" and not session._execution._warnings


def test_a_device_that_is_full_when_it_is_gone_back_to_leaves_the_cpu_to_answer(
    a_session, a_box, a_card, monkeypatch
):
    on_other_device(a_session, monkeypatch, torch.OutOfMemoryError("out of memory"))
    a_session.segment(PromptSet(a_box))
    a_card.error = FULL
    another = blob_volume(seed=1)
    for told in (1, 0):
        a_session.set_volume(another)
        answer = a_session.segment(PromptSet(a_box))
        assert len(answer.warnings) == told and "on cpu" in answer.window


def test_a_card_that_is_too_old_for_this_pytorch_leaves_the_cpu_for_good(
    a_checkpoint, a_session, a_volume, a_box, a_card, monkeypatch
):
    words = ("This PyTorch can't run ENSAM on meta: it went on on the CPU.",)
    on_other_device(a_session, monkeypatch, TOO_OLD)
    assert a_session.segment(PromptSet(a_box)).warnings == words
    a_card.error = TOO_OLD
    session = InteractiveSession(a_checkpoint)
    session.set_volume(a_volume)
    assert session.segment(PromptSet(a_box)).warnings == words
    a_card.error = None
    for one in (a_session, session):
        one.set_volume(blob_volume(seed=1))
        assert one.device.type == "cpu" and not one.segment(PromptSet(a_box)).warnings


def test_another_error_at_the_beginning_is_not_taken_for_a_shortage(a_checkpoint, a_card):
    a_card.error = RuntimeError("CUDA error: the device was lost")
    with pytest.raises(RuntimeError, match="device was lost"):
        InteractiveSession(a_checkpoint)


def test_a_computer_without_memory_for_the_network_says_so(a_checkpoint, monkeypatch):
    def starving(network, device):
        raise MemoryError("Unable to allocate 20 MiB")

    monkeypatch.setattr(ENSAM, "to", starving)
    with pytest.raises(InputError, match="too little free memory"):
        InteractiveSession(a_checkpoint, "cpu")


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


@pytest.mark.parametrize(
    "place",
    [(np, "percentile"), (session_module, "to_voxels"), (session_module, "merge_objects")],
    ids=["reading the grey values", "reading the prompts", "sharing the voxels out"],
)
def test_out_of_memory_beside_the_network_is_one_clear_sentence_too(a_session, a_box, monkeypatch, place):
    def starving(*given, **named):
        raise MemoryError("Unable to allocate 4 GiB")

    monkeypatch.setattr(*place, starving)
    with pytest.raises(InputError, match="too little free memory"):
        a_session.segment(PromptSet(a_box))


def test_out_of_memory_in_a_preview_is_one_clear_sentence(a_session, a_box, monkeypatch):
    def starving(*given, **named):
        raise MemoryError("Unable to allocate 4 GiB")

    monkeypatch.setattr(np, "percentile", starving)
    with pytest.raises(InputError, match="too little free memory"):
        a_session.preview(PromptSet(a_box))


def test_an_answer_too_large_for_the_memory_shrinks_no_window(a_session, a_volume, a_box, monkeypatch):
    expected = a_session.segment(PromptSet(a_box))
    enlarge, asked = session_module.enlarge, []

    def hungry(*given):
        asked.append(a_session.cache.nbytes)
        if len(asked) < failures:
            raise MemoryError
        return enlarge(*given)

    monkeypatch.setattr(session_module, "enlarge", hungry)
    failures = 3
    with pytest.raises(InputError, match="too little free memory"):
        a_session.segment(PromptSet(a_box))
    assert len(asked) == 2 and asked[0] > asked[1] == 0  # once more, without what is kept
    del asked[:]
    failures = 2
    answer = a_session.segment(PromptSet(a_box))
    assert answer.window == expected.window and not answer.warnings
    assert np.array_equal(answer.logits, expected.logits)


def test_the_memory_foreseen_for_many_windows_holds_what_is_kept_of_all(a_session):
    volume = blob_volume((24, 24, 200))
    a_session.set_volume(volume)
    asked = [PromptSet(box_of(volume, (4, 4, x), (19, 19, x + 15))) for x in (4, 90, 180)]
    alone = max(a_session.preview(one).memory_bytes for one in asked)
    together = a_session.preview_all(asked).memory_bytes
    a_session.segment_all(asked)
    kept = sorted(seen.nbytes for seen in a_session.cache)
    assert len(kept) == 3 and together - alone > 0.8 * sum(kept[:2])
    a_session.cache.limit = a_session.cache.nbytes
    again = a_session.preview_all(asked)
    assert not again.runs_encoder and again.memory_bytes < alone


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


def no_numbers_in(monkeypatch, half):
    """Let the decoder overflow in half precision, which this CPU is said to be fast in, or in any."""
    decode = ENSAM.decode

    def overflowing(*given):
        wrong = torch.is_autocast_enabled("cpu") or not half
        return decode(*given) * (float("nan") if wrong else 1)

    monkeypatch.setattr(device_module, "multiplies_bfloat16", lambda: True)
    monkeypatch.setattr(ENSAM, "decode", overflowing)


def test_weights_that_give_no_numbers_in_half_precision_are_tried_in_full(
    a_session, a_volume, a_box, encoder_calls, monkeypatch
):
    with monkeypatch.context() as exact:
        exact.setattr(device_module, "multiplies_bfloat16", lambda: False)
        expected = a_session.segment(PromptSet(a_box))
    a_session.cache.clear()
    no_numbers_in(monkeypatch, half=True)
    first = a_session.segment(PromptSet(a_box))
    assert np.array_equal(first.logits, expected.logits)
    assert first.warnings == (
        "Half precision gives no numbers on cpu: ENSAM went on in full precision, which takes longer.",
    )
    del encoder_calls[:]
    click = a_session.segment(PromptSet(a_box, (point_at(a_volume, (20, 24, 28)),)))
    assert not encoder_calls and not click.warnings


def test_the_window_stays_the_previewed_one_in_full_precision(a_session, encoder_calls, monkeypatch):
    volume = blob_volume((60, 80, 80))
    a_session.set_volume(volume)
    prompts = [
        PromptSet(points=(point_at(volume, (30, 40, 42)),)),
        PromptSet(box_of(volume, (20, 34, 40), (26, 46, 48)), (point_at(volume, (23, 40, 48)),)),
    ]
    no_numbers_in(monkeypatch, half=True)
    preview = a_session.preview_all(prompts)
    a_session.segment_all(prompts, clicks_exclude=True)
    assert [tuple(shape[2:]) for shape in encoder_calls] == [preview.window_voxels] * 2


def test_weights_that_give_no_numbers_in_full_precision_either_are_refused(a_session, a_box, monkeypatch):
    no_numbers_in(monkeypatch, half=False)
    with pytest.raises(InputError, match="give no numbers on cpu: choose the CPU or other weights"):
        a_session.segment(PromptSet(a_box))
