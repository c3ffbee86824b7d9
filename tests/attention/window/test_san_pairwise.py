from math import exp

import pytest
import torch

from foveal import FovealError
from foveal.attention import SANPairwise
from foveal.attention.window.san_pairwise import _mirror


def seen(part, x):
    """Normalise a vector, rectify it, and pass it through a layer."""
    norm, _, conv = part
    x = (x - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
    y = conv.weight[..., 0, 0] @ x.clamp(min=0)
    return y if conv.bias is None else y + conv.bias


def reflect(i, n):
    return -i if i < 0 else 2 * (n - 1) - i if i >= n else i


@pytest.mark.parametrize("patchwise", [False, True])
def test_is_the_sum_written_by_hand(stirred, tiny, patchwise):
    module = stirred(SANPairwise(6, 3, patchwise, key_channels=2, share=3))
    y = module(tiny)
    for b in range(2):
        query, key, value = (
            torch.einsum("oc,chw->ohw", layer.weight[..., 0, 0], tiny[b])
            for layer in (module.query, module.key, module.value)
        )
        value = value + module.value.bias[:, None, None]
        for i in range(3):
            for j in range(4):
                around = [
                    (reflect(i + r, 3), reflect(j + s, 4)) for r in (-1, 0, 1) for s in (-1, 0, 1)
                ]
                if patchwise:
                    keys = torch.stack([key[:, r, s] for r, s in around], 1).flatten()
                    hidden = seen(module.of_query, query[:, i, j]) + seen(module.of_keys, keys)
                    weights = seen(module.score, hidden).view(2, 9)
                else:
                    columns = []
                    for r, s in around:
                        place = torch.tensor([2 / 3 * (j - s), 2 / 2 * (i - r)]).double()
                        hidden = seen(module.of_difference, query[:, i, j] - key[:, r, s])
                        hidden = hidden + seen(module.of_place, module.place.weight @ place)
                        columns.append(seen(module.score, hidden))
                    weights = torch.stack(columns, 1)
                    for g in range(2):
                        terms = [exp(w) for w in weights[g].tolist()]
                        weights[g] = torch.tensor([t / sum(terms) for t in terms])
                for c in range(6):
                    wanted = sum(
                        weights[c % 2, t] * value[c, r, s] for t, (r, s) in enumerate(around)
                    )
                    assert abs(y[b, c, i, j] - wanted) < 1e-6


def test_pairwise_weights_sum_to_one(stirred, tiny):
    weights = stirred(SANPairwise(6)).attention_map(tiny)
    assert weights.shape == (2, 1, 3, 4, 49)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 1, 3, 4).double())


@pytest.mark.parametrize(
    ("size", "edge", "wanted"),
    [(3, 2, [2, 1, 0, 1, 2, 1, 0]), (2, 3, [1, 0, 1, 0, 1, 0, 1, 0]), (1, 2, [0, 0, 0, 0, 0])],
)
def test_edges_are_mirrors(size, edge, wanted):
    assert _mirror(size, edge, torch.zeros(1)).tolist() == wanted


@pytest.mark.parametrize(
    "options", [{"kernel_size": 4}, {"share": 3}, {"dilation": 0}, {"key_channels": 0}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        SANPairwise(16, **options)
