"""Global context block."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.context import add_context, gather_context
from foveal.ops.width import hidden_width


def _transform(channels: int, hidden: int) -> nn.Sequential:
    """Bottleneck with layer normalisation; its last layer is born 0, as the authors have it."""
    last = nn.Linear(hidden, channels)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(channels, hidden), nn.LayerNorm(hidden), nn.ReLU(), last)


@register_attention("gc", paper="Cao et al., GCNet, ICCV Workshops 2019", arxiv="1904.11492")
class GC(nn.Module):
    r"""Add to every position one context vector, gathered by attention over all positions.

    $$y = x + W_{2}\,\mathrm{ReLU}\big(\mathrm{LN}(W_{1} \textstyle\sum_j \alpha_j x_j)\big),
    \quad \alpha = \mathrm{softmax}_{hw}(w_k^\top x)$$

    The non-local block attends from every position and finds nearly the same context for each;
    here it is computed once. Born an identity, for the last layer starts at 0.

    Placed: after the last convolution of each bottleneck in the last three stages, before the
    addition.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: attends·C + num_fusions·(2·C·hidden + 3·hidden + C).
    Multiply-adds: attends·(2·C + 2)·H·W + (1 − attends)·C·H·W
    + num_fusions·(C·H·W + 2·C·hidden + 4·hidden).

    Args:
        channels: channels C of the feature map.
        reduction: r, by which the bottleneck is narrower.
        hidden: width of the bottleneck. Default: C/r, at least 4, for layer normalisation of fewer
            values leaves little but their signs.
        pool: `"att"` gathers by attention, `"avg"` by the plain mean.
        fuse: `"add"` adds the context, `"mul"` scales channels by its sigmoid; both: scale first.

    Raises:
        FovealError: for an unknown `pool` or `fuse`, or a reduction or width below 1.

    Departs: The attention scores have no bias, which the softmax would cancel; the authors' code
    keeps one.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        hidden: int | None = None,
        pool: str = "att",
        fuse: Sequence[str] = ("add",),
    ):
        super().__init__()
        if pool not in ("att", "avg"):
            raise FovealError(f"pool={pool!r} must be 'att' or 'avg'")
        if not fuse or isinstance(fuse, str) or set(fuse) - {"add", "mul"}:
            raise FovealError(f"fuse={fuse!r} must be a sequence of 'add', 'mul' or both")
        self.hidden = hidden_width(channels, reduction, least=4, hidden=hidden)
        self.attends, self.num_fusions = pool == "att", len(set(fuse))
        self.score = nn.Conv2d(channels, 1, 1, bias=False) if self.attends else None
        self.mul = _transform(channels, self.hidden) if "mul" in fuse else None
        self.add = _transform(channels, self.hidden) if "add" in fuse else None

    def attention_map(self, x: Map) -> Float[Tensor, "b 1 h w"]:
        """How much each position gives to the context; over all positions it sums to 1."""
        if self.score is None:
            size = x.shape[2] * x.shape[3]
            return torch.full_like(x[:, :1], 1) / size
        scores = self.score(x)
        return scores.flatten(2).softmax(-1).view_as(scores)

    def _context(self, x: Map) -> Float[Tensor, "b c"]:
        if self.score is None:
            return x.mean((2, 3))
        return gather_context(x, self.score.weight[..., 0, 0])

    def forward(self, x: Map) -> Map:
        if self.score is not None and self.add is not None and self.mul is None:
            scorer = self.score.weight[..., 0, 0]
            return add_context(x, scorer, self.add, self.add.parameters())
        context = self._context(x)
        if self.mul is not None:
            x = x * self.mul(context).sigmoid()[..., None, None]
        if self.add is not None:
            x = x + self.add(context)[..., None, None]
        return x
