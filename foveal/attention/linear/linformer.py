"""Linformer's self-attention."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map, Tokens
from foveal.ops.attend import attend, attention_weights
from foveal.ops.heads import heads_for, merge_heads, split_heads
from foveal.ops.resize import bilinear
from foveal.ops.window import Size, pair


@register_attention("linformer", paper="Wang et al., Linformer, arXiv 2020", arxiv="2006.04768")
class Linformer(nn.Module):
    r"""Attend to a fixed number of learned mixtures of the positions instead of to all of them.

    $$y = \mathrm{concat}_h\Big(\mathrm{softmax}\big(Q_h (E K)_h^\top / \sqrt{d}\big)
    (F V)_h\Big) W_O, \quad Q, K, V = x W_Q, x W_K, x W_V$$

    $E$ and $F$ have one row of weights over the positions for each mixture, the same for all heads.
    As the mixtures come before $W_K$ and $W_V$ here, those act on `num_tokens` rows alone. External
    attention has learned keys; these are mixed from the image.

    Placed: in place of softmax attention in every layer of a transformer.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: C·(2·inner + 1) + (2 − share_kv)·(C·kv_width + num_tokens·rows·columns).
    Multiply-adds: 2·N·C·inner + 2·N·num_tokens·inner
    + (2 − share_kv)·num_tokens·(N·C + C·kv_width + N + H·columns·(rows + W)).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: 8, or the most below it that divide the channels into heads of at
            least four.
        num_tokens: mixtures k.
        grid: height and width of the map that the weights are learned for.
        head_channels: width of a head. Default: C / num_heads.
        one_kv_head: let all heads share keys and values.
        share_kv: let values be the keys, with the same mixtures.
        attention_dropout: probability of dropping a weight in training.

    Raises:
        FovealError: if the heads do not divide the channels, or a number is not positive.

    Departs: The paper's weights are bound to one length. Here they lie on a grid, are drawn out
    linearly to the map's height and width, and divided by how many positions there are to each of
    the grid's, so that the mixtures keep their size; on a map like the grid that changes nothing.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        num_tokens: int = 256,
        grid: int | Size = 14,
        head_channels: int | None = None,
        one_kv_head: bool = False,
        share_kv: bool = False,
        attention_dropout: float = 0.0,
    ):
        super().__init__()
        self.num_heads = heads_for(channels, num_heads)
        width = channels // self.num_heads if head_channels is None else head_channels
        if num_tokens < 1 or width < 1:
            raise FovealError(f"num_tokens={num_tokens}, head_channels={width} must be positive")
        self.rows, self.columns = pair(grid, "grid")
        self.num_tokens, self.share_kv = num_tokens, share_kv
        self.inner = width * self.num_heads
        self.kv_heads = 1 if one_kv_head else self.num_heads
        self.kv_width = width * self.kv_heads
        self.attention_dropout = attention_dropout
        shape = num_tokens, self.rows, self.columns
        self.query = nn.Linear(channels, self.inner, bias=False)
        self.key = nn.Linear(channels, self.kv_width, bias=False)
        self.of_keys = nn.Parameter(torch.empty(shape).uniform_(-1, 1) * num_tokens**-0.5)
        self.value = self.of_values = None
        if not share_kv:
            self.value = nn.Linear(channels, self.kv_width, bias=False)
            self.of_values = nn.Parameter(torch.empty(shape).uniform_(-1, 1) * num_tokens**-0.5)
        self.proj = nn.Linear(self.inner, channels)

    def _mixing(self, x: Map) -> list[Float[Tensor, "k n"]]:
        """The weights of the keys and, unless they are shared, of the values on a map like x."""
        height, width = x.shape[2:]
        tables = [self.of_keys] if self.of_values is None else [self.of_keys, self.of_values]
        scale = self.rows * self.columns / (height * width)
        return [
            bilinear(table[None], height, width, align_corners=False)[0].flatten(1) * scale
            for table in tables
        ]

    def _project(
        self, queries: Tokens, tokens: Tokens, mixing: list[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, head by head: (B, heads, N or k, width)."""
        q = split_heads(self.query(queries), self.num_heads)
        k = split_heads(self.key(mixing[0] @ tokens), self.kv_heads)
        v = k
        if self.value is not None:
            v = split_heads(self.value(mixing[1] @ tokens), self.kv_heads)
        every = (-1, self.num_heads, -1, -1)  # head, where they share keys and values
        return q, k.expand(every), v.expand(every)

    def _attend(self, queries: Tokens, tokens: Tokens, mixing: list[Tensor]) -> Tokens:
        q, k, v = self._project(queries, tokens, mixing)
        dropout = self.attention_dropout if self.training else 0.0
        return self.proj(merge_heads(attend(q, k, v, dropout=dropout)))

    def attention_map(self, x: Map) -> Float[Tensor, "b heads n k"]:
        """How much each position takes from each mixture; rows sum to 1."""
        tokens = rearrange(x, "b c h w -> b (h w) c")
        return attention_weights(*self._project(tokens, tokens, self._mixing(x))[:2])

    def forward(self, x: Map) -> Map:
        tokens = rearrange(x, "b c h w -> b (h w) c").contiguous()
        y = self._attend(tokens, tokens, self._mixing(x))
        return rearrange(y, "b (h w) c -> b c h w", h=x.shape[2])
