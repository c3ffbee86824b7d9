"""Biases by relative position, for the pairs of positions of a window."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.ops.window import Size


def count_offsets(window: Size) -> int:
    """How many relative positions the pairs of a window of h × w have: (2h − 1)(2w − 1).

    >>> count_offsets((3, 4))
    35
    """
    return (2 * window[0] - 1) * (2 * window[1] - 1)


def window_offsets(window: Size, like: Tensor) -> Float[Tensor, "p 2"]:
    """Every relative position of a window, rows first, from (1 − h, 1 − w) to (h − 1, w − 1); of
    the type and on the device of `like`.

    >>> window_offsets((1, 2), torch.zeros(1)).tolist()
    [[0.0, -1.0], [0.0, 0.0], [0.0, 1.0]]
    """
    sides = (torch.arange(1 - s, s, dtype=like.dtype, device=like.device) for s in window)
    return torch.cartesian_prod(*sides)


def bias_of_pairs(table: Float[Tensor, "p heads"], window: Size) -> Float[Tensor, "heads n n"]:
    """What a table, with a row for each of `window_offsets`, says of each pair of positions: entry
    (i, j) is the row for position i − position j, a query's less a key's.

    >>> bias_of_pairs(window_offsets((1, 2), torch.zeros(1)), (1, 2))[1]
    tensor([[ 0., -1.],
            [ 1.,  0.]])
    """
    h, w = window
    if table.shape[0] != count_offsets(window):
        raise FovealError(
            f"a table of {table.shape[0]} relative positions does not fit window_size={window}, "
            f"which has {count_offsets(window)}; resize_table makes one that does"
        )
    # Row i of the window sees the table's rows i … i + h − 1, for the keys from last to first.
    grid = table.T.unflatten(1, (2 * h - 1, 2 * w - 1))
    pairs = grid.unfold(1, h, 1).unfold(2, w, 1).flip((3, 4))
    return pairs.reshape(-1, h * w, h * w)


def resize_table(
    table: Float[Tensor, "p heads"], window: Size, new_window: Size
) -> Float[Tensor, "q heads"]:
    """A table learned for one window, interpolated (bicubic) to another: the window's edge keeps
    its bias, whatever its distance. A window that is merely cut short needs none of this: mask the
    positions that are missing.

    >>> resize_table(torch.rand(9, 4), (2, 2), (3, 4)).shape
    torch.Size([35, 4])
    """
    (h, w), (new_h, new_w) = window, new_window
    if window == new_window:
        return table
    grid = table.T.reshape(1, -1, 2 * h - 1, 2 * w - 1)
    size = (2 * new_h - 1, 2 * new_w - 1)
    grid = F.interpolate(grid, size, mode="bicubic", align_corners=True)
    return grid.flatten(2)[0].T


class RelativeBias(nn.Module):
    """A learned number for each head and relative position (Swin).

    Args:
        num_heads: heads.
        window: height and width of the window.
    """

    def __init__(self, num_heads: int, window: Size):
        super().__init__()
        self.window = window
        self.table = nn.Parameter(torch.empty(count_offsets(window), num_heads))
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self) -> Float[Tensor, "heads n n"]:
        return bias_of_pairs(self.table, self.window)


class LogSpacedBias(nn.Module):
    r"""A bias that a small network makes of the relative position on a logarithmic scale, so that
    a window larger than the one trained with asks it for little that is new (Swin v2, eq. 4).

    $$16\,\sigma\big(\mathrm{MLP}(\mathrm{sign}(u) \log_2(1 + |u|) / 3)\big),
    \quad u = 8\,\Delta / (\text{side} - 1)$$

    Args:
        num_heads: heads.
        window: height and width of the window.
        trained_window: the window whose furthest pair stands at 8. Default: `window`.
        hidden: width of the network.
    """

    def __init__(
        self, num_heads: int, window: Size, trained_window: Size | None = None, hidden: int = 512
    ):
        super().__init__()
        self.window, self.trained_window = window, trained_window or window
        self.mlp = nn.Sequential(
            nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, num_heads, bias=False)
        )

    def coordinates(self, like: Tensor) -> Float[Tensor, "p 2"]:
        """The relative positions on the logarithmic scale, the furthest at log₂(9) / 3."""
        sides = zip(
            window_offsets(self.window, like.new_empty(0, dtype=torch.float32)).unbind(1),
            self.trained_window,
            strict=True,
        )
        offsets = torch.stack([8 * (steps / max(side - 1, 1)) for steps, side in sides], dim=1)
        return (offsets.sign() * (offsets.abs() + 1).log2() / 3).to(like.dtype)

    def forward(self) -> Float[Tensor, "heads n n"]:
        weight = self.mlp[0].weight
        table = 16 * self.mlp(self.coordinates(weight)).sigmoid()  # pyright: ignore
        return bias_of_pairs(table, self.window)


class DynamicBias(nn.Module):
    """A bias that a small network makes of the relative position as it is (CrossFormer).

    The last layer has no bias: one number for all pairs of a head, which the softmax cancels.

    Args:
        num_heads: heads.
        window: height and width of the window.
        hidden: width of the network; its layer norms need more than two.
        residual: add to each layer's result what it was given.
    """

    def __init__(self, num_heads: int, window: Size, hidden: int, residual: bool = False):
        super().__init__()
        self.window, self.residual = window, residual
        self.first = nn.Linear(2, hidden)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, width, bias=not last))
            for width, last in ((hidden, False), (hidden, False), (num_heads, True))
        )

    def forward(self) -> Float[Tensor, "heads n n"]:
        x = self.first(window_offsets(self.window, self.first.weight))
        for layer in self.layers[:2]:
            x = x + layer(x) if self.residual else layer(x)
        return bias_of_pairs(self.layers[2](x), self.window)
