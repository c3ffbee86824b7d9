import torch

from foveal import create_attention
from foveal.mix.nodes import branch_names, nodes


def test_every_part_that_weighs_is_found_with_its_branches():
    notation = "hierarchy(select(se | eca > coord), residual(mean(eca | se, weights=dynamic)))"
    mix = create_attention(notation, channels=16)
    found = {node.notation: node.branches for node in nodes(mix)}
    assert found == {
        notation: ("select(se | eca > coord)", "residual(mean(eca | se, weights=dynamic))"),
        "select(se | eca > coord)": ("se", "eca > coord"),
        "mean(eca | se, weights=dynamic)": ("eca", "se"),
    }
    weights = mix.weights(torch.rand(2, 16, 5, 5))
    assert {name: w.shape[1] for name, w in weights.items()} == dict.fromkeys(found, 2)


def test_what_weighs_nothing_has_no_nodes():
    assert nodes(create_attention("eca > (se | coord)", channels=16)) == []


def test_branches_that_the_notation_does_not_name_are_numbered():
    assert branch_names("sum(eca | se)", 3) == ("scale 1", "scale 2", "scale 3")
