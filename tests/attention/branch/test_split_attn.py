import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import SplitAttention


def normed(layer, values, channel):
    mean, var = layer.running_mean[channel], layer.running_var[channel]
    values = (values - mean) / (var + layer.eps).sqrt()
    return (values * layer.weight[channel] + layer.bias[channel]).clamp(min=0)


@pytest.mark.parametrize(("channels", "groups", "radix"), [(6, 1, 2), (12, 2, 3), (6, 2, 1)])
def test_is_the_sum_written_by_hand(stirred, channels, groups, radix):
    split = stirred(SplitAttention(channels, radix=radix, groups=groups, hidden=4))
    x = torch.randn(2, channels, 3, 4).double()
    y = split(x)
    reads = channels // (groups * radix)  # inputs of each convolution
    for b in range(2):
        padded, maps = F.pad(x[b], (1,) * 4), []
        for out in range(radix * channels):
            first = out // (channels // groups) * reads
            u = torch.zeros(3, 4).double()
            for i in range(reads):
                for r in range(3):
                    for s in range(3):
                        tap = padded[first + i, r : r + 3, s : s + 4]
                        u += split.conv.weight[out, i, r, s] * tap
            maps.append(normed(split.norm, u, out))
        means = [sum(maps[r * channels + c].mean() for r in range(radix)) for c in range(channels)]
        per, width = channels // groups, 4 // groups
        for g in range(groups):
            hidden = []
            for j in range(g * width, (g + 1) * width):
                weight = split.fuse[0].weight[j].flatten()
                total = sum(weight[i] * means[g * per + i] for i in range(per))
                hidden.append(normed(split.fuse[1], total, j))
            for c in range(per):
                scores = []
                for r in range(radix):
                    row = (g * radix + r) * per + c
                    weight = split.select.weight[row].flatten()
                    scores.append(split.select.bias[row] + sum(map(torch.mul, weight, hidden)))
                scores = torch.stack(scores)
                shares = scores.softmax(0) if radix > 1 else scores.sigmoid()
                wanted = sum(shares[r] * maps[r * channels + g * per + c] for r in range(radix))
                torch.testing.assert_close(y[b, g * per + c], wanted)


def test_shares_of_a_channel_sum_to_one(stirred, tiny):
    shares = stirred(SplitAttention(6, radix=3)).attention_map(tiny)
    assert shares.shape == (2, 3, 6, 1, 1)
    torch.testing.assert_close(shares.sum(1), torch.ones(2, 6, 1, 1).double())


@pytest.mark.parametrize(("channels", "radix", "hidden"), [(64, 2, 32), (128, 2, 64), (64, 4, 64)])
def test_hidden_width_is_the_authors(channels, radix, hidden):
    """Their max(C · radix / 4, 32)."""
    assert SplitAttention(channels, radix=radix).hidden == hidden


def test_each_split_reads_its_own_share(stirred):
    split = stirred(SplitAttention(8))
    x = torch.randn(1, 8, 5, 5).double()
    changed = x.clone()
    changed[:, 4:] += 1  # what the second split reads
    before, after = (split.conv(t) for t in (x, changed))
    assert torch.equal(before[:, :8], after[:, :8])
    assert not torch.equal(before[:, 8:], after[:, 8:])


def test_groups_know_nothing_of_each_other(stirred):
    split = stirred(SplitAttention(8, groups=2))
    x = torch.randn(1, 8, 5, 5).double().requires_grad_()
    (gradient,) = torch.autograd.grad(split.attention_map(x)[0, 0, 0].sum(), x)
    reached = gradient.abs().sum((0, 2, 3)) > 0
    # Output channels of the first group come, over both splits, from these inputs.
    assert reached.sum() == 4


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 4},
        {"radix": 0},
        {"dilation": 0},
        {"groups": 3},
        {"groups": 2, "hidden": 5},
        {"reduction": 0},
        {"act": "relu7"},
    ],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        SplitAttention(16, **options)


def test_channels_that_do_not_divide_are_all_read():
    assert SplitAttention(7).conv.groups == 1
    assert SplitAttention(7)(torch.rand(2, 7, 3, 3)).shape == (2, 7, 3, 3)
