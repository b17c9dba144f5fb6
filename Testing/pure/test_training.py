"""The loss counts small objects, Muon steps evenly, and a step learns what its windows show."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from ensam import device as device_module
from ensam.errors import InputError
from ensam.network import ENSAM, NetworkConfig
from ensam_training import rounds
from ensam_training import trainer as trainer_module
from ensam_training.configuration import Limit, TrainingConfig
from ensam_training.dead_layers import hardly_learning
from ensam_training.losses import dice_loss, segmentation_loss
from ensam_training.muon import SPHERE_RATE, Muon, orthogonalise, split_parameters
from ensam_training.sampling import Sample
from ensam_training.stopwatch import Stopwatch
from ensam_training.synthetic import make_case
from ensam_training.trainer import Trainer, rate_at
from ensam_training.user import SimulatedUser

from .tiny_network import TINY, tiny_network

# Muon


@pytest.mark.parametrize(
    "shape",
    [(40, 10), (10, 40), (24, 24), (16, 8, 3, 3, 3), (32, 1, 2, 2, 2)],
    ids=["tall", "wide", "square", "convolution", "a convolution taller than wide"],
)
def test_orthogonalised_updates_have_singular_values_near_one(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape).flatten(1)
    before, after = torch.linalg.svdvals(matrix), torch.linalg.svdvals(orthogonalise(matrix))
    assert before.max() / before.min() > 1.1
    assert after.min() > 0.6
    assert after.max() < 1.3


def test_orthogonalising_keeps_the_directions():
    torch.manual_seed(0)
    left, _ = torch.linalg.qr(torch.randn(12, 6))
    right, _ = torch.linalg.qr(torch.randn(6, 6))
    update = orthogonalise(left @ torch.diag(torch.linspace(1, 3, 6)) @ right)
    inner = left.T @ update @ right.T
    assert torch.allclose(inner, torch.diag(inner.diagonal()), atol=1e-5)
    assert (inner.diagonal() > 0.6).all()


def test_orthogonalising_equals_the_plain_iteration():
    torch.manual_seed(0)
    left, _ = torch.linalg.qr(torch.randn(8, 8))
    right, _ = torch.linalg.qr(torch.randn(40, 8))
    for decades in (1, 4):
        matrix = left @ torch.diag(torch.logspace(0, -decades, 8)) @ right.T
        x = matrix.double() / matrix.norm()
        for _ in range(5):
            gram = x @ x.T
            x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
        assert torch.allclose(orthogonalise(matrix), x.float(), atol=1e-3)


def test_a_step_of_muon_is_as_long_as_its_rate_whatever_the_gradients_size():
    moves = []
    for size in (1e-3, 1e3):
        torch.manual_seed(0)
        weight = torch.nn.Parameter(torch.zeros(4, 2, 3, 3, 3))
        weight.grad = size * torch.randn_like(weight)
        muon = Muon([weight], lr=0.1)
        muon.step()
        moves.append(weight.detach().flatten(1))
    assert (moves[0] - moves[1]).norm() < 0.2 * moves[0].norm()
    for move in moves:
        assert torch.linalg.svdvals(move).min() > 0.06
        assert torch.linalg.svdvals(move).max() < 0.13


def test_muon_goes_on_in_the_direction_it_came_from():
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.zeros(6, 6))
    muon = Muon([weight], lr=0.1)
    past = torch.randn_like(weight)
    for gradient in (past, past, torch.zeros_like(weight)):
        before = weight.detach().clone()
        weight.grad = gradient.clone()
        muon.step()
    assert ((weight.detach() - before) * past).sum() < -0.1


def test_muon_refuses_vectors():
    with pytest.raises(ValueError, match="AdamW"):
        Muon([torch.nn.Parameter(torch.zeros(3))])


@pytest.mark.parametrize(
    "config",
    [
        NetworkConfig(**TINY),
        NetworkConfig.paper(**TINY),
        NetworkConfig(**TINY, position="absolute"),
        NetworkConfig(**TINY, attention="standard", position="none"),
    ],
    ids=["dense prompts", "paper", "absolute", "standard"],
)
def test_every_parameter_has_one_optimiser_and_only_maps_between_hidden_spaces_have_muon(config):
    network = ENSAM(config)
    groups = [[id(p) for p in group] for group in split_parameters(network)]
    assert sorted(i for group in groups for i in group) == sorted(id(p) for p in network.parameters())
    _, sphere, rest = map(set, groups)
    for name, parameter in network.named_parameters():
        special = name.startswith(("position.", "prompt_encoder.kinds.", "mask_decoder.head."))
        assert (id(parameter) in rest) == (special or parameter.ndim < 2), name
        attention = name.startswith("interaction.") and parameter.ndim >= 2
        assert (id(parameter) in sphere) == attention, name


def test_muons_rates_are_the_schedules_and_lower_on_the_sphere(a_sample):
    trainer = trainer_of(muon_lr=0.01, rest_lr=0.001, limit=Limit(4, "steps"))
    for factor in (1, 0.75, 0.5):
        trainer.step([a_sample])
        rates = [group["lr"] for optimiser in trainer.optimisers for group in optimiser.param_groups]
        assert rates == pytest.approx([0.01 * factor, 0.01 * SPHERE_RATE * factor, 0.001 * factor])


def test_muon_decays_its_weights_but_not_those_of_unit_length():
    muon = trainer_of(muon_decay=0.1).optimisers[0]
    assert [group["weight_decay"] for group in muon.param_groups] == [0.1, 0]
    weight = torch.nn.Parameter(torch.ones(4, 4))
    weight.grad = torch.zeros_like(weight)
    Muon([weight], lr=0.5, weight_decay=0.1).step()
    assert torch.allclose(weight, torch.full((4, 4), 0.95))


# The loss


@pytest.fixture
def a_target():
    """A large and a small object."""
    target = torch.zeros(2, 1, 10, 14, 12)
    target[0, :, 2:9, 3:12, 1:7] = 1
    target[1, :, 4:7, 6:9, 10:] = 1
    return target


def logits_of(target, certainty=40.0):
    return certainty * (2 * target - 1)


def test_the_dice_loss_is_zero_for_a_perfect_and_one_for_an_inverted_answer(a_target):
    assert dice_loss(logits_of(a_target), a_target).abs() < 1e-5
    assert dice_loss(-logits_of(a_target), a_target) > 0.999
    assert 0.2 < dice_loss(torch.zeros_like(a_target), a_target) < 0.9


def test_a_small_object_is_not_drowned_by_its_surroundings(a_target):
    large, small = (dice_loss(torch.full_like(t[None], -40.0), t[None]) for t in a_target)
    assert small > 0.9
    assert large > 0.5


def test_the_loss_is_dice_and_twice_the_cross_entropy(a_target):
    torch.manual_seed(0)
    logits = torch.randn_like(a_target)
    p = logits.sigmoid()
    entropy = -(a_target * p.log() + (1 - a_target) * (1 - p).log()).mean()
    assert torch.isclose(segmentation_loss(logits, a_target), dice_loss(logits, a_target) + 2 * entropy)


def test_a_better_answer_costs_less(a_target):
    losses = [segmentation_loss(logits_of(a_target, c), a_target) for c in (-4.0, 0.0, 1.0, 4.0)]
    assert losses == sorted(losses, reverse=True)


# The simulated user


def a_ball(shape=(16, 16, 16), radius=5):
    z, y, x = np.indices(shape) - np.array(shape).reshape(3, 1, 1, 1) // 2
    return z**2 + y**2 + x**2 <= radius**2


def test_a_user_without_a_box_begins_with_a_click_inside():
    users = [SimulatedUser([a_ball()], np.random.default_rng(seed)) for seed in range(40)]
    unboxed = [user for user in users if user.boxes[0] is None]
    assert 1 <= len(unboxed) <= 12
    for user in unboxed:
        ((voxel, foreground),) = user.clicks[0]
        assert foreground and a_ball()[voxel]


def test_corrections_add_one_or_two_clicks_on_what_is_wrong():
    user = SimulatedUser([a_ball()], np.random.default_rng(1))
    before = len(user.clicks[0])
    user.correct(torch.full((1, 1, 16, 16, 16), -1.0))
    added = user.clicks[0][before:]
    assert 1 <= len(added) <= 2
    assert all(foreground == bool(a_ball()[voxel]) for voxel, foreground in added)


def test_a_few_clicks_are_on_what_is_right_already():
    ball = a_ball()
    right = torch.from_numpy(np.where(ball, 1.0, -1.0))[None, None]
    user = SimulatedUser([ball], np.random.default_rng(2))
    before = len(user.clicks[0])
    for _ in range(200):
        user.correct(right)
    added = user.clicks[0][before:]
    assert 0.1 < len(added) / 300 < 0.2  # of one or two in each of 200 rounds
    assert all(foreground == bool(ball[voxel]) for voxel, foreground in added)
    assert {foreground for _, foreground in added} == {True, False}


def test_half_of_the_answers_go_on_from_the_last_and_some_rounds_are_only_looked_at():
    user = SimulatedUser([a_ball()], np.random.default_rng(0))
    assert 0.4 < np.mean([user.continues() for _ in range(400)]) < 0.6
    assert {user.silent_rounds() for _ in range(200)} == {0, 1, 2, 3, 4}


# The schedule


def test_the_rate_warms_up_and_falls_evenly_to_zero():
    config = TrainingConfig(warmup_steps=10)
    assert [rate_at(config, step, 0) for step in (0, 4, 9, 50)] == pytest.approx([0.1, 0.5, 1, 1])
    shares = (0, 0.33, 0.5, 0.75, 1, 1.1)
    assert [rate_at(config, 50, share) for share in shares] == pytest.approx([1, 0.67, 0.5, 0.25, 0, 0])


def test_the_papers_rate_is_halved_at_epochs_2_5_and_10_of_15():
    config = TrainingConfig(schedule="halving", warmup_steps=0)
    rates = [rate_at(config, 0, epoch / 15) for epoch in (0, 1.9, 2, 4.9, 5, 9.9, 10, 15)]
    assert rates == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]


@pytest.mark.parametrize(
    ("unit", "spent"), [("steps", 7), ("minutes", 2.0), ("cpu-minutes", 3.0)], ids=lambda v: str(v)
)
def test_a_limit_is_in_steps_minutes_or_processor_time(unit, spent):
    trainer = trainer_of(limit=Limit(8.0, unit))
    trainer.step_count, trainer.seconds, trainer.cpu_seconds = 7, 120.0, 180.0
    assert trainer.spent() == spent
    assert trainer.progress() == spent / 8


@pytest.mark.parametrize(
    "wrong", [{"limit": Limit}, {"accumulate": 0}, {"budget": (30**3, 20**3)}], ids=lambda w: next(iter(w))
)
def test_a_run_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(InputError):
        TrainingConfig(**{name: v(0) if v is Limit else v for name, v in wrong.items()})


# A step


@pytest.fixture(scope="module")
def a_sample():
    image, labels = make_case((16, 16, 16), np.random.default_rng(5))
    mask = (labels == 1 + np.bincount(labels.ravel())[1:].argmax()).astype(np.float32)
    assert mask.sum() > 50
    return Sample(image[None, None], mask[None, None])


def trainer_of(seed=0, **changes):
    return Trainer(tiny_network(seed), TrainingConfig(**{"warmup_steps": 1, **changes}))


PRECISION = rounds.precision


@pytest.mark.parametrize(("thinnest", "is_half"), [(16, False), (17, True), (24, True)])
def test_thin_windows_are_learned_from_in_full_precision(monkeypatch, thinnest, is_half):
    monkeypatch.setattr(device_module, "multiplies_bfloat16", lambda: True)
    with PRECISION(torch.device("cpu"), (thinnest, 48, 48)):
        assert torch.is_autocast_enabled("cpu") == is_half


@pytest.fixture(autouse=True)
def in_single_precision(monkeypatch):
    monkeypatch.setattr(rounds, "precision", lambda device, shape: nullcontext())


def test_the_loss_falls_on_a_window_seen_again_and_again(a_sample):
    trainer = trainer_of()

    def loss():
        image, targets = torch.from_numpy(a_sample.image), torch.from_numpy(a_sample.targets)
        masks = [a_sample.targets[0, 0] >= 0.5]
        users = [SimulatedUser(masks, np.random.default_rng(seed)) for seed in range(4)]
        with torch.no_grad():
            return np.mean([float(trainer.loss(image, targets, user, None)[0]) for user in users])

    before = loss()
    for _ in range(15):
        trainer.step([a_sample])
    assert loss() < 0.6 * before


def test_a_step_reports_the_first_and_the_last_round(a_sample):
    trainer = trainer_of(accumulate=2)
    first, last = trainer.step([a_sample, a_sample])
    assert np.isfinite([first, last]).all()
    assert (trainer.step_count, trainer.drawn) == (1, 2)
    assert trainer.seconds > 0 and trainer.cpu_seconds > 0


def test_the_gradients_of_accumulated_windows_are_averaged(a_sample, monkeypatch):
    seen = []
    monkeypatch.setattr(Trainer, "_update", lambda self: seen.append(gradients_of(self.network)))
    # Each window alone, with the number that it has in the step of two.
    for drawn in (0, 1):
        trainer = trainer_of()
        trainer.drawn = drawn
        trainer.step([a_sample])
    trainer_of(accumulate=2).step([a_sample, a_sample])
    one, other, both = seen
    for name in both:
        mean = (one.get(name, 0) + other.get(name, 0)) / 2
        assert torch.allclose(both[name], mean, atol=1e-5), name


def test_deep_supervision_begins_with_its_own_layers_and_then_moves_the_network(a_sample):
    plain, deep = trainer_of(), trainer_of(deep_weight=0.3)
    assert plain.step([a_sample]) == deep.step([a_sample])
    assert same(weights(plain.network), weights(deep.network))
    assert len(deep.heads) == len(plain.network.config.widths) - 1
    assert all(head.weight.any() and head.bias.any() for head in deep.heads)
    for trainer in (plain, deep):
        trainer.step([a_sample])
    level, latent = deep.network.mask_decoder.levels[1], deep.network.image_encoder.norm
    for one, other in (
        (level, plain.network.mask_decoder.levels[1]),
        (latent, plain.network.image_encoder.norm),
    ):
        assert not same(weights(one), weights(other))
    assert not list(deep.averaged().mask_decoder._forward_pre_hooks)


@pytest.mark.parametrize("slices", [8, 11, 12, 15])
def test_deep_supervision_learns_from_windows_that_the_network_pads(a_sample, slices):
    thin = Sample(a_sample.image[:, :, :slices], a_sample.targets[:, :, :slices])
    trainer = trainer_of(deep_weight=0.3)
    for _ in range(2):
        assert np.isfinite(trainer.step([thin])).all()
    assert trainer.step_count == 2
    assert all(head.weight.any() for head in trainer.heads)


def gradients_of(network):
    return {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}


def test_layers_that_no_gradient_reaches_are_named(a_sample, monkeypatch):
    whole, cut, small, adam = trainer_of(), trainer_of(), trainer_of(), trainer_of(optimiser="adam")
    branch = cut.network.image_encoder.levels[-1][-1]
    monkeypatch.setattr(branch, "forward", lambda x: x)
    lost = small.network.image_encoder.levels[1][0].weight
    lost.register_hook(lambda gradient: 1e-5 * gradient)
    for trainer in (whole, cut, small, adam):
        for _ in range(4):
            trainer.step([a_sample])
    found = [hardly_learning(t.network, t.optimisers[0]) for t in (whole, adam, small, cut)]
    assert found[:3] == [[], [], ["image_encoder.levels.1.0"]]
    names = [n for n, _ in branch.named_modules(prefix="image_encoder.levels.3.2")]
    assert found[3] == [n for n in names if n.rpartition(".")[2].startswith("conv")]


def test_adam_takes_all_parameters_when_it_is_asked_for(a_sample):
    trainer = trainer_of(optimiser="adam", adam_lr=0.01)
    (adam,) = trainer.optimisers
    assert {id(p) for p in adam.param_groups[0]["params"]} == {id(p) for p in trainer.network.parameters()}
    before = weights(trainer.network)
    trainer.step([a_sample])
    assert not same(before, weights(trainer.network))


def weights(network):
    return [p.detach().clone() for p in network.parameters()]


def same(some, others):
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


def test_the_average_lies_between_the_first_and_the_last_weights(a_sample):
    trainer = trainer_of()
    first = trainer.network.image_encoder.stem.weight.detach().clone()
    for _ in range(3):
        trainer.step([a_sample])
    last = trainer.network.image_encoder.stem.weight.detach()
    averaged = trainer.averaged().image_encoder.stem.weight.detach()
    assert 0 < (averaged - last).norm() < (first - last).norm()
    assert not trainer.averaged().training


@pytest.fixture
def no_gradient_is_finite(monkeypatch):
    def lost(logits, target):
        return (logits * float("nan")).mean()

    monkeypatch.setattr(rounds, "segmentation_loss", lost)


def test_a_step_whose_gradients_are_not_finite_leaves_the_weights_alone(a_sample, no_gradient_is_finite):
    trainer = trainer_of()
    before = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}
    trainer.step([a_sample])
    after = trainer.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert trainer.skipped == 1 and trainer.step_count == 0 and trainer.seconds > 0
    assert trainer.drawn == 1


def test_heads_of_deep_supervision_count_among_the_gradients_that_must_be_finite(a_sample):
    trainer = trainer_of(deep_weight=0.3)
    trainer.heads[0].weight.register_hook(lambda gradient: gradient * float("nan"))
    before = weights(trainer.network) + weights(trainer.heads)
    trainer.step([a_sample])
    assert same(before, weights(trainer.network) + weights(trainer.heads))
    assert (trainer.skipped, trainer.step_count) == (1, 0)


def test_weights_that_are_lost_end_the_run(a_sample, no_gradient_is_finite, monkeypatch):
    trainer = trainer_of()
    monkeypatch.setattr(trainer_module, "MOST_SKIPPED", 1)
    trainer.step([a_sample])
    with pytest.raises(RuntimeError, match="not finite"):
        trainer.step([a_sample])


def test_half_precision_gradients_are_scaled_and_come_to_the_same_step(a_sample):
    plain, scaled = trainer_of(), trainer_of()
    scaled.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=True)
    for trainer in (plain, scaled):
        trainer.step([a_sample])
    for a, b in zip(weights(plain.network), weights(scaled.network), strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_the_times_of_a_step_add_up():
    watch = Stopwatch(torch.device("cpu"))
    with watch.part("data"):
        sum(range(1000))
    with watch.part("forward"):
        pass
    assert watch.seconds["data"] > 0 and watch.seconds["backward"] == 0
    assert "data" in watch.report() and "backward" not in watch.report()
