"""MobileViT's block as timm wrote it."""

from typing import Any

from foveal.attention.block.mobilevit import MobileViT
from foveal.core.errors import FovealError
from foveal.ops.activation import activation
from foveal.originals.names import activation_name
from foveal.originals.registry import Translation, original
from foveal.originals.state import State
from foveal.originals.widths import divisible_width, no_stride, same_width


@original("mobilevit", source="timm.models.mobilevit MobileVitBlock")
def mobilevit(
    state: State,
    in_chs: int,
    out_chs: int | None = None,
    kernel_size: int = 3,
    stride: int = 1,
    bottle_ratio: float = 1.0,
    group_size: int | None = None,
    dilation: tuple[int, int] = (1, 1),
    mlp_ratio: float = 2.0,
    transformer_dim: int | None = None,
    transformer_depth: int = 2,
    patch_size: int = 8,
    num_heads: int = 4,
    attn_drop: float = 0.0,
    drop: float = 0.0,
    no_fusion: bool = False,
    drop_path_rate: float = 0.0,  # in training only
    layers: Any = None,
    transformer_norm_layer: Any = "layernorm",
    device: Any = None,
    dtype: Any = None,
    act: Any = None,
) -> Translation:
    """`act` stands for `layers` whose convolutions and perceptrons have that activation."""
    same_width(out_chs, in_chs)
    no_stride(stride)
    name = getattr(transformer_norm_layer, "__name__", transformer_norm_layer)
    if str(name).lower() != "layernorm":
        raise FovealError(f"transformer_norm_layer={name}: only LayerNorm can be loaded")
    of_layers = activation_name(act or getattr(layers, "act", None) or "relu")
    options = getattr(getattr(layers, "conv_norm_act", None), "keywords", {})
    of_convs = activation_name(act or options.get("act_layer", "relu"))
    module = MobileViT(
        in_chs,
        kernel_size,
        transformer_dim or divisible_width(bottle_ratio * in_chs, 8),
        transformer_depth,
        num_heads,
        mlp_ratio,
        patch_size,
        in_chs // group_size if group_size else 1,
        dilation[0],
        not no_fusion,
        of_convs,
        attn_drop,
        drop,
    )
    names = {"conv_1x1": "expand"}
    for their, our in ("conv_kxk", "local"), ("conv_proj", "proj"), ("conv_fusion", "fuse"):
        names |= {f"{their}.conv": f"{our}.0", f"{their}.bn": f"{our}.1"}
    for i, layer in enumerate(module.layers):
        layer.mlp[1] = activation(of_layers)  # pyright: ignore
        their, our = f"transformer.{i}", f"layers.{i}"
        names |= {
            their: our,
            f"{their}.norm1": f"{our}.attn_norm",
            f"{their}.norm2": f"{our}.mlp_norm",
        }
        names |= {f"{their}.mlp.fc1": f"{our}.mlp.0", f"{their}.mlp.fc2": f"{our}.mlp.3"}
    return module, names
