import pytest
import torch

from foveal import FovealError
from foveal.attention import BAM, BAMSpatial


def test_is_the_sum_written_by_hand_without_dilated_convolutions(stirred, tiny):
    gate = stirred(BAMSpatial(6, reduction=2, num_convs=0))
    y, (first, norm, _, last) = gate(tiny), gate.network
    for b in range(2):
        for h in range(3):
            for w in range(4):
                score = last.bias[0]
                for k in range(3):
                    seen = sum(first.weight[k, c, 0, 0] * tiny[b, c, h, w] for c in range(6))
                    seen = (seen - norm.running_mean[k]) / (norm.running_var[k] + norm.eps).sqrt()
                    seen = (seen * norm.weight[k] + norm.bias[k]).clamp(min=0)
                    score = score + last.weight[0, k, 0, 0] * seen
                torch.testing.assert_close(y[b, :, h, w], tiny[b, :, h, w] * score.sigmoid())


def test_its_scores_are_those_of_bam(stirred, tiny):
    bam, half = stirred(BAM(6, reduction=2)), BAMSpatial(6, reduction=2).double().eval()
    half.network.load_state_dict(bam.spatial.state_dict())
    assert torch.equal(half.scores(tiny), bam.spatial(tiny))


@pytest.mark.parametrize("options", [{"dilation": 0}, {"num_convs": -1}])
def test_wrong_numbers_are_refused(options):
    with pytest.raises(FovealError, match="must be at least 1"):
        BAMSpatial(16, **options)
