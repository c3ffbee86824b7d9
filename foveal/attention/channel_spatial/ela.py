"""Efficient local attention."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.gate import gate_strips
from foveal.ops.strip_means import strip_means
from foveal.ops.width import fitting_groups

VARIANTS = {"T": (5, 1, 32), "B": (7, 1, 16), "S": (5, 8, 16), "L": (7, 8, 16)}
"""Kernel size, channels in a group of the convolution, groups of the normalisation."""


@register_attention("ela", paper="Xu and Wan, ELA, arXiv 2024", arxiv="2403.01123")
class ELA(nn.Module):
    r"""Gate rows and columns of each channel by a short convolution along the strips' means.

    $$y_{chw} = x_{chw}\, a(\mathrm{mean}_w x)_{ch}\, a(\mathrm{mean}_h x)_{cw}, \quad
    a(z) = \sigma\big(\mathrm{GN}(\mathrm{conv}_k\,z)\big)$$

    Coordinate attention squeezes the channels together and looks at each row alone; here no channel
    is squeezed, and a row sees its neighbours. Rows and columns share one convolution and one
    normalisation.

    Placed: in each residual block.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: kernel_size·C·C/groups + 2·C.
    Multiply-adds: 4·C·H·W + (kernel_size·C/groups + 4)·C·(H + W).

    Args:
        channels: channels C of the feature map.
        variant: the paper's ELA-T, -B, -S or -L, by its letter: a kernel of 5, 7, 5 or 7 strips;
            a channel on its own (T, B) or with seven others (S, L); channels normalised in 32
            groups (T) or 16. The three options below overrule it.
        kernel_size: strips that the convolution sees, odd.
        groups: of the convolution.
        norm_groups: of the group normalisation. Default: the variant's, or the largest number
            below it that divides the channels; so for `groups`.

    Raises:
        FovealError: for an unknown variant, an even kernel size, or groups that do not divide the
            channels.
    """

    def __init__(
        self,
        channels: int,
        variant: str = "B",
        kernel_size: int | None = None,
        groups: int | None = None,
        norm_groups: int | None = None,
    ):
        super().__init__()
        if variant not in VARIANTS:
            raise FovealError(f"variant={variant!r} must be one of {', '.join(VARIANTS)}")
        size, together, parts = VARIANTS[variant]
        kernel_size = size if kernel_size is None else kernel_size
        if groups is None:
            groups = fitting_groups(channels, max(1, channels // together))
        if norm_groups is None:
            norm_groups = fitting_groups(channels, parts)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise FovealError(
                f"kernel_size={kernel_size} must be odd, so that rows keep their places"
            )
        for name, number in ("groups", groups), ("norm_groups", norm_groups):
            if number < 1 or channels % number:
                raise FovealError(f"{name}={number} must divide the channels={channels}")
        self.kernel_size, self.groups = kernel_size, groups
        self.conv = nn.Conv1d(
            channels, channels, kernel_size, padding=kernel_size // 2, groups=groups, bias=False
        )
        self.norm = nn.GroupNorm(norm_groups, channels)

    def _weigh(
        self, rows: Float[Tensor, "b c h"], columns: Float[Tensor, "b c w"]
    ) -> tuple[Float[Tensor, "b c h"], Float[Tensor, "b c w"]]:
        return self._gate(rows), self._gate(columns)

    def _gate(self, strips: Float[Tensor, "b c n"]) -> Float[Tensor, "b c n"]:
        norm = self.norm
        # Called as a module it would refuse a group of one value, which has no variance.
        scores = torch.group_norm(
            self.conv(strips), norm.num_groups, norm.weight, norm.bias, norm.eps
        )
        return scores.sigmoid()

    def attention_map(self, x: Map) -> Float[Tensor, "b c h w"]:
        """The product of both weights, in (0, 1)."""
        rows, columns = self._weigh(*strip_means(x))
        return rows[..., None] * columns[:, :, None]

    def forward(self, x: Map) -> Map:
        return gate_strips(x, self._weigh, self.parameters())
