"""Deformable attention of DAT."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map, Tokens
from foveal.ops.attend import attend, attention_weights
from foveal.ops.heads import head_count, merge_heads, split_heads
from foveal.ops.width import fitting_groups
from foveal.ops.window import Size, pair

POSITIONS = ("table", "log", "conv", "none")


def sample(x: Map, points: Float[Tensor, "b h w 2"]) -> Map:
    """A map read between its positions, bilinearly; zeros beyond it. Points are (row, column), −1
    and 1 the middles of the outermost positions. In float32 at least."""
    wide = torch.promote_types(x.dtype, torch.float32)
    points = points.flip(-1).to(wide)
    return F.grid_sample(x.to(wide), points, align_corners=True).to(x.dtype)


def places(
    height: int, width: int, like: Tensor, shift: float = 0.0
) -> tuple[Float[Tensor, "h w 2"], Float[Tensor, "2"]]:
    """Where positions stand between −1 and 1, row and column, and half the distance of two. They
    are moved on by `shift` of a half; one that is alone on its axis stands in the middle."""
    axes, halves = [], []
    for size in (height, width):
        steps = torch.arange(size, device=like.device).to(like.dtype)
        last = steps[-1:]
        halves.append(1 / last.clamp(min=1))
        axes.append((2 * steps - last + shift * last.clamp(max=1)) * halves[-1])
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1), torch.cat(halves)


@register_attention(
    "dat",
    paper="Xia et al., Vision Transformer with Deformable Attention, CVPR 2022",
    arxiv="2201.00520",
)
class DAT(nn.Module):
    r"""Attend to a grid of points that the image itself moves to where something is to be seen.

    $$y = \mathrm{concat}_h\Big(\mathrm{softmax}\big(Q_h \tilde K_h^\top / \sqrt{d} + b(p)\big)
    \tilde V_h\Big) W_O, \quad \tilde K, \tilde V = W_{kv}\,x(p), \quad
    p = r + s \tanh\theta_{\mathrm{offset}}(Q)$$

    Reference points r lie evenly over the map; a small network on the queries says how far each
    moves, and keys and values are made of the map read at the moved points, bilinearly. All queries
    share the points, in each of a few groups of channels, so that it is self-attention with fewer
    and better keys rather than a few samples for each query. The bias by relative position is read
    between the entries of a table, for points lie between positions; it is a table of all pairs,
    for it moves with the image.

    Placed: in the last two stages of DAT, by turns with attention in windows.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 4·C² + 3·C + deforms·group_channels·(kernel_size² + 5) + tables·num_heads·offsets
    + logs·(96 + 32·num_heads / groups) + convs·10·C.
    Multiply-adds: 2·N·C² + ceil(H / key_stride)·ceil(W / key_stride)·(2·C² + 2·N·C
    + deforms·C·(kernel_size² + 10) + tables·4·N·(num_heads + groups)
    + logs·N·(72·groups + 32·num_heads)) + convs·10·N·C
    + (1 − deforms)·key_stride²·ceil(H / key_stride)·ceil(W / key_stride)·C.

    Args:
        channels: channels C of the feature map.
        num_heads: heads. Default: the paper's, one for 32 channels, or as many as divide them.
        groups: of channels with points of their own. Default: one for four heads, or as many as
            divide the heads.
        key_stride: distance of the reference points. DAT has 1 in its last two stages; DAT++ has
            8, 4, 2 and 1 for 64, 128, 256 and 512 channels.
        kernel_size: of the convolution that the offsets come from, odd.
        offset_range: s, how far a point can move, in distances of points. None: any distance, but
            not off the map (DAT++).
        positions: `"table"`; `"log"`, a small network of the distance on a logarithmic scale;
            `"conv"`, a depthwise convolution of the queries that is added to the result; `"none"`.
        table_size: height and width of the map that the table is learned for.
        deform: move the points. Else keys are means of squares, without positions.
        attention_dropout: probability of dropping a weight in training.
        dropout: probability of dropping an output in training.

    Raises:
        FovealError: if heads or groups do not divide, a kernel is even, a stride or size is below
            1, or the positions are unknown.

    Departs: Keys have no bias, which the softmax would cancel. A row of a single point has it in
    the middle, where the authors' code divides by zero.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        groups: int | None = None,
        key_stride: int = 2,
        kernel_size: int = 5,
        offset_range: float | None = 2.0,
        positions: str = "table",
        table_size: int | Size = 14,
        deform: bool = True,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        heads = self.num_heads = head_count(channels, num_heads)
        self.groups = fitting_groups(heads, max(1, heads // 4)) if groups is None else groups
        if self.groups < 1 or heads % self.groups:
            raise FovealError(f"groups={groups} must divide num_heads={heads}")
        if key_stride < 1 or kernel_size < 1 or kernel_size % 2 == 0:
            raise FovealError(
                f"kernel_size={kernel_size} must be odd, key_stride={key_stride} at least 1"
            )
        if positions not in POSITIONS:
            raise FovealError(f"positions={positions!r} must be one of {', '.join(POSITIONS)}")
        self.deforms, self.offset_range = deform, offset_range
        self.key_stride, self.kernel_size = key_stride, kernel_size
        self.tables, self.logs, self.convs = (
            deform and positions == kind for kind in ("table", "log", "conv")
        )
        self.group_channels, self.attention_dropout = channels // self.groups, attention_dropout
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels)
        self.proj = nn.Linear(channels, channels)
        if deform:
            width = self.group_channels
            self.near = nn.Conv2d(
                width, width, kernel_size, key_stride, kernel_size // 2, groups=width
            )
            self.norm = nn.LayerNorm(width)
            self.offset = nn.Linear(width, 2, bias=False)
        rows, columns = (2 * side - 1 for side in pair(table_size, "table_size"))
        self.offsets = rows * columns
        if self.tables:
            self.table = nn.Parameter(torch.empty(heads, rows, columns))
            nn.init.trunc_normal_(self.table, std=0.01)
        if self.logs:
            self.distance = nn.Sequential(
                nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, heads // self.groups, bias=False)
            )
        if self.convs:
            self.local = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.dropout = nn.Dropout(dropout)

    def points(self, queries: Map) -> Float[Tensor, "b_groups h w 2"]:
        """Where the keys are read, row and column, −1 and 1 being the outermost positions."""
        groups = queries.reshape(-1, self.group_channels, *queries.shape[2:])
        near = rearrange(self.near(groups), "b c h w -> b h w c")
        moves = self.offset(F.gelu(self.norm(near)))
        height, width = near.shape[1:3]
        reference, half = places(height, width, moves, shift=1.0)
        if self.offset_range is None:
            return (moves + reference).clamp(-1, 1)
        return moves.tanh() * (half * self.offset_range) + reference

    def _bias(self, points: Tensor, height: int, width: int) -> Tensor | None:
        """The bias of each position for each key, (B, heads, N, M), where there is any."""
        if not (self.tables or self.logs):
            return None
        here = places(height, width, points)[0].flatten(0, 1)
        apart = here[:, None] - points.flatten(1, 2)[:, None]  # (B · groups, N, M, 2)
        if self.tables:
            images = points.shape[0] // self.groups
            table = self.table.unflatten(0, (self.groups, -1))
            table = table.expand(images, -1, -1, -1, -1).flatten(0, 1).to(points.dtype)
            bias = sample(table, apart * 0.5)
        else:
            apart = apart * 4.0
            scaled = apart.sign() * (apart.abs() + 1).log2() / 3
            bias = rearrange(self.distance(scaled), "b n m h -> b h n m")
        return bias.unflatten(0, (-1, self.groups)).flatten(1, 2)

    def _project(self, x: Map) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tokens]:
        """Queries, keys and values head by head, the bias, and the queries as tokens."""
        height, width = x.shape[2:]
        queries = self.query(rearrange(x, "b c h w -> b (h w) c").contiguous())
        if self.deforms:
            points = self.points(rearrange(queries, "b (h w) c -> b c h w", h=height))
            bias = self._bias(points, height, width)
            read = sample(x.reshape(-1, self.group_channels, height, width), points)
            keys = rearrange(read, "(b g) c h w -> b (h w) (g c)", g=self.groups)
        else:
            bias, mean = None, F.avg_pool2d(x, self.key_stride, ceil_mode=True)
            keys = rearrange(mean, "b c h w -> b (h w) c")
        keys = keys.contiguous()
        q, k, v = (
            split_heads(t, self.num_heads) for t in (queries, self.key(keys), self.value(keys))
        )
        return q, k, v, bias, queries

    def attention_map(self, x: Map) -> Float[Tensor, "b heads n m"]:
        """How much each position takes from each point, per head; rows sum to 1. Forms N × M."""
        q, k, _, bias, _ = self._project(x)
        return attention_weights(q, k, bias=bias)

    def forward(self, x: Map) -> Map:
        q, k, v, bias, queries = self._project(x)
        dropout = self.attention_dropout if self.training else 0.0
        heads = attend(q, k, v, bias=bias, dropout=dropout)
        if torch.compiler.is_exporting():  # kernels leave heads in different orders in memory
            heads = heads.clone(memory_format=torch.contiguous_format)
        y = merge_heads(heads)
        if self.convs:
            local = self.local(rearrange(queries, "b (h w) c -> b c h w", h=x.shape[2]))
            y = y + rearrange(local, "b c h w -> b (h w) c")
        return rearrange(self.dropout(self.proj(y)), "b (h w) c -> b c h w", h=x.shape[2])
