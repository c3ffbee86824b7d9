import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import CPCA


def convolved(conv, x):
    """A depthwise convolution of a map (6, 3, 4), as a sum of shifted maps."""
    height, width = conv.weight.shape[2:]
    padded = F.pad(x, (width // 2, width // 2, height // 2, height // 2))
    y = conv.bias[:, None, None].expand_as(x)
    for i in range(height):
        for j in range(width):
            y = y + conv.weight[:, 0, i, j, None, None] * padded[:, i : i + 3, j : j + 4]
    return y


@pytest.mark.parametrize("two_gates", [True, False])
def test_is_the_sum_written_by_hand(stirred, tiny, two_gates):
    cpca = stirred(CPCA(6, two_gates=two_gates, hidden=2))
    y = cpca(tiny)

    def mix(x):
        weight, bias = cpca.mix.weight[..., 0, 0], cpca.mix.bias
        return torch.einsum("oc,chw->ohw", weight, x) + bias[:, None, None]

    def score(pooled):
        first, _, last = cpca.channel
        hidden = (first.weight @ pooled + first.bias).clamp(min=0)
        return last.weight @ hidden + last.bias

    for b in range(2):
        u = mix(tiny[b])
        u = u * 0.5 * (1 + torch.erf(u / 2**0.5))
        means = torch.stack([sum(u[c].flatten()) / 12 for c in range(6)])
        most = torch.stack([max(u[c].flatten()) for c in range(6)])
        if two_gates:
            channel = score(means).sigmoid() + score(most).sigmoid()
        else:
            channel = (score(means) + score(most)).sigmoid()
        v = u * channel[:, None, None]
        scales = local = convolved(cpca.local, v)
        for row, column in cpca.strips:
            scales = scales + convolved(column, convolved(row, local))
        torch.testing.assert_close(y[b], mix(mix(scales) * v))


def test_the_map_is_the_factor_on_the_first_layers_result(stirred, tiny):
    cpca = stirred(CPCA(6))
    mixed = cpca.act(cpca.mix(tiny))
    torch.testing.assert_close(cpca(tiny), cpca.mix(mixed * cpca.attention_map(tiny)))


def test_the_defaults_are_the_authors():
    cpca = CPCA(64)
    assert cpca.hidden == 16
    assert [row.kernel_size for row, _ in cpca.strips] == [(1, 7), (1, 11), (1, 21)]


@pytest.mark.parametrize("options", [{"kernel_size": (8,)}, {"local_size": 2}, {"hidden": 0}])
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        CPCA(8, **options)
