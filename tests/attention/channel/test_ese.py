import pytest
import torch

from foveal import FovealError
from foveal.attention import ESE


@pytest.mark.parametrize("add_max", [False, True])
def test_is_the_sum_written_by_hand(stirred, tiny, add_max):
    ese = stirred(ESE(6, add_max))
    y = ese(tiny)
    for b in range(2):
        pooled = []
        for c in range(6):
            values = tiny[b, c].flatten().tolist()
            mean = sum(values) / 12
            pooled.append((mean + max(values)) / 2 if add_max else mean)
        for c in range(6):
            score = float(sum(ese.fc.weight[c, i] * pooled[i] for i in range(6)) + ese.fc.bias[c])
            weight = min(max(score + 3, 0), 6) / 6
            torch.testing.assert_close(y[b, c], tiny[b, c] * weight)


def test_the_papers_gate_is_an_option(tiny):
    ese = ESE(6, gate="sigmoid").double()
    scores = ese.fc(tiny.mean((2, 3)))
    torch.testing.assert_close(ese.attention_map(tiny)[..., 0, 0], scores.sigmoid())
    with pytest.raises(FovealError, match="did you mean sigmoid"):
        ESE(6, gate="sigmoidd")
