import pytest
import torch

from foveal import FovealError
from foveal.ops.heads import heads_for, merge_heads, split_heads


def test_heads_fit_or_are_refused():
    assert [heads_for(c, None) for c in (1, 7, 12, 64)] == [1, 1, 3, 8]
    with pytest.raises(FovealError, match=r"channels=20 do not divide into num_heads=8.*such as 5"):
        heads_for(20, 8)
    with pytest.raises(FovealError, match="num_heads=0"):
        heads_for(20, 0)


def test_a_head_has_neighbouring_channels():
    x = torch.rand(2, 5, 6)
    heads = split_heads(x, 3)
    assert heads[:, 1].equal(x[..., 2:4])
    assert merge_heads(heads).equal(x)
