from math import exp

import pytest
import torch

from foveal import FovealError
from foveal.attention import CrissCross


def one_pass(module, image):
    """x + γ Σ α v over the row and the column of each position, itself counted once."""
    height, width = image.shape[1:]
    qkv = torch.einsum("oc,chw->ohw", module.qkv.weight[..., 0, 0], image)
    qkv = qkv + module.qkv.bias[:, None, None]
    d = module.key_channels
    q, k, v = qkv[:d], qkv[d : 2 * d], qkv[2 * d :]
    y = image.clone()
    for i in range(height):
        for j in range(width):
            cross = [(i, s) for s in range(width)] + [(r, j) for r in range(height) if r != i]
            exponentials = [exp(float(q[:, i, j] @ k[:, r, s])) for r, s in cross]
            for (r, s), e in zip(cross, exponentials, strict=True):
                y[:, i, j] += module.gamma[0] * e / sum(exponentials) * v[:, r, s]
    return y


@pytest.mark.parametrize("recurrence", [1, 2, 3])
def test_is_the_sum_written_by_hand(stirred, tiny, recurrence):
    module = stirred(CrissCross(6, key_channels=2, recurrence=recurrence))
    y = module(tiny)
    for b in range(2):
        wanted = tiny[b]
        for _ in range(recurrence):
            wanted = one_pass(module, wanted)
        torch.testing.assert_close(y[b], wanted)


def test_two_passes_reach_the_whole_image(stirred, tiny):
    for recurrence, reached in ((1, 3 + 4 - 1), (2, 3 * 4)):
        module = stirred(CrissCross(6, recurrence=recurrence))
        x = tiny[:1].clone().requires_grad_()
        module(x)[0, :, 1, 2].sum().backward()
        assert (x.grad[0].abs().sum(0) > 0).sum() == reached


def test_the_position_itself_stands_once(stirred, tiny):
    weights = stirred(CrissCross(6)).attention_map(tiny)
    assert weights.shape == (2, 3, 4, 3 + 4)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 4).double())
    for i in range(3):
        assert (weights[:, i, :, i] == 0).all()


def test_is_born_an_identity(tiny):
    assert CrissCross(6).double()(tiny).equal(tiny)


def test_widths_are_the_papers():
    assert CrissCross(512).key_channels == 64
    assert CrissCross(4).key_channels == 1


@pytest.mark.parametrize("options", [{"recurrence": 0}, {"reduction": 0}, {"key_channels": 0}])
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        CrissCross(16, **options)
