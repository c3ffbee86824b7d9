"""Polarized self-attention."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.reading import read_channels, read_positions
from foveal.ops.several_gates import gate_by_sum
from foveal.ops.width import hidden_width


@register_attention("polarized", paper="Liu et al., Polarized Self-Attention, Neurocomputing 2022",
                    arxiv="2107.00782")  # fmt: skip
class PolarizedAttention(nn.Module):
    r"""Gate channels by attention over positions, and positions by attention over channels.

    $$y = x \odot (g_c + g_s), \quad
    g_c = \sigma\big(W_z W_v \textstyle\sum_j \alpha_j x_j\big), \quad
    g_s = \sigma\big(\mathrm{softmax}_{hw}\big((U_q \bar x)^\top U_v x\big)\big), \quad
    \alpha = \mathrm{softmax}_{hw}(w_q^\top x)$$

    with $\bar x$ the mean over positions; in sequence, $y = x \odot g_c \odot g_s$, and $g_s$ looks
    at $x \odot g_c$. Each gate squeezes one axis wholly and keeps half the width of the other.
    Sums over positions come before the layers that follow them, so that these act on one vector.

    Placed: after the first 3 × 3 convolution of each residual block.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: C + 3·C·hidden + paper·2·C + (1 − bottleneck)·C·hidden
    + bottleneck·(gate_hidden·(hidden + C + 3) + C)
    + bias·(2·hidden + (1 − bottleneck)·C + paper·hidden).
    Multiply-adds: (5 + (1 − bottleneck))·C·N + 2·N + 3·C·hidden + paper·(4·C + 2·hidden)
    + (1 − paper)·(1 − bottleneck)·2·N + (1 − bottleneck)·C·hidden + paper·bias·N + sequential·2·C
    + bottleneck·(hidden·N·(C + 3) + gate_hidden·(hidden + C + 4)).

    Args:
        channels: channels C of the feature map.
        mode: `"parallel"` adds the gated maps, `"sequential"` gates channels first.
        form: `"code"` of the authors, or `"paper"`: see below.
        hidden: half width of the layers. Default: C/2.
        gate_hidden: width of the channel gate's bottleneck, which only the authors' sequential code
            has. Default: hidden/4, at least 4, for layer normalisation of fewer values leaves
            little but their signs.
        bias: give the layers a bias, where no softmax cancels it.

    Raises:
        FovealError: for an unknown `mode` or `form`, or a width below 1.

    Departs: The paper layer-normalises the channel scores and takes the softmax of the spatial
    query over its channels (`form="paper"`). In the authors' code the channel scores are not
    normalised and the softmax is taken of the spatial scores; in their sequential code it is
    taken of each channel of the spatial values, and the channel gate has a bottleneck.
    """

    def __init__(
        self,
        channels: int,
        mode: str = "parallel",
        form: str = "code",
        hidden: int | None = None,
        gate_hidden: int | None = None,
        bias: bool = False,
    ):
        super().__init__()
        if mode not in ("parallel", "sequential"):
            raise FovealError(f"mode={mode!r} must be 'parallel' or 'sequential'")
        if form not in ("code", "paper"):
            raise FovealError(f"form={form!r} must be 'code' or 'paper'")
        self.sequential, self.paper, self.bias = mode == "sequential", form == "paper", bias
        self.bottleneck = self.sequential and not self.paper
        self.hidden = hidden_width(channels, 2, hidden=hidden)
        self.gate_hidden = hidden_width(self.hidden, 4, least=4, hidden=gate_hidden)
        self.score = nn.Conv2d(channels, 1, 1, bias=False)
        self.value = nn.Linear(channels, self.hidden, bias=bias)
        if self.bottleneck:
            self.up = nn.Sequential(
                nn.Linear(self.hidden, self.gate_hidden),
                nn.LayerNorm(self.gate_hidden),
                nn.ReLU(),
                nn.Linear(self.gate_hidden, channels),
            )
        else:
            norm = nn.LayerNorm(channels) if self.paper else nn.Identity()
            self.up = nn.Sequential(nn.Linear(self.hidden, channels, bias=bias), norm)
        self.spatial_query = nn.Linear(channels, self.hidden, bias=bias)
        # A constant over the positions, which the code's softmax over them would cancel.
        self.spatial_value = nn.Linear(channels, self.hidden, bias=bias and self.paper)

    def _gates(self, x: Map) -> tuple[Tensor, Tensor]:
        """One weight per channel (B, C, 1, 1) and one per position (B, 1, H, W)."""
        scorer = self.score.weight.flatten(1).expand(x.shape[0], 1, -1)
        scores, tokens = read_channels(x.flatten(2), scorer)  # (B, 1, N), (B, C, N)
        weights = scores.softmax(-1)
        # Both means, by attention and plain, in one reading of x.
        weights = torch.cat((weights, torch.ones_like(weights) / tokens.shape[2]), 1)
        both, tokens = read_positions(tokens, weights)
        gathered, mean = both.unbind(-1)
        channel = self.up(self.value(gathered)).sigmoid()
        spatial = self._spatial_gate(tokens, mean, channel if self.sequential else None)
        return channel[..., None, None], spatial.unflatten(-1, x.shape[2:])

    def _spatial_gate(
        self, tokens: Float[Tensor, "b c n"], mean: Float[Tensor, "b c"], factor: Tensor | None
    ) -> Float[Tensor, "b 1 n"]:
        """Of tokens whose channels are first multiplied by a factor, if there is one. It goes to
        the small side of each product, and what it multiplies is never written."""
        values, bias = self.spatial_value.weight, self.spatial_value.bias
        query = self.spatial_query(mean if factor is None else mean * factor)[:, None]
        if self.bottleneck:
            assert factor is not None
            scores = query @ (values * factor[:, None] @ tokens).softmax(-1)
        else:
            query = query.softmax(-1) if self.paper else query
            reader = query @ values  # (B, 1, C): one vector reads every position
            scores = (reader if factor is None else reader * factor[:, None]) @ tokens
            scores = scores if bias is None else scores + query @ bias[:, None]
            scores = scores if self.paper else scores.softmax(-1)
        return scores.sigmoid()

    def attention_map(self, x: Map) -> Float[Tensor, "b c h w"]:
        """The factor on every value, in (0, 2): the sum of both gates, or their product."""
        channel, spatial = self._gates(x)
        return channel * spatial if self.sequential else channel + spatial

    def forward(self, x: Map) -> Map:
        channel, spatial = self._gates(x)
        if self.sequential:
            return x * (channel * spatial)
        return gate_by_sum(x, channel, spatial)
