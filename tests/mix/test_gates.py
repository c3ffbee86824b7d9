"""What counts as a gate multiplies its input by its map, and what does so counts as one."""

import pytest
import torch

from foveal import attention_info, create_attention, list_attentions
from foveal.mix.gates import is_gate
from foveal.testing.subject import stir

MAPS = list_attentions(layout="map", drop_in=True)


@pytest.mark.parametrize("name", MAPS)
def test_gates_are_known(name: str):
    torch.manual_seed(0)
    module = stir(create_attention(name, 32)).eval()
    x = torch.randn(2, 32, 8, 8)
    with torch.no_grad():
        gate, y = module.attention_map(x), module(x)
    try:
        multiplies = torch.allclose(x * gate, y, atol=1e-4)
    except RuntimeError:  # the map does not fit the input
        multiplies = False
    if name not in ("ms_cam", "ge"):  # whose maps have no one shape in their annotation
        assert is_gate(attention_info(name)) == multiplies
