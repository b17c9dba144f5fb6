"""What was written for speed computes what the plain form computes."""

import torch
from ensam.network.layers import NormReLU
from ensam.network.mask_decoder import DecoderLevel
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F


def test_the_split_convolution_equals_the_one_over_the_concatenation():
    torch.manual_seed(0)
    level = DecoderLevel(16, 8, groups=4, dense_prompts=False)
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


@settings(deadline=None, max_examples=30)
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
