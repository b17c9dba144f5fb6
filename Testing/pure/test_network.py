"""The network keeps the paper's sizes, encodes a window once and answers each object by its prompts alone."""

import copy
import json
from dataclasses import replace

import pytest
import torch
from ensam.network import ENSAM, ImageFeatures, NetworkConfig, PromptTensors
from fuzzing import inputs
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from .tiny_network import BOX, TINY, image_of, previous_of, prompts_of, tiny_network

SHAPE = (13, 16, 11)
ON, OFF = ((5, 6, 4), True), ((10, 2, 9), False)


@torch.no_grad()
def answer(network, prompts, shape=SHAPE):
    return network(image_of(shape), prompts)


def tensors(features: ImageFeatures):
    return [features.latent, *features.prepared, features.positions, *features.grey]


@pytest.fixture(params=[True, False], ids=["dense prompts", "paper"])
def a_network(request):
    return tiny_network(dense_prompts=request.param)


# The paper's numbers


@pytest.fixture(scope="module")
def costs_at_128():
    """GFLOP to encode a window of 128^3, GFLOP to decode a box, five clicks and a last result, features.

    Nothing is computed: tensors on the meta device know their shapes alone.
    """
    with torch.device("meta"), torch.no_grad():
        network = ENSAM(NetworkConfig.paper())
        flags = torch.ones(1, 5, dtype=torch.bool)
        prompts = PromptTensors(
            boxes=torch.zeros(1, 2, 3),
            has_box=flags[:, 0],
            points=torch.zeros(1, 5, 3),
            foreground=flags,
            background=~flags,
            previous=torch.zeros(1, 1, 128, 128, 128),
            has_previous=flags[:, 0],
        )
        with FlopCounterMode(display=False) as encoding:
            features = network.encode(torch.zeros(1, 1, 128, 128, 128))
        with FlopCounterMode(display=False) as decoding:
            assert network.decode(features, prompts).shape == (1, 1, 128, 128, 128)
    return encoding.get_total_flops() / 1e9, decoding.get_total_flops() / 1e9, features.nbytes


@pytest.mark.parametrize("config", [NetworkConfig.paper(), NetworkConfig()], ids=["paper", "dense prompts"])
def test_the_network_has_the_papers_number_of_parameters(config):
    assert 5.4e6 <= sum(p.numel() for p in ENSAM(config).parameters()) <= 5.6e6


def test_one_forward_pass_at_128_costs_no_more_than_the_papers(costs_at_128):
    encoding, decoding, _ = costs_at_128
    assert 300 < encoding + decoding <= 368


def test_a_click_costs_about_a_third_of_a_forward_pass(costs_at_128):
    encoding, decoding, _ = costs_at_128
    assert decoding / (encoding + decoding) <= 0.35


def test_the_features_of_a_window_of_128_stay_below_200_megabytes(costs_at_128):
    assert costs_at_128[2] <= 200e6


# Shapes


@inputs(25)
@given(st.tuples(*[st.integers(8, 20)] * 3), st.booleans(), st.booleans())
def test_the_logits_have_the_windows_shape_whatever_its_size(shape, dense, again):
    network = tiny_network(dense_prompts=dense)
    previous = previous_of(1, shape) if again else None
    logits = answer(network, prompts_of((BOX, [ON]), previous=previous), shape)
    assert logits.shape == (1, 1, *shape)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("shape", [(1, 16, 9), (12, 1, 8), (9, 2, 17), (1, 1, 1)])
def test_thin_windows_are_padded_too(a_network, shape):
    logits = answer(a_network, prompts_of((((-0.5,) * 3, (0.5, 0.5, 0.5)), [((0, 0, 0), True)])), shape)
    assert logits.shape == (1, 1, *shape)
    assert torch.isfinite(logits).all()


def test_a_window_is_padded_with_its_last_voxels(a_network):
    image = image_of((16, 16, 16))
    image[..., 13:] = image[..., 12:13]
    with torch.no_grad():
        padded, full = a_network.encode(image[..., :13]), a_network.encode(image)
    assert padded.shape == (16, 16, 13)
    assert torch.equal(padded.latent, full.latent)


# One encoding, many answers


def test_encoding_once_and_decoding_equals_a_single_forward_pass(a_network):
    prompts = prompts_of((BOX, [ON, OFF]), previous=previous_of(1, SHAPE))
    with torch.no_grad():
        features = a_network.encode(image_of(SHAPE))
        first, again = a_network.decode(features, prompts), a_network.decode(features, prompts)
    assert torch.equal(first, answer(a_network, prompts))
    assert torch.equal(first, again)


@pytest.mark.parametrize("learning", [False, True])
def test_the_encoders_features_do_not_depend_on_prompts(a_network, learning):
    with torch.set_grad_enabled(learning):
        features = a_network.encode(image_of(SHAPE))
        before = [t.detach().clone() for t in tensors(features)]
        a_network.decode(features, prompts_of((BOX, [ON]), (None, [OFF]), previous=previous_of(2, SHAPE)))
        afterwards = a_network.encode(image_of(SHAPE))
    for old, new, fresh in zip(before, tensors(features), tensors(afterwards), strict=True):
        assert torch.equal(old, new)
        assert torch.equal(old, fresh)


def test_two_objects_decoded_together_get_what_each_gets_alone(a_network):
    objects = (BOX, [ON]), (None, [((3, 12, 6), True), OFF, ((1, 1, 1), False)])
    previous = previous_of(2, SHAPE)
    together = answer(a_network, prompts_of(*objects, previous=previous))
    alone = [answer(a_network, prompts_of(o, previous=previous[i : i + 1])) for i, o in enumerate(objects)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-4)
    assert not torch.allclose(together[0], together[1], atol=0.1)


def test_the_order_of_clicks_does_not_change_the_answer(a_network):
    clicks = [ON, OFF, ((3, 12, 6), True)]
    forth, back = (answer(a_network, prompts_of((BOX, order))) for order in (clicks, clicks[::-1]))
    assert torch.allclose(forth, back, atol=1e-4)


def test_padding_tokens_do_not_change_the_answer(a_network):
    lean = prompts_of((BOX, [ON, OFF]))
    nobody = torch.zeros(1, 4, dtype=torch.bool)
    padded = replace(
        lean,
        points=torch.cat((lean.points, torch.full((1, 4, 3), 7.0)), dim=1),
        foreground=torch.cat((lean.foreground, nobody), dim=1),
        background=torch.cat((lean.background, nobody), dim=1),
    )
    assert torch.allclose(answer(a_network, lean), answer(a_network, padded), atol=1e-4)


def test_the_corners_of_an_absent_box_do_not_change_the_answer(a_network):
    absent = prompts_of((None, [ON]))
    elsewhere = replace(absent, boxes=torch.tensor([BOX]))
    assert torch.allclose(answer(a_network, absent), answer(a_network, elsewhere), atol=1e-4)


@pytest.mark.parametrize(
    "other",
    [
        (None, [ON, OFF]),
        (BOX, [ON]),
        (BOX, [OFF]),
        (BOX, [ON, (OFF[0], True)]),
        (BOX, [((8, 6, 4), True), OFF]),
        ((BOX[0], (12.0, 11.0, 8.0)), [ON, OFF]),
    ],
    ids=["no box", "one click less", "the other less", "another sign", "a click moved", "a larger box"],
)
def test_every_prompt_changes_the_answer(a_network, other):
    whole, changed = (answer(a_network, prompts_of(o)) for o in ((BOX, [ON, OFF]), other))
    assert (whole - changed).abs().max() > 1e-3


def test_the_last_result_changes_the_answer_of_the_object_that_has_one(a_network):
    objects = (BOX, [ON]), (BOX, [OFF])
    none = answer(a_network, prompts_of(*objects))
    has = torch.tensor([True, False])
    given_one = answer(a_network, prompts_of(*objects, previous=previous_of(2, SHAPE), has_previous=has))
    assert (none[0] - given_one[0]).abs().max() > 1e-3
    assert torch.allclose(none[1], given_one[1], atol=1e-5)


def test_an_object_without_any_prompt_gets_finite_logits(a_network):
    assert torch.isfinite(answer(a_network, prompts_of((BOX, [ON]), (None, [])))).all()


def test_every_parameter_learns_from_a_box_clicks_and_a_last_result(a_network):
    logits = a_network(image_of(SHAPE), prompts_of((BOX, [ON, OFF]), previous=previous_of(1, SHAPE)))
    (logits * torch.randn_like(logits)).mean().backward()
    deaf = [name for name, p in a_network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not deaf


# Variants


@pytest.mark.parametrize("position", ["liere", "absolute", "none"])
@pytest.mark.parametrize("kind", ["normalised", "standard"])
def test_a_click_has_a_place_only_through_its_position(position, kind):
    network = tiny_network(position=position, attention=kind, dense_prompts=False)
    here, there = (answer(network, prompts_of((BOX, [(v, True)]))) for v in ((5, 6, 4), (11, 13, 9)))
    moved = (here - there).abs().max()
    assert moved < 1e-5 if position == "none" else moved > 1e-3


def test_standard_and_normalised_attention_answer_differently_with_the_same_weights():
    normalised, standard = tiny_network(), tiny_network(attention="standard")
    standard.load_state_dict(normalised.state_dict(), strict=False)
    prompts = prompts_of((BOX, [ON]))
    assert (answer(normalised, prompts) - answer(standard, prompts)).abs().max() > 1e-2


CONFIGS = [
    NetworkConfig(),
    NetworkConfig(likeness=False),
    NetworkConfig.paper(),
    NetworkConfig.paper(position="absolute"),
    NetworkConfig(position="none", attention="standard", interaction_blocks=1),
    NetworkConfig(**TINY),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_a_configuration_survives_a_card(config):
    assert NetworkConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_a_card_from_before_there_was_likeness_has_none():
    before = NetworkConfig().to_dict()
    del before["likeness"]
    assert NetworkConfig.from_dict(before) == NetworkConfig(likeness=False)


def test_configurations_differ_in_their_cards():
    cards = [str(config.to_dict()) for config in CONFIGS]
    assert len(set(cards)) == len(cards)


def test_an_unknown_setting_is_refused():
    with pytest.raises(ValueError, match="depth"):
        NetworkConfig.from_dict({**NetworkConfig().to_dict(), "depth": 3})


@pytest.mark.parametrize(
    "wrong",
    [
        {"widths": (16, 32)},
        {"widths": (16,), "blocks": (1,)},
        {"widths": (12, 32, 64, 128)},
        {"heads": 3},
        {"position": "rope"},
        {"attention": "linear"},
        {"dense_prompts": False},
    ],
)
def test_an_impossible_configuration_is_refused(wrong):
    with pytest.raises(ValueError):
        NetworkConfig(**wrong)


# Positions in millimetres


def test_positions_in_mm_know_the_voxels_shape_and_positions_in_window_lengths_do_not():
    prompts = prompts_of((BOX, [ON]))
    for unit, knows in (("mm", True), ("window", False)):
        network = tiny_network(dense_prompts=False, position_unit=unit)
        with torch.no_grad():
            cube, slab = (network(image_of(SHAPE), prompts, spacing) for spacing in ((2, 2, 2), (6, 2, 2)))
        assert torch.equal(cube, slab) != knows


def test_positions_in_mm_of_voxels_of_the_right_size_are_those_in_window_lengths():
    prompts = prompts_of((BOX, [ON]))
    with torch.no_grad():
        plain = tiny_network()(image_of(SHAPE), prompts)
        mm = tiny_network(position_unit="mm")(image_of(SHAPE), prompts, (50 / 8,) * 3)
    assert torch.allclose(plain, mm, atol=1e-4)


def test_a_network_in_mm_must_be_told_the_voxel_size():
    with pytest.raises(ValueError, match="voxel size"):
        tiny_network(position_unit="mm").encode(image_of(SHAPE))


# A part of the window


@inputs(20)
@given(st.data(), st.booleans())
def test_a_part_is_answered_as_in_the_whole_and_the_rest_is_what_it_was(data, dense):
    network, shape = tiny_network(dense_prompts=dense), (16, 24, 21)
    region = [sorted(data.draw(st.tuples(st.integers(0, n - 1), st.integers(1, n)))) for n in shape]
    region = [(a, max(a + 1, b)) for a, b in region]
    inside = (..., *(slice(a, b) for a, b in region))
    prompts = prompts_of((BOX, [ON]))
    with torch.no_grad():
        features = network.encode(image_of(shape))
        base = network.decode_base(features, prompts)
        whole = network.decode(features, prompts)
        blank = replace(base, logits=torch.full_like(base.logits, 7.0))
        part = network.decode_part(features, prompts, blank, region)
    assert part.shape == whole.shape
    assert torch.allclose(network.unpadded(features, base.logits), whole, atol=1e-3)
    assert torch.allclose(part[inside], whole[inside], atol=1e-3)
    part[inside] = 7.0
    assert (part == 7.0).all()


def test_a_level_cannot_outgrow_the_next_ones_blocks(a_network):
    """However large what a strided convolution gives becomes in training, blocks add to it on equal terms."""
    image = image_of((16, 16, 16))
    grown = copy.deepcopy(a_network)
    with torch.no_grad():
        for level in list(grown.image_encoder.levels)[1:]:
            level[0].weight *= 30
        before, after = (network.image_encoder(image) for network in (a_network, grown))
    for own, other in zip(before, after, strict=True):
        assert torch.allclose(own, other, atol=1e-2)
