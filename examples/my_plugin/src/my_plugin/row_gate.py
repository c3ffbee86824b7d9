"""Row gate."""

from math import log2

from torch import Tensor, nn

from foveal import FovealError, Map, register_attention


@register_attention("row_gate", paper="Nobody et al., an example, 2026", family="spatial")
class RowGate(nn.Module):
    r"""Gate each row by a short convolution over the means of the rows.

    $$y = x \odot \sigma\big(\mathrm{conv}_k(\mathrm{mean}_{cw}\,x)\big)$$

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: kernel_size + 1.
    Multiply-adds: 2·C·H·W + kernel_size·H.

    Args:
        channels: channels C of the feature map.
        kernel_size: neighbours k that a row consults, odd. Default: about log₂ C.

    Raises:
        FovealError: if `kernel_size` is even or not positive.
    """

    def __init__(self, channels: int, kernel_size: int | None = None):
        super().__init__()
        k = int(log2(channels)) // 2 * 2 + 1 if kernel_size is None else kernel_size
        if k < 1 or k % 2 == 0:
            raise FovealError(f"kernel_size={k} must be odd, so that a row stands in the middle")
        self.kernel_size = k
        self.conv = nn.Conv1d(1, 1, k, padding=k // 2)

    def attention_map(self, x: Map) -> Tensor:
        """One weight per row, in (0, 1)."""
        means = x.mean((1, 3))[:, None]  # (B, 1, H)
        return self.conv(means).sigmoid()[..., None]

    def forward(self, x: Map) -> Map:
        return x * self.attention_map(x)
