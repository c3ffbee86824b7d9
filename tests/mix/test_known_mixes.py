"""Mechanisms of the literature that are mixes of others, written as such and compared."""

import pytest
import torch
from torch import nn

from foveal import create_attention
from foveal.testing.subject import stir

C = 32

KNOWN = {
    "cbam": ("ca_channel > sa_spatial", {"channel": "parts.0", "spatial": "parts.1"}),
    "bam": (
        "residual(gate(bam_channel | bam_spatial))",
        {"channel": "part.branches.0.network", "spatial": "part.branches.1.network"},
    ),
    "scse": (
        "sum(se(reduction=2, bias=true) | scse_spatial)",
        {"channel": "branches.0", "position": "branches.1.conv"},
    ),
    "danet": (
        "sum(danet_position | danet_channel)",
        {"position": "branches.0", "channel": "branches.1"},
    ),
}
OPTIONS = {"bam": {"combine": "sum"}}
"""Where the paper and its authors' code part, what the paper says."""


def pair(name: str) -> tuple[nn.Module, nn.Module]:
    """The mechanism, stirred, and the mix with its parameters."""
    torch.manual_seed(0)
    ours = stir(create_attention(name, C, **OPTIONS.get(name, {}))).eval()
    notation, places = KNOWN[name]
    mix = create_attention(notation, C).eval()
    state = {}
    for key, value in ours.state_dict().items():
        half = next(place for place in places if key.startswith(f"{place}."))
        state[f"body.{places[half]}{key.removeprefix(half)}"] = value
    own = {k: v for k, v in mix.state_dict().items() if "joiner" in k}
    mix.load_state_dict(state | own)
    return ours, mix


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_mix_is_what_we_have_under_its_name(name):
    ours, mix = pair(name)
    results = []
    for module in (ours, mix):
        x = torch.randn(2, C, 9, 7, generator=torch.Generator().manual_seed(1)).requires_grad_()
        y = module(x)
        y.square().sum().backward()
        results.append((y, x.grad))
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["cbam", "danet"])
@pytest.mark.parametrize("train", [False, True])
def test_these_are_equal_bit_for_bit(name, train):
    ours, mix = pair(name)
    x = torch.randn(2, C, 9, 7)
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            assert torch.equal(mix.train(train)(x), ours.train(train)(x))


def test_channels_gate_then_positions_of_what_is_left():
    ours, mix = pair("cbam")
    x = torch.randn(2, C, 9, 7)
    halves = mix.body.parts
    gate = halves[0].attention_map(x)
    assert torch.equal(mix.attention_map(x), halves[1].attention_map(x * gate))
    torch.testing.assert_close(ours.attention_map(x), gate * mix.attention_map(x))
