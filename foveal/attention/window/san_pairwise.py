"""Pairwise and patchwise self-attention (SAN)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.neighbours import check_odd, weigh_neighbours
from foveal.ops.norm import BatchNorm2d
from foveal.ops.width import fitting_groups, hidden_width


@register_attention("san_pairwise", paper="Zhao et al., Exploring Self-attention, CVPR 2020",
                    arxiv="2004.13621")  # fmt: skip
class SANPairwise(nn.Module):
    r"""Weigh neighbours by a small network's view of the difference of two positions.

    $$y_i = \sum_{j \in \mathcal{N}(i)} \mathrm{softmax}_j\big(\gamma(\varphi_i - \psi_j,\,
    p_i - p_j)\big) \odot \beta_j, \quad \varphi, \psi, \beta = W_\varphi x, W_\psi x, W_\beta x$$

    A dot product gives a head one number for two positions; a difference keeps all channels, and
    so each of C/share groups of channels gets a weight of its own. Patchwise, γ sees the whole
    neighbourhood at once, there is no softmax and no p, and the order of the neighbours counts.

    Placed: in place of convolutions in the residual blocks of every stage.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 2·C·key_channels + C² + C + pairwise·(8 + 6·key_channels + key_channels²
    + key_channels·weight_channels) + patchwise·((2·key_channels + key_channels·weight_channels)
    ·(taps + 1) + (2 + taps + taps·weight_channels)·weight_channels).
    Multiply-adds: N·(2·C·key_channels + C²) + taps·C·(H + 2·edge)·(W + 2·edge)
    + pairwise·N·(taps·(6·key_channels + key_channels² + (key_channels + 2)·weight_channels + 4)
    + 4) + patchwise·N·((taps + 1)·key_channels·(1 + weight_channels) + weight_channels·2
    + taps·weight_channels²).

    Args:
        channels: channels C of the feature map.
        kernel_size: width of the neighbourhood, odd. SAN has 3 in its first stage, then 7.
        patchwise: let γ see all neighbours at once.
        reduction: by which φ and ψ are narrower than C.
        key_channels: width of φ and ψ. Default: C / `reduction`.
        share: channels that share a weight. Default: 8, or fewer where 8 does not divide them.
        dilation: distance between neighbours.

    Raises:
        FovealError: if the kernel is even, the share does not divide the channels, or a width or
            the dilation is below 1.

    Departs: Biases that a normalisation or the softmax cancels are left out. SAN's blocks return a
    quarter of the channels; a mechanism returns all.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 7,
        patchwise: bool = False,
        reduction: int = 16,
        key_channels: int | None = None,
        share: int | None = None,
        dilation: int = 1,
    ):
        super().__init__()
        check_odd(kernel_size, dilation)
        share = fitting_groups(channels, 8) if share is None else share
        if share < 1 or channels % share:
            raise FovealError(f"share={share} must divide channels={channels}")
        width = hidden_width(channels, reduction, hidden=key_channels)
        weights = channels // share
        self.kernel_size, self.dilation, self.share = kernel_size, dilation, share
        self.patchwise, self.pairwise = patchwise, not patchwise
        self.key_channels, self.weight_channels = width, weights
        self.taps, self.edge = kernel_size**2, dilation * (kernel_size // 2)
        self.query, self.key = (nn.Conv2d(channels, width, 1, bias=False) for _ in range(2))
        self.value = nn.Conv2d(channels, channels, 1)
        if patchwise:
            self.of_query = _seen(width, weights)
            self.of_keys = _seen(width * self.taps, weights)
            self.score = _seen(weights, self.taps * weights, bias=True)
        else:
            self.place = nn.Linear(2, 2, bias=False)
            self.of_difference, self.of_place = _seen(width, width), _seen(2, width)
            self.score = _seen(width, weights)

    def _weights(self, x: Map) -> Float[Tensor, "b weights taps h w"]:
        query, key = self.query(x), self._neighbours(self.key(x))
        if self.patchwise:
            scores = self.score(self.of_query(query) + self.of_keys(key.flatten(1, 2)))
            return scores.unflatten(1, (self.weight_channels, -1))
        size = x.shape[2:]
        difference = (query[:, :, None] - key).flatten(3)  # (B, width, taps, N)
        place = self.place(_places(x)).movedim(-1, 1)
        distance = (place[:, :, None] - self._neighbours(place)).flatten(3)
        scores = self.score(self.of_difference(difference) + self.of_place(distance))
        return scores.softmax(2).unflatten(3, size)

    def _padded(self, x: Map) -> Map:
        """The map with its mirror image beyond the edge, however small it is."""
        rows, columns = (_mirror(size, self.edge, x) for size in x.shape[2:])
        return x[:, :, rows][..., columns]

    def _neighbours(self, x: Map) -> Float[Tensor, "b c taps h w"]:
        columns = F.unfold(self._padded(x), self.kernel_size, self.dilation)
        return columns.view(*x.shape[:2], self.taps, *x.shape[2:])

    def attention_map(self, x: Map) -> Float[Tensor, "b weights h w taps"]:
        """The weight of each of a position's neighbours, for every group of channels that share
        it. Pairwise they sum to 1; patchwise they are in (-∞, ∞)."""
        return self._weights(x).movedim(2, -1)

    def forward(self, x: Map) -> Map:
        edge = self.edge
        weights = F.pad(self._weights(x), (edge,) * 4)[:, None]
        # Channel c takes the weight numbered c modulo their number.
        value = self._padded(self.value(x)).unflatten(1, (self.share, -1))
        y = weigh_neighbours(value, weights, self.kernel_size, self.dilation).flatten(1, 2)
        return y[..., edge : edge + x.shape[2], edge : edge + x.shape[3]]


def _seen(width: int, out: int, bias: bool = False) -> nn.Sequential:
    return nn.Sequential(BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, out, 1, bias=bias))


def _mirror(size: int, edge: int, like: Tensor) -> Float[Tensor, " padded"]:
    """Where the positions from −edge to size − 1 + edge lie when the edges are mirrors."""
    place = torch.arange(-edge, size + edge, device=like.device)
    last = torch.ones_like(place[:1]) * (size - 1)
    place = place.abs() % (2 * last).clamp(min=1)
    return torch.where(place > last, 2 * last - place, place)


def _places(like: Map) -> Float[Tensor, "1 h w 2"]:
    """Columns and rows, both from −1 to 1."""
    wide = torch.promote_types(like.dtype, torch.float32)
    height, width = like.shape[2:]
    axes = [torch.arange(n, device=like.device, dtype=wide) for n in (height, width)]
    rows, columns = (2 * axis / axis[-1:].clamp(min=1) - 1 for axis in axes)
    grid = columns[None, :, None].expand(height, -1, -1), rows[:, None, None].expand(-1, width, -1)
    return torch.cat(grid, -1)[None].to(like.dtype)
