"""Rotations carry the position, vectors stay on the sphere, absent tokens are not heard."""

import numpy as np
import pytest
import torch
from ensam.network import NetworkConfig, renormalise_
from ensam.network.attention import (
    Attention,
    InteractionBlock,
    LieRE,
    PositionEncoding,
    Residual,
    exponential,
    rotate,
    unit,
)
from fuzzing import inputs
from hypothesis import given
from hypothesis import strategies as st

from .tiny_network import TINY, tiny_network

HEADS, WIDTH = 2, 8
fast = inputs(30)
coordinates = st.floats(-1, 1, width=32)
positions = st.tuples(coordinates, coordinates, coordinates)
axes = st.integers(0, 2)
seeds = st.integers(0, 2**16)


def generators(seed, factors=None):
    """A LieRE whose three generators are multiples of one, or general if no factors are given."""
    torch.manual_seed(seed)
    lie = LieRE(HEADS, WIDTH)
    if factors is not None:
        with torch.no_grad():
            lie.generators.copy_(lie.generators[:, :1] * torch.tensor(factors).view(1, 3, 1, 1))
    return lie


def scores(lie, query_positions, key_positions, seed=0):
    """Of fixed queries and keys, one pair of tokens for each pair of positions: (heads, T, T)."""
    rng = torch.Generator().manual_seed(seed)
    count = len(query_positions)
    query, key = (unit(torch.randn(1, count, HEADS, WIDTH, generator=rng)) for _ in range(2))
    with torch.no_grad():
        query = rotate(query, lie(torch.tensor(query_positions))[None])
        key = rotate(key, lie(torch.tensor(key_positions))[None])
    return torch.einsum("nthc,nshc->hts", query, key)


def shift(points, by):
    return [tuple(np.add(p, by).tolist()) for p in points]


@fast
@given(seeds, st.floats(0, 50))
def test_the_exponential_is_the_exponential(seed, norm):
    torch.manual_seed(seed)
    skew = torch.randn(4, WIDTH, WIDTH, dtype=torch.float64)
    skew = skew - skew.mT
    skew *= norm / torch.linalg.matrix_norm(skew, 2)[:, None, None]
    assert torch.allclose(exponential(skew.float()).double(), torch.matrix_exp(skew), atol=1e-4)


@fast
@given(seeds, positions)
def test_a_position_is_a_rotation(seed, position):
    turned = generators(seed)(torch.tensor(position)).detach()
    assert turned.shape == (HEADS, WIDTH, WIDTH)
    assert torch.allclose(turned @ turned.mT, torch.eye(WIDTH).expand_as(turned), atol=1e-4)
    assert torch.allclose(torch.linalg.det(turned), torch.ones(HEADS), atol=1e-3)


def test_the_centre_is_not_turned_and_other_places_are():
    lie = generators(0)
    assert torch.equal(lie(torch.zeros(3)).detach(), torch.eye(WIDTH).expand(HEADS, -1, -1))
    assert (lie(torch.tensor([0.0, 0.0, 0.5])).detach() - torch.eye(WIDTH)).abs().max() > 0.1


def test_each_axis_has_its_own_rotation():
    lie = generators(0)
    turned = lie(torch.eye(3)).detach()
    assert (turned[0] - turned[1]).abs().max() > 0.1
    assert (turned[1] - turned[2]).abs().max() > 0.1


@fast
@given(seeds, st.lists(positions, min_size=2, max_size=4), positions, positions)
def test_scores_ignore_a_shift_of_everything_where_the_generators_commute(seed, points, by, factors):
    lie = generators(seed, factors)
    before, after = scores(lie, points, points, seed), scores(lie, shift(points, by), shift(points, by), seed)
    assert torch.allclose(before, after, atol=1e-4)


@fast
@given(seeds, axes, st.lists(coordinates, min_size=2, max_size=4), coordinates)
def test_scores_ignore_a_shift_along_the_only_axis_in_use(seed, axis, places, by):
    lie = generators(seed)
    points, moved = np.zeros((len(places), 3), np.float32), np.zeros((len(places), 3), np.float32)
    points[:, axis], moved[:, axis] = places, np.add(places, by)
    assert torch.allclose(scores(lie, points, points, seed), scores(lie, moved, moved, seed), atol=1e-4)


def test_scores_do_notice_a_shift_where_the_generators_do_not_commute():
    points, by = [(0.1, 0.5, -0.3), (-0.6, 0.2, 0.4), (0.3, -0.7, 0.6)], (0.4, -0.3, 0.5)
    lie = generators(0)
    moved = scores(lie, shift(points, by), shift(points, by)) - scores(lie, points, points)
    assert moved.abs().max() > 0.05


def test_scores_notice_who_stands_where():
    points, others = [(0.0, 0.0, 0.0), (0.0, 0.0, 0.2)], [(0.0, 0.0, 0.0), (0.0, 0.0, 0.6)]
    lie = generators(0, (1.0, 1.0, 1.0))
    assert (scores(lie, points, points) - scores(lie, points, others)).abs().max() > 0.05


@pytest.mark.parametrize("position", ["liere", "absolute", "none"])
@pytest.mark.parametrize("kind", ["normalised", "standard"])
def test_attention_hears_positions_unless_it_has_none(position, kind):
    config = NetworkConfig(**TINY, position=position, attention=kind)
    torch.manual_seed(1)
    attention, encoding = Attention(config), PositionEncoding(config)
    tokens, context = unit(torch.randn(2, 3, 16)), unit(torch.randn(2, 5, 16))
    own = encoding(torch.rand(3, 3))
    near, far = encoding(torch.rand(5, 3)), encoding(torch.rand(5, 3) - 2)
    with torch.no_grad():
        one, other = attention(tokens, context, own, near), attention(tokens, context, own, far)
    assert one.shape == tokens.shape
    assert torch.equal(one, other) == (position == "none")


def test_a_normalised_score_ignores_how_long_tokens_are_and_a_standard_one_does_not():
    torch.manual_seed(2)
    tokens, context = torch.randn(1, 3, 16), torch.randn(1, 5, 16)
    answers = {}
    for kind in ("normalised", "standard"):
        attention = Attention(NetworkConfig(**TINY, position="none", attention=kind))
        with torch.no_grad():
            answers[kind] = [attention(tokens * length, context, None, None) for length in (1, 7)]
    assert torch.allclose(*answers["normalised"], atol=1e-5)
    assert not torch.allclose(*answers["standard"], atol=1e-3)


def test_the_learned_scale_decides_how_sharp_a_head_is():
    torch.manual_seed(3)
    attention = Attention(NetworkConfig(**TINY, position="none"))
    tokens, context = torch.randn(1, 1, 16), torch.randn(1, 5, 16)
    with torch.no_grad():
        attention.scale.zero_()
        even = attention(tokens, context, None, None)
        mean = attention.out(attention.value(context).mean(1, keepdim=True))
    assert torch.allclose(even, mean, atol=1e-6)


@pytest.mark.parametrize("kind", ["normalised", "standard"])
def test_tokens_behind_the_mask_are_not_heard(kind):
    torch.manual_seed(4)
    attention = Attention(NetworkConfig(**TINY, position="none", attention=kind))
    tokens, context = torch.randn(1, 3, 16), torch.randn(1, 5, 16)
    mask = torch.tensor([[True, True, False, True, False]])
    with torch.no_grad():
        masked = attention(tokens, context, None, None, mask)
        alone = attention(tokens, context[:, mask[0]], None, None)
        everybody = attention(tokens, context, None, None)
    assert torch.allclose(masked, alone, atol=1e-6)
    assert not torch.allclose(masked, everybody, atol=1e-3)


def test_a_normalised_residual_stays_on_the_sphere_and_alpha_leads_from_the_old_to_the_new():
    torch.manual_seed(5)
    hidden, answer = unit(torch.randn(2, 4, 16)), 9 * torch.randn(2, 4, 16)
    residual = Residual(16, "normalised")
    with torch.no_grad():
        assert torch.allclose(residual.after(hidden, answer).norm(dim=-1), torch.ones(2, 4), atol=1e-6)
        residual.alpha.zero_()
        assert torch.allclose(residual.after(hidden, answer), hidden, atol=1e-6)
        residual.alpha.fill_(1)
        assert torch.allclose(residual.after(hidden, answer), unit(answer), atol=1e-6)


def test_a_standard_residual_is_a_sum():
    hidden, answer = torch.randn(2, 4, 16), torch.randn(2, 4, 16)
    assert torch.equal(Residual(16, "standard").after(hidden, answer), hidden + answer)


def test_an_interaction_block_moves_prompts_and_image_along_the_sphere():
    torch.manual_seed(6)
    config = NetworkConfig(**TINY)
    block, encoding = InteractionBlock(config), PositionEncoding(config)
    prompts, image = unit(torch.randn(2, 3, 16)), unit(torch.randn(2, 10, 16))
    mask = torch.ones(2, 3, dtype=torch.bool)
    with torch.no_grad():
        after = block(prompts, image, encoding(torch.rand(2, 3, 3)), encoding(torch.rand(1, 10, 3)), mask)
    for old, new in zip((prompts, image), after, strict=True):
        assert new.shape == old.shape
        assert torch.allclose(new.norm(dim=-1), torch.ones(new.shape[:2]), atol=1e-5)
        assert (new - old).abs().max() > 0.01


def lengths(network):
    """Of the vectors that nGPT keeps at length 1, for every matrix of every interaction block."""
    for block in network.interaction:
        for attention in (block.prompt_self, block.prompt_to_image, block.image_to_prompt):
            for layer in (attention.query, attention.key, attention.value):
                yield layer.weight.norm(dim=1)
            yield attention.out.weight.norm(dim=0)
        yield block.mlp[0].weight.norm(dim=1)
        yield block.mlp[2].weight.norm(dim=0)


def test_matrices_are_back_on_the_sphere_after_an_optimiser_step():
    network = tiny_network()
    optimiser = torch.optim.SGD(network.parameters(), lr=1.0)
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimiser.step()
    assert max((length - 1).abs().max() for length in lengths(network)) > 0.1
    renormalise_(network)
    assert max((length - 1).abs().max() for length in lengths(network)) < 1e-5
    assert len(list(lengths(network))) == 2 * (3 * 4 + 2)


def test_renormalising_leaves_everything_else_alone():
    network, standard = tiny_network(), tiny_network(attention="standard")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    plain = {name: value.clone() for name, value in standard.state_dict().items()}
    renormalise_(network)
    renormalise_(standard)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("interaction.") and name.endswith(".weight") for name in changed)
    assert all(torch.equal(value, plain[name]) for name, value in standard.state_dict().items())
