"""Every law of the conformance kit, on mixes drawn at random; a few here, the rest when slow."""

import pytest
from random_mixes import draw

from foveal import attention_info
from foveal.testing import check_attention

FEW = (1, 2, 3, 5, 6, 7, 9, 10, 14, 15)
"""Of mechanisms that are checked in a few seconds."""
REST = [seed for seed in range(300) if seed not in FEW]


@pytest.mark.parametrize("seed", FEW)
def test_a_random_mix_keeps_every_law(seed: int):
    check_attention(draw(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", REST)
def test_more_random_mixes_keep_every_law(seed: int):
    check_attention(draw(seed))


def test_the_draws_print_back_and_differ():
    drawn = [draw(seed) for seed in range(300)]
    assert len(set(drawn)) > 290
    for notation in drawn:
        name = attention_info(notation).name
        assert attention_info(name).name == name
