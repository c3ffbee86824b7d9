from math import exp, sqrt

import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import MobileViT


def conv(layers, x):
    first, norm, _ = layers
    x = F.conv2d(x, first.weight, padding=first.padding[0])
    x = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    return x * x.sigmoid()


def normed(layer, x):
    x = (x - x.mean()) / (x.var(unbiased=False) + layer.eps).sqrt()
    return x * layer.weight + layer.bias


def through(layer, tokens):
    """One layer on one sequence, a list of vectors: two heads of three channels."""
    qkv = [layer.attn.qkv.weight @ normed(layer.attn_norm, t) + layer.attn.qkv.bias for t in tokens]
    results = []
    for i, token in enumerate(tokens):
        heads = []
        for h in range(0, 6, 3):
            q = qkv[i][h : h + 3]
            scores = [exp(float(q @ other[6 + h : 9 + h]) / sqrt(3)) for other in qkv]
            pairs = zip(scores, qkv, strict=True)
            heads.append(sum(s / sum(scores) * other[12 + h : 15 + h] for s, other in pairs))
        token = token + layer.attn.proj.weight @ torch.cat(heads) + layer.attn.proj.bias
        hidden = layer.mlp[0].weight @ normed(layer.mlp_norm, token) + layer.mlp[0].bias
        hidden = hidden * hidden.sigmoid()
        results.append(token + layer.mlp[3].weight @ hidden + layer.mlp[3].bias)
    return results


@pytest.mark.parametrize("size", [(4, 6), (3, 5)])
def test_is_the_sum_written_by_hand(stirred, size):
    """Section 3.1; a map of 3 × 5 is interpolated to 4 × 6, and back."""
    block = stirred(MobileViT(4, width=6, num_heads=2, depth=2))
    x = torch.randn(2, 4, *size).double()
    inner = F.conv2d(conv(block.local, x), block.expand.weight)
    inner = F.interpolate(inner, (4, 6), mode="bilinear")
    for b in range(2):
        for row in range(2):
            for column in range(2):
                places = [(i + row, j + column) for i in range(0, 4, 2) for j in range(0, 6, 2)]
                tokens = [inner[b, :, i, j] for i, j in places]
                for layer in block.layers:
                    tokens = through(layer, tokens)
                for (i, j), token in zip(places, tokens, strict=True):
                    inner[b, :, i, j] = normed(block.norm, token)
    inner = conv(block.proj, F.interpolate(inner, size, mode="bilinear"))
    wanted = conv(block.fuse, torch.cat((x, inner), 1))
    torch.testing.assert_close(block(x), wanted)


def test_places_of_a_patch_attend_apart(stirred):
    block = stirred(MobileViT(8, patch_size=(2, 3)))
    weights = block.attention_map(torch.randn(2, 8, 6, 9).double())
    assert weights.shape == (2, 6, 3, 9, 9)
    second = block.attention_map(torch.randn(2, 8, 6, 9).double(), layer=1)
    torch.testing.assert_close(second.sum(-1), torch.ones(2, 6, 3, 9).double())


@pytest.mark.parametrize(("channels", "width", "depth"), [(96, 144, 2), (128, 192, 4)])
def test_parameters_are_those_of_mobilevit_s(channels, width, depth):
    """The released models' layers: attention of four heads, a perceptron of twice the width."""
    block = MobileViT(channels, depth=depth)
    assert block.width == width
    layer = 4 * width**2 + 4 * width + 4 * width**2 + 3 * width + 4 * width
    count = 9 * channels**2 + 2 * channels * width + 18 * channels**2 + 6 * channels + 2 * width
    assert sum(p.numel() for p in block.parameters()) == count + depth * layer


def test_without_fusion_the_input_is_gone(stirred):
    block = stirred(MobileViT(8, fusion=False))
    assert block.fuse is None
    assert block(torch.randn(1, 8, 5, 5).double()).shape == (1, 8, 5, 5)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 2},
        {"num_heads": 5},
        {"width": 0},
        {"mlp_ratio": 0},
        {"depth": 0},
        {"patch_size": 0},
        {"groups": 3},
        {"act": "silly"},
    ],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        MobileViT(16, **options)
