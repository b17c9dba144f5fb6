"""The loss counts small objects, Muon steps evenly, and training learns and can be resumed."""

import numpy as np
import pytest
import torch
from ensam.network import ENSAM, NetworkConfig
from ensam_training import training
from ensam_training.datasets import Sample
from ensam_training.losses import dice_loss, segmentation_loss
from ensam_training.muon import Muon, orthogonalise, split_parameters
from ensam_training.synthetic import make_case
from ensam_training.training import Trainer, TrainingConfig

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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_step_of_muon_is_as_long_as_its_rate_whatever_the_gradients_size(dtype):
    moves = []
    for size in (1e-3, 1e3):
        torch.manual_seed(0)
        weight = torch.nn.Parameter(torch.zeros(4, 2, 3, 3, 3))
        weight.grad = size * torch.randn_like(weight)
        muon = Muon([weight], lr=0.1)
        muon.dtype = dtype
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
    hidden, rest = ({id(p) for p in group} for group in split_parameters(network))
    assert not hidden & rest
    assert hidden | rest == {id(p) for p in network.parameters()}
    lengths = tuple(len(group) for group in split_parameters(network))
    assert lengths == (len(hidden), len(rest))
    for name, parameter in network.named_parameters():
        special = name.startswith(("position.", "prompt_encoder.kinds.", "mask_decoder.head."))
        assert (id(parameter) in rest) == (special or parameter.ndim < 2), name


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


# Training


@pytest.fixture
def a_sample():
    image, labels = make_case((16, 16, 16), np.random.default_rng(5))
    mask = (labels == 1).astype(np.float32)
    assert mask.sum() > 50
    return Sample(image[None, None], mask[None, None])


def trainer_of(seed=0, **changes):
    trainer = Trainer(tiny_network(seed), TrainingConfig(**{"minutes": 60.0, "warmup_steps": 1, **changes}))
    # The same numbers on every processor.
    trainer.amp, trainer.optimisers[0].dtype = False, torch.float32
    return trainer


def test_the_loss_falls_on_a_window_seen_again_and_again(a_sample):
    trainer = trainer_of()

    def loss():
        trainer.rng = np.random.default_rng(7)
        with torch.no_grad():
            return np.mean([float(trainer.losses(a_sample)[0]) for _ in range(4)])

    before = loss()
    for _ in range(15):
        trainer.step([a_sample])
    assert loss() < 0.6 * before


def test_a_step_reports_the_first_and_the_last_round(a_sample):
    trainer = trainer_of()
    first, last = trainer.step([a_sample, a_sample])
    assert np.isfinite([first, last]).all()
    assert trainer.step_count == 1
    assert trainer.seconds > 0


def test_the_rate_warms_up_stays_and_ends_at_zero():
    trainer = trainer_of(warmup_steps=10)
    assert trainer.rate() == pytest.approx(0.1)
    trainer.step_count = 10
    rates = []
    for minutes in (0, 20, 30, 45, 60, 61):
        trainer.seconds = 60 * minutes
        rates.append(trainer.rate())
    assert rates == pytest.approx([1, 1, 1, 0.5, 0, 0])


def weights(network):
    return [p.detach().clone() for p in network.parameters()]


def same(some, others):
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


def test_a_saved_training_resumes_where_it_stopped(a_sample, tmp_path):
    stopped = trainer_of()
    for _ in range(3):
        stopped.step([a_sample])
    stopped.save(tmp_path / "state.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]

    resumed = [trainer_of(seed) for seed in (1, 2)]
    assert not same(weights(resumed[0].network), weights(stopped.network))
    for trainer in resumed:
        trainer.load(tmp_path / "state.pt")
        assert same(weights(trainer.network), weights(stopped.network))
        assert same(trainer.average.values(), stopped.average.values())
        assert (trainer.step_count, trainer.seconds) == (stopped.step_count, stopped.seconds)
        trainer.step([a_sample])
    assert same(weights(resumed[0].network), weights(resumed[1].network))
    assert not same(weights(resumed[0].network), weights(stopped.network))


def test_the_next_step_after_resuming_is_the_one_that_would_have_come(a_sample, tmp_path):
    going, resumed = trainer_of(), trainer_of(1)
    for _ in range(3):
        going.step([a_sample])
    going.save(tmp_path / "state.pt")
    resumed.load(tmp_path / "state.pt")
    going.rng = np.random.default_rng(9)
    resumed.rng = np.random.default_rng(9)
    going.step([a_sample])
    resumed.step([a_sample])
    assert same(weights(going.network), weights(resumed.network))


def test_the_average_lies_between_the_first_and_the_last_weights(a_sample):
    trainer = trainer_of()
    first = trainer.network.image_encoder.stem.weight.detach().clone()
    for _ in range(3):
        trainer.step([a_sample])
    last = trainer.network.image_encoder.stem.weight.detach()
    averaged = trainer.averaged().image_encoder.stem.weight.detach()
    assert 0 < (averaged - last).norm() < (first - last).norm()
    assert not trainer.averaged().training


def test_a_step_whose_gradients_are_not_finite_leaves_the_weights_alone(a_sample, monkeypatch):
    trainer = trainer_of()
    before = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}
    monkeypatch.setattr(training, "segmentation_loss", lambda logits, target: (logits * float("nan")).mean())
    trainer.step([a_sample])
    after = trainer.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert trainer.skipped == 1 and trainer.step_count == 0 and trainer.seconds > 0


def test_weights_that_are_lost_end_the_run(a_sample, monkeypatch):
    trainer = trainer_of()
    monkeypatch.setattr(training, "MOST_SKIPPED", 1)
    monkeypatch.setattr(training, "segmentation_loss", lambda logits, target: (logits * float("nan")).mean())
    trainer.step([a_sample])
    with pytest.raises(RuntimeError, match="not finite"):
        trainer.step([a_sample])
