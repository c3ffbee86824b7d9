"""Maps of several sizes that tell one another what they see."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from foveal import FovealError, create_attention
from foveal.core.types import Map
from foveal.mix.levels import Levels, averaged, drawn_out
from foveal.mix.weigh import Fixed, Learned, Quality
from foveal.ops.pyramid import binomial_kernel, expand, reduce
from foveal.ops.resize import adaptive_means, bilinear
from foveal.testing import check_attention

eca = partial(create_attention, "eca")


class Times(nn.Module):
    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: Map) -> Map:
        return x * self.factor


def test_two_levels_by_hand():
    """One channel, a map of 2 × 2 and one of 1 × 1, which is drawn out to a constant."""
    factors = iter((5.0, 7.0))

    def shares(channels: int, parts: int) -> Fixed:
        return Fixed(channels, parts, *(1, 3) if parts == 2 else (1, 2, 5))

    levels = Levels((1, 1), lambda width: Times(next(factors)), weighting=shares)
    fine, coarse = [[1.0, -2.0], [0.5, 3.0]], 4.0
    y = levels([torch.tensor(fine)[None, None], torch.tensor(coarse).view(1, 1, 1, 1)])

    def through(layer: nn.Module, value: float) -> float:
        return layer.weight.item() * value + layer.bias.item()

    own = [[through(levels.inward[0], value) for value in row] for row in fine]
    above = through(levels.inward[1], coarse)
    down = [[value / 4 + above * 3 / 4 for value in row] for row in own]
    below = sum(map(sum, down)) / 4
    up = above / 4 + below * 3 / 4
    for i in range(2):
        for j in range(2):
            wanted = fine[i][j] + through(levels.outward[0], 5 * down[i][j])
            assert y[0][0, 0, i, j].item() == pytest.approx(wanted, abs=1e-5)
    assert y[1].item() == pytest.approx(coarse + through(levels.outward[1], 7 * up), abs=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (3, 2), (5, 7)])
@pytest.mark.parametrize("to", [(1, 1), (3, 4), (5, 7), (11, 8)])
def test_sizes_are_changed_by_the_same_rule_when_exported(size, to):
    x = torch.randn(2, 3, *size)
    assert torch.allclose(averaged(x, *to), adaptive_means(x, *to), atol=1e-6)
    assert torch.allclose(drawn_out(x, *to), bilinear(x, *to, align_corners=False), atol=1e-6)


def pyramid_of(*sizes: tuple[int, int], channels: int = 6) -> list[Tensor]:
    return [torch.randn(2, channels + i, *size) for i, size in enumerate(sizes)]


@pytest.mark.parametrize(
    "sizes",
    [
        ((20, 13), (10, 7), (5, 4), (3, 2)),
        ((9, 9), (2, 8), (2, 3), (1, 3)),
        ((1, 1),) * 4,
        ((4, 4), (4, 4), (4, 4), (1, 1)),
    ],
)
def test_any_sizes_that_do_not_grow(sizes):
    maps = pyramid_of(*sizes)
    levels = Levels((6, 7, 8, 9), eca, width=5)
    assert [y.shape for y in levels(maps)] == [x.shape for x in maps]
    assert [len(m) for m in levels.attention_map(maps)] == [2] * 4


def test_every_level_hears_every_other():
    maps = [x.requires_grad_() for x in pyramid_of((8, 6), (4, 3), (2, 2))]
    for i, y in enumerate(Levels((6, 7, 8), eca)(maps)):
        heard = torch.autograd.grad(y.square().sum(), maps, retain_graph=True)
        assert all(g.abs().max() > 0 for g in heard), f"level {i}"


def test_weights_follow_the_input():
    levels = Levels((6, 7, 8), eca)
    maps, others = pyramid_of((8, 6), (4, 3), (2, 2)), pyramid_of((8, 6), (4, 3), (2, 2))
    even = levels.weights(maps)
    assert [w.flatten(1)[0].tolist() for w in even["down"]] == [[0.5, 0.5]] * 2
    assert [w.shape[1] for w in even["up"]] == [3, 2]
    for parameter in (*levels.downward.parameters(), *levels.upward.parameters()):
        nn.init.normal_(parameter, std=0.3)
    first, second = levels.weights(maps), levels.weights(others)
    for way in ("down", "up"):
        for a, b in zip(first[way], second[way], strict=True):
            assert torch.allclose(a.sum(1), torch.ones(()))
            assert not torch.allclose(a, b, atol=1e-3)
            assert not torch.allclose(a[0], a[1], atol=1e-4)


@pytest.mark.parametrize("weighting", [Learned, Quality])
def test_other_weightings(weighting):
    maps = pyramid_of((8, 6), (4, 3))
    y = Levels((6, 7), eca, weighting=weighting)(maps)
    assert [a.shape for a in y] == [x.shape for x in maps]


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda: Levels((6,), eca), "two levels at least"),
        (lambda: Levels((6, 0), eca), "must be a positive whole number"),
        (lambda: Levels((6, 7), eca, width=0), "width=0"),
        (lambda: Levels((6, 7, 8), eca)(pyramid_of((4, 4), (2, 2))), "smaller than its levels"),
        (lambda: Levels((6, 7), eca)(torch.randn(2, 6, 4, 4)), "2 levels, got 1 map: a pyramid"),
        (lambda: Levels((6, 7), eca)(pyramid_of((4, 4), (2, 2), (1, 1))), "got 3 maps: more"),
        (lambda: Levels((6, 8), eca)(pyramid_of((4, 4), (2, 2))), "level 1 takes a map .B, 8"),
        (lambda: Levels((6, 7), eca)(pyramid_of((4, 4), (2, 5))), "level 1 is larger"),
    ],
)
def test_refusals(act, says):
    with pytest.raises(FovealError, match=says):
        act()


class Through(nn.Module):
    """Levels over a pyramid that is made of one map, and made one map again, for the laws."""

    def __init__(self, channels: int):
        super().__init__()
        self.levels = Levels((channels, 2 * channels, channels), eca, width=max(channels // 2, 8))
        self.register_buffer("kernel", binomial_kernel(), persistent=False)

    def _maps(self, x: Tensor) -> list[Tensor]:
        half = reduce(x, self.kernel)
        return [x, torch.cat((half, half), 1), reduce(half, self.kernel)]

    def attention_map(self, x: Map) -> Tensor:
        return self.levels.attention_map(self._maps(x))[0]

    def forward(self, x: Map) -> Map:
        fine, both, coarse = self.levels(self._maps(x))
        one, other = both.chunk(2, 1)
        middle = one * other + expand(coarse, self.kernel, *both.shape[2:])
        return fine + expand(middle, self.kernel, *x.shape[2:])


def test_laws():
    laws = "shape channels independent learning precision copies meta"
    check_attention(Through, laws=[*laws.split(), "compile", "export", "onnx"])
