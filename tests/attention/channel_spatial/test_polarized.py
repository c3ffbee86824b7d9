from math import exp

import pytest
import torch

from foveal import FovealError
from foveal.attention import PolarizedAttention
from foveal.measure import count_traffic
from foveal.testing import check_attention


def softmax(scores):
    shares = [exp(score) for score in scores]
    return [share / sum(shares) for share in shares]


def dot(a, b):
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def by_hand(module, image, sequential, paper):
    """One image (C, N), position by position."""
    columns = image.T.tolist()
    attended = softmax([dot(module.score.weight.flatten(), column) for column in columns])
    gathered = torch.tensor(
        [sum(a * column[c] for a, column in zip(attended, columns, strict=True)) for c in range(6)]
    ).double()
    scores = module.value.weight @ gathered
    for layer in module.up:
        scores = layer(scores)
    channel = [1 / (1 + exp(-float(score))) for score in scores]
    seen = [[g * v for g, v in zip(channel, column, strict=True)] for column in columns]
    seen = seen if sequential else columns
    mean = [sum(column[c] for column in seen) / len(seen) for c in range(6)]
    query = [dot(row, mean) for row in module.spatial_query.weight]
    values = [[dot(row, column) for row in module.spatial_value.weight] for column in seen]
    if paper:
        spatial = [dot(softmax(query), value) for value in values]
    elif sequential:
        shares = [softmax(channel) for channel in zip(*values, strict=True)]
        spatial = [dot(query, column) for column in zip(*shares, strict=True)]
    else:
        spatial = softmax([dot(query, value) for value in values])
    spatial = [1 / (1 + exp(-score)) for score in spatial]
    return torch.tensor(
        [
            [image[c, n] * (g * s if sequential else g + s) for n, s in enumerate(spatial)]
            for c, g in enumerate(channel)
        ]
    ).double()


@pytest.mark.parametrize("form", ["code", "paper"])
@pytest.mark.parametrize("mode", ["parallel", "sequential"])
def test_is_the_sum_written_by_hand(stirred, tiny, mode, form):
    module = stirred(PolarizedAttention(6, mode, form))
    y = module(tiny)
    for image, found in zip(tiny, y, strict=True):
        wanted = by_hand(module, image.flatten(1), mode == "sequential", form == "paper")
        torch.testing.assert_close(found.flatten(1), wanted, rtol=1e-6, atol=1e-6)


def test_biases_count_where_no_softmax_cancels_them(stirred, tiny):
    module = stirred(PolarizedAttention(6, form="paper", bias=True))
    values = module.spatial_value(tiny.permute(0, 2, 3, 1))
    query = module.spatial_query(tiny.mean((2, 3))).softmax(-1)
    spatial = torch.einsum("bk,bhwk->bhw", query, values).sigmoid()
    wanted = module.attention_map(tiny) - spatial[:, None]
    torch.testing.assert_close(wanted, wanted[..., :1, :1].expand_as(wanted))
    assert PolarizedAttention(6, bias=True).spatial_value.bias is None


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "sequential"},
        {"form": "paper", "bias": True},
        {"mode": "sequential", "form": "paper"},
    ],
)
def test_every_form_keeps_the_laws(options):
    laws = ("shape", "channels", "cost", "learning", "attention_map")
    check_attention("polarized", laws=laws, **options)


@pytest.mark.parametrize("form", ["code", "paper"])
def test_what_it_moves(form):
    x = torch.randn(8, 256, 14, 14)
    moved = count_traffic(PolarizedAttention(256, form=form).eval(), x, "infer").bytes_moved
    assert moved < 8 * x.numel() * x.element_size()


def test_unknown_options_are_refused():
    with pytest.raises(FovealError, match="mode='both'"):
        PolarizedAttention(8, mode="both")
    with pytest.raises(FovealError, match="form='xmu'"):
        PolarizedAttention(8, form="xmu")
