import pytest
import torch

from foveal import FovealError
from foveal.attention import SCSE


@pytest.mark.parametrize("combine", ["sum", "max"])
def test_is_the_sum_written_by_hand(stirred, tiny, combine):
    scse = stirred(SCSE(6, combine=combine))
    y, se = scse(tiny), scse.channel
    for b in range(2):
        means = torch.stack([sum(tiny[b, c].flatten()) / 12 for c in range(6)])
        hidden = (se.squeeze.weight @ means + se.squeeze.bias).clamp(min=0)
        channel = (se.excite.weight @ hidden + se.excite.bias).sigmoid()
        for h in range(3):
            for w in range(4):
                here = tiny[b, :, h, w]
                score = sum(here[c] * scse.position.weight[0, c, 0, 0] for c in range(6))
                position = (score + scse.position.bias).sigmoid()
                both = here * channel, here * position
                wanted = sum(both) if combine == "sum" else torch.maximum(*both)
                torch.testing.assert_close(y[b, :, h, w], wanted)


@pytest.mark.parametrize("combine", ["sum", "max"])
def test_the_map_is_the_factor(stirred, tiny, combine):
    scse = stirred(SCSE(6, combine=combine))
    torch.testing.assert_close(scse(tiny), tiny * scse.attention_map(tiny))


def test_the_paper_halves_the_hidden_layer():
    assert SCSE(64).hidden == 32


def test_an_unknown_way_to_combine_is_refused():
    with pytest.raises(FovealError, match="combine='mean' must be 'sum' or 'max'"):
        SCSE(8, combine="mean")
