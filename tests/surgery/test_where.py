"""Patterns, lists and presets."""

import pytest
import torch
from torch import nn

from foveal import FovealError
from foveal.surgery.trace import trace
from foveal.surgery.where import choose


class Block(nn.Module):
    def __init__(self, channels: int, stride: int = 1):
        super().__init__()
        self.a = nn.Conv2d(channels, channels, 3, stride=stride, padding=1)
        self.b = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x))


@pytest.fixture(scope="module")
def traced():
    host = nn.Sequential()
    host.add_module("stem", nn.Conv2d(3, 8, 1))
    for i in range(3):
        host.add_module(f"layer{i}", nn.Sequential(Block(8, 2), Block(8)))
    host.add_module("unused", nn.ModuleDict({"extra": nn.Conv2d(3, 8, 1)}))
    host.forward = lambda x: host.layer2(host.layer1(host.layer0(host.stem(x))))
    return trace(host, torch.rand(1, 3, 32, 32))


@pytest.mark.parametrize(
    ("where", "paths"),
    [
        ("stem", ["stem"]),
        ("layer?", ["layer0", "layer1", "layer2"]),
        ("layer[02].0", ["layer0.0", "layer2.0"]),
        ("layer0.*", ["layer0.0", "layer0.1"]),
        ("*.1", ["layer0.1", "layer1.1", "layer2.1"]),
        ("layer1.**", ["layer1", "layer1.0", "layer1.0.a", "layer1.0.b", "layer1.1", "layer1.1.a",
                       "layer1.1.b"]),
        ("**.b", [f"layer{i}.{j}.b" for i in (0, 1, 2) for j in (0, 1)]),
        (r"regex:layer\d\.1", ["layer0.1", "layer1.1", "layer2.1"]),
        ("stage_ends", ["layer0.1", "layer1.1", "layer2.1"]),
        ("last_stage", ["layer2.1"]),
        ("backbone.last2", ["layer1.1", "layer2.1"]),
        ("every_block", [f"layer{i}.{j}" for i in (0, 1, 2) for j in (0, 1)]),
        (["stem", "last_stage", "layer2.1"], ["stem", "layer2.1"]),
    ],
)  # fmt: skip
def test_what_is_meant(traced, where, paths) -> None:
    assert choose(where, traced).paths == paths


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("layer0.7", r"matches no module of Sequential; did you mean .*layer0.*Places there are"),
        ("evry_block", "did you mean every_block"),
        ("unused.*", "unused.extra, which the forward pass never calls"),
        ("backbone.last4", "has 3 stages: layer0.1, layer1.1, layer2.1"),
        ("regex:(", "no regular expression"),
        ([], "names no place"),
        (3, "must be a path"),
        (["stem", 3], "must be a path"),
    ],
)
def test_what_is_not_there(traced, where, message) -> None:
    with pytest.raises(FovealError, match=message):
        choose(where, traced)
