"""What a graphics card is given to do, shown on the meta device, which knows shapes and computes nothing."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
import torch
from ensam.device import autocast, choose_device, layout
from ensam.masks import MaskCrop
from ensam.network.layers import NormReLU
from ensam.prompts import Box, Point, PromptSet
from ensam.session import InteractiveSession
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from .tiny import blob_volume, tiny_checkpoint
from .tiny_network import image_of, prompts_of, tiny_network

META = torch.device("meta")
BOX = Box.from_bounds_ras((20, 30, 40), (40, 50, 80))
CLICKS = (Point((38.0, 44.0, 70.0), True), Point((25.0, 35.0, 50.0), False))
OTHER = PromptSet(Box.from_bounds_ras((22, 32, 44), (42, 52, 84)))
PREVIOUS = MaskCrop(np.ones((8, 8, 8), bool), (12, 12, 12))
# They read their input's values on a real card, and on the meta device they don't.
READERS = {torch.matrix_exp, torch.linalg.matrix_exp}


class Card(TorchFunctionMode):
    """Notes what goes to the card, what it does, and what is fetched; what is fetched is all zeros."""

    def __init__(self):
        super().__init__()
        self.steps, self.functions, self.types = [], set(), set()

    def __torch_function__(self, function, types, arguments=(), named=None):
        first = arguments[0] if arguments else None
        on_card = isinstance(first, Tensor) and first.is_meta
        if on_card and function is Tensor.cpu:
            self.steps.append("fetch")
            return torch.zeros(first.shape, dtype=first.dtype)
        result = function(*arguments, **(named or {}))
        if isinstance(result, Tensor) and result.is_meta:
            sent = function is torch.tensor or (isinstance(first, Tensor) and not on_card)
            self.steps.append("send" if sent else "work")
            self.functions.add(function)
            self.types.add(result.dtype)
        return result

    @property
    def order(self):
        return [step for step, _ in groupby(self.steps)]


@pytest.fixture
def a_session(tmp_path):
    session = InteractiveSession(tiny_checkpoint(tmp_path), "cpu")
    session._execution._put_on(META)
    session.set_volume(blob_volume())
    return session


@pytest.mark.parametrize(
    "read",
    [bool, float, Tensor.item, Tensor.nonzero, Tensor.numpy, lambda x: torch.ones(2, device=META)[x > 0]],
)
def test_the_meta_device_refuses_to_be_read(read):
    with pytest.raises((RuntimeError, NotImplementedError, TypeError)):
        read(torch.zeros(2 if read in (Tensor.nonzero, Tensor.numpy) else (), device=META))


@pytest.mark.parametrize(
    ("prompts", "previous"),
    [
        ([PromptSet(BOX, CLICKS)], None),
        ([PromptSet(points=CLICKS)], [PREVIOUS]),
        ([PromptSet(BOX, CLICKS), OTHER], [None, PREVIOUS]),
    ],
    ids=["a box and clicks", "clicks on a mask", "two objects"],
)
def test_a_click_sends_its_prompts_works_and_fetches_once(a_session, prompts, previous):
    """Nothing in between waits for the card."""
    with Card() as first:
        a_session.segment_all(prompts, previous)
    with Card() as click:
        answers = a_session.segment_all(prompts, previous)
    assert not any(answer.encoder_ran for answer in answers)
    boxed = any(one.box is not None and one.points for one in prompts)
    assert first.order == ["send", "work", *["send", "work"] * boxed, *click.order]
    assert click.order == ["send", "work", "fetch"] and click.steps.count("fetch") == 1
    assert not READERS & (first.functions | click.functions)
    # Apple's cards have no float64.
    assert torch.float64 not in first.types | click.types


def test_a_part_of_a_window_is_answered_on_the_card(a_session):
    """`ensam bench` times it."""
    with Card() as card, torch.no_grad():
        network = a_session.network
        features = network.encode(torch.zeros(1, 1, 16, 16, 16, device=META))
        prompts = prompts_of((((2, 2, 2), (9, 9, 9)), [((4, 4, 4), True)])).to(META)
        base = network.decode_base(features, prompts)
        logits = network.decode_part(features, prompts, base, [(2, 12)] * 3)
    assert logits.is_meta and logits.shape == (1, 1, 16, 16, 16)
    assert torch.float64 not in card.types and torch.native_group_norm not in card.functions


def test_on_a_card_training_normalises_as_torch_does():
    """Its kernel for half precision takes no weights in float32 unless autocast sees the call."""
    with Card() as card:
        loss = NormReLU(8, 4).to(META)(torch.ones(1, 8, 4, 4, 4, device=META)).sum()
    assert loss.requires_grad
    assert torch.native_group_norm not in card.functions and F.group_norm in card.functions


def test_the_features_stay_on_the_card(a_session):
    with Card():
        a_session.segment(PromptSet(BOX))
    (seen,) = a_session.cache
    features = seen.features
    assert all(tensor.is_meta for tensor in (features.latent, *features.prepared, features.positions))


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_the_best_device_there_is_is_taken(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: name == "cuda")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device().type == choose_device(name).type == name


@pytest.mark.filterwarnings("ignore:.*autocast")
@pytest.mark.parametrize(
    ("name", "bfloat16", "expected"),
    [("cuda", True, torch.bfloat16), ("cuda", False, torch.float16), ("mps", False, torch.float16)],
)
def test_cards_work_in_the_half_precision_that_they_have(monkeypatch, name, bfloat16, expected):
    def supported(including_emulation=True):  # torch emulates bfloat16 on cards that have none
        return bfloat16 or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    context = autocast(torch.device(name), (48, 48, 48))
    assert (context.device, context.fast_dtype) == (name, expected)


@pytest.mark.parametrize("has_amx", [False, True])
@pytest.mark.parametrize("has_avx512", [False, True])
def test_a_cpu_works_in_half_precision_if_it_has_instructions_for_it(monkeypatch, has_amx, has_avx512):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has_amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_avx512)
    for shape, is_half in (((48, 48, 48), has_amx or has_avx512), ((8, 48, 48), False)):
        with autocast(torch.device("cpu"), shape):
            assert torch.is_autocast_enabled("cpu") == is_half


def test_channels_come_last_but_on_apples_cards():
    assert [layout(torch.device(name)) for name in ("cpu", "cuda", "mps")] == [
        torch.channels_last_3d,
        torch.channels_last_3d,
        torch.contiguous_format,
    ]


def test_in_half_precision_features_are_kept_in_it_and_places_and_answers_are_not():
    network = tiny_network()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        features = network.encode(image_of((16, 16, 16)))
        logits = network.decode(features, prompts_of((((2, 2, 2), (9, 9, 9)), [((4, 4, 4), True)])))
    assert {tensor.dtype for tensor in (features.latent, *features.prepared)} == {torch.bfloat16}
    assert features.positions.dtype == logits.dtype == torch.float32
