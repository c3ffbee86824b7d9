"""Which axis holds the channels, and which grid tokens come from, told from one forward pass."""

import pytest
import torch
from torch import Tensor, nn

from foveal import FovealError, find_targets, insert


class Way(nn.Module):
    """A convolution, and then some way of handing its result on."""

    def __init__(self, way):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 1)
        self.end = nn.Module()
        self.end.forward = way

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.conv(x))


WAYS = {
    "as it is": (lambda x: x + 1, ("map", 6, (6, 6), 0)),
    "rolled": (lambda x: x.roll(1, 2), ("map", 6, (6, 6), 0)),
    "channels last": (lambda x: x.permute(0, 2, 3, 1), ("channels_last", 6, (6, 6), 0)),
    "there and back": (
        lambda x: x.permute(0, 2, 3, 1).transpose(1, 3).transpose(2, 3), ("map", 6, (6, 6), 0),
    ),
    "tokens": (lambda x: x.flatten(2).mT, ("tokens", 6, (6, 6), 0)),
    "with a class token": (
        lambda x: torch.cat((x.new_zeros(len(x), 1, 6), x.flatten(2).transpose(1, 2)), 1),
        ("tokens", 6, (6, 6), 1),
    ),
    "shuffled": (
        lambda x: x.view(len(x), 2, 3, 6, 6).transpose(1, 2).reshape(len(x), 6, 6, 6), None,
    ),
    "channels first": (lambda x: x.flatten(2), None),
    "windows": (
        lambda x: x.permute(0, 2, 3, 1).reshape(len(x), 2, 3, 2, 3, 6).transpose(2, 3)
        .reshape(-1, 9, 6),
        ("tokens", 6, None, 0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_cube_is_told_apart(way: str) -> None:
    """Six channels, six rows, six columns: the shape says nothing."""
    function, expected = WAYS[way]
    targets = {t.path: t for t in find_targets(Way(function), torch.rand(2, 3, 6, 6))}
    if expected is None:
        assert "end" not in targets
    else:
        t = targets["end"]
        assert (t.layout, t.channels, t.size, t.prefix_tokens) == expected


def test_what_cannot_be_told_is_refused() -> None:
    for way, message in (("shuffled", "cannot be told"), ("windows", "tokens of a window")):
        with pytest.raises(FovealError, match=message):
            insert(Way(WAYS[way][0]), "eca", where="end", example_input=torch.rand(2, 3, 6, 6))


def test_a_lost_layout_is_found_again_by_size() -> None:
    (end,) = (
        t for t in find_targets(Way(lambda x: x.view(2, 2, 3, 5, 7).transpose(1, 2)
                                    .reshape(2, 6, 5, 7)), torch.rand(2, 3, 5, 7))
        if t.path == "end"
    )  # fmt: skip
    assert (end.layout, end.size) == ("map", (5, 7))


def test_the_host_is_left_undisturbed() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 6, 1)
            self.norm = nn.BatchNorm2d(6)
            self.register_buffer("count", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.count += 1
            return self.norm(self.conv(x)) + torch.rand(())

    host = Counting().train()
    before = {k: v.clone() for k, v in host.state_dict().items()}
    state = torch.get_rng_state()
    x = torch.rand(2, 3, 6, 6, generator=torch.Generator())
    find_targets(host, x)
    assert all(torch.equal(before[k], v) for k, v in host.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(m.training and not m._forward_hooks for m in host.modules())
    assert not hasattr(x, "_foveal_tag")
