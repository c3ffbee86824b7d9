"""What counts as a gate multiplies its input by its map, and what does so counts as one."""

import pytest
import torch

from foveal import attention_info, create_attention, list_attentions
from foveal.mix.gates import is_gate, is_small_gate
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


SMALL = [name for name in MAPS if is_small_gate(attention_info(name))]


@pytest.mark.parametrize("name", SMALL)
def test_small_gates_multiply_whatever_their_options(name: str):
    card = attention_info(name)
    flips = [{o: not default} for o, default in card.options.items() if isinstance(default, bool)]
    for options in ({}, *flips):
        torch.manual_seed(0)
        module = stir(create_attention(name, 32, **options)).eval()
        x = torch.randn(2, 32, 7, 9)
        with torch.no_grad():
            gate = module.attention_map(x)
            assert gate.shape in ((2, 32, 1, 1), (2, 1, 7, 9))
            torch.testing.assert_close(module(x), x * gate)
            if getattr(module, "weighs_means", False):
                of_means = module.weigh(x.mean((2, 3)))[..., None, None]
                torch.testing.assert_close(of_means, gate)


@pytest.mark.parametrize(
    "notation",
    [
        "se | sa_spatial | eca",
        "se(add_max=true) | lct | bam_channel | ca_channel",
        "sum(se | sa_spatial)",
        "mean(se | eca, weights=fixed(1, 3))",
        "sum(se | sa_spatial | srm, weights=dynamic(per=position))",
    ],
)
def test_gates_that_add_up_give_what_the_branches_give(notation):
    torch.manual_seed(0)
    mix = stir(create_attention(notation, 32)).eval()
    assert mix.body.gates_add_up
    x = torch.randn(2, 32, 7, 9)
    with torch.no_grad():
        together = mix(x)
    torch.testing.assert_close(together, mix(x))  # with gradients enabled
