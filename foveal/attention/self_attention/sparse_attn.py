"""Sparse self-attention: fixed patterns, or the best few keys."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.attend import attend, attention_weights
from foveal.ops.heads import heads_for, merge_heads, split_heads
from foveal.ops.padding import cut_sequence, hide_padding, pad_sequence

PATTERNS = ("strided", "block", "topk")


@register_attention(
    "sparse_attn",
    paper="Child et al., Generating Long Sequences with Sparse Transformers, arXiv 2019",
    arxiv="1904.10509",
)
class SparseAttention(nn.Module):
    r"""Keep few of the pairs of self-attention: near ones and evenly spaced ones, or the strongest.

    $$y_n = \textstyle\sum_{m \in S_n} \mathrm{softmax}_{m \in S_n}(q_n^\top k_m / \sqrt{d})\, v_m
    \quad \text{in each head, then } W_O$$

    Positions stand in one line, row after row, cut into runs of s. `"strided"` lets half the heads
    see their own run and the other half the positions that stand at the same place in every run:
    two steps join any two positions, and with s = √N each costs N√N. With runs of one row these
    are rows and columns. `"block"` lets all heads see their run alone. Both compute the kept pairs
    only. `"topk"` keeps the k best keys of each query; to find them it has to form all scores,
    N × N, so that it saves nothing and serves to sharpen the weights.

    Placed: in place of softmax attention in every layer of a transformer.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 4·C² + C + 3·qkv_bias·C.
    Multiply-adds: 4·N·C² + runs·2·max(stride, by_row·W)·ceil(N / max(stride, by_row·W))
    ·(C // num_heads + min(1, N % max(stride, by_row·W)))
    ·(near·max(stride, by_row·W) + far·ceil(N / max(stride, by_row·W)))
    + (1 − runs)·(2·N²·(C + num_heads) + N·C).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: 8, or the most below it that divide the channels.
        pattern: `"strided"`, `"block"` or `"topk"`.
        stride: s, positions of a run. Default: the map's width.
        top_k: keys that `"topk"` keeps for each query; of equal ones, all.
        qkv_bias: give queries, keys and values a bias.

    Raises:
        FovealError: if the heads do not divide the channels, the pattern is unknown, or a number is
            below 1.

    Departs: The paper generates sequences, so that a position sees none after it, and its near
    ones are the last s; here all of a run see each other. A single head has near pairs only. The
    best keys are not of that paper.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        pattern: str = "strided",
        stride: int | None = None,
        top_k: int = 16,
        qkv_bias: bool = False,
    ):
        super().__init__()
        if pattern not in PATTERNS:
            raise FovealError(f"pattern={pattern!r} must be one of {', '.join(PATTERNS)}")
        if top_k < 1 or (stride is not None and stride < 1):
            raise FovealError(f"stride={stride} and top_k={top_k} must be at least 1")
        self.num_heads = heads_for(channels, num_heads)
        self.pattern, self.stride, self.by_row = pattern, stride or 0, stride is None
        self.top_k, self.qkv_bias, self.runs = top_k, qkv_bias, pattern != "topk"
        self.far = self.num_heads // 2 if pattern == "strided" else 0
        self.near = self.num_heads - self.far
        self.qkv = nn.Linear(channels, 3 * channels, bias=qkv_bias)
        self.proj = nn.Linear(channels, channels)

    def _project(self, x: Map) -> tuple[Tensor, Tensor, Tensor]:
        tokens = rearrange(x, "b c h w -> b (h w) c").contiguous()
        q, k, v = (split_heads(t, self.num_heads) for t in self.qkv(tokens).chunk(3, dim=-1))
        return q, k, v

    def _in_runs(self, q: Tensor, k: Tensor, v: Tensor, run: int) -> Tensor:
        """The heads' results (B, heads, N, D), each from the pairs that it keeps."""
        positions, images = q.shape[2], q.shape[0]
        q, k, v = (pad_sequence(t, run) for t in (q, k, v))
        q, k = hide_padding(q, k, positions) if not self.by_row else (q, k)
        scale = v.shape[-1] ** -0.5
        heads = (self.near, self.far) if self.far else (self.near,)
        cuts = "b h (r s) d -> (b r) h s d", "b h (r s) d -> (b s) h r d"
        found = []
        for cut, *parts in zip(cuts, *(t.split(heads, 1) for t in (q, k, v)), strict=False):
            parts = (rearrange(t, cut, s=run).contiguous() for t in parts)
            before, after = cut.split(" -> ")
            attended = attend(*parts, scale=scale)
            found.append(rearrange(attended, f"{after} -> {before}", b=images))
        return cut_sequence(torch.cat(found, 1) if self.far else found[0], positions)

    def _best(self, q: Tensor, k: Tensor) -> Tensor:
        """The weights of the best keys, and 0 for all others."""
        scores = (q * q.shape[-1] ** -0.5) @ k.mT
        few = torch.sym_min(self.top_k, k.shape[2])
        least = scores.topk(few, dim=-1).values[..., -1:]
        return scores.masked_fill(scores < least, -torch.inf).softmax(-1)

    def attention_map(self, x: Map) -> Float[Tensor, "b heads n n"]:
        """How much each position takes from each, per head; rows sum to 1, and pairs that are not
        kept have 0. Forms N × N."""
        q, k, _ = self._project(x)
        if self.pattern == "topk":
            return self._best(q, k)
        run = x.shape[3] if self.by_row else self.stride
        places = torch.arange(q.shape[2], device=x.device)
        runs, within = places // run, places % run
        near, far = (t[:, None] == t for t in (runs, within))
        kept = torch.stack([near] * self.near + [far] * self.far)
        return attention_weights(q, k, bias=torch.where(kept, 0.0, -torch.inf).to(q.dtype))

    def forward(self, x: Map) -> Map:
        q, k, v = self._project(x)
        if self.pattern == "topk":
            heads = self._best(q, k) @ v
        else:
            heads = self._in_runs(q, k, v, x.shape[3] if self.by_row else self.stride)
        return rearrange(self.proj(merge_heads(heads)), "b (h w) c -> b c h w", h=x.shape[2])
