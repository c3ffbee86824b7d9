"""Contextual transformer attention."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.neighbours import check_odd, weigh_neighbours
from foveal.ops.norm import BatchNorm1d, BatchNorm2d
from foveal.ops.width import fitting_groups, hidden_width


@register_attention(
    "cot", paper="Li et al., Contextual Transformer Networks, TPAMI 2022", arxiv="2107.12292"
)
class CoT(nn.Module):
    r"""Gather neighbours by weights read off their static context; let channels choose of the two.

    $$y = a \odot u + (1 - a) \odot k, \quad k = \mathrm{ReLU}(\mathrm{conv}_{k \times k}\,x),
    \quad u_i = \mathrm{SiLU}\Big(\sum_{t} w_{t,i} \odot (W_V x)_{i+t}\Big),
    \quad w = \mathrm{GN}\big(W_2\,\mathrm{ReLU}(W_1 [x, k])\big)$$

    Involution reads its weights off one position and shares them within wide groups of channels;
    here they see a neighbourhood, and every (C/share)-th channel shares one. They are normalised
    over the image, not by a softmax over the neighbours. The choice a is selective kernel's.

    Placed: in place of the 3 × 3 convolution of the bottlenecks of ResNet and ResNeXt.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: (kernel_size²/groups + 1/point_groups)·C² + 8·C + (2·C/point_groups + 2)·hidden
    + (hidden/point_groups + 3)·kernel_size²·weight_channels + (3·C + 2)·choice_hidden.
    Multiply-adds: N·((kernel_size²/groups + 1/point_groups)·C² + (kernel_size² + 7)·C
    + (2·C/point_groups + 2)·hidden + (hidden/point_groups + 4)·kernel_size²·weight_channels)
    + (3·C + 1)·choice_hidden + 5·C.

    Args:
        channels: channels C of the feature map.
        kernel_size: width k of the context and of the neighbourhood, odd.
        groups: of the context's convolution. Default: the paper's 4, or fewer where 4 does not
            divide the channels. CoTNeXt has 8.
        share: channels that share a neighbour's weight. Default: 8, or fewer likewise.
        reduction: by which the layer before the weights is narrower.
        point_groups: of the 1 × 1 convolutions, each with weights of its own. CoTNeXt has 2.
        min_hidden: the least width of the layer that makes the choice, otherwise C/2.

    Raises:
        FovealError: if the kernel is even, or the groups or the share do not fit the channels.

    Departs: The paper's figure adds the two contexts; the authors' code, which its published
    weights use, chooses between them, and so does this.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        groups: int | None = None,
        share: int | None = None,
        reduction: int = 2,
        point_groups: int = 1,
        min_hidden: int = 32,
    ):
        super().__init__()
        check_odd(kernel_size)
        groups = fitting_groups(channels, 4) if groups is None else groups
        share = fitting_groups(channels, 8) if share is None else share
        hidden = hidden_width(channels, reduction)
        if min(groups, share, point_groups) < 1 or channels % groups or channels % share:
            raise FovealError(
                f"groups={groups} and share={share} must divide channels={channels}, and be "
                "positive like point_groups"
            )
        for name, width in (
            ("channels", channels),
            ("hidden", hidden),
            ("weights", channels // share),
        ):
            if width % point_groups:
                raise FovealError(
                    f"point_groups={point_groups} must divide the {width} {name} that "
                    f"channels={channels} make"
                )
        self.kernel_size, self.groups, self.share = kernel_size, groups, share
        self.point_groups, self.hidden = point_groups, hidden
        self.weight_channels = channels // share
        self.choice_hidden = max(channels // 2, min_hidden)
        self.context = nn.Sequential(
            nn.Conv2d(
                channels, channels, kernel_size, padding=kernel_size // 2, groups=groups, bias=False
            ),
            BatchNorm2d(channels),
            nn.ReLU(),
        )
        # One layer over x and its context side by side, without writing them side by side.
        self.embed_x = nn.Conv2d(channels, hidden, 1, groups=point_groups, bias=False)
        self.embed_context = nn.Conv2d(channels, hidden, 1, groups=point_groups, bias=False)
        weights = kernel_size**2 * self.weight_channels
        self.weigh = nn.Sequential(
            BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, weights, 1, groups=point_groups),
            nn.GroupNorm(self.weight_channels, weights),
        )
        self.value = nn.Sequential(
            nn.Conv2d(channels, channels, 1, groups=point_groups, bias=False), BatchNorm2d(channels)
        )
        self.act = nn.Sequential(BatchNorm2d(channels), nn.SiLU())
        self.squeeze = nn.Sequential(
            nn.Linear(channels, self.choice_hidden, bias=False),
            BatchNorm1d(self.choice_hidden),
            nn.ReLU(),
        )
        self.choose = nn.Linear(self.choice_hidden, 2 * channels)

    def _weights(self, x: Map, context: Map) -> Tensor:
        return self.weigh(self.embed_x(x) + self.embed_context(context))

    def attention_map(self, x: Map) -> Float[Tensor, "b share taps h w"]:
        """The weight of each of a position's neighbours, for every group of channels that share
        it; normalised over the image, so in (-∞, ∞)."""
        weights = self._weights(x, self.context(x))
        return weights.unflatten(1, (self.weight_channels, -1))

    def forward(self, x: Map) -> Map:
        context = self.context(x)
        weights = self._weights(x, context)
        # Channel c of a point group takes the weight numbered c modulo that group's weights.
        weights = weights.unflatten(1, (self.point_groups, 1, -1, self.kernel_size**2))
        value = self.value(x).unflatten(1, (self.point_groups, self.share, -1))
        gathered = self.act(weigh_neighbours(value, weights, self.kernel_size).flatten(1, 3))
        means = gathered.mean((2, 3)) + context.mean((2, 3))
        shares = self.choose(self.squeeze(means)).unflatten(1, (-1, 2)).softmax(2)[..., None, None]
        return torch.addcmul(gathered * shares[:, :, 0], context, shares[:, :, 1])
