"""CrossFormer's attention as its authors wrote it."""

from collections.abc import Sequence
from math import ceil
from typing import Any

from torch import Tensor, nn

from foveal.attention.window.crossformer import CrossFormer
from foveal.core.errors import FovealError
from foveal.originals.registry import Translation, original
from foveal.originals.state import State
from foveal.originals.swin import SwinBlock
from foveal.originals.transformer import OnWindows, scale_queries, two_layers

SOURCE = "cheerss/CrossFormer models/crossformer.py"
BIAS = {
    "pos.pos_proj": "bias.first",
    "pos.pos1": "bias.layers.0",
    "pos.pos2": "bias.layers.1",
    "pos.pos3": "bias.layers.2",
}


def _attention(
    state: State, prefix: str, dim: int, num_heads: int, qk_scale: float | None, **options: Any
) -> CrossFormer:
    state.drop(f"{prefix}pos.pos3.2.bias")  # one number for all pairs: the softmax cancels it
    state.drop(f"{prefix}biases", f"{prefix}relative_position_index")
    if qk_scale:
        scale_queries(state, f"{prefix}qkv", dim, qk_scale * (dim // num_heads) ** 0.5)
    # The width is not told by the arguments alone; the weights tell it.
    hidden = state.width(f"{prefix}pos.pos_proj.weight") if options["relative_bias"] else None
    return CrossFormer(dim, num_heads, hidden=hidden, **options)


@original("crossformer", source=f"{SOURCE} Attention")
def crossformer(
    state: State,
    dim: int,
    group_size: Sequence[int],
    num_heads: int,
    qkv_bias: bool = True,
    qk_scale: float | None = None,
    attn_drop: float = 0.0,
    proj_drop: float = 0.0,
    position_bias: bool = True,
) -> Translation:
    module = _attention(
        state,
        "",
        dim,
        num_heads,
        qk_scale,
        window_size=(group_size[0], group_size[1]),
        qkv_bias=qkv_bias,
        relative_bias=position_bias,
        attention_dropout=attn_drop,
        dropout=proj_drop,
    )
    names = {their: f"mechanism.{our}" for their, our in BIAS.items()}
    return OnWindows(module), {"": "mechanism", **names}


class CrossFormerBlock(SwinBlock):
    """A block that ends, if `ex_conv` is given, in a convolution and a normalisation without a way
    around them."""

    def __init__(
        self,
        attn: nn.Module,
        mlp: nn.Module,
        norms: Sequence[nn.Module],
        grid: tuple[int, int],
        ex_conv: nn.Module | None,
        ex_ln: nn.Module | None,
    ):
        super().__init__(attn, mlp, norms, grid)
        self.ex_conv, self.ex_ln = ex_conv, ex_ln

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        if self.ex_conv is None or self.ex_ln is None:
            return x
        return self.ex_ln(self.ex_conv(x.mT.unflatten(2, self.grid)).flatten(2).mT)


@original("crossformer_block", source=f"{SOURCE} CrossFormerBlock")
def crossformer_block(
    state: State,
    dim: int,
    input_resolution: Sequence[int],
    num_heads: int,
    group_size: int = 7,
    interval: int = 8,
    lsda_flag: int = 0,
    mlp_ratio: float = 4.0,
    qkv_bias: bool = True,
    qk_scale: float | None = None,
    drop: float = 0.0,
    attn_drop: float = 0.0,
    drop_path: float = 0.0,  # left out: it drops whole branches in training
    act_layer: Any = nn.GELU,
    norm_layer: Any = nn.LayerNorm,
    num_patch_size: int = 1,  # not used
    pad_type: int = 0,
    use_extra_conv: bool = True,
    use_cpe: bool = False,
    no_mask: bool = False,
    adaptive_interval: bool = False,
) -> Translation:
    height, width = input_resolution
    if min(height, width) <= group_size:
        lsda_flag, group_size = 0, min(height, width)
    if adaptive_interval:
        interval = ceil(height / group_size)
    side = group_size * interval if lsda_flag else group_size
    if (pad_type or no_mask) and (height % side or width % side):
        raise FovealError(
            f"crossformer_block: input_resolution={input_resolution} needs padding to a multiple "
            f"of {side}, and only pad_type=0 with the mask is loaded"
        )
    if use_cpe:
        raise FovealError("crossformer_block: use_cpe=True mixes the rows of one size, not loaded")
    attn = _attention(
        state,
        "attn.",
        dim,
        num_heads,
        qk_scale,
        window_size=group_size,
        interval=interval if lsda_flag else None,
        qkv_bias=qkv_bias,
        relative_bias=True,
        attention_dropout=attn_drop,
        dropout=drop,
    )
    state.drop("attn_mask")
    block = CrossFormerBlock(
        attn,
        two_layers(dim, int(dim * mlp_ratio), act_layer, drop),
        (norm_layer(dim), norm_layer(dim)),
        (height, width),
        nn.Conv2d(dim, dim, 3, padding=1, groups=dim) if use_extra_conv else None,
        norm_layer(dim) if use_extra_conv else None,
    )
    return block, {f"attn.{their}": f"attn.{our}" for their, our in BIAS.items()}
