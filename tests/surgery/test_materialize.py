"""Hooks made into plain modules."""

import pytest
import torch
from torch import Tensor, nn

import foveal

X = torch.rand(2, 3, 12, 16, generator=torch.Generator().manual_seed(1))


class Scale(nn.Module):
    """A mechanism that TorchScript can read."""

    def __init__(self, channels: int):
        super().__init__()
        self.factor = nn.Parameter(torch.full((channels, 1, 1), 2.0))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def host() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)).eval()


@pytest.mark.parametrize("position", ["after", "before", "replace"])
@pytest.mark.parametrize("init", ["identity", "paper"])
def test_a_materialised_host_scripts(position: str, init: str) -> None:
    model = host()
    keys, text, bare = list(model.state_dict()), repr(model), model(X)
    foveal.insert(model, Scale, where="2", position=position, init=init, example_input=X)
    foveal.insert(model, Scale, where="2", position="after", init="paper", example_input=X)
    for module in foveal.inserted_modules(model).values():
        if module.strength is not None:
            nn.init.constant_(module.strength, 0.3)
    expected = model(X)
    assert foveal.materialize(model, X) is model
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.equal(model(X), expected)
    torch.testing.assert_close(torch.jit.script(model)(X), expected)
    foveal.enable(model, False)
    assert torch.equal(model(X), bare)
    foveal.enable(model, True)
    assert foveal.remove(model) == 2
    assert (list(model.state_dict()), repr(model)) == (keys, text)
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("position", ["after", "before", "replace"])
def test_modules_that_take_and_return_more(position: str) -> None:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch = nn.Conv2d(3, 8, 4, stride=4)
            self.attn = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            y = self.patch(x).flatten(2).mT
            return self.attn(query=y, key=y, value=y, need_weights=False)[0]

    model = Attending().eval()
    bare = model(X)
    foveal.insert(model, "eca", where="attn", position=position, init="paper", example_input=X)
    expected = model(X)
    foveal.materialize(model, X)
    assert torch.equal(model(X), expected)
    torch.testing.assert_close(torch.jit.trace(model, (X,), check_trace=False)(X), expected)
    foveal.remove(model)
    assert torch.equal(model(X), bare)


def test_a_host_that_reads_its_modules_is_left_as_it_was() -> None:
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x) * self.conv.out_channels

    model = nn.Sequential(Reads())
    foveal.insert(model, Scale, where="0.conv", init="paper", example_input=X)
    text, expected = repr(model), model(X)
    with pytest.raises(foveal.FovealError, match="cannot do without hooks"):
        foveal.materialize(model, X)
    assert repr(model) == text
    assert torch.equal(model(X), expected)
    with pytest.raises(foveal.FovealError, match="no insertion"):
        foveal.materialize(host())
