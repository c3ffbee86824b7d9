from math import exp, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import SHSA


def normalised(layer, x):
    x = (x - layer.running_mean) / (layer.running_var + layer.eps).sqrt()
    return x * layer.weight + layer.bias


def test_is_the_sum_written_by_hand(stirred, tiny):
    module = stirred(SHSA(6, attended=2, key_channels=3))
    y = module(tiny).flatten(2)
    for b in range(2):
        x = tiny[b].flatten(1)
        few = x[:2]
        few = (few - few.mean()) / (few.var(unbiased=False) + module.norm.eps).sqrt()
        few = few * module.norm.weight[:, None] + module.norm.bias[:, None]
        qkv = [normalised(module.qkv[1], module.qkv[0].weight[:, :, 0, 0] @ t) for t in few.T]
        for n in range(12):
            e = [exp(float(qkv[n][:3] @ qkv[m][3:6]) / sqrt(3)) for m in range(12)]
            attended = sum(w / sum(e) * qkv[m][6:] for m, w in enumerate(e))
            out = torch.cat((attended, x[2:, n])).clamp(min=0)
            wanted = normalised(module.proj[2], module.proj[1].weight[:, :, 0, 0] @ out)
            torch.testing.assert_close(y[b, :, n], wanted)


def test_only_the_attended_channels_meet_other_positions(stirred):
    module = stirred(SHSA(8, attended=3))
    x = torch.randn(1, 8, 4, 4).double()
    other = x.clone()
    other[:, 3:, 0, 0] += 1
    changed = (module(x) != module(other)).any(1)[0]
    assert changed[0, 0]
    assert changed.sum() == 1


@pytest.mark.parametrize(("channels", "attended"), [(224, 48), (320, 69), (448, 96), (1, 1)])
def test_attends_to_the_papers_share(channels, attended):
    """SHViT-S1 and -S4 have 48, 68 and 96 of those widths."""
    assert SHSA(channels).attended == attended


def test_agrees_with_timm(stirred):
    shvit = pytest.importorskip("timm.models.shvit")
    if not hasattr(shvit, "SHSA"):
        pytest.skip("another timm")
    ours, theirs = stirred(SHSA(24, 5, 4)), shvit.SHSA(24, 4, 5).double().eval()
    state = list(ours.state_dict().values())
    theirs.load_state_dict(dict(zip(theirs.state_dict(), state, strict=True)))
    x = torch.randn(2, 24, 5, 6).double()
    torch.testing.assert_close(ours(x), theirs(x))


def test_refusals():
    for options in ({"attended": 9}, {"attended": 0}, {"key_channels": 0}):
        name, value = next(iter(options.items()))
        with pytest.raises(FovealError, match=f"{name}={value}"):
            SHSA(8, **options)
