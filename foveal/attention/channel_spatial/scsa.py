"""Spatial and channel synergistic attention."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.attend import attend
from foveal.ops.heads import heads_for
from foveal.ops.strip_means import strip_means
from foveal.ops.width import fitting_groups

_WHOLE = 2**31 - 1  # a window wider than any map is the whole map


def _averaging(size: int, window: int, like: Tensor) -> Float[Tensor, "windows n"]:
    """A matrix whose rows average the positions of each window. Rows of a last window that is not
    full are 0: such positions are left out, unless there are no others. A spare window without
    positions follows, so that exporters see several windows whatever the size."""
    number = torch.arange((size + window - 1) // window + 1, device=like.device)
    member = torch.arange(size, device=like.device) // window == number[:, None]
    counts = member.sum(1)
    valid = (counts == window) | (number == 0)
    return (member & valid[:, None]).to(like.dtype) / counts.clamp_min(1)[:, None].to(like.dtype)


def _times_columns(x: Map, matrix: Float[Tensor, "j w"]) -> Float[Tensor, "b c h j"]:
    """The rows of a map times those of a matrix. Torch copies a map that does not lie in memory as
    the product wants it, so one with the channels last is multiplied from the other side."""
    if x.is_contiguous():
        return x @ matrix.mT
    return (matrix @ x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@register_attention("scsa", paper="Si et al., SCSA, Neurocomputing 2025", arxiv="2407.05128")
class SCSA(nn.Module):
    r"""Gate rows and columns by strips of several lengths, then channels by attention among them.

    $$y = z \odot \sigma\Big(\mathrm{mean}_n\,\mathrm{softmax}\big(QK^\top/\sqrt{d}\big)V\Big),
    \quad z = x \odot \sigma\big(\mathrm{GN}(\mathrm{conv}_k\,\bar x_w)\big)
    \odot \sigma\big(\mathrm{GN}(\mathrm{conv}_k\,\bar x_h)\big)$$

    Each quarter of the channels has its own length $k$; $Q, K, V$ are the averages of $z$ over
    windows, normalised and scaled channel by channel. The pairs are of channels, within heads.

    Placed: in each residual block, before the last convolution.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: taps + C + 9·C + qkv_bias·3·C.
    Multiply-adds: 4·C·N + C·(H + W)·(longest + 4) + C·H
    + averages·C·(ceil(W/window) + 1)·(N + H·(ceil(H/window) + 1))
    + averages·C·H·(ceil(H/window) + 1) + (1 − averages)·C·N
    + C·(ceil(H/window) + 1)·(ceil(W/window) + 1)·(12 + 2·head_channels)
    + 3·H·(ceil(H/window) + 1) + 3·W·(ceil(W/window) + 1).

    Args:
        channels: channels C of the feature map.
        num_heads: heads of the channel attention; 1, as in the authors' configurations.
        kernel_size: lengths of the strips, odd; each has its own share of the channels. Default:
            3, 5, 7 and 9, or as many of them as divide the channels.
        window_size: side of the windows whose averages channels are compared by; None for the whole
            map. A map smaller than the window is one window.
        qkv_bias: give queries, keys and values a bias.
        pool: `"avg"` or `"max"` of the windows.
        gate: `"sigmoid"`, or `"softmax"` along the rows, columns and channels that are gated.
        attention_dropout: probability of dropping a weight in training.

    Raises:
        FovealError: if heads or lengths do not divide the channels, a length is even, or an option
            is unknown.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int = 1,
        kernel_size: Sequence[int] | None = None,
        window_size: int | None = 7,
        qkv_bias: bool = False,
        pool: str = "avg",
        gate: str = "sigmoid",
        attention_dropout: float = 0.0,
    ):
        super().__init__()
        sizes = (3, 5, 7, 9)[: fitting_groups(channels, 4)] if kernel_size is None else kernel_size
        if not sizes or channels % len(sizes) or any(k < 1 or k % 2 == 0 for k in sizes):
            raise FovealError(
                f"kernel_size={tuple(sizes)} must be odd lengths, as many as divide "
                f"channels={channels}"
            )
        if gate not in ("sigmoid", "softmax"):
            raise FovealError(f"gate={gate!r} must be 'sigmoid' or 'softmax'")
        if pool not in ("avg", "max") or (pool == "max" and window_size is None):
            raise FovealError(f"pool={pool!r} must be 'avg', or 'max' with a window_size")
        if window_size is not None and window_size < 1:
            raise FovealError(f"window_size={window_size} must be at least 1, or None")
        self.num_heads = heads_for(channels, num_heads)
        self.head_channels = channels // self.num_heads
        self.window = _WHOLE if window_size is None else window_size
        self.qkv_bias, self.averages, self.gate = qkv_bias, pool == "avg", gate
        share = channels // len(sizes)
        self.longest, self.taps = max(sizes), share * sum(sizes)
        self.strips = nn.ModuleList(nn.Conv1d(share, share, k, groups=share) for k in sizes)
        self.row_norm = nn.GroupNorm(len(sizes), channels)
        self.column_norm = nn.GroupNorm(len(sizes), channels)
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))
        self.qkv = nn.Conv1d(channels, 3 * channels, 1, groups=channels, bias=qkv_bias)
        self.dropout = attention_dropout

    def _strip_gate(self, means: Float[Tensor, "b c n"], norm: nn.GroupNorm) -> Tensor:
        strips: list[nn.Conv1d] = list(self.strips)  # pyright: ignore[reportAssignmentType]
        edges = [(self.longest - strip.kernel_size[0]) // 2 for strip in strips]
        weight = [F.pad(s.weight, (e, e)) for s, e in zip(strips, edges, strict=True)]
        bias = [strip.bias for strip in strips if strip.bias is not None]
        scores = F.conv1d(  # all lengths in one convolution
            means, torch.cat(weight), torch.cat(bias), padding=self.longest // 2,
            groups=means.shape[1],
        )  # fmt: skip
        # The module itself refuses a group of one value, which a map of one position may have.
        scores = torch.group_norm(scores, norm.num_groups, norm.weight, norm.bias, norm.eps)
        return scores.sigmoid() if self.gate == "sigmoid" else scores.softmax(2)

    def _channel_gate(self, z: Map, rows: Tensor) -> Float[Tensor, "b c"]:
        """From the map whose columns are gated already, and the gates of its rows (B, C, H)."""
        of_rows = _averaging(z.shape[2], self.window, z)
        of_columns = _averaging(z.shape[3], self.window, z)
        full = (of_rows.sum(1)[:, None] * of_columns.sum(1)).flatten().round()  # 1 or 0
        if self.averages:  # of the gated map, without writing it
            pooled = (of_rows * rows[:, :, None] @ _times_columns(z, of_columns)).flatten(2)
        else:
            right, below = -z.shape[3] % self.window, -z.shape[2] % self.window
            edges = (0, right + self.window, 0, below + self.window)
            gated = F.pad(z * rows[..., None], edges, value=float("-inf"))
            pooled = F.max_pool2d(gated, self.window)
            pooled = pooled.flatten(2).masked_fill(full == 0, 0)
        share = full / full.sum()  # of each window in a mean
        pooled = pooled - (pooled.mean(1, keepdim=True) * share).sum(2, keepdim=True)
        variance = (pooled.square().mean(1, keepdim=True) * share).sum(2, keepdim=True)
        normed = pooled * (variance + 1e-5).rsqrt() * self.scale[:, None] + self.shift[:, None]
        q, k, v = self.qkv(normed).unflatten(1, (self.num_heads, -1, 3)).unbind(3)
        dropout = self.dropout if self.training else 0.0
        scores = attend(q * full, k, v, scale=self.head_channels**-0.5, dropout=dropout)
        scores = (scores @ share).flatten(1)
        return scores.sigmoid() if self.gate == "sigmoid" else scores.softmax(1)

    def _gate_in_turn(self, x: Map) -> tuple[Map, Tensor, Tensor]:
        """The map with its columns gated; their gates (B, C, 1, W); those of rows and channels
        together (B, C, H, 1), for which that map was needed."""
        of_rows, of_columns = strip_means(x)
        rows = self._strip_gate(of_rows, self.row_norm)
        columns = self._strip_gate(of_columns, self.column_norm)[:, :, None]
        z = x * columns
        return z, columns, (rows * self._channel_gate(z, rows)[..., None])[..., None]

    def attention_map(self, x: Map) -> Float[Tensor, "b c h w"]:
        """The product of the three gates, in (0, 1)."""
        _, columns, rest = self._gate_in_turn(x)
        return columns * rest

    def forward(self, x: Map) -> Map:
        z, _, rest = self._gate_in_turn(x)
        return z * rest if torch.is_grad_enabled() else z.mul_(rest)
