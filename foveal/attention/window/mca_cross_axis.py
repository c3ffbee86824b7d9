"""Multi-scale cross-axis attention."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.attend import attend, attention_weights
from foveal.ops.heads import heads_for

_LINES = {
    "rows": ("b (n c) h w -> b n h (w c)", "b n h (w c) -> b (n c) h w"),
    "columns": ("b (n c) h w -> b n w (h c)", "b n w (h c) -> b (n c) h w"),
}


def _unit(x: Tensor) -> Tensor:
    return F.normalize(x, dim=-1, eps=max(1e-12, torch.finfo(x.dtype).tiny))


@register_attention(
    "mca_cross_axis", paper="Shao et al., Multi-scale Cross-axis Attention, arXiv 2023",
    arxiv="2312.08866",
)  # fmt: skip
class CrossAxisAttention(nn.Module):
    r"""Let rows attend to rows and columns to columns, each asking with the other axis's strips.

    $$y = x + P(r + c), \quad r = \mathrm{softmax}(\hat v_h \hat u_h^\top)\, u_h + \hat v_h, \quad
    c = \mathrm{softmax}(\hat u_w \hat v_w^\top)\, v_w + \hat u_w$$

    $$u = P \textstyle\sum_k \mathrm{conv}_{1\times k}(\mathrm{LN}\,x), \quad
    v = P \sum_k \mathrm{conv}_{k\times1}(\mathrm{LN}\,x)$$

    where $u_h$ has the rows of $u$ as tokens, $u_w$ its columns, and a hat makes a token's length
    1. Axial attention compares the positions of one line; here a whole line is one token, so there
    are H² and W² pairs in all. The kernels of an axis are added up before they are applied.

    Placed: once, in the decoder, on the maps of several stages of the encoder together.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 2·C·taps + 3·C + C².
    Multiply-adds: C·N·(3·C + 2·longest + 20 + 2·H + 2·W).

    Args:
        channels: channels C of the feature map.
        num_heads: heads, each with its own share of the channels. Default: 8, or the most below it
            that divide the channels into heads of at least four.
        kernel_size: lengths of the strips, odd.

    Raises:
        FovealError: if the heads do not divide the channels, or a length is even.

    Departs: The authors' code, which this follows, adds the queries to what they gather, and has
    one projection $P$ for both uses; it keeps a temperature that it never applies.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        kernel_size: Sequence[int] = (7, 11, 21),
    ):
        super().__init__()
        if not kernel_size or any(k < 1 or k % 2 == 0 for k in kernel_size):
            raise FovealError(f"kernel_size={tuple(kernel_size)} must be odd lengths")
        self.num_heads = heads_for(channels, num_heads)
        self.longest, self.taps = max(kernel_size), sum(kernel_size) + len(kernel_size)
        self.norm: nn.Module = nn.LayerNorm(channels)
        self.along_rows = nn.ModuleList(
            nn.Conv2d(channels, channels, (1, k), padding=(0, k // 2), groups=channels)
            for k in kernel_size
        )
        self.along_columns = nn.ModuleList(
            nn.Conv2d(channels, channels, (k, 1), padding=(k // 2, 0), groups=channels)
            for k in kernel_size
        )
        self.proj = nn.Conv2d(channels, channels, 1)

    def _strips(self, x: Map, convs: nn.ModuleList) -> Map:
        """The sum of the convolutions, as one of the greatest length."""
        strips: list[nn.Conv2d] = list(convs)  # pyright: ignore[reportAssignmentType]
        kernels = []
        for strip in strips:
            height, width = strip.kernel_size
            down = (self.longest - height) // 2 if convs is self.along_columns else 0
            right = (self.longest - width) // 2 if convs is self.along_rows else 0
            kernels.append(F.pad(strip.weight, (right, right, down, down)))
        kernel = sum(kernels[1:], kernels[0])
        bias = torch.stack([strip.bias for strip in strips if strip.bias is not None]).sum(0)
        edges = (kernel.shape[2] // 2, kernel.shape[3] // 2)
        return F.conv2d(x, kernel, bias, padding=edges, groups=x.shape[1])

    def _both(self, x: Map) -> tuple[Map, Map]:
        normed = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        u, v = self._strips(normed, self.along_rows), self._strips(normed, self.along_columns)
        return self.proj(u), self.proj(v)

    def _tokens(self, x: Map, axis: str) -> Float[Tensor, "b heads lines d"]:
        return rearrange(x, _LINES[axis][0], n=self.num_heads)

    def attention_map(self, x: Map, axis: str = "rows") -> Float[Tensor, "b heads m m"]:
        """How much each row takes from each, or with `axis="columns"` each column from each; rows
        of the map sum to 1."""
        u, v = self._both(x)
        key, query = (u, v) if axis == "rows" else (v, u)
        query, key = (_unit(self._tokens(part, axis)) for part in (query, key))
        return attention_weights(query, key, scale=1.0)

    def _gathered(self, query: Map, value: Map, axis: str) -> Map:
        q, v = _unit(self._tokens(query, axis)), self._tokens(value, axis)
        lines = attend(q, _unit(v), v, scale=1.0) + q
        height, width = query.shape[2:]
        size = {"w": width} if axis == "rows" else {"h": height}
        return rearrange(lines, _LINES[axis][1], **size)

    def forward(self, x: Map) -> Map:
        u, v = self._both(x)
        gathered = self._gathered(v, u, "rows") + self._gathered(u, v, "columns")
        # The projection of each is one of the sum, but for the bias, which counts twice.
        return x + F.conv2d(gathered, self.proj.weight, 2 * self.proj.bias)  # pyright: ignore
