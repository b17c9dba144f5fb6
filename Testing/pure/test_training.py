"""A simulated user corrects what is wrong, Muon steps evenly, and training learns and can be resumed."""

from itertools import islice

import numpy as np
import pytest
import torch
from ensam.network import ENSAM, NetworkConfig
from ensam_training.augmentation import augment_intensity, random_orientation
from ensam_training.datasets import Case, Sample, WindowSampler, dataset_of
from ensam_training.interaction import bounds, simulate_box, simulate_click
from ensam_training.losses import dice_loss, segmentation_loss
from ensam_training.muon import Muon, orthogonalise, split_parameters
from ensam_training.synthetic import make_case
from ensam_training.training import Trainer, TrainingConfig
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from .tiny_network import TINY, tiny_network

fast = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 2**16)
SPACE = (10, 14, 12)


def blobs(seed, share=0.3):
    """A random mask whose parts have thickness, at the border as well: bool (z, y, x)."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(SPACE), 1.5)
    return noise > np.quantile(noise, 1 - share)


# Muon


@pytest.mark.parametrize(
    "shape", [(40, 10), (10, 40), (24, 24), (16, 8, 3, 3, 3), (32, 1, 2, 2, 2)],
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


def test_a_step_of_muon_is_as_long_as_its_rate_whatever_the_gradients_size():
    moves = []
    for size in (1e-3, 1e3):
        torch.manual_seed(0)
        weight = torch.nn.Parameter(torch.zeros(4, 2, 3, 3, 3))
        weight.grad = size * torch.randn_like(weight)
        Muon([weight], lr=0.1).step()
        moves.append(weight.detach())
    assert torch.allclose(*moves, atol=1e-4)
    assert torch.linalg.svdvals(moves[0].flatten(1)).min() > 0.06
    assert torch.linalg.svdvals(moves[0].flatten(1)).max() < 0.13


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
    return torch.from_numpy(np.stack([blobs(0), blobs(1, share=0.02)])[:, None].astype(np.float32))


def logits_of(target, certainty=40.0):
    return certainty * (2 * target - 1)


def test_the_dice_loss_is_zero_for_a_perfect_and_one_for_an_inverted_answer(a_target):
    assert dice_loss(logits_of(a_target), a_target).abs() < 1e-5
    assert dice_loss(-logits_of(a_target), a_target) > 0.999
    assert 0.2 < dice_loss(torch.zeros_like(a_target), a_target) < 0.9


def test_missing_a_small_object_costs_about_as_much_as_missing_a_large_one(a_target):
    missed = [dice_loss(torch.full((1, 1, *SPACE), -40.0), target[None]) for target in a_target]
    assert all(loss > 0.3 for loss in missed)


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


@fast
@given(seeds, seeds, st.booleans(), st.integers(0, 2))
def test_a_click_lies_in_an_error_and_says_what_it_should_have_been(seed, other, steady, rank):
    truth, predicted = blobs(seed), blobs(other)
    hand = None if steady else np.random.default_rng(seed)
    click = simulate_click(truth, predicted, hand, rank)
    regions = ndimage.label(truth != predicted, np.ones((3, 3, 3)))[1]
    assert (click is None) == (regions <= rank)
    if click is not None:
        voxel, foreground = click
        assert truth[voxel] != predicted[voxel]
        assert foreground == truth[voxel]


@fast
@given(seeds, seeds)
def test_a_steady_click_is_the_deepest_voxel_of_the_largest_error(seed, other):
    truth, predicted = blobs(seed), blobs(other)
    if seed == other:
        predicted = ~truth
    regions, _ = ndimage.label(truth != predicted, np.ones((3, 3, 3)))
    sizes = np.bincount(regions.ravel())[1:]
    voxel, _ = simulate_click(truth, predicted)
    assert sizes[regions[voxel] - 1] == sizes.max()
    region = np.pad(regions == regions[voxel], 1)
    depth = ndimage.distance_transform_edt(region)[1:-1, 1:-1, 1:-1]
    assert depth[voxel] == depth.max()


def test_ranks_go_from_the_largest_error_to_the_smallest():
    truth = np.zeros(SPACE, bool)
    truth[1:4, 1:4, 1:4] = truth[6:8, 6:8, 6:8] = True
    nothing = np.zeros_like(truth)
    clicks = [simulate_click(truth, nothing, rank=rank) for rank in range(3)]
    assert clicks[0] == ((2, 2, 2), True)
    assert clicks[1][0] in {tuple(v) for v in np.argwhere(truth) if v.min() >= 6}
    assert clicks[2] is None


def test_the_volumes_border_is_an_edge_of_an_error():
    truth = np.zeros((9, 9, 9), bool)
    truth[0:5, 2:7, 4:9] = True
    assert simulate_click(truth, np.zeros_like(truth)) == ((2, 4, 6), True)
    assert simulate_click(np.zeros_like(truth), truth) == ((2, 4, 6), False)


def test_an_error_of_one_voxel_at_a_corner_is_clicked():
    truth = np.zeros((5, 5, 5), bool)
    truth[4, 0, 4] = True
    assert simulate_click(truth, np.zeros_like(truth), np.random.default_rng(0)) == ((4, 0, 4), True)


def test_a_right_answer_is_not_clicked():
    assert simulate_click(blobs(0), blobs(0)) is None


class Hand:
    """A generator whose every uniform number is at the same place between its bounds."""

    def __init__(self, place):
        self.place = place

    def choice(self, options):
        return max(options)

    def uniform(self, low, high, size):
        return np.full(size, low + self.place * (high - low))


@fast
@given(seeds, st.floats(0.25, 1))
def test_a_box_that_is_not_tightened_holds_the_object(seed, place):
    mask = blobs(seed, share=0.1)
    lower, upper = simulate_box(mask, Hand(place))
    voxels = np.argwhere(mask)
    assert (voxels - 0.5 >= lower).all()
    assert (voxels + 0.5 <= upper).all()


@fast
@given(seeds)
def test_a_box_is_off_by_a_little_and_ends_with_the_volume(seed):
    mask = blobs(seed, share=0.05)
    first, behind = bounds(mask)
    extent = behind - first
    lower, upper = simulate_box(mask, np.random.default_rng(seed))
    assert (lower >= -0.5).all()
    assert (upper <= np.array(SPACE) - 0.5).all()
    for outward in (first - 0.5 - lower, upper - (behind - 0.5)):
        assert (outward >= -0.05 * extent - 1e-9).all()
        assert (outward <= 0.15 * extent + 1e-9).all()


def test_a_middle_slice_box_is_as_large_as_the_object_there():
    mask = np.zeros((9, 20, 20), bool)
    mask[2:7, 9:11, 9:11] = True
    mask[4, 5:15, 6:16] = True
    mask[6, 0:20, 0:20] = True
    lower, upper = simulate_box(mask, Hand(0.25), middle_slice=True)
    assert np.allclose(lower, (1.5, 4.5, 5.5))
    assert np.allclose(upper, (6.5, 14.5, 15.5))


def test_an_empty_mask_has_no_bounds():
    with pytest.raises(ValueError, match="empty"):
        bounds(np.zeros(SPACE, bool))


# The data


@settings(deadline=None, max_examples=10)
@given(seeds, st.tuples(*[st.integers(14, 26)] * 3))
def test_a_synthetic_case_is_labelled_lies_in_0_to_1_and_is_reproducible(seed, shape):
    image, labels = make_case(shape, np.random.default_rng(seed))
    assert image.shape == labels.shape == shape
    assert (image.dtype, labels.dtype) == (np.float32, np.uint8)
    assert image.min() >= 0
    assert image.max() <= 1
    assert image.std() > 0.01
    assert labels.max() <= 5
    image_again, labels_again = make_case(shape, np.random.default_rng(seed))
    assert np.array_equal(image, image_again)
    assert np.array_equal(labels, labels_again)
    assert not np.array_equal(image, make_case(shape, np.random.default_rng(seed + 1))[0])


def test_nearly_every_synthetic_case_has_an_object():
    found = [make_case((20, 20, 20), np.random.default_rng(seed))[1].any() for seed in range(20)]
    assert np.mean(found) > 0.9


def synthetic_volume(name, seed, shape=(30, 34, 26)):
    image, labels = make_case(shape, np.random.default_rng(seed))
    return Case.from_arrays(name, (1000 * image).astype(np.int16), labels, (2.0, 1.0, 1.0))


@pytest.fixture(scope="module")
def cases():
    return [synthetic_volume(f"{name}_{seed:03}", seed) for seed, name in enumerate(("mr_a", "mr_a", "mr_b"))]


BUDGET = (18**3, 24**3)


def samples(cases, seed, count=12, share=0.3):
    return list(islice(WindowSampler(cases, BUDGET, seed, synthetic_share=share), count))


@pytest.mark.parametrize("share", [0.0, 1.0], ids=["real", "synthetic"])
def test_windows_keep_the_budget_and_hold_their_objects(cases, share):
    for sample in samples(cases, 0, share=share):
        assert sample.image.shape[:2] == (1, 1)
        assert sample.image[0, 0].size <= BUDGET[1]
        assert sample.targets.shape[1:] == (1, *sample.image.shape[2:])
        assert 1 <= len(sample.targets) <= 2
        assert ((sample.targets >= 0.5).sum((1, 2, 3, 4)) >= 20).all()
        for values in (sample.image, sample.targets):
            assert values.dtype == np.float32
            assert values.min() >= 0
            assert values.max() <= 1


def test_windows_are_reproducible_by_seed(cases):
    one, again, other = samples(cases, 1, 6), samples(cases, 1, 6), samples(cases, 2, 6)
    for a, b in zip(one, again, strict=True):
        assert np.array_equal(a.image, b.image)
        assert np.array_equal(a.targets, b.targets)
    assert not all(np.array_equal(a.image, b.image) for a, b in zip(one, other, strict=True))


def test_training_needs_no_data():
    assert len(samples([], 0, 3)) == 3


def test_a_case_knows_its_objects_and_forgets_specks():
    labels = np.zeros((10, 10, 10), np.uint8)
    labels[2:5, 3:7, 1:9] = 2
    labels[9, 9, 9] = 4
    case = Case.from_arrays("mr", np.zeros((10, 10, 10)), labels, (1, 1, 1))
    assert case.objects == {2: (slice(2, 5), slice(3, 7), slice(1, 9))}
    assert not case.is_ct


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("mr_hippocampus_011", "mr_hippocampus"),
        ("mr_ms19_flair", "mr_ms_flair"),
        ("ct_totalseg_aorta", "ct_totalseg_aorta"),
        ("mr_fetalsb_GA30_op", "mr_fetalsb_GA"),
    ],
)
def test_a_cases_dataset_is_read_off_its_name(name, dataset):
    assert dataset_of(name) == dataset


@fast
@given(seeds)
def test_augmented_images_stay_in_0_to_1_and_are_reproducible(seed):
    image = make_case((14, 15, 16), np.random.default_rng(3))[0]
    before = image.copy()
    changed = augment_intensity(image, np.random.default_rng(seed))
    assert changed.shape == image.shape
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert np.array_equal(changed, augment_intensity(image, np.random.default_rng(seed)))
    assert np.array_equal(image, before)


@fast
@given(seeds)
def test_image_and_targets_are_turned_alike(seed):
    image = np.random.default_rng(seed).random((4, 5, 6))
    turned, targets = random_orientation(np.random.default_rng(seed), image, np.stack([image, 2 * image]))
    assert sorted(turned.shape) == [4, 5, 6]
    assert np.array_equal(targets, np.stack([turned, 2 * turned]))


# Training


@pytest.fixture
def a_sample():
    image, labels = make_case((16, 16, 16), np.random.default_rng(5))
    mask = (labels == 1).astype(np.float32)
    assert mask.sum() > 50
    return Sample(image[None, None], mask[None, None])


def trainer_of(seed=0, **changes):
    trainer = Trainer(tiny_network(seed), TrainingConfig(**{"minutes": 60.0, "warmup_steps": 1, **changes}))
    trainer.amp = False  # the same numbers on every processor
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
    # The optimisers' momentum was saved as well, or the next steps would differ from the first ones' pace.
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
