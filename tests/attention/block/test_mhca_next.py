import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import MHCANext


def test_is_the_sum_written_by_hand(stirred, tiny):
    mhca = stirred(MHCANext(6, num_heads=3))
    y, (conv, norm, _) = mhca(tiny), mhca.heads
    for b in range(2):
        padded, heads = F.pad(tiny[b], (1,) * 4), []
        for o in range(6):
            u = torch.zeros(3, 4).double()
            for i in range(2):
                for r in range(3):
                    for s in range(3):
                        tap = padded[o // 2 * 2 + i, r : r + 3, s : s + 4]
                        u += conv.weight[o, i, r, s] * tap
            u = (u - norm.running_mean[o]) / (norm.running_var[o] + norm.eps).sqrt()
            heads.append((u * norm.weight[o] + norm.bias[o]).clamp(min=0))
        for o in range(6):
            wanted = sum(mhca.proj.weight[o, c, 0, 0] * heads[c] for c in range(6))
            torch.testing.assert_close(y[b, o], wanted)


@pytest.mark.parametrize(("channels", "heads"), [(96, 3), (256, 8), (20, 1), (8, 1)])
def test_heads_have_thirty_two_channels(channels, heads):
    assert MHCANext(channels).num_heads == heads


def test_a_head_reads_its_own_channels(stirred):
    mhca = stirred(MHCANext(8, num_heads=2, act="identity"))
    x = torch.randn(1, 8, 4, 4).double().requires_grad_()
    (gradient,) = torch.autograd.grad(mhca.attention_map(x)[:, :4].sum(), x)
    assert gradient[:, :4].any()
    assert not gradient[:, 4:].any()


@pytest.mark.parametrize("options", [{"num_heads": 3}, {"kernel_size": 2}, {"act": "silly"}])
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        MHCANext(16, **options)
