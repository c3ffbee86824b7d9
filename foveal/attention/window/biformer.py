"""Attention to the regions that matter to one's own."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.attend import attend, attention_weights
from foveal.ops.heads import heads_for
from foveal.ops.strips import crop_strips, pad_strips, strip_length, strip_places
from foveal.ops.window import is_open


@register_attention("biformer", paper="Zhu et al., BiFormer: Vision Transformer with Bi-Level "
                    "Routing Attention, CVPR 2023", arxiv="2303.08810")  # fmt: skip
class BiFormer(nn.Module):
    r"""Choose for each region of the map the few regions that suit it, and attend to those alone.

    $$y = \mathrm{softmax}\big(q K_{\mathcal{I}}^\top / \sqrt{C}\big) V_{\mathcal{I}} W_O
    + \mathrm{dwconv}(V) W_O, \quad
    \mathcal{I}(r) = \mathrm{topk}_s\ \bar q_r^\top \bar k_s$$

    The map is cut into S × S regions, whatever its size. First regions are compared, by the means
    of their queries and keys; then each position attends to every position of the k best regions of
    its own. The choice depends on the image, where a window's does not; no gradient flows through
    it. Scores are divided by the square root of the width of all heads together, as the published
    weights have it.

    Placed: in the blocks of BiFormer, before the perceptron.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: C·(2·key_channels + C) + 2·key_channels + 2·C + C² + depthwise·C
    + min(depthwise, 1)·C.
    Multiply-adds: N·C·(2·key_channels + 2·C + depthwise + min(depthwise, 1))
    + ceil(H / regions)·ceil(W / regions)·regions²·key_channels·2 + regions⁴·key_channels
    + (ceil(H / regions)·ceil(W / regions)·regions)²·topk·2·max(key_channels, C).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: the paper's 8, or fewer where a head would have less than four
            channels.
        regions: S, regions along each axis.
        topk: k, regions that each region attends to.
        key_channels: width of all heads' queries together, and of their keys. Default: C.
        kernel_size: size of the convolution of the values, odd; 0 for none.
        scale: factor on the scores. Default: 1/√key_channels.

    Raises:
        FovealError: if the heads do not divide the widths, there are fewer regions than are to be
            chosen, or the size is even.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        regions: int = 7,
        topk: int = 4,
        key_channels: int | None = None,
        kernel_size: int = 3,
        scale: float | None = None,
    ):
        super().__init__()
        self.num_heads = heads_for(channels, num_heads)
        self.key_channels = channels if key_channels is None else key_channels
        if self.key_channels < 1 or self.key_channels % self.num_heads:
            raise FovealError(
                f"key_channels={self.key_channels} must be a multiple of num_heads={self.num_heads}"
            )
        if regions < 1 or not 1 <= topk <= regions**2:
            raise FovealError(
                f"regions={regions} and topk={topk}: of regions² there must be topk to choose"
            )
        if kernel_size < 0 or (kernel_size and kernel_size % 2 == 0):
            raise FovealError(f"kernel_size={kernel_size} must be odd, or 0 for no convolution")
        self.regions, self.topk, self.depthwise = regions, topk, kernel_size**2
        self.scale = self.key_channels**-0.5 if scale is None else scale
        self.widths = self.key_channels, self.key_channels, channels
        self.qkv = nn.Conv2d(channels, sum(self.widths), 1)
        self.local = None
        if kernel_size:
            self.local = nn.Conv2d(
                channels, channels, kernel_size, padding=kernel_size // 2, groups=channels
            )
        self.proj = nn.Conv2d(channels, channels, 1)

    def _inside(self, x: Tensor) -> Tensor | None:
        """Which of each region's positions are on the map: (regions², positions)."""
        height, width = x.shape[2:]
        free = is_open(height) or is_open(width)
        if not free and not height % self.regions and not width % self.regions:
            return None
        rows, columns = (strip_places(s, self.regions, x.device)[1] for s in (height, width))
        return (rows[:, None, :, None] & columns[None, :, None, :]).flatten(2).flatten(0, 1)

    def _chosen(self, q: Tensor, k: Tensor, inside: Tensor | None) -> Tensor:
        """For each region the regions that it attends to: (B, regions², topk)."""
        q, k = q.detach(), k.detach()
        if inside is None:
            return (q.mean(2) @ k.mean(2).mT).topk(self.topk, dim=-1).indices
        count = inside.sum(1, keepdim=True).clamp(min=1).to(q.dtype)
        q, k = (torch.where(inside[..., None], t, 0).sum(2) / count for t in (q, k))
        scores = torch.where(inside.any(1), q @ k.mT, float("-inf"))
        return scores.topk(self.topk, dim=-1).indices

    def _pairs(self, x: Tensor, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Queries of each region, with the keys and values of those that it has chosen."""
        side, heads = self.regions, self.num_heads
        tokens = pad_strips(qkv, (side, side))
        tokens = rearrange(tokens, "b c (j h) (i w) -> b (j i) (h w) c", j=side, i=side)
        q, kv = tokens.split((self.widths[0], self.widths[1] + self.widths[2]), dim=-1)
        inside = self._inside(x)
        chosen = self._chosen(q, kv[..., : self.key_channels], inside)
        first = torch.arange(x.shape[0], device=x.device)[:, None, None] * side**2
        kv = kv.flatten(0, 1).index_select(0, (chosen + first).flatten())
        kv = kv.unflatten(0, (-1, side**2, self.topk)).flatten(2, 3)  # (B, regions², keys, …)
        q, k, v = (
            rearrange(t, "b r n (h d) -> b (r h) n d", h=heads)
            for t in (q, *kv.split(self.widths[1:], dim=-1))
        )
        if inside is None:
            return q, k, v, None
        seen = inside[chosen].flatten(2)[:, :, None, None]  # (B, regions², 1, 1, keys)
        zero = q.new_zeros(()).expand(heads, 1, 1)
        return q, k, v, torch.where(seen, zero, float("-inf")).flatten(1, 2)

    def attention_map(self, x: Map) -> Float[Tensor, "b regions heads n m"]:
        """How much each position of a region takes from each of the regions chosen, best first;
        rows sum to 1."""
        q, k, _, mask = self._pairs(x, self.qkv(x))
        weights = attention_weights(q, k, scale=self.scale, bias=mask)
        return weights.unflatten(1, (-1, self.num_heads))

    def forward(self, x: Map) -> Map:
        (height, width), side = x.shape[2:], self.regions
        qkv = self.qkv(x)
        q, k, v, mask = self._pairs(x, qkv)
        y = rearrange(
            attend(q, k, v, scale=self.scale, bias=mask),
            "b (j i m) (h w) d -> b (m d) (j h) (i w)",
            j=side,
            i=side,
            m=self.num_heads,
            w=strip_length(width, side),
        )
        y = crop_strips(y, (side, side), height, width)
        if self.local is not None:
            y = y + self.local(qkv[:, 2 * self.key_channels :])
        return self.proj(y)
