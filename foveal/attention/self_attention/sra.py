"""Spatial-reduction attention."""

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map, Tokens
from foveal.ops.attend import attend, attention_weights
from foveal.ops.heads import head_count, merge_heads, split_heads
from foveal.ops.resize import adaptive_means
from foveal.ops.squares import bias_of_real, real_squares
from foveal.ops.window import pad_to_multiple


@register_attention(
    "sra", paper="Wang et al., Pyramid Vision Transformer, ICCV 2021", arxiv="2102.12122"
)
class SRA(nn.Module):
    r"""Let every position attend to a shrunken map, each key summing up a square of positions.

    $$y = \mathrm{concat}_h\Big(\mathrm{softmax}\big(Q_h K_h^\top / \sqrt{d}\big) V_h\Big) W_O,
    \quad K, V = W_{kv}\,\mathrm{LN}(\mathrm{conv}_{r \times r}^{\,\text{stride } r}(x))$$

    Self-attention in which queries keep the map's resolution and keys and values are r² times
    fewer. The linear form (PVT v2) averages the map to 7 × 7 instead, whatever its size, so that
    the cost grows with the number of positions and not with its square.

    Placed: in every block of PVT, before the perceptron.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 4·C² + C + 3·qkv_bias·C + reduces·(C²·taps + 3·C).
    Multiply-adds: 2·N·C² + (1 − linear)·ceil(H / key_stride)·ceil(W / key_stride)·(2·C²
    + 2·N·C + reduces·C·(C·taps + 4)) + linear·pool_size·C·(N + pool_size·(H + 3·C + 2·N + 4)).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: the paper's, one for 64 channels, or as many as divide them.
        key_stride: side r of the squares, 1 for plain self-attention. Default: the paper's for a
            stage of that width, 8 up to 64 channels, 4 up to 128, 2 up to 320 and then 1.
        linear: average to a fixed size, as PVT v2's linear models do, in place of the convolution.
        pool_size: that size.
        qkv_bias: give queries, keys and values a bias, as the published models have it.
        attention_dropout: probability of dropping a weight in training.
        dropout: probability of dropping an output in training.

    Raises:
        FovealError: if the heads do not divide the channels, or a stride or size is below 1.

    Departs: A map that the squares do not tile is filled up with zeros; the authors' code leaves
    the last rows and columns out, and takes no map smaller than a square.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        key_stride: int | None = None,
        linear: bool = False,
        pool_size: int = 7,
        qkv_bias: bool = True,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        if key_stride is None:
            key_stride = next(
                (r for r, most in ((8, 64), (4, 128), (2, 320)) if channels <= most), 1
            )
        if key_stride < 1 or pool_size < 1:
            raise FovealError(
                f"key_stride={key_stride} and pool_size={pool_size} must be at least 1"
            )
        self.num_heads = head_count(channels, num_heads, head_channels=64)
        self.key_stride, self.linear, self.pool_size = key_stride, linear, pool_size
        self.qkv_bias, self.attention_dropout = qkv_bias, attention_dropout
        self.taps = 1 if linear else key_stride**2
        self.reduces = linear or key_stride > 1
        self.query = nn.Linear(channels, channels, bias=qkv_bias)
        self.key_value = nn.Linear(channels, 2 * channels, bias=qkv_bias)
        self.proj = nn.Linear(channels, channels)
        if self.reduces:
            stride = 1 if linear else key_stride
            self.reduce = nn.Conv2d(channels, channels, stride, stride)
            self.norm = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)

    def _key_tokens(self, x: Map, tokens: Tokens) -> Tokens:
        """What keys and values are made of."""
        if not self.reduces:
            return tokens
        if self.linear:
            x = adaptive_means(x, self.pool_size, self.pool_size)
        else:
            x = pad_to_multiple(x, (self.key_stride, self.key_stride))
        reduced = self.norm(rearrange(self.reduce(x), "b c h w -> b (h w) c"))
        return F.gelu(reduced) if self.linear else reduced

    def _project(self, x: Map) -> tuple[Tensor, Tensor, Tensor]:
        tokens = rearrange(x, "b c h w -> b (h w) c").contiguous()
        k, v = self.key_value(self._key_tokens(x, tokens)).chunk(2, dim=-1)
        q, k, v = (split_heads(t, self.num_heads) for t in (self.query(tokens), k, v))
        return q, k, v

    def attention_map(self, x: Map) -> Float[Tensor, "b heads n m"]:
        """How much each position takes from each square, per head; rows sum to 1. Forms N × M."""
        q, k, _ = self._project(x)
        return attention_weights(q, k)

    def forward(self, x: Map) -> Map:
        q, k, v = self._project(x)
        tiled = self.reduces and not self.linear
        bias = bias_of_real(real_squares(x, self.key_stride), q) if tiled else None
        dropout = self.attention_dropout if self.training else 0.0
        heads = attend(q, k, v, bias=bias, dropout=dropout)
        y = self.dropout(self.proj(merge_heads(heads)))
        return rearrange(y, "b (h w) c -> b c h w", h=x.shape[2])
