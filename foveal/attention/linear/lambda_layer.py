"""Lambda layer."""

from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.heads import heads_for
from foveal.ops.norm import BatchNorm2d
from foveal.ops.window import pair


@register_attention("lambda", paper="Bello, LambdaNetworks, ICLR 2021", arxiv="2102.08602")
class LambdaLayer(nn.Module):
    r"""Turn the surroundings of each position into a linear function, and apply it to the queries.

    $$y_n = \mathrm{concat}_h\, q_{nh}^\top (\lambda^c + \lambda^p_n), \quad
    \lambda^c = \textstyle\sum_m \mathrm{softmax}_m(k_m)\, v_m^\top, \quad
    \lambda^p_n = \sum_{m} e_{m-n}\, v_m^\top$$

    $\lambda^c$ is the same at every position; $\lambda^p$ is a convolution of the values by learned
    vectors $e$, one for each place relative to the query. All heads share keys and values. The
    positions give this what linear attention lacks, and no table is bound to a size: a kernel of
    2H − 1 by 2W − 1 is the paper's global form for maps of H × W, and takes others too.

    Placed: in place of the 3 × 3 convolution of ResNet's bottlenecks.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: (C + 2)·(query_width + value_channels) + C·head_channels
    + head_channels·(taps + position_bias).
    Multiply-adds: N·(C + 1)·(query_width + value_channels) + N·head_channels·(3·C + 2)
    + N·head_channels·value_channels·(1 + taps) + C·N.

    Args:
        channels: channels C of the feature map.
        num_heads: heads of the queries. Default: 4, or the most below it that divide the channels
            into heads of at least four.
        head_channels: width k of a head's queries and of the keys.
        kernel_size: size r of the surroundings that count by their place, odd; one number or a
            height and a width.
        position_bias: add a learned vector to the place's, wherever it is.

    Raises:
        FovealError: if the heads do not divide the channels, or a size is even or not positive.

    Departs: The surroundings are 9 wide and have a bias, as in timm; the paper's are 23 wide.
    Queries, keys and values have no bias, which their normalisations would cancel. The paper's
    intra-depth u is 1.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        head_channels: int = 16,
        kernel_size: int | tuple[int, int] = 9,
        position_bias: bool = True,
    ):
        super().__init__()
        height, width = pair(kernel_size, "kernel_size")
        if height % 2 == 0 or width % 2 == 0:
            raise FovealError(f"kernel_size={kernel_size} must be odd, so that there is a middle")
        if head_channels < 1:
            raise FovealError(f"head_channels={head_channels} must be positive")
        self.num_heads = heads_for(channels, num_heads, usual=4)
        self.head_channels, self.value_channels = head_channels, channels // self.num_heads
        self.query_width = self.num_heads * head_channels
        self.widths = [self.query_width, head_channels, self.value_channels]
        self.taps, self.position_bias = height * width, position_bias
        self.qkv = nn.Conv2d(channels, sum(self.widths), 1, bias=False)
        self.query_norm = BatchNorm2d(self.query_width)
        self.value_norm = BatchNorm2d(self.value_channels)
        self.position = nn.Conv2d(
            1, head_channels, (height, width), padding=(height // 2, width // 2), bias=position_bias
        )

    def attention_map(self, x: Map) -> Float[Tensor, "b d n"]:
        """How much each channel of the keys takes from each position for the function that all
        positions share; rows sum to 1."""
        return self.qkv(x).split(self.widths, 1)[1].flatten(2).softmax(-1)

    def forward(self, x: Map) -> Map:
        queries, keys, values = self.qkv(x).split(self.widths, 1)
        queries = self.query_norm(queries).flatten(2).unflatten(1, (self.num_heads, -1))
        values = self.value_norm(values)
        content = values.flatten(2) @ keys.flatten(2).softmax(-1).mT  # (B, V, K)
        position = self.position(values.flatten(0, 1)[:, None]).flatten(2)
        position = position.unflatten(0, values.shape[:2])  # (B, V, K, N)
        # Position by position, (heads × K) · (K × V).
        local = queries.permute(0, 3, 1, 2) @ position.permute(0, 3, 2, 1)  # (B, N, heads, V)
        y = content[:, None] @ queries + local.permute(0, 2, 3, 1)
        return y.flatten(1, 2).unflatten(2, x.shape[2:])
