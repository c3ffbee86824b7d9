"""Non-local block."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map, Tokens
from foveal.ops.attend import attend, attention_weights
from foveal.ops.norm import BatchNorm2d
from foveal.ops.width import hidden_width

MODES = ("gaussian", "embedded_gaussian", "dot", "concatenation")


def rectified_sum(a: Float[Tensor, "b n"], b: Float[Tensor, "b m"], v: Tokens) -> Tokens:
    """Σ_j max(a_i + b_j, 0) v_j for every i, without a table of pairs.

    Sorted by b_j, the keys that i sees are the first few. So every sum over them is a step of a
    running sum, and a_i Σ v_j + Σ b_j v_j is what is wanted. Costs a sort, and memory for N + M
    rows. The sums run in float32 at least.
    """
    wide = torch.promote_types(v.dtype, torch.float32)
    a, b, v = a.to(wide), b.to(wide), v.to(wide)
    order = torch.cat((b, -a), dim=1).argsort(dim=1, descending=True)  # keys and queries mixed
    terms = F.pad(torch.cat((v, b[..., None] * v), dim=2), (0, 0, 0, a.shape[1]))
    width = terms.shape[2]
    running = terms.gather(1, order[..., None].expand(-1, -1, width)).cumsum(1)
    places = order.argsort(1)[:, b.shape[1] :]  # where each query has come to stand
    sums = running.gather(1, places[..., None].expand(-1, -1, width))
    plain, weighted = sums.chunk(2, dim=2)
    return torch.addcmul(weighted, a[..., None], plain)


@register_attention(
    "nonlocal", paper="Wang et al., Non-local Neural Networks, CVPR 2018", arxiv="1711.07971"
)
class NonLocal(nn.Module):
    r"""Add to each position a sum over all positions, weighted by how two positions compare.

    $$y = x + \mathrm{BN}\Big(W_z \tfrac{1}{\mathcal{C}} \textstyle\sum_j f(x_i, x_j)\,
    W_g x_j\Big), \quad f = e^{x_i^\top x_j},\ e^{\theta_i^\top \phi_j},\
    \theta_i^\top \phi_j\ \text{or}\ \mathrm{ReLU}(w^\top [\theta_i, \phi_j])$$

    The general form of which self-attention is one case, with one head and in a narrower width.
    The exponential pairs are divided by their sum (a softmax), the others by the number of
    positions. None of the four is computed pair by pair here: the dot product is
    $\theta\,(\phi^\top g)$, in any order, and the rectified sum is read off running sums over
    sorted keys. Born an identity.

    Placed: after every second residual block of the two middle stages of a ResNet-50, five times in
    all.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: embeds·(2·C·hidden + (2 − softmaxes)·hidden) + 2·C·hidden + hidden + C
    + normalises·C + concatenates·2·hidden.
    Multiply-adds: ceil(H/key_stride)·ceil(W/key_stride)·(C·hidden + embeds·C·hidden
    + softmaxes·2·N·width + dots·hidden·(hidden + 1) + concatenates·5·hidden)
    + N·(C·(hidden + 1 + normalises) + embeds·C·hidden + dots·hidden² + concatenates·4·hidden).

    Args:
        channels: channels C of the feature map.
        mode: how two positions compare: `"gaussian"` (the input itself), `"embedded_gaussian"`,
            `"dot"` or `"concatenation"`.
        reduction: by which the inner width is narrower.
        hidden: inner width. Default: C / reduction, at least 1.
        scale: factor on the scores of the two Gaussians. Default: 1/√hidden when embedded, else 1.
        key_stride: side of the squares of positions whose maximum makes one key.
        norm: batch-normalise what is added.

    Raises:
        FovealError: for an unknown mode, or a width or stride below 1.

    Departs: The embedded scores are scaled, and keys have no bias where a softmax would cancel it;
    the paper's equation 3 has no scale (`scale=1`), the authors' code has. Keys are not pooled
    unless asked for; the authors' video models have `key_stride=2`.
    """

    def __init__(
        self,
        channels: int,
        mode: str = "embedded_gaussian",
        reduction: int = 2,
        hidden: int | None = None,
        scale: float | None = None,
        key_stride: int = 1,
        norm: bool = True,
    ):
        super().__init__()
        if mode not in MODES:
            raise FovealError(f"mode={mode!r} must be one of {', '.join(MODES)}")
        if key_stride < 1:
            raise FovealError(f"key_stride={key_stride} must be at least 1")
        self.mode, self.key_stride, self.normalises = mode, key_stride, norm
        self.hidden = hidden_width(channels, reduction, hidden=hidden)
        self.embeds, self.softmaxes = mode != "gaussian", mode.endswith("gaussian")
        self.dots, self.concatenates = mode == "dot", mode == "concatenation"
        self.width = self.hidden if self.embeds else max(channels, self.hidden)
        default = self.hidden**-0.5 if self.embeds else 1.0
        self.scale = default if scale is None else scale
        self.value = nn.Linear(channels, self.hidden)
        if self.embeds:
            self.query = nn.Linear(channels, self.hidden)
            self.key = nn.Linear(channels, self.hidden, bias=not self.softmaxes)
        if self.concatenates:
            self.pair = nn.Linear(2 * self.hidden, 1, bias=False)
        self.proj = nn.Linear(self.hidden, channels, bias=not norm)
        self.norm = BatchNorm2d(channels) if norm else nn.Identity()
        for parameter in (self.norm if norm else self.proj).parameters():
            nn.init.zeros_(parameter)

    def _project(self, x: Map) -> tuple[Tokens, Tokens, Tokens]:
        """Queries, keys and values."""
        tokens = keys = rearrange(x, "b c h w -> b (h w) c").contiguous()
        if self.key_stride > 1:  # a rest at the edge counts too
            pooled = F.max_pool2d(x, self.key_stride, ceil_mode=True)
            keys = rearrange(pooled, "b c h w -> b (h w) c").contiguous()
        v = self.value(keys)
        return (self.query(tokens), self.key(keys), v) if self.embeds else (tokens, keys, v)

    def _halves(self, q: Tokens, k: Tokens) -> tuple[Tensor, Tensor]:
        """One number per query and one per key, whose rectified sum is the weight of the pair."""
        of_query, of_key = self.pair.weight[0].chunk(2)
        return q @ of_query, k @ of_key

    def attention_map(self, x: Map) -> Float[Tensor, "b n m"]:
        """The weight f / C of each pair, in (-∞, ∞): rows of the Gaussian modes lie between 0 and
        1 and sum to 1, those of `"concatenation"` are not negative. Forms N × N."""
        q, k, _ = self._project(x)
        if self.softmaxes:
            return attention_weights(q, k, scale=self.scale)
        if self.concatenates:
            a, b = self._halves(q, k)
            return (a[:, :, None] + b[:, None]).relu() / b.shape[1]
        return q @ k.mT / k.shape[1]

    def forward(self, x: Map) -> Map:
        q, k, v = self._project(x)
        if self.softmaxes:
            gathered = attend(q, k, v, scale=self.scale)
        elif self.concatenates:
            gathered = rectified_sum(*self._halves(q, k), v / v.shape[1]).to(v.dtype)
        else:
            gathered = q @ (k.mT @ (v / v.shape[1]))
        y = rearrange(self.proj(gathered), "b (h w) c -> b c h w", h=x.shape[2])
        return x + self.norm(y)
