"""Pyramid squeeze attention."""

from collections.abc import Sequence
from math import gcd
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.eager import runs_eagerly
from foveal.ops.width import fitting_groups, hidden_width


def groups_by_size(kernel_size: int) -> int:
    """Groups of a path's convolution: 2^((k − 1) / 2), but 1 for the smallest."""
    return 1 if kernel_size <= 3 else 2 ** ((kernel_size - 1) // 2)


@register_attention(
    "epsa",
    paper="Zhang et al., EPSANet: An Efficient Pyramid Squeeze Attention Block, ACCV 2022",
    arxiv="2105.14447",
)
class EPSA(nn.Module):
    r"""Give each share of the output its own kernel size, and let the sizes compete per channel.

    $$y = \mathrm{concat}_m(a_m \odot u_m), \quad a = \mathrm{softmax}_m\big(\sigma(
    W_2\,\mathrm{ReLU}(W_1\,\mathrm{mean}_{hw}\,u_m))\big), \quad u_m = \mathrm{conv}_m(x)$$

    Selective kernels add their paths up; here every path makes channels of its own, C/m of them,
    and reads all of the input. A sigmoid stands before the softmax, so that no path's weight is
    more than e times another's.

    Placed: in place of the 3 × 3 convolution of ResNet's bottlenecks.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: taps·width + num_gates·(2·width·hidden + hidden + width).
    Multiply-adds: (taps + 2·num_paths)·width·H·W + 2·num_paths·width·(hidden + 1).

    Args:
        channels: channels C of the feature map.
        kernel_size: size of each path's convolution, odd; as many paths as sizes. Where they do
            not divide the channels, the last path makes fewer.
        groups: of each path's convolution. Default: the paper's rule, `groups_by_size`, or where
            that does not divide the channels the largest number below it that does.
        reduction: r, by which the hidden layer is narrower than a path.
        hidden: width of the hidden layer. Default: C / (paths · r), at least 1.
        shared_gate: judge all paths by the same two layers.

    Raises:
        FovealError: for sizes that are even or do not match the groups in number, groups that do
            not divide the channels, or a reduction or width below 1.

    Departs: As in the authors' code, whose weights are published, the paths share one gate and
    their channels stand in reverse order, those of the last path first. The paper's figure draws a
    gate for each path (`shared_gate=False`); the order is nothing to a layer that mixes channels.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: Sequence[int] = (3, 5, 7, 9),
        groups: Sequence[int] | None = None,
        reduction: int = 16,
        hidden: int | None = None,
        shared_gate: bool = True,
    ):
        super().__init__()
        paths = len(kernel_size)
        if not paths or any(k < 1 or k % 2 == 0 for k in kernel_size):
            raise FovealError(f"kernel_size={kernel_size} must be odd sizes, at least one")
        self.num_paths, self.width = paths, -(-channels // paths)
        self.spare = paths * self.width - channels
        if groups is None:
            common = gcd(channels, self.width)
            groups = [fitting_groups(common, groups_by_size(k)) for k in kernel_size]
        if len(groups) != paths:
            raise FovealError(f"groups={groups} must have one number for each of {paths} paths")
        for g in groups:
            if g < 1 or channels % g or self.width % g:
                raise FovealError(
                    f"groups={g} must divide channels={channels} and the {self.width} of a path"
                )
        self.hidden = hidden_width(self.width, reduction, hidden=hidden)
        self.taps = sum(k * k * channels // g for k, g in zip(kernel_size, groups, strict=True))
        self.paths = nn.ModuleList(
            nn.Conv2d(channels, self.width, k, padding=k // 2, groups=g, bias=False)
            for k, g in zip(kernel_size, groups, strict=True)
        )
        self.num_gates = 1 if shared_gate else paths
        self.gates = nn.ModuleList(
            nn.Sequential(
                nn.Linear(self.width, self.hidden),
                nn.ReLU(),
                nn.Linear(self.hidden, self.width),
                nn.Sigmoid(),
            )
            for _ in range(self.num_gates)
        )

    def _weigh(self, x: Map) -> tuple[list[Tensor], Tensor]:
        maps = [path(x) for path in self.paths]
        means = [u.mean((2, 3)) for u in maps]
        if self.num_gates == 1:
            gates = self.gates[0](torch.stack(means, 1))  # (B, paths, width)
        else:
            gates = torch.stack([g(m) for g, m in zip(self.gates, means, strict=True)], 1)
        return maps, gates.softmax(1)[..., None, None]

    def attention_map(self, x: Map) -> Float[Tensor, "b paths width 1 1"]:
        """What each path's channels are multiplied by, in the order of `kernel_size`, in (0, 1);
        the weights of the paths' first channels sum to 1, and so on."""
        return self._weigh(x)[1]

    def forward(self, x: Map) -> Map:
        maps, weights = self._weigh(x)
        maps, weights = maps[::-1], weights.flip(1).to(maps[0].dtype)
        if runs_eagerly():
            y = _WeighAndJoin.apply(weights, *maps)
        else:
            y = torch.cat([u * weights[:, path] for path, u in enumerate(maps)], 1)
        return y[:, self.spare :] if self.spare else y


class _WeighAndJoin(torch.autograd.Function):
    """Weigh each path's map and lay the results side by side, without writing them twice."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, *maps: Tensor) -> Tensor:
        ctx.save_for_backward(weights, *maps)
        last = maps[0].is_contiguous(memory_format=torch.channels_last)
        batch, width, *size = maps[0].shape
        y = torch.empty(
            (batch, width * len(maps), *size),
            dtype=maps[0].dtype,
            device=maps[0].device,
            memory_format=torch.channels_last if last else torch.contiguous_format,
        )
        for path, u in enumerate(maps):
            torch.mul(u, weights[:, path], out=y[:, path * width : (path + 1) * width])
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore
        weights, *maps = ctx.saved_tensors
        parts = gradient.chunk(len(maps), 1)
        by_weights = [(g * u).sum((2, 3), keepdim=True) for g, u in zip(parts, maps, strict=True)]
        by_maps = [g * weights[:, path] for path, g in enumerate(parts)]
        return torch.stack(by_weights, 1), *by_maps
