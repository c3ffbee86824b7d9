"""RT-DETR's encoder of one scale."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foveal.attention.self_attention.mhsa import MHSA
from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.activation import activation
from foveal.ops.heads import heads_for
from foveal.ops.width import hidden_width


def sine_positions(x: Tensor, temperature: float = 10000.0) -> Float[Tensor, "n c"]:
    """Sines and cosines of the row, then of the column, of each position of a map (B, C, H, W), at
    C / 4 frequencies from 1 down to almost 1 / temperature."""
    channels, height, width = x.shape[1:]
    quarter = -(-channels // 4)
    wide = torch.promote_types(x.dtype, torch.float32)
    steps = torch.arange(quarter, dtype=wide, device=x.device) / quarter

    def line(size: int) -> Tensor:
        angles = torch.arange(size, dtype=wide, device=x.device)[:, None] * temperature**-steps
        return torch.cat((angles.sin(), angles.cos()), 1)

    rows = line(height)[:, None].expand(-1, width, -1)
    columns = line(width).expand(height, -1, -1)
    return torch.cat((rows, columns), 2).flatten(0, 1)[:, :channels].to(x.dtype)


@register_attention("aifi", paper="Zhao et al., DETRs Beat YOLOs on Real-time Object Detection "
                    "(RT-DETR), CVPR 2024", arxiv="2304.08069")  # fmt: skip
class AIFI(nn.Module):
    r"""Pass the map through one layer of a transformer's encoder that is told where things lie.

    $$y = \mathrm{LN}\big(z + \mathrm{MLP}(z)\big), \quad z = \mathrm{LN}\big(x +
    \mathrm{softmax}\big(W_Q(x + p)\,(W_K(x + p))^\top / \sqrt{d}\big)\, W_V\, x\, W_O\big)$$

    The positions p, sines of row and column, steer which positions match and are no part of what is
    taken. RT-DETR runs it on the coarsest scale alone, where there are few positions and they
    stand for objects.

    Placed: once, on the coarsest map of the backbone, before the scales are fused.

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: 4·C² + 2·C·hidden + hidden + 9·C.
    Multiply-adds: N·(4·C² + 2·C·hidden + 2·N·C + 11·C) + (H + W)·ceil(C/4).

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: the paper's 8, or the most below it that divide the channels.
        hidden: width of the perceptron. Default: 4 · C, as in RT-DETR's 1024 for 256 channels.
        pre_norm: normalise before attention and perceptron instead of after the sums.
        act: activation of the perceptron, by name.
        temperature: of the sines; almost the longest wave, over 2π.
        attention_dropout: probability of dropping a weight in training.
        dropout: probability of dropping an output of a layer in training.

    Raises:
        FovealError: if the heads do not divide the channels, a number is not positive, or the
            activation unknown.

    Departs: The authors' code numbers positions column by column and tokens row by row, so that on
    maps that are not square positions get one another's sines. Here each gets its own; on square
    maps, the only ones trained on, the two agree.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        hidden: int | None = None,
        pre_norm: bool = False,
        act: str = "gelu",
        temperature: float = 10000.0,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        if temperature <= 0:
            raise FovealError(f"temperature={temperature} must be positive")
        self.hidden = hidden_width(4 * channels, 1, hidden=hidden)
        self.pre_norm, self.temperature = pre_norm, temperature
        self.attn = MHSA(
            channels,
            heads_for(channels, num_heads),
            qkv_bias=True,
            proj_bias=True,
            attention_dropout=attention_dropout,
            dropout=dropout,
        )
        self.attn_norm, self.mlp_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, self.hidden),
            activation(act),
            nn.Dropout(dropout),
            nn.Linear(self.hidden, channels),
            nn.Dropout(dropout),
        )

    def _placed(self, x: Map) -> tuple[Tensor, Tensor]:
        """The tokens that attention is given, and the same with their positions added."""
        tokens = x.flatten(2).mT
        given = self.attn_norm(tokens) if self.pre_norm else tokens
        return given, given + sine_positions(x, self.temperature)

    def attention_map(self, x: Map) -> Float[Tensor, "b heads n n"]:
        """How much each position takes from each, per head; rows sum to 1. Forms N × N."""
        return self.attn.attention_map(self._placed(x)[1])

    def forward(self, x: Map) -> Map:
        given, placed = self._placed(x)
        z = x.flatten(2).mT + self.attn(placed, placed, given)
        if self.pre_norm:
            y = z + self.mlp(self.mlp_norm(z))
        else:
            z = self.attn_norm(z)
            y = self.mlp_norm(z + self.mlp(z))
        return y.mT.unflatten(2, x.shape[2:])
