"""Joiners against the sum written by hand, on maps, tokens and video."""

import pytest
import torch

from foveal.measure import count_traffic
from foveal.mix.join import JOINERS, Concat, Gate, Max, Mean, Product, Select, Sum

SHAPES = (2, 8, 5, 7), (2, 6, 8), (2, 3, 8, 5, 7)


def made(shape, branches=3):
    torch.manual_seed(0)
    x, *outputs = (torch.randn(shape, requires_grad=True) for _ in range(branches + 1))
    weights = torch.rand(1, branches, *[1] * (len(shape) - 1))
    return x, outputs, weights / weights.sum(1)


@pytest.mark.parametrize("shape", SHAPES)
def test_sums_means_and_maxima(shape):
    x, outputs, weights = made(shape)
    stacked = torch.stack(outputs, 1)
    wanted = {
        (Sum, None): stacked.sum(1),
        (Mean, None): stacked.mean(1),
        (Max, None): stacked.amax(1),
        (Sum, "w"): (stacked * weights).sum(1),
        (Mean, "w"): (stacked * weights).sum(1),
        (Max, "w"): (stacked * weights * 3).amax(1),
    }
    for (joiner, weighted), y in wanted.items():
        found = joiner(8, 3)(x, iter(outputs), weights if weighted else None)
        torch.testing.assert_close(found, y)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("word", [word for word, joiner in JOINERS.items() if joiner.weighable])
def test_equal_weights_are_as_good_as_none_and_all_learn(word, shape):
    x, outputs, weights = made(shape)
    torch.manual_seed(0)
    joiner = JOINERS[word](8, 3)
    even = torch.full_like(weights, 1 / 3).requires_grad_()
    plain, weighted = joiner(x, outputs, None), joiner(x, outputs, even)
    torch.testing.assert_close(weighted, plain / 3 if word == "sum" else plain)
    weighted.square().sum().backward()
    for tensor in (*outputs, even, *joiner.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.abs().max() > 0


def test_the_product_gates_the_input():
    x, gates, _ = made(SHAPES[0])
    torch.testing.assert_close(Product(8, 3)(x, gates, None), x * gates[0] * gates[1] * gates[2])


def test_concat_is_one_by_one_convolution_of_all():
    x, outputs, _ = made(SHAPES[0])
    joiner = Concat(8, 3)
    layer = joiner.project.layer
    wanted = torch.einsum("oc,bchw->bohw", layer.weight, torch.cat(outputs, 1))
    torch.testing.assert_close(joiner(x, outputs, None), wanted + layer.bias[:, None, None])


def test_a_gate_adds_scores_until_it_has_learned():
    x, outputs, _ = made(SHAPES[0])
    wanted = x * sum(outputs).sigmoid()
    torch.testing.assert_close(Gate(8, 3)(x, outputs, None), wanted)


@pytest.mark.parametrize("shape", SHAPES)
def test_selection_shares_each_channel_out(shape):
    x, outputs, _ = made(shape)
    joiner = Select(8, 3)
    shares = joiner.selection(x, outputs)
    stacked = torch.stack(outputs, 1)
    assert shares.ndim == stacked.ndim
    torch.testing.assert_close(shares.sum(1), torch.ones_like(shares.sum(1)))
    torch.testing.assert_close(joiner(x, outputs, None), (shares * stacked).sum(1))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("joiner", [Sum, Mean])
def test_adding_up_moves_the_least_that_two_operands_can(joiner, weighted):
    """Each branch after the first reads two maps and writes one; only weights read the first
    alone. Nothing is held but the result."""
    x, outputs, weights = made((1, 8, 64, 64), branches=4)
    size = x.numel() * 4
    made_of = joiner(8, 4).eval()

    class Joined(torch.nn.Module):
        def forward(self, *outputs):
            return made_of(outputs[0], outputs, weights if weighted else None)

    traffic = count_traffic(Joined(), tuple(y.detach() for y in outputs))
    passes = 3 * 3 + (2 if weighted else 0)
    assert traffic.bytes_moved <= passes * size * 1.001
    assert traffic.peak_memory <= size * 1.001
