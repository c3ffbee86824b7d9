import pytest
import torch

from foveal import FovealError
from foveal.attention import BAM, BAMChannel


def test_is_the_sum_written_by_hand(stirred, tiny):
    gate = stirred(BAMChannel(6, reduction=2))
    y, (first, norm, _, last) = gate(tiny), gate.network
    for b in range(2):
        means = [sum(tiny[b, c].flatten()) / 12 for c in range(6)]
        hidden = []
        for k in range(3):
            score = sum(first.weight[k, c] * means[c] for c in range(6))
            normal = (score - norm.running_mean[k]) / (norm.running_var[k] + norm.eps).sqrt()
            hidden.append((normal * norm.weight[k] + norm.bias[k]).clamp(min=0))
        for c in range(6):
            score = sum(last.weight[c, k] * hidden[k] for k in range(3)) + last.bias[c]
            torch.testing.assert_close(y[b, c], tiny[b, c] * score.sigmoid())


def test_its_scores_are_those_of_bam(stirred, tiny):
    bam, half = stirred(BAM(6, reduction=2)), BAMChannel(6, reduction=2).double().eval()
    half.network.load_state_dict(bam.channel.state_dict())
    assert torch.equal(half.scores(tiny)[..., 0, 0], bam.channel(tiny.mean((2, 3))))


def test_no_hidden_layer_is_refused():
    with pytest.raises(FovealError, match="num_layers=0"):
        BAMChannel(16, num_layers=0)
