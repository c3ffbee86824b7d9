"""Gather-excite."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.activation import activation
from foveal.ops.gate import gate_channels
from foveal.ops.norm import BatchNorm2d
from foveal.ops.width import hidden_width
from foveal.ops.window import pair


class GlobalGather(nn.Module):
    """Each channel's weighted sum over the map, by a learned kernel as large as the map.

    On a map of another size the kernel is stretched to it, and scaled so that it sums to the same.
    """

    def __init__(self, channels: int, size: tuple[int, int]):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, size, groups=channels, bias=False)
        self.norm = BatchNorm2d(channels)

    def forward(self, x: Map) -> Float[Tensor, "b c 1 1"]:
        kernel = self.conv.weight  # (C, 1, h, w)
        share = kernel.shape[2] * kernel.shape[3] / (x.shape[2] * x.shape[3])
        kernel = F.interpolate(kernel, size=x.shape[2:], mode="bilinear", align_corners=False)
        return self.norm((x * kernel[:, 0]).sum((2, 3), keepdim=True) * share)


@register_attention("ge", paper="Hu et al., Gather-Excite, NeurIPS 2018", arxiv="1810.12348")
class GE(nn.Module):
    r"""Gate each value by what its own channel holds in a wide neighbourhood.

    $$y = x \odot \sigma\big(\mathrm{up}(f(\mathrm{gather}_E\,x))\big)$$

    Gathering over E × E steps keeps some of the place that SE averages away; with the whole map as
    extent and nothing learned in gathering it is SE. The paper's three forms: θ⁻ pools by the mean
    (`extra_params=False, mlp=False`), θ gathers with a stack of depthwise convolutions
    (`mlp=False`), and θ⁺, the default, lets the channels mix in f, as SE does.

    Placed: at the end of each residual branch, before the addition.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: C·taps + 2·C·norms + mlp·(2·C·hidden + hidden + C).
    Multiply-adds: C·H·W + (1 − extra_params)·(covers_all·C·H·W + C·(2·extent − 1)²
    ·(1 − covers_all)·ceil(H/max(extent, H·covers_all))·ceil(W/max(extent, W·covers_all)))
    + extra_params·covers_all·(6·C·H·W + 2·C) + extra_params·(1 − covers_all)·(9 + norm)·C
    ·(min(levels, 1)·ceil(H/2)·ceil(W/2) + min(levels//2, 1)·ceil(H/4)·ceil(W/4)
    + min(levels//3, 1)·ceil(H/8)·ceil(W/8) + min(levels//4, 1)·ceil(H/16)·ceil(W/16))
    + mlp·2·C·hidden·ceil(H/max(extent, H·covers_all))·ceil(W/max(extent, W·covers_all)).

    Args:
        channels: channels C of the feature map.
        extent: E, the step from one gathered position to the next; 0 is the whole map. A power of
            2 where the gathering is learned: each of its layers halves the map.
        extra_params: learn how to gather.
        mlp: let the channels mix in a bottleneck of two layers.
        size: height and width of the kernel that gathers the whole map, where that is learned: the
            size of the maps to come. On others it is stretched.
        reduction: r, by which the bottleneck is narrower.
        hidden: width of the bottleneck. Default: C/r, at least 1.
        norm: batch-normalise after each layer that gathers.
        add_max: where gathering is by the mean, average the mean with the maximum.
        act: activation between the layers, by name.
        gate: what makes weights of the scores, by name.

    Raises:
        FovealError: for an extent of 1 or below 0, or one that no halving gives, a `size` missing
            or without a use, a reduction or width below 1, or an unknown activation.

    Departs: The paper's best form gathers the whole map with learned parameters, and so is bound to
    a map's size; by default E = 4, one of the finite extents that it tries.
    """

    def __init__(
        self,
        channels: int,
        extent: int = 4,
        extra_params: bool = True,
        mlp: bool = True,
        size: int | tuple[int, int] | None = None,
        reduction: int = 16,
        hidden: int | None = None,
        norm: bool = True,
        add_max: bool = False,
        act: str = "relu",
        gate: str = "sigmoid",
    ):
        super().__init__()
        if extent < 0 or extent == 1:
            raise FovealError(f"extent={extent} must be 0, for the whole map, or at least 2")
        if extra_params and extent & (extent - 1):
            raise FovealError(
                f"extent={extent} must be a power of 2 where gathering is learned, for each layer "
                "halves the map"
            )
        if (size is not None) != (extra_params and not extent):
            raise FovealError(
                f"size={size}: a learned kernel over the whole map (extent=0, extra_params=True) "
                "needs the size of the map, and nothing else has a use for it"
            )
        self.extent, self.extra_params, self.mlp = extent, extra_params, mlp
        self.covers_all, self.norm, self.add_max = extent == 0, norm, add_max
        self.hidden = hidden_width(channels, reduction, hidden=hidden)
        self.levels = 0
        self.gather: nn.Module | None = None
        if size is not None:
            self.gather = GlobalGather(channels, pair(size, "size"))
        elif extra_params:
            self.levels = extent.bit_length() - 1
            self.gather = nn.Sequential(*_halvings(channels, self.levels, norm, act))
        self.taps = sum(p[0].numel() for p in self.parameters() if p.ndim > 1)
        self.norms = sum(isinstance(part, BatchNorm2d) for part in self.modules())
        layers = (
            nn.Conv2d(channels, self.hidden, 1),
            activation(act),
            nn.Conv2d(self.hidden, channels, 1),
        )
        self.mix = nn.Sequential(*layers) if mlp else nn.Identity()
        self.gate = activation(gate)

    def _gathered(self, x: Map) -> Map:
        if self.gather is not None:
            return self.gather(x)
        if self.covers_all:
            mean = x.mean((2, 3), keepdim=True)
            return 0.5 * (mean + x.amax((2, 3), keepdim=True)) if self.add_max else mean
        window, step, edge = 2 * self.extent - 1, self.extent, self.extent - 1
        mean = F.avg_pool2d(x, window, step, edge, count_include_pad=False)
        return 0.5 * (mean + F.max_pool2d(x, window, step, edge)) if self.add_max else mean

    def _weigh(self, gathered: Map) -> Map:
        return self.gate(self.mix(gathered))

    def attention_map(self, x: Map) -> Float[Tensor, "b c h w"] | Float[Tensor, "b c 1 1"]:
        """One weight per value, in (0, 1); one per channel where the whole map is gathered."""
        weights = self._weigh(self._gathered(x))
        return weights if self.covers_all else F.interpolate(weights, size=x.shape[2:])

    def forward(self, x: Map) -> Map:
        if not self.covers_all or self.extra_params or self.add_max:
            return x * self.attention_map(x)
        return gate_channels(
            x, lambda means: self._weigh(means[..., None, None]).flatten(1), self.parameters()
        )


def _halvings(channels: int, levels: int, norm: bool, act: str) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for level in range(levels):
        layers.append(nn.Conv2d(channels, channels, 3, 2, 1, groups=channels, bias=False))
        layers += [BatchNorm2d(channels)] if norm else []
        layers += [activation(act)] if level < levels - 1 else []
    return layers
