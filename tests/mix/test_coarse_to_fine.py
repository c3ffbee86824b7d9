"""A coarse pass that decides where the fine pass looks."""

from functools import partial
from math import ceil, exp

import pytest
import torch
from torch import nn

from foveal import FovealError, create_attention
from foveal.core.types import Map
from foveal.measure import count_traffic
from foveal.mix.coarse_to_fine import CoarseToFine
from foveal.testing import check_attention


class Times(nn.Module):
    def __init__(self, factor: float):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: Map) -> Map:
        return x * self.factor


@pytest.mark.parametrize(
    ("height", "width", "share"), [(5, 6, 1 / 3), (5, 6, 1.0), (1, 1, 0.25), (2, 7, 0.1)]
)
def test_by_hand(height, width, share):
    """Two channels, windows of 2 × 2, the coarse mechanism doubles and the fine one triples."""
    torch.manual_seed(height * width)
    look = CoarseToFine(2, lambda c: Times(2.0), lambda c: Times(3.0), window_size=2, share=share)
    x = torch.randn(1, 2, height, width)
    v, b = look.score.weight.flatten().tolist(), look.score.bias.item()
    values = x[0].tolist()
    rows, columns = ceil(height / 2), ceil(width / 2)
    means, scores = {}, {}
    for m in range(rows):
        for n in range(columns):
            inside = [
                (min(i, height - 1), min(j, width - 1))
                for i in (2 * m, 2 * m + 1)
                for j in (2 * n, 2 * n + 1)
            ]
            means[m, n] = [sum(values[c][i][j] for i, j in inside) / 4 for c in range(2)]
            scores[m, n] = sum(v[c] * 2 * means[m, n][c] for c in range(2)) + b
    most = sorted(scores, key=lambda window: -scores[window])[: ceil(share * rows * columns)]
    gates = {w: 1 / (1 + exp(-scores[w])) if w in most else 0.0 for w in scores}
    y, shown = look(x)[0], look.attention_map(x)[0, 0]
    for i in range(height):
        for j in range(width):
            window = i // 2, j // 2
            for c in range(2):
                coarsely = values[c][i][j] + means[window][c]  # 2 m − m
                finely = 3 * values[c][i][j]
                wanted = coarsely + gates[window] * (finely - coarsely)
                assert y[c, i, j].item() == pytest.approx(wanted, abs=1e-5)
    for window, gate in gates.items():
        assert shown[window].item() == pytest.approx(gate, abs=1e-6)


def test_the_fine_pass_sees_its_share_of_the_windows():
    seen = []
    look = CoarseToFine(4, lambda c: nn.Identity(), lambda c: nn.Identity(), share=0.3)
    look.fine.register_forward_hook(lambda module, args, y: seen.append(args[0].shape))
    look(torch.randn(2, 4, 17, 12))  # 5 × 3 windows
    assert seen == [(2 * 5, 4, 4, 4)]


def test_looking_at_a_quarter_saves_more_than_half():
    build = partial(create_attention, "eca"), partial(create_attention, "lka")
    moved = {
        share: count_traffic(CoarseToFine(32, *build, share=share), torch.randn(1, 32, 32, 32))
        for share in (0.25, 1.0)
    }
    assert moved[0.25].bytes_moved < 0.5 * moved[1.0].bytes_moved
    assert moved[0.25].peak_memory < 0.5 * moved[1.0].peak_memory


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"share": 0}, "share=0 must be above 0"),
        ({"share": 1.5}, "share=1.5"),
        ({"window_size": 0}, "window_size=0"),
        ({"window_size": 2.0}, "window_size=2.0"),
    ],
)
def test_refusals(options, says):
    with pytest.raises(FovealError, match=says):
        CoarseToFine(4, lambda c: nn.Identity(), lambda c: nn.Identity(), **options)


def coord_then_cbam(channels: int) -> CoarseToFine:
    coarse, fine = partial(create_attention, "coord"), partial(create_attention, "cbam")
    return CoarseToFine(channels, coarse, fine)


def test_laws():
    check_attention(coord_then_cbam)
