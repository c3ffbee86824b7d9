"""Cascaded group attention of EfficientViT."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.attend import attend, attention_weights
from foveal.ops.heads import heads_for
from foveal.ops.norm import BatchNorm2d
from foveal.ops.window import Size, pair


def _conv_norm(read: int, write: int, kernel_size: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(read, write, kernel_size, padding=kernel_size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, BatchNorm2d(write))


@register_attention(
    "cga",
    paper="Liu et al., EfficientViT: Memory Efficient Vision Transformer with Cascaded Group "
    "Attention, CVPR 2023",
    arxiv="2305.07027",
)
class CGA(nn.Module):
    r"""Attend head after head, each on its own channels plus what the head before it found.

    $$y = W_O\,\mathrm{ReLU}[\tilde x_1, \dots, \tilde x_h], \quad
    \tilde x_i = \mathrm{softmax}\big(\mathrm{dw}(Q_i) K_i^\top / \sqrt{d} + b_i\big) V_i, \quad
    Q_i, K_i, V_i = W_i (x_i + \tilde x_{i-1})$$

    Heads that all read every channel learn much the same; here each reads its share alone, and the
    cascade makes it deeper instead of wider. Queries also see their neighbourhood by a depthwise
    convolution. The bias b is learned for each vertical and horizontal distance on one size of
    map, and interpolated for others; it is the one N × N table here, the same for all images.
    There is no residual in it: the block adds one.

    Placed: once in each EfficientViT block, between perceptrons before it and after it.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: C·(2·key_channels + value_channels) + 2·num_heads·(3·key_channels + value_channels)
    + key_channels·taps + num_heads·cells + C² + 2·C.
    Multiply-adds: N·(C·(2·key_channels + value_channels)
    + num_heads·(3·key_channels + 2·value_channels + 4) + key_channels·taps + C²
    + C − value_channels) + 2·N²·num_heads·max(key_channels, value_channels).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: the paper's 4, or fewer where 4 does not divide the channels.
        key_channels: width of a head's queries and keys.
        kernel_size: of the convolution of the queries, odd; one number, or one for each head.
        table_size: height and width of the map that the bias is learned for.

    Raises:
        FovealError: if the heads do not divide the channels, a kernel is even or missing, or a
            width or size is below 1.

    Departs: The last normalisation is born 1 and not 0, which the authors have for the sake of the
    residual around it.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        key_channels: int = 16,
        kernel_size: int | Sequence[int] = 5,
        table_size: int | Size = 14,
    ):
        super().__init__()
        heads = self.num_heads = heads_for(channels, num_heads, usual=4, least=1)
        kernels = (kernel_size,) * heads if isinstance(kernel_size, int) else tuple(kernel_size)
        if len(kernels) != heads or any(k < 1 or k % 2 == 0 for k in kernels):
            raise FovealError(
                f"kernel_size={kernel_size} must be odd, one number or one for each of "
                f"{heads} heads"
            )
        if key_channels < 1:
            raise FovealError(f"key_channels={key_channels} must be at least 1")
        width = self.value_channels = channels // heads
        self.key_channels, self.taps = key_channels, sum(k * k for k in kernels)
        self.widths = [key_channels, key_channels, width]
        size = pair(table_size, "table_size")
        self.cells = size[0] * size[1]
        self.qkvs = nn.ModuleList(_conv_norm(width, sum(self.widths)) for _ in kernels)
        self.query_convs = nn.ModuleList(
            _conv_norm(key_channels, key_channels, k, groups=key_channels) for k in kernels
        )
        self.bias = nn.Parameter(torch.zeros(heads, *size))
        self.proj = nn.Sequential(nn.ReLU(), *_conv_norm(channels, channels))

    def _biases(self, height: int, width: int) -> Float[Tensor, "heads n n"]:
        """The bias of each pair; the two ends of the table are distance 0 and the furthest."""
        table = F.interpolate(self.bias[None], (height, width), mode="bilinear", align_corners=True)
        rows, columns = (torch.arange(n, device=table.device) for n in (height, width))
        rows, columns = ((c[:, None] - c).abs() for c in (rows, columns))
        pairs = table[0][:, rows[:, None, :, None], columns[None, :, None, :]]
        return pairs.flatten(3, 4).flatten(1, 2)

    def _cascade(self, x: Map) -> tuple[list[Tensor], list[Map]]:
        """Queries, keys and bias of each head for the map, and each head's result."""
        biases = self._biases(*x.shape[2:]).unbind(0)
        compared, found = [], []
        for i, part in enumerate(x.chunk(self.num_heads, 1)):
            qkv = self.qkvs[i](part + found[-1] if found else part)
            q, k, v = qkv.split(self.widths, dim=1)
            q, k, v = (
                rearrange(t, "b c h w -> b (h w) c").contiguous()
                for t in (self.query_convs[i](q), k, v)
            )
            bias = biases[i].to(q.dtype)
            compared.append((q, k, bias))
            attended = attend(q, k, v, bias=bias)
            found.append(rearrange(attended, "b (h w) c -> b c h w", h=x.shape[2]))
        return compared, found

    def attention_map(self, x: Map) -> Float[Tensor, "b heads n n"]:
        """How much each position takes from each, per head; rows sum to 1. Forms N × N."""
        compared, _ = self._cascade(x)
        return torch.stack([attention_weights(q, k, bias=bias) for q, k, bias in compared], 1)

    def forward(self, x: Map) -> Map:
        return self.proj(torch.cat(self._cascade(x)[1], dim=1))
