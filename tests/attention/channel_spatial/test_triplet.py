import pytest
import torch
from torch.nn import functional as F

from foveal import FovealError
from foveal.attention import TripletAttention


@pytest.mark.parametrize("spatial", [True, False])
def test_is_the_sum_written_by_hand(stirred, tiny, spatial):
    """Each gate: pool one axis, convolve over the plane of the other two."""
    triplet = stirred(TripletAttention(6, kernel_size=3, spatial=spatial))
    axes = {"cw": 1, "ch": 2, "hw": 0}  # of one image (C, H, W), the axis that is pooled away
    for b in range(2):
        x = tiny[b]
        gates = torch.zeros_like(x)
        names = [name for name in axes if spatial or name != "hw"]
        for name in names:
            gate, axis = getattr(triplet, name), axes[name]
            pooled = torch.stack((x.max(axis).values, x.mean(axis)))  # (2, the other two axes)
            padded = F.pad(pooled, (1, 1, 1, 1))
            rows, columns = pooled.shape[1:]
            scores = torch.stack([
                torch.stack([
                    (gate.conv.weight[0] * padded[:, r : r + 3, c : c + 3]).sum()
                    for c in range(columns)
                ])
                for r in range(rows)
            ])  # fmt: skip
            bn = gate.bn
            scores = (scores - bn.running_mean) / (bn.running_var + bn.eps).sqrt()
            gates += (scores * bn.weight + bn.bias).sigmoid().unsqueeze(axis)
        torch.testing.assert_close(triplet(tiny)[b], x * gates / len(names))


def test_parameters():
    """Three filters of two 7 × 7 maps, each with a scale and a shift: 300, as the paper counts."""
    assert sum(p.numel() for p in TripletAttention(64).parameters()) == 300


def test_gates_reach_below_one_half(stirred):
    """A ReLU before the sigmoid, which some ports have, would not let them."""
    weights = stirred(TripletAttention(8)).attention_map(torch.randn(2, 8, 9, 9).double())
    assert weights.min() < 0.5


def test_an_even_kernel_is_refused():
    with pytest.raises(FovealError, match="kernel_size=6 must be odd"):
        TripletAttention(8, kernel_size=6)
