import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import LiteMLA


def test_is_the_sum_written_by_hand(stirred, tiny):
    module = stirred(LiteMLA(6, head_channels=3, kernel_size=(3,)))
    y = module(tiny)
    for b in range(2):
        qkv = torch.einsum("oc,chw->ohw", module.qkv.weight[..., 0, 0], tiny[b])
        shifted = F.pad(qkv, (1, 1, 1, 1))
        summed = torch.zeros_like(qkv)
        for r in range(3):
            for s in range(3):
                taps = module.scales[0][0].weight[:, 0, r, s, None, None]
                summed += taps * shifted[:, r : r + 3, s : s + 4]
        coarse = torch.cat(
            [  # each head's queries, keys and values by layers of their own
                torch.einsum(
                    "oc,chw->ohw", module.scales[0][1].weight[p : p + 3, :, 0, 0], summed[p : p + 3]
                )
                for p in range(0, 18, 3)
            ]
        )
        found = []
        for scale in qkv, coarse:
            for h in range(2):
                q, k, v = scale.flatten(1)[9 * h : 9 * h + 9].view(3, 3, 12)
                result = torch.zeros(3, 12).double()
                for i in range(12):
                    weights = [float(q[:, i].relu() @ k[:, j].relu()) for j in range(12)]
                    for j in range(12):
                        if sum(weights):
                            result[:, i] += weights[j] / sum(weights) * v[:, j]
                found.append(result)
        conv, bn = module.proj
        wanted = conv.weight[..., 0, 0] @ torch.cat(found)
        wanted = (wanted - bn.running_mean[:, None]) / (bn.running_var + bn.eps)[:, None].sqrt()
        wanted = wanted * bn.weight[:, None] + bn.bias[:, None]
        torch.testing.assert_close(y[b], wanted.view(6, 3, 4))


@pytest.mark.parametrize("scale", [0, 1])
def test_maps_of_both_scales(stirred, tiny, scale):
    weights = stirred(LiteMLA(6, head_channels=3)).attention_map(tiny, scale)
    assert weights.shape == (2, 2, 12, 12)
    sums = weights.sum(-1)
    assert ((sums - 1).abs().lt(1e-9) | sums.eq(0)).all()


@pytest.mark.parametrize(("channels", "heads"), [(128, 16), (20, 2), (7, 1)])
def test_heads_have_8_channels(channels, heads):
    assert LiteMLA(channels).num_heads == heads


def test_agrees_with_timms_layer(stirred):
    timm = pytest.importorskip("timm.models.efficientvit_mit")
    theirs = stirred(timm.LiteMLA(16, 16, scales=(3, 5), eps=1e-15))
    ours = LiteMLA(16, kernel_size=(3, 5)).double().eval()
    state = {
        key.replace("aggreg", "scales")
        .replace("qkv.conv", "qkv")
        .replace("proj.conv", "proj.0")
        .replace("proj.norm", "proj.1"): value
        for key, value in theirs.state_dict().items()
    }
    ours.load_state_dict(state)
    x = torch.randn(2, 16, 5, 7).double()
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)  # it works in float32


@pytest.mark.parametrize(
    "options", [{"kernel_size": (4,)}, {"kernel_size": 5}, {"num_heads": 0}, {"head_channels": 0}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        LiteMLA(16, **options)
