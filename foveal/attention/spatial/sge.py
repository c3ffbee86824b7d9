"""Spatial group-wise enhancement."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.eager import runs_eagerly
from foveal.ops.width import fitting_groups

EPS = 1e-5  # added to the standard deviation


def _centred(parts: Tensor, means: Tensor) -> Tensor:
    """The scores (B, G, N) of groups (B, G, C/G, N) against their mean vectors, less the scores'
    mean, but for rounding: that is the square of the mean vector, and need not be summed."""
    rows, columns = means.flatten(0, 1)[:, None], parts.flatten(0, 1)
    own = rows @ rows.mT
    scores = torch.baddbmm(own, rows, columns, beta=-1).view(*parts.shape[:2], -1)
    # In float32 at least, where squares do not overflow.
    return scores.to(torch.promote_types(parts.dtype, torch.float32))


def _statistics(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The rest of the mean, which rounding left, and the deviation of a group's scores."""
    positions = scores.shape[-1]
    rest = scores.mean(-1, keepdim=True)
    squares = torch.linalg.vector_norm(scores, dim=-1, keepdim=True).square()
    variance = (squares - positions * rest.square()) / max(positions - 1, 1)
    # A deviation of zero has no gradient, where a root of zero would have an infinite one.
    return rest, torch.where(variance > 0, variance, 1).sqrt() * (variance > 0)


def _gate(scores: Tensor, rest: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """σ(scale · (scores − rest) + bias)."""
    return torch.addcmul(bias[:, None] - rest * scale, scores, scale).sigmoid()


def _weights(parts: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    scores = _centred(parts, parts.mean(-1))
    rest, deviation = _statistics(scores)
    return _gate(scores, rest, weight[:, None] / (deviation + EPS), bias).to(parts.dtype)


def _plainly(parts: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return parts * _weights(parts, weight, bias)[:, :, None]


class _Gated(torch.autograd.Function):
    """The groups times their weights, keeping nothing as large as a map for the backward pass but
    the groups themselves: the scores are computed again there."""

    @staticmethod
    def forward(ctx: Any, parts: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        means = parts.mean(-1)
        scores = _centred(parts, means)
        rest, deviation = _statistics(scores)
        ctx.save_for_backward(parts, weight, bias, means, rest, deviation)
        gate = _gate(scores, rest, weight[:, None] / (deviation + EPS), bias)
        return parts * gate.to(parts.dtype)[:, :, None]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:  # pyright: ignore
        parts, weight, bias, means, rest, deviation = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody differentiates twice: leave it all to autograd
            y = _plainly(parts, weight, bias)
            return torch.autograd.grad(y, (parts, weight, bias), grad, create_graph=True)
        positions = parts.shape[-1]
        pull = (grad * parts).sum(2)  # (B, G, N), on the weights
        scores = _centred(parts, means)
        scale = weight[:, None] / (deviation + EPS)
        gate = _gate(scores, rest, scale, bias)
        pull = torch.ops.aten.sigmoid_backward(pull.to(gate.dtype), gate)  # on what σ takes
        total = pull.sum(-1, keepdim=True)
        along = (pull[:, :, None] @ scores[..., None])[..., 0] - rest * total
        of_weight, of_bias = (along / (deviation + EPS)).sum((0, 2)), total.sum((0, 2))
        # Down through the normalisation: what a shift or a stretch of all scores would do goes.
        stretch = torch.where(deviation > 0, deviation, 1) * (deviation + EPS)
        stretch = scale * along / stretch / max(positions - 1, 1)
        pull = torch.addcmul(rest * stretch - scale * total / positions, pull, scale)
        pull = pull.addcmul_(scores, -stretch).to(parts.dtype)  # on the scores
        del scores
        of_means = parts @ pull[..., None] / positions  # (B, G, C/G, 1)
        of_parts = torch.empty_like(parts, memory_format=torch.contiguous_format)
        torch.addcmul(of_means, grad, gate.to(grad.dtype)[:, :, None], out=of_parts)
        del gate
        columns, rows = means.flatten(0, 1)[..., None], pull.flatten(0, 1)[:, None]
        of_parts.view(-1, *parts.shape[2:]).baddbmm_(columns.to(grad.dtype), rows.to(grad.dtype))
        return of_parts, of_weight, of_bias


@register_attention(
    "sge", paper="Li et al., Spatial Group-wise Enhance, arXiv 2019", arxiv="1905.09646"
)
class SGE(nn.Module):
    r"""Gate each position, in each group of channels, by how well it agrees with the group's mean.

    $$y_{gn} = x_{gn}\,\sigma\Big(w_g\frac{s_{gn} - \mu_g}{\hat\sigma_g + \epsilon} + b_g\Big),
    \quad s_{gn} = x_{gn}^\top \mathrm{mean}_n\,x_{gn}$$

    Each group of channels stands for one feature, and has a map of its own for where that feature
    is; no weight mixes groups. The bias is born 1 and the scale 0. A map of one position agrees
    with itself, and has the score 0.

    Placed: after the last batch normalisation of each bottleneck, before the addition.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 2·groups.
    Multiply-adds: 3·C·H·W + 4·groups·H·W.

    Args:
        channels: channels C of the feature map.
        groups: G, how many groups of channels. Default: the paper's 64, or as many as leave each
            group four channels, as its narrowest map has.

    Raises:
        FovealError: if `groups` does not divide the channels.
    """

    def __init__(self, channels: int, groups: int | None = None):
        super().__init__()
        if groups is None:
            groups = fitting_groups(channels, max(1, min(64, channels // 4)))
        if groups < 1 or channels % groups:
            raise FovealError(f"groups={groups} must divide the channels={channels}")
        self.groups = groups
        self.weight = nn.Parameter(torch.zeros(groups))
        self.bias = nn.Parameter(torch.ones(groups))

    def _parts(self, x: Map) -> Float[Tensor, "b g k n"]:
        return x.reshape(x.shape[0], self.groups, x.shape[1] // self.groups, -1)

    def attention_map(self, x: Map) -> Float[Tensor, "b g h w"]:
        """One weight per group and position, in (0, 1)."""
        weights = _weights(self._parts(x), self.weight, self.bias)
        return weights.unflatten(-1, x.shape[2:])

    def forward(self, x: Map) -> Map:
        parts = self._parts(x)
        by_hand = torch.is_grad_enabled() and x.requires_grad and runs_eagerly()
        gated = _Gated.apply if by_hand else _plainly
        return gated(parts, self.weight, self.bias).view_as(x)  # pyright: ignore
