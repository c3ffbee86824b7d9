from math import exp, sqrt

import pytest
import torch
import torch.nn.functional as F

from foveal import FovealError
from foveal.attention import CGA


def normalised(layer, x):
    """Over the first axis."""
    x = (x - layer.running_mean[:, None]) / (layer.running_var + layer.eps).sqrt()[:, None]
    return x * layer.weight[:, None] + layer.bias[:, None]


def test_is_the_sum_written_by_hand(stirred, tiny):
    module = stirred(CGA(6, 2, key_channels=2, kernel_size=(3, 1), table_size=(3, 4)))
    y = module(tiny).flatten(2)
    for b in range(2):
        x, found = tiny[b].flatten(1), []
        for head in range(2):
            read = x[head * 3 : head * 3 + 3] + (found[-1] if found else 0)
            conv, norm = module.qkvs[head]
            qkv = normalised(norm, conv.weight[:, :, 0, 0] @ read)
            conv, norm = module.query_convs[head]
            edge = conv.kernel_size[0] // 2
            padded, q = F.pad(qkv[:2].view(2, 3, 4), (edge,) * 4), torch.zeros(2, 12).double()
            for n in range(12):
                i, j, k = n // 4, n % 4, 2 * edge + 1
                taps = padded[:, i : i + k, j : j + k]
                q[:, n] = (conv.weight[:, 0] * taps).sum((1, 2))
            q, out = normalised(norm, q), torch.zeros(3, 12).double()
            for n in range(12):
                e = []
                for m in range(12):
                    bias = module.bias[head, abs(n // 4 - m // 4), abs(n % 4 - m % 4)]
                    e.append(exp(float(q[:, n] @ qkv[2:4, m]) / sqrt(2) + float(bias)))
                out[:, n] = sum(w / sum(e) * qkv[4:, m] for m, w in enumerate(e))
            found.append(out)
        _, conv, norm = module.proj
        wanted = normalised(norm, conv.weight[:, :, 0, 0] @ torch.cat(found).clamp(min=0))
        torch.testing.assert_close(y[b], wanted)


def test_agrees_with_timm(stirred):
    msra = pytest.importorskip("timm.models.efficientvit_msra")
    ours = stirred(CGA(24, 3, key_channels=4, kernel_size=(7, 5, 3), table_size=5))
    theirs = msra.CascadedGroupAttention(24, 4, 3, 2, 5, (7, 5, 3)).double()
    state = ours.state_dict()
    bias = state.pop("bias").flatten(1)
    names = [name for name in theirs.state_dict() if name != "attention_biases"]
    theirs.load_state_dict(
        {"attention_biases": bias, **dict(zip(names, state.values(), strict=True))}
    )
    for part in theirs.modules():
        part.training = False
    x = torch.randn(2, 24, 5, 5).double()
    torch.testing.assert_close(ours(x), theirs(x))


def test_the_bias_of_another_size_keeps_its_ends(stirred):
    module = stirred(CGA(4, 2, table_size=(5, 6)))
    for height, width in ((3, 4), (9, 2), (5, 6)):
        biases = module._biases(height, width)
        torch.testing.assert_close(biases[:, 0, 0], module.bias[:, 0, 0])
        torch.testing.assert_close(biases[:, 0, -1], module.bias[:, -1, -1])
        assert torch.equal(biases, biases.mT)


def test_a_head_reads_what_the_one_before_found(stirred, tiny):
    module = stirred(CGA(6, 3))
    other = tiny.clone()
    other[:, :2] += 1  # the first head's share
    before, after = module._cascade(tiny)[1], module._cascade(other)[1]
    assert not any(torch.allclose(a, b) for a, b in zip(before, after, strict=True))
    other = tiny.clone()
    other[:, 4:] += 1  # the last head's
    after = module._cascade(other)[1]
    assert torch.equal(before[1], after[1])


def test_refusals():
    for options in ({"num_heads": 5}, {"kernel_size": 4}, {"key_channels": 0}, {"table_size": 0}):
        name, value = next(iter(options.items()))
        with pytest.raises(FovealError, match=f"{name}={value}"):
            CGA(8, **options)
    with pytest.raises(FovealError, match="one for each of 4 heads"):
        CGA(8, kernel_size=(3, 3))
