"""Several gates at once: what the plain products give, with every gradient."""

import pytest
import torch

from foveal.ops.several_gates import gate_and_add, gate_by_sum

X = (2, 3, 4, 5)
CASES = [
    (gate_by_sum, lambda x, a, b, c: x * (a + b + c), [(2, 3, 1, 1), (2, 1, 4, 5), (2, 3, 4, 1)]),
    (gate_and_add, lambda x, a: x + x * a, [X]),
]


def numbers(shapes):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.rand(s, generator=generator, dtype=torch.float64, requires_grad=True) for s in shapes
    ]


@pytest.mark.parametrize(("gated", "plain", "shapes"), CASES)
def test_same_as_the_plain_product(gated, plain, shapes):
    tensors = numbers([X, *shapes])
    ours, theirs = gated(*tensors), plain(*tensors)
    torch.testing.assert_close(ours, theirs)
    pull = torch.rand(X, dtype=torch.float64)
    torch.testing.assert_close(
        torch.autograd.grad(ours, tensors, pull), torch.autograd.grad(theirs, tensors, pull)
    )
    with torch.no_grad():
        torch.testing.assert_close(gated(*tensors), theirs)


@pytest.mark.parametrize(("gated", "plain", "shapes"), CASES)
def test_gradients_are_derivatives_the_second_ones_too(gated, plain, shapes):
    small = [tuple(min(n, 2) for n in shape) for shape in (X, *shapes)]
    assert torch.autograd.gradcheck(gated, numbers(small))
    assert torch.autograd.gradgradcheck(gated, numbers(small))


def test_a_frozen_gate_gets_no_gradient():
    x, gate = numbers([X, (2, 3, 1, 1)])
    gate_by_sum(x, gate.detach(), gate.detach()).sum().backward()
    assert gate.grad is None
    torch.testing.assert_close(x.grad, 2 * gate.detach().expand(X))


def test_only_the_map_and_the_small_gates_are_kept():
    kept = []
    x, row, column = numbers([X, (2, 3, 4, 1), (2, 3, 1, 5)])
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()), lambda t: t):
        gate_by_sum(x, row, column)
    assert sorted(kept) == [24, 30, 120]
