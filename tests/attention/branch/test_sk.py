import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import SK


def test_is_the_sum_written_by_hand(stirred, tiny):
    sk = stirred(SK(6, groups=2, hidden=4))
    y = sk(tiny)

    def norm(layer, x):
        shape = (-1,) + (1,) * (x.ndim - 1)
        x = (x - layer.running_mean.view(shape)) / (layer.running_var + layer.eps).sqrt().view(
            shape
        )
        return (x * layer.weight.view(shape) + layer.bias.view(shape)).clamp(min=0)

    for b in range(2):
        paths = []
        for dilation, (conv, bn, _) in zip((1, 2), sk.paths, strict=True):
            u, padded = torch.zeros_like(tiny[b]), F.pad(tiny[b], (dilation,) * 4)
            for o in range(6):
                group = range(3) if o < 3 else range(3, 6)  # two groups of three channels
                for i, c in enumerate(group):
                    for r in range(3):
                        for s in range(3):
                            tap = padded[c, r * dilation :, s * dilation :][:3, :4]
                            u[o] += conv.weight[o, i, r, s] * tap
            paths.append(norm(bn, u))
        squeezed = sum(paths).mean((1, 2))
        hidden = norm(sk.fuse[1], sk.fuse[0].weight @ squeezed)
        scores = (sk.select.weight @ hidden).view(2, 6)
        shares = scores.exp() / scores.exp().sum(0)
        wanted = sum(share[:, None, None] * u for share, u in zip(shares, paths, strict=True))
        torch.testing.assert_close(y[b], wanted)


def test_shares_of_a_channel_sum_to_one(stirred, tiny):
    shares = stirred(SK(6, kernel_size=(1, 3, 5))).attention_map(tiny)
    assert shares.shape == (2, 3, 6, 1, 1)
    torch.testing.assert_close(shares.sum(1), torch.ones(2, 6, 1, 1).double())


def test_hidden_width_is_the_papers():
    """Eq. 4: d = max(C / r, L) with r = 16 and L = 32."""
    assert SK(256).hidden == 32
    assert SK(1024).hidden == 64


@pytest.mark.parametrize(("channels", "groups"), [(64, 32), (48, 16), (12, 4), (7, 1), (320, 32)])
def test_groups_divide_the_channels(channels, groups):
    assert SK(channels).paths[0][0].groups == groups


def test_split_input_reads_each_channel_once(stirred):
    sk = stirred(SK(8, split_input=True))
    x = torch.randn(1, 8, 5, 5).double()
    changed = x.clone()
    changed[:, 4:] += 1  # the second path's share
    before, after = (sk.paths[0](t[:, :4]) for t in (x, changed))
    assert torch.equal(before, after)
    assert sk(x).shape == x.shape


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": (3, 4)},
        {"kernel_size": ()},
        {"kernel_size": (3, 5), "dilation": (1,)},
        {"groups": 5},
        {"groups": (1, 2, 4)},
        {"kernel_size": (3, 5, 7), "split_input": True},
        {"act": "relu7"},
    ],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        SK(16, **options)
