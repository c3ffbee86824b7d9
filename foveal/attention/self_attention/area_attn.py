"""Area attention of YOLOv12."""

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.attend import attend, attention_weights
from foveal.ops.heads import head_count
from foveal.ops.norm import BatchNorm2d
from foveal.ops.padding import cut_sequence, hide_padding, pad_sequence


@register_attention(
    "area_attn",
    paper="Tian et al., YOLOv12: Attention-Centric Real-Time Object Detectors, arXiv 2025",
    arxiv="2502.12524",
)
class AreaAttention(nn.Module):
    r"""Cut the map into four large areas, row after row, and attend inside each.

    $$y = W_O\big(\mathrm{concat}_h\,\mathrm{softmax}(Q_h K_h^\top / \sqrt{d})\,V_h +
    \mathrm{dw}_{7 \times 7}(V)\big) \quad \text{in each of } l \text{ areas}$$

    The plainest way to make self-attention cheaper: an area is a run of positions in memory, so
    that cutting is a change of shape and no window is moved, and the cost falls to a quarter. An
    area spans the map's whole width and is far larger than a window. A depthwise convolution of the
    values tells positions apart and carries something across the borders. Layers have batch
    normalisation, as detectors do. There is no residual in it: the block adds one.

    Placed: in the last two stages of YOLOv12's backbone, four areas in the first of them and one in
    the other.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 4·C² + C·(kernel_size² + 10).
    Multiply-adds: N·C·(4·C + kernel_size² + 6)
    + 2·areas·ceil(N / areas)²·(C + num_heads·min(1, N % areas)).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: one for 32 channels, or as many as divide them.
        areas: l, how many areas; 1 for the whole map.
        kernel_size: side of the depthwise convolution, odd.

    Raises:
        FovealError: if the heads do not divide the channels, the kernel is even, or there are no
            areas.

    Departs: Any map is taken: where the positions do not divide evenly, the last areas are filled
    up with keys that nobody sees. Written from the paper.
    """

    def __init__(
        self, channels: int, num_heads: int | None = None, areas: int = 4, kernel_size: int = 7
    ):
        super().__init__()
        if areas < 1:
            raise FovealError(f"areas={areas} must be at least 1")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise FovealError(f"kernel_size={kernel_size} must be odd and positive")
        self.num_heads = head_count(channels, num_heads)
        self.scale = (channels // self.num_heads) ** -0.5
        self.areas, self.kernel_size = areas, kernel_size
        self.qkv = nn.Sequential(
            nn.Conv2d(channels, 3 * channels, 1, bias=False), BatchNorm2d(3 * channels)
        )
        self.position = nn.Sequential(
            nn.Conv2d(
                channels,
                channels,
                kernel_size,
                padding=kernel_size // 2,
                groups=channels,
                bias=False,
            ),
            BatchNorm2d(channels),
        )
        self.proj = nn.Sequential(
            nn.Conv2d(channels, channels, 1, bias=False), BatchNorm2d(channels)
        )

    def _project(self, x: Map) -> tuple[Tensor, Tensor, Tensor, Map]:
        """Queries, keys and values (B · areas, heads, positions, width), and the values' map."""
        qkv = self.qkv(x)
        tokens = rearrange(qkv, "b (p h d) y x -> p b h (y x) d", p=3, h=self.num_heads)
        q, k, v = pad_sequence(tokens, self.areas)
        q, k = hide_padding(q, k, tokens.shape[3])
        q, k, v = (
            rearrange(t, "b h (a n) d -> (b a) h n d", a=self.areas).contiguous() for t in (q, k, v)
        )
        return q, k, v, qkv[:, -x.shape[1] :]

    def attention_map(self, x: Map) -> Float[Tensor, "b areas heads n n"]:
        """How much each position of an area takes from each of it, per head; rows sum to 1. Where
        the areas do not come out even, the last of them ends in padding."""
        q, k, _, _ = self._project(x)
        return attention_weights(q, k, scale=self.scale).unflatten(0, (-1, self.areas))

    def forward(self, x: Map) -> Map:
        q, k, v, image = self._project(x)
        areas = attend(q, k, v, scale=self.scale)
        tokens = rearrange(areas, "(b a) h n d -> b (a n) (h d)", a=self.areas)
        tokens = cut_sequence(tokens, x.shape[2] * x.shape[3])
        attended = rearrange(tokens, "b (y x) c -> b c y x", y=x.shape[2])
        return self.proj(attended + self.position(image))
