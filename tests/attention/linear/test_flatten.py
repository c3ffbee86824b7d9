from math import log, sqrt

import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import Flatten


def focus(x, scale, power):
    """‖u‖ uᵖ / ‖uᵖ‖ of one token's rectified features."""
    u = (x.clamp(min=0) + 1e-6) / scale
    powers = torch.tensor([float(number) ** power for number in u]).double()
    return sqrt(float(u @ u)) / sqrt(float(powers @ powers)) * powers


def test_is_the_sum_written_by_hand(stirred):
    module = stirred(Flatten(4, num_heads=2, kernel_size=3, window_size=(2, 3), qkv_bias=True))
    x = torch.randn(2, 4, 2, 3).double()
    y = module(x)
    scale = torch.tensor([log(1 + 2.718281828459045 ** float(s)) for s in module.scale]).double()
    for b in range(2):
        tokens = x[b].flatten(1).T
        q, k, v = (tokens @ module.qkv.weight.T + module.qkv.bias).split(4, dim=1)
        k = k + module.positions[0].flatten(1).T
        q = torch.stack([focus(token, scale, 3) for token in q])
        k = torch.stack([focus(token, scale, 3) for token in k])
        wanted = torch.zeros(6, 4).double()
        for h in range(2):
            part = slice(2 * h, 2 * h + 2)
            for n in range(6):
                weights = [float(q[n, part] @ k[m, part]) for m in range(6)]
                total = sum(weights) + 1e-6
                for m in range(6):
                    wanted[n, part] += weights[m] / total * v[m, part]
        values = F.pad(v.T.view(4, 2, 3), (1, 1, 1, 1))
        for n in range(6):
            i, j = divmod(n, 3)
            for c in range(4):  # heads share the taps
                taps = module.local.weight[c % 2, 0]
                wanted[n, c] += (taps * values[c, i : i + 3, j : j + 3]).sum()
                wanted[n, c] += module.local.bias[c % 2]
        wanted = (wanted @ module.proj.weight.T + module.proj.bias).T.view(4, 2, 3)
        torch.testing.assert_close(y[b], wanted)


def test_focusing_keeps_lengths_and_sharpens(stirred):
    """Proposition 1: features of different largest axes are drawn apart, others together."""
    u = torch.tensor([[3.0, 1, 0.5, 0], [2.5, 1.5, 0, 0.5], [0.5, 3, 1, 0]]).double()
    blunt, sharp = (stirred(Flatten(4, num_heads=1, power=p)) for p in (1, 6))
    for module in blunt, sharp:
        module.scale.zero_()
    before, after = (module._focus(u[None])[0, 0] for module in (blunt, sharp))
    torch.testing.assert_close(after.norm(dim=-1), before.norm(dim=-1))
    alike, apart = (F.cosine_similarity(after[0], after[n], 0) for n in (1, 2))
    assert alike > F.cosine_similarity(before[0], before[1], 0)
    assert apart < F.cosine_similarity(before[0], before[2], 0)


def test_high_powers_stay_finite():
    module = Flatten(8, power=12)
    y = module(1e4 * torch.randn(1, 8, 5, 5))
    assert torch.isfinite(y).all()


@pytest.mark.parametrize(
    "options", [{"power": 0}, {"power": 2.5}, {"kernel_size": 4}, {"num_heads": 3}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        Flatten(16, **options)
