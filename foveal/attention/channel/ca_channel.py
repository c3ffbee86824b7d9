"""The channel gate of CBAM, alone."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.gate import gate_channels
from foveal.ops.width import hidden_width

_POOLS = {
    "avg": lambda x: x.mean((2, 3)),
    "max": lambda x: x.amax((2, 3)),
    "lp": lambda x: torch.linalg.vector_norm(x, dim=(2, 3)),
    "lse": lambda x: x.logsumexp((2, 3)),
}


@register_attention("ca_channel", paper="Woo et al., CBAM, ECCV 2018", arxiv="1807.06521")
class CAChannel(nn.Module):
    r"""Gate each channel by one network over both the mean and the maximum of every channel.

    $$y = x \odot \sigma\big(\mathrm{MLP}(\mathrm{mean}_{hw}\,x) + \mathrm{MLP}(\max_{hw} x)\big)$$

    Placed: as the first half of CBAM, in each residual block, before the addition.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 2·C·hidden + bias·(C + hidden).
    Multiply-adds: (1 + pool_adds)·C·H·W + len(pools)·(2·C·hidden + C).

    Args:
        channels: channels C of the feature map.
        reduction: r, by which the hidden layer is narrower.
        hidden: width of the hidden layer. Default: C/r, at least 1.
        pools: what the network looks at, in turn: `"avg"`, `"max"`, `"lp"` (the Euclidean norm),
            `"lse"` (log of the summed exponentials).
        bias: give both layers a bias.

    Raises:
        FovealError: for an unknown pool, none at all, or a reduction or width below 1.

    Departs: The layers have biases, as in the authors' code; the paper writes none (`bias=False`).
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        hidden: int | None = None,
        pools: Sequence[str] = ("avg", "max"),
        bias: bool = True,
    ):
        super().__init__()
        if not pools or isinstance(pools, str) or set(pools) - set(_POOLS):
            raise FovealError(
                f"pools={pools!r} must be a sequence of {', '.join(map(repr, _POOLS))}"
            )
        self.hidden = hidden_width(channels, reduction, hidden=hidden)
        self.pools, self.bias = tuple(pools), bias
        self.pool_adds = sum({"avg": 1, "max": 0, "lp": 2, "lse": 1}[pool] for pool in pools)
        self.squeeze = nn.Linear(channels, self.hidden, bias)
        self.act = nn.ReLU()
        self.excite = nn.Linear(self.hidden, channels, bias)

    def attention_map(self, x: Map) -> Float[Tensor, "b c 1 1"]:
        """One weight per channel, in (0, 1)."""
        return self.weigh(*(_POOLS[pool](x) for pool in self.pools))[..., None, None]

    def weigh(self, *pooled: Float[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        """The weights, from what the channels are pooled to."""
        scores = [self.excite(self.act(self.squeeze(each))) for each in pooled]
        return torch.stack(scores).sum(0).sigmoid()

    def forward(self, x: Map) -> Map:
        if self.pools != ("avg", "max"):
            return x * self.attention_map(x)
        return gate_channels(x, self.weigh, self.parameters(), maximum=True)
