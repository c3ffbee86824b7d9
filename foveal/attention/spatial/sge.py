"""Spatial group-wise enhancement."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.width import fitting_groups

EPS = 1e-5  # added to the standard deviation


def _normalised(parts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For groups (B, G, C/G, N): their mean vectors, the scores against them in standard units,
    and the deviation that they had; at least in float32, where squares do not overflow."""
    means = parts.mean(-1)  # (B, G, C/G)
    wide = torch.promote_types(parts.dtype, torch.float32)
    scores = (means[:, :, None] @ parts)[:, :, 0].to(wide)  # (B, G, N)
    scores = scores - scores.mean(-1, keepdim=True)
    others = max(parts.shape[-1] - 1, 1)  # a single position has no deviation
    deviation = torch.linalg.vector_norm(scores, dim=-1, keepdim=True) * others**-0.5
    return means, scores / (deviation + EPS), deviation


def _weights(parts: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    scores = _normalised(parts)[1]
    return torch.addcmul(bias[:, None], scores, weight[:, None]).sigmoid().to(parts.dtype)


class _Gated(torch.autograd.Function):
    """The groups times their weights, keeping nothing for the backward pass but the groups: what
    lies between them is computed again there."""

    @staticmethod
    def forward(parts: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return parts * _weights(parts, weight, bias)[:, :, None]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        parts, weight, bias = ctx.saved_tensors
        pull = (grad * parts).sum(2)  # (B, G, N), on the weights
        means, z, deviation = _normalised(parts)
        gate = torch.addcmul(bias[:, None], z, weight[:, None]).sigmoid()
        pull = pull * gate * (1 - gate)  # on the scaled scores
        of_weight, of_bias = (pull * z).sum((0, 2)), pull.sum((0, 2))
        pull = pull * weight[:, None]  # on the normalised scores
        along = (pull * z).sum(-1, keepdim=True) / max(parts.shape[-1] - 1, 1)
        # A constant map has no direction in which its deviation grows; there z is 0.
        along = along / torch.where(deviation > 0, deviation, 1)
        pull = (pull - pull.mean(-1, keepdim=True)) / (deviation + EPS) - z * along
        del z
        pull = pull.to(parts.dtype)[:, :, None]  # on the raw scores
        of_means = (parts @ pull.mT) / parts.shape[-1]
        of_parts = grad * gate.to(grad.dtype)[:, :, None]
        del gate
        flat, columns = of_parts.flatten(0, 1), means.flatten(0, 1)[..., None]
        flat.baddbmm_(columns.to(flat.dtype), pull.flatten(0, 1).to(flat.dtype))
        return of_parts.add_(of_means), of_weight, of_bias


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

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 2·groups.
    Multiply-adds: 3·C·H·W + 6·groups·H·W.

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
        if torch.is_grad_enabled() and x.requires_grad:
            return _Gated.apply(parts, self.weight, self.bias).view_as(x)  # pyright: ignore
        return (parts * _weights(parts, self.weight, self.bias)[:, :, None]).view_as(x)
