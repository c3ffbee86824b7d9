"""Dynamic-range histogram self-attention."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.cross_covariance import cosines
from foveal.ops.heads import heads_for
from foveal.ops.window import crop, pad_to_multiple


@register_attention("dhsa", paper="Sun et al., Histoformer, ECCV 2024", arxiv="2407.10172")
class DHSA(nn.Module):
    r"""Sort the positions by value, and let bins of them attend to each other among the channels.

    $$y = W_O\big(\mathrm{unsort}(A_{\mathrm{bin}} V) \odot \mathrm{unsort}(A_{\mathrm{freq}} V)
    \big), \quad A = \frac{\exp(\tau \hat Q \hat K^\top)}{1 + \sum \exp(\tau \hat Q \hat K^\top)}$$

    Rain and haze put alike values far apart. Here positions are sorted by their values V, channel
    by channel, and cut into b bins: rows of Q, K and V are pairs of channel and bin, as in MDTA
    they are channels. One A has bins of neighbours in that order, the other takes every b-th. Where
    there are several bins, half precision, which orders close values otherwise, moves some
    positions into another.

    Placed: in the blocks of Histoformer, a U-shaped network that restores images.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 6·C² + 5·C·kernel_size² + bias·11·C + num_heads.
    Multiply-adds: (6·C + 5·kernel_size² + 1)·C·H·W
    + (4·head_channels·bins + 10)·C·bins·ceil(H·W/bins) + 10·C·head_channels·bins².

    Args:
        channels: channels C of the feature map.
        num_heads: heads, within which channels attend. Default: one for every 36 channels, as in
            the paper, at most 8, and as many as divide the channels.
        bins: b, into which the sorted positions are cut. Default: `num_heads`, as in the paper.
        kernel_size: of the depthwise convolution, odd.
        bias: give all convolutions a bias.

    Raises:
        FovealError: if the heads asked for do not divide the channels, `bins` is below 1, or
            `kernel_size` is even.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        bins: int | None = None,
        kernel_size: int = 3,
        bias: bool = False,
    ):
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise FovealError(f"kernel_size={kernel_size} must be odd, so that it has a middle")
        self.num_heads = heads_for(channels, num_heads, least=36)
        self.bins = self.num_heads if bins is None else bins
        if self.bins < 1:
            raise FovealError(f"bins={bins} must be at least 1")
        self.head_channels = channels // self.num_heads
        self.kernel_size, self.bias = kernel_size, bias
        wide = 5 * channels
        self.qkv = nn.Conv2d(channels, wide, 1, bias=bias)
        self.surroundings = nn.Conv2d(
            wide, wide, kernel_size, padding=kernel_size // 2, groups=wide, bias=bias
        )
        self.temperature = nn.Parameter(torch.ones(self.num_heads, 1, 1))
        self.proj = nn.Conv2d(channels, channels, 1, bias=bias)

    def _rows(self, x: Float[Tensor, "b c n"], near: bool) -> Float[Tensor, "b heads rows n"]:
        """Each channel's sorted positions cut into bins, of neighbours or of every b-th."""
        x = pad_to_multiple(x[:, :, None], (1, self.bins))[:, :, 0]
        x = x.unflatten(1, (self.num_heads, -1))
        cut = x.unflatten(3, (self.bins, -1) if near else (-1, self.bins))
        return (cut if near else cut.mT).flatten(2, 3)

    def _joined(self, rows: Tensor, near: bool, size: int) -> Float[Tensor, "b c n"]:
        cut = rows.unflatten(2, (-1, self.bins))
        joined = (cut if near else cut.mT).flatten(3).flatten(1, 2)
        return crop(joined[:, :, None], 1, size)[:, :, 0]

    def _attend(self, q: Tensor, k: Tensor) -> Tensor:
        scores = cosines(q, k) * self.temperature
        # One more than the sum of exponentials, so that a row may turn to nothing.
        most = scores.detach().amax(-1, keepdim=True).clamp(min=0)
        found = (scores - most).exp()
        return (found / (found.sum(-1, keepdim=True) + (-most).exp())).to(q.dtype)

    def _sorted(self, x: Map) -> tuple[list[Tensor], Tensor, Tensor]:
        """Queries and keys of both attentions in the order of the values; the values; the order."""
        seen = self.surroundings(self.qkv(x)).flatten(2)
        *others, values = seen.chunk(5, dim=1)
        values, order = values.sort(2)
        return [part.gather(2, order) for part in others], values, order

    def _front_sorted(self, x: Map) -> tuple[Map, Tensor, Tensor]:
        """The first half of the channels sorted within columns, and then within rows."""
        half = x.shape[1] // 2
        front, of_rows = x[:, :half].sort(2)
        front, of_columns = front.sort(3)
        return torch.cat((front, x[:, half:]), dim=1), of_rows, of_columns

    def attention_map(self, x: Map) -> Float[Tensor, "b heads d d"]:
        """How much each bin of a channel takes from each where bins are of neighbours, in [0, 1];
        rows sum to less than 1."""
        (q, k, *_), _, _ = self._sorted(self._front_sorted(x)[0])
        return self._attend(self._rows(q, True), self._rows(k, True))

    def forward(self, x: Map) -> Map:
        mixed, of_rows, of_columns = self._front_sorted(x)
        (q_near, k_near, q_far, k_far), values, order = self._sorted(mixed)
        size, found = values.shape[2], []
        for near, q, k in (True, q_near, k_near), (False, q_far, k_far):
            weights = self._attend(self._rows(q, near), self._rows(k, near))
            found.append(self._joined(weights @ self._rows(values, near), near, size))
        gated = found[0] * found[1]
        y = self.proj(gated.scatter(2, order, gated).view(x.shape))
        half = x.shape[1] // 2
        front = y[:, :half]
        front = front.scatter(3, of_columns, front)
        front = front.scatter(2, of_rows, front)
        return torch.cat((front, y[:, half:]), dim=1)
