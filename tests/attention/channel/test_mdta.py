from math import exp, sqrt

import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import MDTA


def test_is_the_sum_written_by_hand(stirred, tiny):
    mdta = stirred(MDTA(6, num_heads=2, bias=True))
    y = mdta(tiny)
    conv = mdta.surroundings
    for b in range(2):
        mixed = torch.einsum("oc,chw->ohw", mdta.qkv.weight[:, :, 0, 0], tiny[b])
        mixed = F.pad(mixed + mdta.qkv.bias[:, None, None], (1, 1, 1, 1))
        seen = torch.zeros(18, 3, 4).double()
        for o in range(18):
            for r in range(3):
                for s in range(3):
                    seen[o] += conv.weight[o, 0, r, s] * mixed[o, r : r + 3, s : s + 4]
            seen[o] += conv.bias[o]
        q, k, v = seen[:6].flatten(1), seen[6:12].flatten(1), seen[12:]
        joined = torch.zeros(6, 3, 4).double()
        for i in range(6):
            head = range(3) if i < 3 else range(3, 6)
            scores = []
            for j in head:
                length = sqrt(float(q[i] @ q[i])) * sqrt(float(k[j] @ k[j]))
                alike = float(q[i] @ k[j]) / length
                scores.append(exp(float(mdta.temperature[i // 3]) * alike))
            for j, score in zip(head, scores, strict=True):
                joined[i] += score / sum(scores) * v[j]
        torch.testing.assert_close(y[b], mdta.proj(joined))


@pytest.mark.parametrize(
    ("channels", "heads"), [(48, 1), (96, 2), (192, 4), (384, 8), (768, 8), (8, 1), (100, 2)]
)
def test_heads_are_the_papers(channels, heads):
    """Restormer's four levels have 48, 96, 192 and 384 channels in 1, 2, 4 and 8 heads."""
    assert MDTA(channels).num_heads == heads


def test_parameters_are_restormers():
    count = sum(p.numel() for p in MDTA(48).parameters())
    assert count == 1 + 48 * 144 + 9 * 144 + 48 * 48


def test_what_does_not_fit_is_refused():
    for options in ({"num_heads": 3}, {"kernel_size": 2}):
        with pytest.raises(FovealError):
            MDTA(16, **options)
