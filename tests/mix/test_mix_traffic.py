"""What a mix costs beyond its parts, by the deterministic counter: nothing but its joiner.

The joiner's own minimum is what it moves and holds when it is given the branches' outputs; training
adds up a gradient of the input for each branch, and each addition reads two maps and writes one.
"""

import pytest
import torch
from torch import nn

from foveal import create_attention
from foveal.measure import count_traffic
from foveal.measure.traffic import Mode, Traffic
from foveal.mix.arrange import Branches, Chain

SHAPE = (2, 32, 48, 48)
MAP = 4 * 2 * 32 * 48 * 48


class Joined(nn.Module):
    """A joiner, and its weighting, on outputs that are there already."""

    def __init__(self, mix: Branches):
        super().__init__()
        self.joiner, self.weighting = mix.joiner, mix.weighting

    def forward(self, x, *outputs):
        weights = None if self.weighting is None else self.weighting(x, outputs)
        return self.joiner(x, outputs, weights)


def counted(module: nn.Module, mode: Mode, inputs: int = 1) -> Traffic:
    grad = mode == "train"
    return count_traffic(
        module, tuple(torch.randn(SHAPE, requires_grad=grad) for _ in range(inputs)), mode
    )


@pytest.mark.parametrize("mode", ["infer", "train"])
@pytest.mark.parametrize(
    "notation",
    [
        "eca > coord",
        "ca_channel > sa_spatial",
        "eca | coord",
        "eca | coord | simam | srm",
        "sum(eca | coord | simam)",
        "max(eca | coord)",
        "concat(eca | coord)",
        "gate(eca | coord)",
        "product(eca | coord)",
        "select(eca | coord)",
        "mean(eca | coord | srm, weights=learned)",
        "mean(eca | coord, weights=dynamic)",
        "mean(eca | coord, weights=quality(per=position))",
    ],
)
def test_a_mix_moves_and_holds_no_more_than_its_parts_and_its_joiner(notation, mode):
    mix = create_attention(notation, SHAPE[1])
    body = mix.body
    whole = counted(mix, mode)
    if isinstance(body, Chain):
        single = [counted(part, mode) for part in body.parts]
        gradients = 0
    else:
        assert isinstance(body, Branches)
        branches = len(body.branches)
        single = [counted(branch, mode) for branch in body.branches]
        single.append(counted(Joined(body), mode, inputs=1 + branches))
        uses = branches + (body.joiner.takes != "outputs") + (body.weighting is not None)
        gradients = 3 * MAP * (uses - 1) * (mode == "train")
    moved = sum(one.bytes_moved for one in single) + gradients
    assert whole.bytes_moved <= (1.001 if mode == "infer" else 1.05) * moved
    assert whole.peak_memory <= sum(one.peak_memory for one in single)


@pytest.mark.parametrize("joiner", ["mean", "sum", "max"])
def test_branches_are_added_up_as_they_come(joiner):
    """Six branches hold no more at a time than one does, the sum so far and the next."""
    mix = create_attention(f"{joiner}({' | '.join(['coord'] * 6)})", SHAPE[1])
    assert counted(mix, "infer").peak_memory <= 3.1 * MAP


@pytest.mark.parametrize("notation", ["se | eca", "se | sa_spatial", "se | eca | srm"])
def test_gates_that_add_up_multiply_the_map_once(notation):
    """Without gradients; with them each mechanism's own backward pass moves less."""
    mix = create_attention(notation, SHAPE[1])
    assert isinstance(mix.body, Branches)
    together = counted(mix, "infer")
    mix.body.gates_add_up = False
    apart = counted(mix, "infer")
    assert together.bytes_moved < 0.75 * apart.bytes_moved
    assert together.peak_memory <= 0.7 * apart.peak_memory


def test_means_that_several_gates_need_are_computed_once():
    """The map is read for its means, read for the product, and written."""
    mix = create_attention("se | eca | bam_channel", SHAPE[1])
    assert counted(mix, "infer").bytes_moved <= 3.1 * MAP
