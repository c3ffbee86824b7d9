import torch

from foveal.attention import SCSESpatial


def test_is_the_sum_written_by_hand(stirred, tiny):
    gate = stirred(SCSESpatial(6))
    y = gate(tiny)
    for b in range(2):
        for h in range(3):
            for w in range(4):
                here = tiny[b, :, h, w]
                score = sum(here[c] * gate.conv.weight[0, c, 0, 0] for c in range(6))
                weight = (score + gate.conv.bias[0]).sigmoid()
                torch.testing.assert_close(y[b, :, h, w], here * weight)


def test_parameters():
    assert sum(p.numel() for p in SCSESpatial(64).parameters()) == 65
    assert sum(p.numel() for p in SCSESpatial(64, bias=False).parameters()) == 64
