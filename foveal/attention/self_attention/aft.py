"""Attention-free transformer."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.heads import heads_for
from foveal.ops.window import Size, pair

MODES = ("full", "simple", "local", "conv")


@register_attention(
    "aft", paper="Zhai et al., An Attention Free Transformer, arXiv 2021", arxiv="2105.14103"
)
class AFT(nn.Module):
    r"""Average the values channel by channel with keys and learned position biases, then gate.

    $$y_t = \sigma(q_t) \odot \frac{\sum_{t'} e^{k_{t'} + w_{tt'}} \odot v_{t'}}
    {\sum_{t'} e^{k_{t'} + w_{tt'}}}, \quad w_{tt'} = a_t^\top b_{t'}$$

    Queries and keys never meet: which position matters to which is learned once, for all images,
    and the image only says which positions matter at all. So the sum over pairs is one matrix
    product, $e^w (e^k \odot v)$, with one table $e^w$ for the whole batch. (It is N × N, being
    learned so; the other forms have none, or one that could do without.) `"simple"` has no w;
    `"local"` keeps those of near pairs; `"conv"` has one for each offset of a neighbourhood and
    head, so that $e^w$ is a convolution.

    Placed: in place of multi-head attention in every layer of a transformer.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 3·C² + 2·C + pairs·2·hidden·cells + convolves·num_heads·(kernel_size² + 2).
    Multiply-adds: 3·N·C² + N·C·(5 − pairs + convolves) + pairs·(8·N·hidden + N²·(hidden + 1 + 2·C))
    + convolves·(2·N·C·(kernel_size² + 1) + 8·num_heads·kernel_size²).

    Args:
        channels: channels C of the feature map.
        mode: `"full"`, `"simple"`, `"local"` or `"conv"`.
        hidden: width of the factors a and b of the biases.
        table_size: height and width of the grid that the factors are learned on; for other maps
            they are interpolated.
        kernel_size: side of the neighbourhood of `"local"` and `"conv"`, odd.
        num_heads: groups of channels of `"conv"` with biases of their own. Default: 32, or the
            most below it that divide the channels.

    Raises:
        FovealError: for an unknown mode, an even kernel, or heads that do not divide the channels.

    Departs: Neighbourhoods are squares of the map, where the paper's text has stretches of a
    sequence. Keys have no bias, which the ratio would cancel. Those of AFT-conv are as many as the
    channels; its ports differ, one has a key for each head, and the paper's text was not at hand.
    """

    def __init__(
        self,
        channels: int,
        mode: str = "full",
        hidden: int = 128,
        table_size: int | Size = 14,
        kernel_size: int = 11,
        num_heads: int | None = None,
    ):
        super().__init__()
        if mode not in MODES:
            raise FovealError(f"mode={mode!r} must be one of {', '.join(MODES)}")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise FovealError(f"kernel_size={kernel_size} must be odd and positive")
        if hidden < 1:
            raise FovealError(f"hidden={hidden} must be at least 1")
        self.mode, self.hidden, self.kernel_size = mode, hidden, kernel_size
        self.pairs, self.convolves = mode in ("full", "local"), mode == "conv"
        table_size = pair(table_size, "table_size")
        self.cells = table_size[0] * table_size[1]
        self.num_heads = heads_for(channels, num_heads, usual=32, least=1)
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, channels, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1)
        if self.pairs:  # as small as the paper has them, so that birth is nearly "simple"
            self.factors = nn.Parameter(0.01 * torch.randn(2, hidden, *table_size))
        if self.convolves:
            side = (self.num_heads, 1, kernel_size, kernel_size)
            self.offsets = nn.Parameter(0.01 * torch.randn(side))
            self.gain = nn.Parameter(torch.zeros(self.num_heads, 1, 1, 1))
            self.shift = nn.Parameter(torch.zeros(self.num_heads, 1, 1, 1))

    def _position_biases(self, height: int, width: int) -> Float[Tensor, "n n"]:
        """w of every pair, a query's row."""
        factors = F.interpolate(self.factors, (height, width), mode="bilinear").flatten(2)
        w = factors[0].T @ factors[1]
        if self.mode == "full":
            return w
        near = self.kernel_size // 2
        rows, columns = (torch.arange(n, device=w.device) for n in (height, width))
        rows, columns = ((c[:, None] - c).abs() <= near for c in (rows, columns))
        return w * (rows[:, None, :, None] & columns[None, :, None]).reshape(w.shape)

    def _offset_biases(self, channels: int) -> Float[Tensor, "c 1 k k"]:
        """e^w − 1 of every offset, for each channel; w is standardised head by head."""
        apart = self.offsets - self.offsets.mean((1, 2, 3), keepdim=True)
        size = apart.square().mean((1, 2, 3), keepdim=True).add(1e-12).sqrt()
        w = self.gain * (apart / size) + self.shift
        return w.expm1().repeat_interleave(channels // self.num_heads, 0)

    def _weighted(self, x: Map) -> tuple[Tensor, Tensor]:
        """e^k and v, each (B, C, N, 1), no e^k above 1: what is taken off the keys cancels. In
        float32 at least, for the sums can be as small as the least weight."""
        wide = torch.promote_types(x.dtype, torch.float32)
        k, v = (layer(x).flatten(2)[..., None].to(wide) for layer in (self.key, self.value))
        return (k - k.amax(2, keepdim=True)).exp(), v

    def attention_map(self, x: Map) -> Float[Tensor, "b c n n"]:
        """How much each position takes from each, per channel; rows sum to 1. Forms C × N × N; of
        `"simple"`, where all rows are equal, one row."""
        e, _ = self._weighted(x)
        height, width = x.shape[2:]
        rows = e.mT
        if self.pairs:
            w = self._position_biases(height, width).to(e.dtype)
            rows = rows * (w - w.amax(1, keepdim=True)).exp()
        elif self.convolves:
            n = height * width
            places = torch.eye(n, dtype=e.dtype, device=e.device).view(n, 1, height, width)
            kernel = self._offset_biases(x.shape[1]).to(e.dtype)
            sums = F.conv2d(places, kernel, padding=self.kernel_size // 2)  # key, channel, query
            rows = rows * (1 + sums.flatten(2).permute(1, 2, 0))
        return (rows / rows.sum(-1, keepdim=True)).to(x.dtype)

    def _averages(self, x: Map) -> Map:
        """The ratio of the two sums; of `"simple"` one position, for all are the same."""
        e, v = self._weighted(x)
        terms = torch.cat((e * v, e), 1)[..., 0]
        size = x.shape[2:]
        if self.pairs:
            w = self._position_biases(*size).to(e.dtype)
            sums = (terms @ (w - w.amax(1, keepdim=True)).exp().T).unflatten(2, size)
        else:
            sums = terms.sum(2)[..., None, None]
        if self.convolves:
            kernel = self._offset_biases(x.shape[1]).to(e.dtype).repeat(2, 1, 1, 1)
            terms = terms.unflatten(2, size)
            sums = sums + F.conv2d(terms, kernel, padding=self.kernel_size // 2, groups=len(kernel))
        top, bottom = sums.chunk(2, dim=1)
        return top / bottom

    def forward(self, x: Map) -> Map:
        return self.query(x).sigmoid() * self._averages(x).to(x.dtype)
