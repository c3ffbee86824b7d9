"""ResT's attention as others wrote it."""

from foveal.attention.self_attention.emsa import EMSA
from foveal.originals.calls import OnGrid
from foveal.originals.registry import Translation, original
from foveal.originals.state import State

NAMES = {
    "q": "query",
    "kv": "key_value",
    "sr": "reduce",
    "sr_norm": "norm",
    "transform_conv": "mix",
    "up": "restore",
    "up_norm": "restore_norm",
    "proj": "proj",
}


def _on_grid(module: EMSA, height: int | None, width: int | None) -> Translation:
    module.fills = False
    grid = None if height is None or width is None else (height, width)
    return OnGrid(module, grid), {k: f"mechanism.{ours}" for k, ours in NAMES.items()}


@original("emsa", source="wofmanaf/ResT models/rest.py Attention")
def emsa(
    state: State,
    dim: int,
    num_heads: int = 8,
    qkv_bias: bool = False,
    qk_scale: float | None = None,
    attn_drop: float = 0.0,
    proj_drop: float = 0.0,
    sr_ratio: int = 1,
    apply_transform: bool = False,
    H: int | None = None,
    W: int | None = None,
) -> Translation:
    """Called as `m(x, H, W)`; or as `m(x)`, for the H and W given here."""
    module = EMSA(
        dim,
        num_heads,
        sr_ratio,
        transform=apply_transform,
        qkv_bias=qkv_bias,
        attention_dropout=attn_drop,
        dropout=proj_drop,
    )
    module.scale = qk_scale or module.scale
    if module.transforms:  # the softmax cancels the first, rows that sum to 0 the others
        state.drop("transform_conv.bias", "kv.bias", "sr_norm.bias")
    return _on_grid(module, H, W)


@original("emsa_v2", source="wofmanaf/ResT models/rest_v2.py Attention")
def emsa_v2(
    state: State,
    dim: int,
    num_heads: int = 8,
    sr_ratio: int = 1,
    H: int | None = None,
    W: int | None = None,
) -> Translation:
    """Called as `m(x, H, W)`; or as `m(x)`, for the H and W given here."""
    return _on_grid(EMSA(dim, num_heads, sr_ratio, version=2), H, W)
