"""A small residual network for small pictures: the host of the built-in study."""

from collections.abc import Sequence

from torch import Tensor, nn

from foveal.core.types import Map


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut.

    Shape: (B, C_in, H, W) → (B, C_out, H/stride, W/stride).
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        same = stride == 1 and channels_in == channels_out
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False),
                nn.BatchNorm2d(channels_out),
            )
        )
        self.act2 = nn.ReLU()

    def forward(self, x: Map) -> Map:
        y = self.norm2(self.conv2(self.act1(self.norm1(self.conv1(x)))))
        return self.act2(y + self.shortcut(x))


class Stage(nn.Module):
    """Blocks of one resolution; the first may halve it."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, depth: int):
        super().__init__()
        self.blocks = nn.Sequential(
            ResidualBlock(channels_in, channels_out, stride),
            *(ResidualBlock(channels_out, channels_out) for _ in range(depth - 1)),
        )

    def forward(self, x: Map) -> Map:
        return self.blocks(x)


class SmallCNN(nn.Module):
    """A stem, stages that halve the resolution from the second on, and a linear head.

    Shape: (B, in_channels, H, W) → (B, num_classes), for H and W of at least 4.

    Args:
        num_classes: classes to tell apart.
        in_channels: channels of the picture.
        widths: channels of each stage.
        depth: blocks in each stage.

    >>> model = SmallCNN()
    >>> model(torch.rand(2, 1, 16, 16)).shape
    torch.Size([2, 10])
    >>> sum(p.numel() for p in model.parameters())
    14370
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        widths: Sequence[int] = (8, 16, 24),
        depth: int = 1,
    ):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        self.stages = nn.Sequential(
            *(
                Stage(widths[max(i - 1, 0)], width, stride=1 if i == 0 else 2, depth=depth)
                for i, width in enumerate(widths)
            )
        )
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Map) -> Tensor:
        return self.head(self.stages(self.stem(x)).mean((2, 3)))


def small_cnn(num_classes: int = 10, in_channels: int = 1) -> SmallCNN:
    """The built-in host: 14 k parameters, for 16×16 pictures."""
    return SmallCNN(num_classes, in_channels)
