from math import exp

import pytest
import torch

from foveal import FovealError
from foveal.attention import EMAttention


def test_is_the_sum_written_by_hand(stirred, tiny):
    module = stirred(EMAttention(6, num_tokens=3, num_stages=2))
    y = module(tiny)
    for b, image in enumerate(tiny.flatten(2)):
        columns = [
            module.before.weight[..., 0, 0] @ column + module.before.bias for column in image.T
        ]
        bases = list(module.bases[0].T)
        for _ in range(2):
            shares = []
            for column in columns:
                row = [exp(float(column @ basis)) for basis in bases]
                shares.append([share / sum(row) for share in row])
            for k in range(3):
                total = sum(row[k] for row in shares)
                basis = sum(row[k] * c for row, c in zip(shares, columns, strict=True)) / total
                bases[k] = basis / basis.norm()
        mixed = torch.stack(
            [sum(s * basis for s, basis in zip(row, bases, strict=True)) for row in shares], 1
        )
        wanted = tiny[b : b + 1] + module.after(mixed.relu().view(1, 6, 3, 4))
        torch.testing.assert_close(y[b : b + 1], wanted.relu(), rtol=1e-4, atol=1e-4)


def test_the_bases_follow_the_images_in_training_alone():
    x = torch.randn(4, 8, 5, 5)
    module = EMAttention(8, num_tokens=3, momentum=0.75)
    before = module.bases.clone()
    with torch.no_grad():
        found = module._solve(x)[1].mean(0, keepdim=True)
        module.eval()(x)
        assert torch.equal(module.bases, before)
        module.train()(x)
    torch.testing.assert_close(module.bases, 0.75 * before + 0.25 * found)


def test_the_first_convolution_learns():
    """In the authors' code no gradient reaches it."""
    module = EMAttention(8, num_tokens=3)
    module(torch.randn(2, 8, 4, 4)).square().sum().backward()
    assert module.before.weight.grad.abs().max() > 0


def test_bases_have_length_one():
    bases = EMAttention(16).bases
    assert bases.shape == (1, 16, 64)
    torch.testing.assert_close(bases.norm(dim=1), torch.ones(1, 64))


def test_wrong_numbers_are_refused():
    with pytest.raises(FovealError, match="num_stages=0"):
        EMAttention(8, num_stages=0)
    with pytest.raises(FovealError, match="momentum=2"):
        EMAttention(8, momentum=2)
