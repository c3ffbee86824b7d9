from math import exp, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import PartialSelfAttention


def conv(layers, x, act=False):
    """A layer on one position's vector."""
    first, norm, _ = layers
    x = first.weight[:, :, 0, 0] @ x
    x = (x - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
    return x * x.sigmoid() if act else x


def test_is_the_sum_written_by_hand(stirred, tiny):
    psa = stirred(PartialSelfAttention(6, width=4, num_heads=2, key_channels=1))
    y, (layer,) = psa(tiny), psa.layers
    positions = [(h, w) for h in range(3) for w in range(4)]
    for b in range(2):
        split = [conv(psa.split, tiny[b, :, h, w], True) for h, w in positions]
        qkv = [conv(layer.qkv, s[2:]) for s in split]  # 2 queries, 2 keys, 4 values
        for i, (h, w) in enumerate(positions):
            heads = []
            for head in range(2):
                scores = [exp(float(qkv[i][head] * other[2 + head])) for other in qkv]
                pairs = zip(scores, qkv, strict=True)
                values = slice(4 + 2 * head, 6 + 2 * head)
                heads.append(sum(s / sum(scores) * other[values] for s, other in pairs))
            near = {(h + u - 1, w + v - 1): (u, v) for u in range(3) for v in range(3)}
            kernel, norm, _ = layer.position
            around = sum(
                kernel.weight[:, 0, u, v] * qkv[positions.index(place)][4:]
                for place, (u, v) in near.items()
                if place in positions
            )
            around = (around - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
            around = around * norm.weight + norm.bias
            z = split[i][2:] + conv(layer.proj, torch.cat(heads) + around)
            z = z + conv(layer.mlp[1], conv(layer.mlp[0], z, True))
            wanted = conv(psa.fuse, torch.cat((split[i][:2], z)), True)
            torch.testing.assert_close(y[b, :, h, w], wanted)


def test_scores_are_scaled_by_the_width_of_the_keys(stirred):
    psa = stirred(PartialSelfAttention(16, num_heads=2))
    x = torch.randn(1, 16, 2, 2).double()
    q, k, _ = psa.layers[0].heads(psa.layers[0].qkv(psa.split(x)[:, 8:]))
    assert q.shape == (1, 2, 4, 2)  # values have 4 channels per head
    wanted = (q @ k.mT / sqrt(2)).softmax(-1)
    torch.testing.assert_close(psa.attention_map(x), wanted)


@pytest.mark.parametrize(("channels", "heads", "keys"), [(512, 4, 32), (256, 2, 32), (64, 1, 16)])
def test_heads_and_keys_are_the_papers(channels, heads, keys):
    """Half of the channels, a head for 64 of them, keys half as wide as values."""
    psa = PartialSelfAttention(channels)
    assert (psa.width, psa.num_heads, psa.key_channels) == (channels // 2, heads, keys)


def test_all_channels_may_attend_in_several_layers(stirred):
    psa = stirred(PartialSelfAttention(8, width=8, depth=2))
    x = torch.randn(2, 8, 3, 2).double()
    assert psa(x).shape == x.shape
    weights = psa.attention_map(x, layer=1)
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]).double())


@pytest.mark.parametrize(
    "options",
    [
        {"width": 0},
        {"width": 17},
        {"num_heads": 3},
        {"key_channels": 0},
        {"mlp_ratio": 0},
        {"depth": 0},
        {"kernel_size": 2},
        {"act": "silly"},
    ],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        PartialSelfAttention(16, **options)
