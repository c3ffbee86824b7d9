from math import ceil, exp, sqrt

import pytest
import torch

from foveal import FovealError
from foveal.attention import Outlook


@pytest.mark.parametrize("stride", [1, 2])
def test_is_the_sum_written_by_hand(stirred, tiny, stride):
    outlook = stirred(Outlook(6, num_heads=2, stride=stride, qkv_bias=True))
    y = outlook(tiny)
    for b in range(2):
        image = tiny[b]
        values = torch.einsum("oc,chw->ohw", outlook.value.weight[..., 0, 0], image)
        values = values + outlook.value.bias[:, None, None]
        folded = torch.zeros(6, 3, 4).double()
        for i in range(ceil(3 / stride)):
            for j in range(ceil(4 / stride)):
                block = image[:, i * stride : (i + 1) * stride, j * stride : (j + 1) * stride]
                pooled = block.mean((1, 2))  # of fewer positions at the edge
                scores = outlook.score.weight[..., 0, 0] @ pooled + outlook.score.bias
                scores = (scores / sqrt(3)).view(2, 9, 9)
                for c in range(6):
                    for p in range(9):
                        row = [exp(s) for s in scores[c // 3, p].tolist()]
                        taken = 0.0
                        for q in range(9):
                            r, s = i * stride + q // 3 - 1, j * stride + q % 3 - 1
                            if 0 <= r < 3 and 0 <= s < 4:
                                taken += row[q] / sum(row) * values[c, r, s].item()
                        r, s = i * stride + p // 3 - 1, j * stride + p % 3 - 1
                        if 0 <= r < 3 and 0 <= s < 4:
                            folded[c, r, s] += taken
        wanted = torch.einsum("oc,chw->ohw", outlook.proj.weight[..., 0, 0], folded)
        torch.testing.assert_close(y[b], wanted + outlook.proj.bias[:, None, None])


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_both_ways_to_mix_agree_in_outputs_and_gradients(kernel_size):
    outlook = Outlook(8, num_heads=2, kernel_size=kernel_size, stride=1).double()
    x = torch.randn(2, 8, 5, 6).double()
    v = torch.randn_like(x, requires_grad=True)
    weights = outlook._weights(x).detach().requires_grad_()
    pull = torch.randn_like(v)
    found, wanted = outlook._mix_displacements(v, weights), outlook._mix_windows(v, weights)
    torch.testing.assert_close(found, wanted)
    for ours, theirs in zip(
        torch.autograd.grad(found, (v, weights), pull),
        torch.autograd.grad(wanted, (v, weights), pull),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(("channels", "heads"), [(192, 6), (256, 8), (384, 12), (20, 1), (100, 2)])
def test_heads_have_32_channels_as_in_volo(channels, heads):
    assert Outlook(channels).num_heads == heads


def test_rows_of_the_map_sum_to_one(stirred, tiny):
    weights = stirred(Outlook(6)).attention_map(tiny)
    assert weights.shape == (2, 1, 2, 2, 9, 9)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 1, 2, 2, 9).double())


@pytest.mark.parametrize(
    "options", [{"kernel_size": 4}, {"num_heads": 3}, {"stride": 4}, {"stride": 0}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(FovealError):
        Outlook(16, **options)
