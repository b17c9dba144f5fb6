"""What was written for speed computes what the plain form computes."""

import pytest
import torch
from ensam.network import slabs
from ensam.network.layers import NormReLU, ResidualBlock, convolution
from ensam.network.mask_decoder import DecoderLevel
from fuzzing import inputs
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from .tiny_network import BOX, image_of, previous_of, prompts_of, tiny_network


def test_the_split_convolution_equals_the_one_over_the_concatenation():
    torch.manual_seed(0)
    level = DecoderLevel(16, 8, groups=4, maps=0)
    for norm in (level.norm_up, level.norm_skip):
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    deep, skip = torch.randn(2, 16, 3, 4, 2), torch.randn(2, 8, 6, 8, 4)
    with torch.no_grad():
        up = F.interpolate(level.narrow(deep), scale_factor=2, mode="trilinear", align_corners=False)
        both = F.group_norm(
            torch.cat((up, skip), dim=1),
            8,
            torch.cat((level.norm_up.weight, level.norm_skip.weight)),
            torch.cat((level.norm_up.bias, level.norm_skip.bias)),
        ).relu()
        kernel = torch.cat((level.conv_up.weight, level.conv_skip.weight), dim=1)
        plain = up + level.conv_out(level.norm_out(F.conv3d(both, kernel, padding=1)))
        split = level(deep, level.prepare(skip), None)
    assert torch.allclose(split, plain, atol=1e-5)


def plain_norm_relu(norm, x):
    return F.group_norm(x, norm.groups, norm.weight, norm.bias).relu()


@inputs(30)
@given(
    st.integers(0, 2**16),
    st.sampled_from([(1, 8, 2), (2, 8, 8), (3, 12, 4), (1, 6, 1)]),
    st.tuples(*[st.integers(2, 4)] * 3),
    st.booleans(),
)
def test_the_hand_written_gradient_equals_the_automatic_one(seed, sizes, space, channels_last):
    torch.manual_seed(seed)
    count, channels, groups = sizes
    norm = NormReLU(channels, groups).double()
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = 2 + 3 * torch.randn(count, channels, *space, dtype=torch.float64)
    if channels_last:
        x = x.to(memory_format=torch.channels_last_3d)
    x.requires_grad_()
    upstream = torch.randn_like(x)
    leaves = (x, norm.weight, norm.bias)
    ours = torch.autograd.grad((norm(x) * upstream).sum(), leaves)
    theirs = torch.autograd.grad((plain_norm_relu(norm, x) * upstream).sum(), leaves)
    for mine, automatic in zip(ours, theirs, strict=True):
        # Its statistics are float32.
        assert torch.allclose(mine, automatic, rtol=1e-4, atol=1e-4)


def test_norm_and_relu_give_the_same_with_and_without_a_gradient_and_keep_their_input():
    torch.manual_seed(0)
    norm, x = NormReLU(8, 4), torch.randn(2, 8, 3, 4, 5)
    kept = x.clone()
    with torch.no_grad():
        silent = norm(x)
    assert torch.allclose(norm(x).detach(), silent, atol=1e-6)
    assert torch.allclose(silent, plain_norm_relu(norm, x), atol=1e-6)
    assert torch.equal(x, kept)


# In slabs


@pytest.fixture(params=[1, 200, 1500, 1 << 22], ids="slabs of {} elements".format)
def small_slabs(request, monkeypatch):
    """Every level goes in slabs, of one plane to the whole level."""
    monkeypatch.setattr(slabs, "SMALLEST_LEVEL", 0)
    monkeypatch.setattr(slabs, "SLAB_ELEMENTS", request.param)


def whole(compute, monkeypatch):
    with monkeypatch.context() as patch, torch.no_grad():
        patch.setattr(slabs, "worthwhile", lambda x: False)
        return compute()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_a_residual_block_in_slabs_is_the_whole_one_and_leaves_its_input_alone(
    small_slabs, monkeypatch, layout
):
    torch.manual_seed(0)
    block = ResidualBlock(8, 4).to(memory_format=layout)
    for norm in (block.norm1, block.norm2):
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    x = (3 + torch.randn(1, 8, 7, 6, 5)).to(memory_format=layout)
    before = x.clone()
    with torch.no_grad():
        assert torch.allclose(block(x), whole(lambda: block(x), monkeypatch), atol=1e-5)
    assert torch.equal(x, before)


def test_a_convolution_by_another_path_is_the_same():
    torch.manual_seed(0)
    for channels, bias in ((1, False), (5, True)):
        conv, x = convolution(channels, 8, bias=bias), torch.randn(1, channels, 6, 5, 4)
        with torch.no_grad():
            assert torch.allclose(slabs.convolve(x, conv, conv.padding), conv(x), atol=1e-5)


def test_without_gradients_a_convolution_takes_double_precision_too():
    conv, x = convolution(4, 4).double(), torch.randn(1, 4, 3, 3, 3, dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(conv(x), F.conv3d(x, conv.weight, padding=1))


def test_what_is_kept_for_doubling_serves_whatever_was_done_first():
    slabs._trilinear.cache_clear()
    x = torch.randn(1, 4, 3, 3, 3).bfloat16()
    with torch.inference_mode():
        slabs.doubled(x, 0, 6)
    slabs.doubled(x.requires_grad_(), 0, 6).sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_and_its_gradients_are_torchs_and_small_ones_oneDNNs(stride):
    torch.manual_seed(0)
    conv, x = convolution(6, 8, stride=stride), torch.randn(1, 6, 6, 4, 5, requires_grad=True)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        out = conv(x)
        ours = torch.autograd.grad((out * out.detach().cos()).sum(), (x, conv.weight))
        with torch.no_grad():
            silent = conv(x)
    paths = {event.key for event in profile.key_averages()}
    assert "aten::mkldnn_convolution" in paths and not any("slow_conv3d" in path for path in paths)
    plain = F.conv3d(x, conv.weight, stride=stride, padding=1)
    theirs = torch.autograd.grad((plain * plain.detach().cos()).sum(), (x, conv.weight))
    for mine, other in zip((out, silent, *ours), (plain, plain, *theirs), strict=True):
        assert torch.allclose(mine, other, atol=1e-4)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("has_onednn", [True, False])
def test_a_convolution_adds_to_planes_and_to_no_others(monkeypatch, precision, has_onednn):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: has_onednn)
    torch.manual_seed(0)
    conv = convolution(5, 8)
    x, before = torch.randn(1, 5, 5, 6, 4), torch.randn(1, 8, 7, 6, 4).to(precision)
    level = slabs.empty(before.shape, precision, before.device).copy_(before)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        slabs.convolve_onto(level[:, :, 2:5], x, conv, (0, 1, 1))
        expected = before[:, :, 2:5] + conv(x)[:, :, 1:-1]
    assert level.dtype == precision
    tolerance = 1e-5 if precision == torch.float32 else 0.05
    assert torch.allclose(level[:, :, 2:5].float(), expected.float(), atol=tolerance)
    assert torch.equal(level[:, :, :2], before[:, :, :2]) and torch.equal(level[:, :, 5:], before[:, :, 5:])


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("has_onednn", [True, False])
def test_planes_are_normalised_with_zeros_beyond_the_level(monkeypatch, precision, has_onednn):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: has_onednn)
    torch.manual_seed(0)
    norm = NormReLU(8, 4)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = (30 + torch.randn(1, 8, 5, 6, 4)).to(precision).contiguous(memory_format=torch.channels_last_3d)
    before = x.clone()
    with torch.no_grad():
        expected = F.pad(norm(x.float()), (0, 0, 0, 0, 1, 1))
        moments = slabs.Moments().of(x, norm)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            for first, last in ((-1, 6), (-1, 2), (1, 4), (3, 6)):
                planes = slabs._norm_relu(x, norm, *moments, first, last)
                assert planes.dtype == precision
                tolerance = 1e-5 if precision == torch.float32 else 0.05
                assert torch.allclose(planes.float(), expected[:, :, first + 1 : last + 1], atol=tolerance)
    assert torch.equal(x, before)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_planes_of_a_doubled_level_are_those_of_the_interpolated_one(precision):
    torch.manual_seed(0)
    x = torch.randn(1, 3, 5, 4, 3).to(precision)
    all_planes = F.interpolate(x.float(), scale_factor=2, mode="trilinear", align_corners=False)
    for first in range(10):
        for last in range(first + 1, 11):
            planes = slabs.doubled(x, first, last)
            assert planes.dtype == precision
            # Of bfloat16 the last digit, which is rounded.
            expected = all_planes[:, :, first:last].to(precision).float()
            assert torch.allclose(planes.float(), expected, atol=1e-6, rtol=2 * torch.finfo(precision).eps)


@pytest.mark.parametrize("dense", [True, False], ids=["dense prompts", "paper"])
@pytest.mark.parametrize("shape", [(16, 24, 8), (13, 16, 11)])
def test_the_network_in_slabs_gives_every_object_what_it_gives_whole(small_slabs, monkeypatch, dense, shape):
    network = tiny_network(dense_prompts=dense)
    objects = (BOX, [((5, 6, 4), True), ((10, 2, 7), False)]), (None, [((1, 1, 1), True)])
    prompts = prompts_of(*objects, previous=previous_of(2, shape), has_previous=torch.tensor([True, False]))

    def answer():
        return network(image_of(shape), prompts)

    with torch.no_grad():
        in_slabs = answer()
    assert in_slabs.shape == (2, 1, *shape)
    assert torch.allclose(in_slabs, whole(answer, monkeypatch), atol=1e-3)  # of logits up to 13


def test_training_never_goes_in_slabs(small_slabs):
    logits = tiny_network()(image_of((16, 16, 16)), prompts_of((BOX, [])))
    assert logits.requires_grad
