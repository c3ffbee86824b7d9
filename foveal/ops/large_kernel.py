"""The frame around a gate of large kernels: two pointwise layers and a shortcut."""

from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.types import Map


class LargeKernelGate(nn.Module):
    """A map times the `weights` that a subclass makes of it, in a frame if asked for:
    y = x + W₂ (u ⊙ weights(u)) with u = GELU(W₁ x).

    Args:
        channels: channels C of the feature map.
        project: build the frame; without it y = x ⊙ weights(x).
    """

    def __init__(self, channels: int, project: bool):
        super().__init__()
        self.project = project
        if project:
            self.enter = nn.Conv2d(channels, channels, 1)
            self.act = nn.GELU()
            self.leave = nn.Conv2d(channels, channels, 1)

    def weights(self, x: Map) -> Map:
        """The weights of every value, of the same shape."""
        raise NotImplementedError

    def _entered(self, x: Map) -> Map:
        return self.act(self.enter(x)) if self.project else x

    def attention_map(self, x: Map) -> Float[Tensor, "b c h w"]:
        """One weight per value, in (-∞, ∞)."""
        return self.weights(self._entered(x))

    def forward(self, x: Map) -> Map:
        entered = self._entered(x)
        y = entered * self.weights(entered)
        return x + self.leave(y) if self.project else y


def depthwise(channels: int, size: int | tuple[int, int], dilation: int = 1) -> nn.Conv2d:
    """A convolution of each channel alone, that keeps the size of the map.

    Raises:
        FovealError: if a size is even or the dilation not positive.

    >>> depthwise(8, (1, 7), dilation=3).padding
    (0, 9)
    """
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1 or height % 2 == 0 or width % 2 == 0 or dilation < 1:
        raise FovealError(f"kernels of size {size} must be odd, and dilation={dilation} positive")
    padding = dilation * (height // 2), dilation * (width // 2)
    return nn.Conv2d(
        channels, channels, (height, width), padding=padding, dilation=dilation, groups=channels
    )
