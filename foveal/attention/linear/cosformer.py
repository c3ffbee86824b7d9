"""cosFormer attention."""

from math import pi

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.feature_maps import feature_map, linear_attend, linear_weights
from foveal.ops.heads import heads_for, merge_heads, split_heads


@register_attention("cosformer", paper="Qin et al., cosFormer, ICLR 2022", arxiv="2202.08791")
class CosFormer(nn.Module):
    r"""Linear attention whose weights fall off with the distance along the raster, as a cosine.

    $$y_i = \frac{\sum_j s_{ij} v_j}{\sum_j s_{ij}}, \quad
    s_{ij} = \phi(q_i)^\top \phi(k_j)\, \cos\Big(\frac{\pi}{2} \cdot \frac{i - j}{N}\Big),
    \quad \phi = \mathrm{ReLU}$$

    By cos(a − b) = cos a cos b + sin a sin b the fall-off parts into features twice as wide, so
    that pairs are still never formed. Positions are counted row by row, so the order matters and
    the input is a map.

    Placed: in place of softmax attention in every layer of a transformer.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 4·C² + qkv_bias·3·C + proj_bias·C.
    Multiply-adds: 4·N·C² + N·C·(4·head_channels + 11).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: 8, or the most below that divide the channels into four or more
            each.
        feature: φ by name, one of `foveal.ops.feature_maps`.
        qkv_bias: give queries, keys and values a bias.
        proj_bias: give the last layer a bias.
        eps: to which a smaller sum is raised before it is divided by.

    Raises:
        FovealError: if `num_heads` does not divide the channels, or the feature map is unknown.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        feature: str = "relu",
        qkv_bias: bool = True,
        proj_bias: bool = True,
        eps: float = 1e-6,
    ):
        super().__init__()
        self.num_heads = heads_for(channels, num_heads)
        self.head_channels = channels // self.num_heads
        self.feature, self.eps = feature_map(feature), eps
        self.qkv_bias, self.proj_bias = qkv_bias, proj_bias
        self.qkv = nn.Linear(channels, 3 * channels, bias=qkv_bias)
        self.proj: nn.Module = nn.Linear(channels, channels, bias=proj_bias)

    def _features(self, x: Map) -> tuple[Tensor, Tensor, Tensor]:
        tokens = rearrange(x, "b c h w -> b (h w) c").contiguous()
        q, k, v = self.qkv(tokens).chunk(3, dim=-1)
        wide = torch.promote_types(q.dtype, torch.float32)  # half precision counts to 2048 only
        steps = torch.arange(1, q.shape[1] + 1, device=x.device, dtype=wide)[:, None]
        angle = steps * (pi / 2) / q.shape[1]
        waves = angle.sin().to(q.dtype), angle.cos().to(q.dtype)
        heads = (split_heads(self.feature(part), self.num_heads) for part in (q, k))
        q, k = (torch.cat([part * wave for wave in waves], dim=-1) for part in heads)
        return q, k, split_heads(v, self.num_heads)

    def attention_map(self, x: Map) -> Float[Tensor, "b heads n n"]:
        """How much each position takes from each, per head; in [0, 1], rows sum to 1 but for those
        that `eps` stands in for. Forms N × N."""
        q, k, _ = self._features(x)
        return linear_weights(q, k, eps=0.0, least=self.eps)

    def forward(self, x: Map) -> Map:
        heads = linear_attend(*self._features(x), eps=0.0, least=self.eps)
        return rearrange(self.proj(merge_heads(heads)), "b (h w) c -> b c h w", h=x.shape[2])
