import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import ParNet


@pytest.mark.parametrize("groups", [1, 2])
def test_is_the_sum_written_by_hand(stirred, tiny, groups):
    block = stirred(ParNet(6, groups=groups))
    y = block(tiny)
    together = 6 // groups

    def norm(bn, x):
        x = (x - bn.running_mean[:, None, None]) / (bn.running_var + bn.eps).sqrt()[:, None, None]
        return x * bn.weight[:, None, None] + bn.bias[:, None, None]

    def path(layers, x):
        conv, bn = layers
        size = conv.weight.shape[-1]
        padded = F.pad(x, (size // 2,) * 4)
        z = torch.zeros_like(x)
        for o in range(6):
            for c in range(together):
                taps = conv.weight[o, c]
                seen = padded[o // together * together + c]
                for i in range(size):
                    for j in range(size):
                        z[o] += taps[i, j] * seen[i : i + 3, j : j + 4]
        return norm(bn, z)

    for b in range(2):
        skip = norm(block.norm, tiny[b])
        means = [sum(skip[c].flatten()) / 12 for c in range(6)]
        gate = torch.zeros(6).double()
        for o in range(6):
            for c in range(together):
                gate[o] += block.gate.weight[o, c, 0, 0] * means[o // together * together + c]
        z = path(block.wide, tiny[b]) + path(block.point, tiny[b])
        z = z + skip * gate.sigmoid()[:, None, None]
        z = z * z.sigmoid()
        order = range(6) if groups == 1 else (0, 3, 1, 4, 2, 5)
        torch.testing.assert_close(y[b], z[list(order)])


@pytest.mark.parametrize("options", [{"kernel_size": 2}, {"groups": 3}, {"act": "swash"}])
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        ParNet(8, **options)
