"""Separated and enhancement attention."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.norm import BatchNorm2d
from foveal.ops.width import hidden_width
from foveal.ops.window import is_open


def _larger(size: int, least: int) -> int:
    """The size, but at least so much; also where an export leaves the size open."""
    return torch.sym_max(size, least) if is_open(size) else max(size, least)  # pyright: ignore


class Mixer(nn.Module):
    """Mix each channel within itself and then the channels within each position. The second
    normalisation is left to the caller, who may want the mean alone."""

    def __init__(self, channels: int, kernel_size: int):
        super().__init__()
        edge = kernel_size // 2
        self.depthwise = nn.Conv2d(channels, channels, kernel_size, padding=edge, groups=channels)
        self.depthwise_norm = BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1)
        self.norm = BatchNorm2d(channels)

    def forward(self, x: Map) -> Map:
        x = x + self.depthwise_norm(F.gelu(self.depthwise(x)))
        return F.gelu(self.pointwise(x))


class Branch(nn.Module):
    """Mixers one after the other, on the map or on patches of it, and the mean of each channel."""

    def __init__(self, channels: int, depth: int, kernel_size: int, patch: int):
        super().__init__()
        self.side = patch
        if patch > 1:
            self.patch = nn.Conv2d(channels, channels, patch, stride=patch)
            self.patch_norm = BatchNorm2d(channels)
        self.mixers = nn.ModuleList(Mixer(channels, kernel_size) for _ in range(depth))

    def _mixers(self) -> list[Mixer]:
        return list(self.mixers)  # pyright: ignore[reportReturnType]

    def forward(self, x: Map) -> Float[Tensor, "b c"]:
        if self.side > 1:
            height, width = x.shape[2:]
            below, right = (_larger(size, self.side) - size for size in (height, width))
            if is_open(height) or is_open(width) or below or right:  # less than one patch
                x = F.pad(x, (0, right, 0, below))
            x = self.patch_norm(F.gelu(self.patch(x)))
        *others, last = self._mixers()
        for mixer in others:
            x = mixer.norm(mixer(x))
        x = last(x)
        if last.norm.training:
            return last.norm(x).mean((2, 3))
        return last.norm(x.mean((2, 3), keepdim=True))[..., 0, 0]  # linear, so of the mean alone


@register_attention(
    "seam",
    paper="Yu et al., YOLO-FaceV2: A Scale and Occlusion Aware Face Detector, arXiv 2022",
    arxiv="2208.02019",
)
class SEAM(nn.Module):
    r"""Enhance each channel, up to e times, by what separable convolutions find in the map.

    $$y = x \odot \exp\,\sigma\big(W_2\,\mathrm{ReLU}(W_1\,\mathrm{mean}_{hw}\,M(x))\big),
    \quad M(x) = \mathrm{BN}\,\mathrm{GELU}\,P\big(x + \mathrm{BN}\,\mathrm{GELU}\,D x\big)$$

    D is a depthwise and P a pointwise convolution. Where other gates only weaken, the exponential
    makes a weight between 1 and e, so that what is seen of an occluded face makes up for what is
    not. The channels are judged by features made for that purpose, not by their own means. On
    patches, several such features of different grain are averaged with the means of x.

    Placed: on each of the three maps that YOLOv5's neck gives, before the detection head.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: (patches + 1 − patched)·depth·C·(kernel_size² + C + 6) + 2·C·hidden
    + C·(C·squares + 3·patches).
    Multiply-adds: N·C·(1 + grain·depth·(kernel_size² + C + 3))
    + patched·N·C·(patches·C + grain + 1) + (patches + 1 − patched)·C + 2·C·hidden.

    Args:
        channels: channels C of the feature map.
        reduction: by which the hidden layer of the gate is narrower.
        hidden: width of that layer. Default: C / reduction, at least 1.
        depth: mixers M one after the other.
        kernel_size: of the depthwise convolutions, odd.
        patch_size: sides of patches, each with its own mixers; this is MultiSEAM, which the
            authors' detector has at 6, 7 and 8. What fills no patch at the edge is not seen; a map
            smaller than a patch is filled up with zeros. Exported with sizes left open, it wants
            two patches and more along each side. None for the map itself.

    Raises:
        FovealError: for an even kernel, no patches, or a width, depth or patch below 1.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        hidden: int | None = None,
        depth: int = 1,
        kernel_size: int = 3,
        patch_size: Sequence[int] | None = None,
    ):
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise FovealError(
                f"kernel_size={kernel_size} must be odd, so that a map keeps its size"
            )
        if depth < 1:
            raise FovealError(f"depth={depth} must be at least 1")
        if patch_size is not None and (not patch_size or min(patch_size) < 2):
            raise FovealError(
                f"patch_size={tuple(patch_size)} must be one side or several, of at least 2; None "
                "for the map itself"
            )
        sides = (1,) if patch_size is None else tuple(patch_size)
        self.hidden = hidden_width(channels, reduction, hidden=hidden)
        self.depth, self.kernel_size, self.patched = depth, kernel_size, patch_size is not None
        self.patches = len(sides) if self.patched else 0
        self.squares = sum(side**2 for side in sides) if self.patched else 0
        self.grain = sum(side**-2 for side in sides)  # positions of all branches, for one of x
        self.branches = nn.ModuleList(Branch(channels, depth, kernel_size, s) for s in sides)
        self.squeeze = nn.Linear(channels, self.hidden, bias=False)
        self.excite = nn.Linear(self.hidden, channels, bias=False)
        half = self.hidden // 2
        with torch.no_grad():  # rectified opposites: at birth no image finds the whole layer silent
            self.squeeze.weight[half : 2 * half] = -self.squeeze.weight[:half]

    def attention_map(self, x: Map) -> Float[Tensor, "b c 1 1"]:
        """One weight per channel, in (1, 2.7183)."""
        means = [branch(x) for branch in self.branches]
        if self.patched:
            means.append(x.mean((2, 3)))
        pooled = sum(means[1:], means[0]) / len(means) if self.patched else means[0]
        return self.excite(self.squeeze(pooled).relu()).sigmoid().exp()[..., None, None]

    def forward(self, x: Map) -> Map:
        return x * self.attention_map(x)
