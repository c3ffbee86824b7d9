"""Agent attention as others wrote it."""

from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn

from foveal.attention.linear.agent import Agent, Positions
from foveal.core.errors import FovealError
from foveal.core.types import Map
from foveal.ops.attend import attention_weights
from foveal.ops.heads import split_heads
from foveal.ops.resize import bilinear
from foveal.originals.calls import OnGrid
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


class ReducedAgent(Agent):
    """Agent attention to the keys and values of a smaller map, as PVT's blocks reduce it."""

    def __init__(self, channels: int, ratio: int, window_size: int, **options: Any):
        super().__init__(channels, window_size=window_size, **options)
        self.ratio = ratio
        size = window_size // ratio
        self.of_keys = Positions(self.num_heads, self.num_tokens, (size, size))
        self.reduce = nn.Conv2d(channels, channels, ratio, stride=ratio)
        self.norm = nn.LayerNorm(channels)

    def _parts(self, x: Map) -> tuple[Tensor, Tensor, Tensor, torch.Size]:
        reduced = self.reduce(x)
        tokens = self.norm(reduced.flatten(2).mT)
        width = x.shape[1]
        widths = [width, 2 * width]
        of_q, of_kv = self.qkv.weight.split(widths)
        b_q, b_kv = self.qkv.bias.split(widths) if self.qkv_bias else (None, None)
        q = nn.functional.linear(x.flatten(2).mT, of_q, b_q)
        k, v = nn.functional.linear(tokens, of_kv, b_kv).chunk(2, -1)
        return q, k, v, reduced.shape[2:]

    def attention_map(self, x: Map) -> Tensor:
        _, k, _, size = self._parts(x)
        keys = split_heads(k, self.num_heads)
        return attention_weights(self._agents(x), keys, bias=self.of_keys(*size))

    def forward(self, x: Map) -> Map:
        q, k, v, size = self._parts(x)
        height, width = x.shape[2:]
        biases = [self.of_keys(*size), self.of_queries(height, width)]
        values = bilinear(v.mT.unflatten(2, size), height, width, align_corners=False)
        local = self.local(values).flatten(2).mT
        y = self.proj(self._attend(self._agents(x), q, k, v, biases) + local)
        return self.dropout(y).mT.unflatten(2, (height, width))


class ClassAgent(Agent):
    """Agent attention of the tokens of a square grid and of a class token before them, to which no
    convolution reaches.

    Shape: (B, 1 + N, C) → (B, 1 + N, C).
    """

    def __init__(self, channels: int, **options: Any):
        super().__init__(channels, **options)
        self.of_class_key, self.of_class_query = (
            nn.Parameter(torch.zeros(self.num_heads, self.num_tokens, 1)) for _ in range(2)
        )

    def _grid(self, tokens: Tensor) -> Map:
        side = isqrt(tokens.shape[1] - 1)
        if side**2 != tokens.shape[1] - 1:
            raise FovealError(f"{tokens.shape[1]} tokens are no class token and a square of others")
        return tokens[:, 1:].mT.unflatten(2, (side, side))

    def _biases(self, size: torch.Size) -> list[Tensor]:
        parts = (self.of_class_key, self.of_keys), (self.of_class_query, self.of_queries)
        return [torch.cat((first, table(*size)), -1) for first, table in parts]

    def attention_map(self, x: Tensor) -> Tensor:
        grid = self._grid(x)
        keys = split_heads(self.qkv(x).chunk(3, -1)[1], self.num_heads)
        return attention_weights(self._agents(grid), keys, bias=self._biases(grid.shape[2:])[0])

    def forward(self, x: Tensor) -> Tensor:
        grid = self._grid(x)
        q, k, v = self.qkv(x).chunk(3, -1)
        found = self._attend(self._agents(grid), q, k, v, self._biases(grid.shape[2:]))
        local = self.local(self._grid(v)).flatten(2).mT
        found = torch.cat((found[:, :1], found[:, 1:] + local), 1)
        return self.dropout(self.proj(found))


def _tables(state: State, prefix: str) -> None:
    """The four tables along the axes, without axes of length 1 and with the agents first."""
    for theirs, ours in {
        "an_bias": "of_keys.grid",
        "ah_bias": "of_keys.rows",
        "aw_bias": "of_keys.columns",
        "na_bias": "of_queries.grid",
        "ha_bias": "of_queries.rows",
        "wa_bias": "of_queries.columns",
    }.items():
        table = state.pop(theirs)
        if theirs[:2] in ("ah", "aw"):
            table = table[0].flatten(2)
        elif theirs[:2] in ("ha", "wa"):
            table = table[0].flatten(1, 2).mT
        state[f"{prefix}{ours}"] = table


@original("agent", source="LeapLabTHU/Agent-Attention models/agent_pvt.py AgentAttention")
def agent(
    state: State,
    dim: int,
    num_patches: int,
    num_heads: int = 8,
    qkv_bias: bool = False,
    qk_scale: float | None = None,  # which it does not read
    attn_drop: float = 0.0,
    proj_drop: float = 0.0,
    sr_ratio: int = 1,
    agent_num: int = 49,
    H: int | None = None,
    W: int | None = None,
) -> Translation:
    side = isqrt(num_patches)
    options = {
        "num_heads": num_heads,
        "num_tokens": agent_num,
        "window_size": side,
        "qkv_bias": qkv_bias,
        "attention_dropout": attn_drop,
        "dropout": proj_drop,
    }
    module = ReducedAgent(dim, sr_ratio, **options) if sr_ratio > 1 else Agent(dim, **options)
    _tables(state, "mechanism.")
    for part in ("weight", "bias") if qkv_bias else ("weight",):
        state.join(f"mechanism.qkv.{part}", [f"q.{part}", f"kv.{part}"])
    names = {"dwc": "local", "proj": "proj", "sr": "reduce", "norm": "norm"}
    grid = (side, side) if H is None or W is None else (H, W)
    return OnGrid(module, grid), {a: f"mechanism.{b}" for a, b in names.items()}


@original("agent_cls", source="LeapLabTHU/Agent-Attention models/agent_deit.py AgentAttention")
def agent_cls(
    state: State,
    dim: int,
    num_heads: int = 8,
    qkv_bias: bool = False,
    attn_drop: float = 0.0,
    proj_drop: float = 0.0,
    agent_num: int = 49,
    window: int = 14,
) -> Translation:
    module = ClassAgent(
        dim,
        num_heads=num_heads,
        num_tokens=agent_num,
        window_size=window,
        qkv_bias=qkv_bias,
        attention_dropout=attn_drop,
        dropout=proj_drop,
    )
    _tables(state, "")
    state["of_class_key"] = state.pop("ac_bias")
    state["of_class_query"] = state.pop("ca_bias")[0].mT
    return module, {"dwc": "local"}
