from math import cos, exp, sin, sqrt

import pytest
import torch
from torch import nn

from foveal import FovealError
from foveal.attention import AIFI
from foveal.attention.block.aifi import sine_positions


def normed(layer, x):
    x = (x - x.mean()) / (x.var(unbiased=False) + layer.eps).sqrt()
    return x * layer.weight + layer.bias


@pytest.mark.parametrize("pre_norm", [False, True])
def test_is_the_sum_written_by_hand(stirred, tiny, pre_norm):
    aifi = stirred(AIFI(6, num_heads=2, hidden=4, act="relu", pre_norm=pre_norm))
    y = aifi(tiny)
    positions = [(h, w) for h in range(3) for w in range(4)]
    waves = [1, 10000**-0.5]  # 6 channels need two frequencies; what is left over is cut off

    def placed(h, w):
        parts = [f(wave * at) for at in (h, w) for f in (sin, cos) for wave in waves]
        return torch.tensor(parts[:6]).double()

    weights, biases = aifi.attn.qkv.weight.split(6), aifi.attn.qkv.bias.split(6)
    for b in range(2):
        tokens = [tiny[b, :, h, w] for h, w in positions]
        given = [normed(aifi.attn_norm, t) for t in tokens] if pre_norm else tokens
        at = [t + placed(h, w) for t, (h, w) in zip(given, positions, strict=True)]
        q, k = ([weights[i] @ t + biases[i] for t in at] for i in (0, 1))
        v = [weights[2] @ t + biases[2] for t in given]
        for i, (h, w) in enumerate(positions):
            heads = []
            for c in (0, 3):
                scores = [exp(float(q[i][c : c + 3] @ other[c : c + 3]) / sqrt(3)) for other in k]
                pairs = zip(scores, v, strict=True)
                heads.append(sum(s / sum(scores) * other[c : c + 3] for s, other in pairs))
            z = tokens[i] + aifi.attn.proj.weight @ torch.cat(heads) + aifi.attn.proj.bias
            z = z if pre_norm else normed(aifi.attn_norm, z)
            inner = normed(aifi.mlp_norm, z) if pre_norm else z
            inner = (aifi.mlp[0].weight @ inner + aifi.mlp[0].bias).clamp(min=0)
            wanted = z + aifi.mlp[3].weight @ inner + aifi.mlp[3].bias
            wanted = wanted if pre_norm else normed(aifi.mlp_norm, wanted)
            torch.testing.assert_close(y[b, :, h, w], wanted)


def test_agrees_with_torchs_encoder_layer():
    """Which adds its positions to the values too, and so is given none."""
    theirs = nn.TransformerEncoderLayer(8, 2, 16, 0.0, "gelu", batch_first=True).eval()
    ours = AIFI(8, 2, hidden=16)
    for module in ours.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.bias)
    theirs.self_attn.in_proj_weight.data = ours.attn.qkv.weight.data
    theirs.self_attn.in_proj_bias.data = ours.attn.qkv.bias.data
    theirs.self_attn.out_proj.load_state_dict(ours.attn.proj.state_dict())
    theirs.linear1.load_state_dict(ours.mlp[0].state_dict())
    theirs.linear2.load_state_dict(ours.mlp[3].state_dict())
    x = torch.randn(2, 8, 1, 1)
    at_origin = sine_positions(x)  # zeros and ones: shifts queries and keys of the only token
    assert at_origin.tolist() == [[0, 0, 1, 1, 0, 0, 1, 1]]
    torch.testing.assert_close(ours(x).flatten(2).mT, theirs(x.flatten(2).mT))


def test_a_row_is_told_from_a_column():
    x = torch.zeros(1, 8, 3, 5)
    sines = sine_positions(x).view(3, 5, 8)
    assert (sines[:, 0, :4] == sines[:, 4, :4]).all()
    assert (sines[0, :, 4:] == sines[2, :, 4:]).all()
    assert len({tuple(s) for s in sines.flatten(0, 1).tolist()}) == 15


def test_width_is_rt_detrs():
    assert (AIFI(256).hidden, AIFI(256).attn.num_heads) == (1024, 8)


@pytest.mark.parametrize(
    "options", [{"num_heads": 5}, {"hidden": 0}, {"temperature": 0}, {"act": "silly"}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        AIFI(16, **options)
