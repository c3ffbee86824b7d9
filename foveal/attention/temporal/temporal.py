"""Attention over time."""

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.attention.self_attention.mhsa import MHSA
from foveal.core.registry import register_attention
from foveal.core.types import Video
from foveal.ops.heads import heads_for


@register_attention("temporal", paper="Arnab et al., ViViT, ICCV 2021", arxiv="2103.15691")
class Temporal(nn.Module):
    r"""Let each position of each frame take from the same position in every frame.

    $$y_{t,p} = W_O\,\mathrm{concat}_h \sum_s \mathrm{softmax}_s\big(
    q_{t,p}^\top k_{s,p} / \sqrt{d}\big)\, v_{s,p}$$

    Positions never meet: it is the temporal half of ViViT's factorised attention, at a cost of T²
    pairs for each position and not (T·H·W)² for all.

    Placed: in every block, after attention among the positions of each frame.

    Shape: (B, T, C, H, W) → (B, T, C, H, W).
    Parameters: 4·C² + qkv_bias·3·C + proj_bias·C.
    Multiply-adds: 4·T·N·C² + 2·N·T²·C.

    Args:
        channels: channels C of the frames.
        num_heads: heads. Default: 8, or the most below that divide the channels into four or more
            each.
        qkv_bias: give queries, keys and values a bias. The keys' share of it has no effect, for
            the softmax cancels it.
        proj_bias: give the last layer a bias.
        attention_dropout: probability of dropping a weight in training.
        dropout: probability of dropping an output in training.

    Raises:
        FovealError: if `num_heads` does not divide the channels.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        qkv_bias: bool = True,
        proj_bias: bool = True,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.num_heads = heads_for(channels, num_heads)
        self.qkv_bias, self.proj_bias = qkv_bias, proj_bias
        self.attention = MHSA(
            channels,
            self.num_heads,
            qkv_bias=qkv_bias,
            proj_bias=proj_bias,
            attention_dropout=attention_dropout,
            dropout=dropout,
        )

    def attention_map(self, x: Video) -> Float[Tensor, "b h w heads t t"]:
        """At each position, how much each frame takes from each; rows sum to 1."""
        weights = self.attention.attention_map(rearrange(x, "b t c h w -> (b h w) t c"))
        return rearrange(weights, "(b h w) n t s -> b h w n t s", h=x.shape[3], w=x.shape[4])

    def forward(self, x: Video) -> Video:
        tokens = rearrange(x, "b t c h w -> (b h w) t c").contiguous()
        return rearrange(
            self.attention(tokens), "(b h w) t c -> b t c h w", h=x.shape[3], w=x.shape[4]
        )
