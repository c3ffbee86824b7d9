"""Bi-level routing attention as its authors wrote it, twice."""

from typing import Any

from torch import Tensor, nn

from foveal.attention.window.biformer import BiFormer
from foveal.core.errors import FovealError
from foveal.core.layout import OnChannelsLast
from foveal.ops.window import crop, pad_to_multiple
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


class WholeRegions(nn.Module):
    """Regions of a map that they divide; or, padded, of a map whose padding everybody sees.

    Shape: (B, C, H, W) → (B, C, H, W).
    """

    def __init__(self, mechanism: BiFormer, padded: bool):
        super().__init__()
        self.mechanism, self.padded = mechanism, padded

    def _whole(self, x: Tensor) -> Tensor:
        side = self.mechanism.regions
        whole = pad_to_multiple(x, (side, side)) if self.padded else x
        if whole.shape[2] % side or whole.shape[3] % side:
            raise FovealError(
                f"a map of {tuple(x.shape[2:])} does not divide into n_win={side} regions along "
                "each axis, and what the original makes of such maps is not loaded"
            )
        return whole

    def attention_map(self, x: Tensor) -> Tensor:
        return self.mechanism.attention_map(self._whole(x))

    def forward(self, x: Tensor) -> Tensor:
        return crop(self.mechanism(self._whole(x)), *x.shape[2:])


@original("biformer", source="rayleizhu/BiFormer ops/bra_legacy.py BiLevelRoutingAttention")
def biformer(
    state: State,
    dim: int,
    num_heads: int = 8,
    n_win: int = 7,
    qk_dim: int | None = None,
    qk_scale: float | None = None,
    kv_per_win: int = 4,
    kv_downsample_ratio: int = 4,
    kv_downsample_kernel: Any = None,
    kv_downsample_mode: str = "identity",
    topk: int = 4,
    param_attention: str = "qkvo",
    param_routing: bool = False,
    diff_routing: bool = False,
    soft_routing: bool = False,
    side_dwconv: int = 3,
    auto_pad: bool = False,
) -> Translation:
    pools = kv_downsample_mode in ("avgpool", "maxpool") and kv_downsample_ratio <= 1
    if param_routing or diff_routing or soft_routing:
        raise FovealError("biformer: only hard routing without gradients and weights is loaded")
    if kv_downsample_mode != "identity" and not pools:
        raise FovealError(f"biformer: kv_downsample_mode={kv_downsample_mode!r} is not loaded")
    if param_attention not in ("qkvo", "qkv"):
        raise FovealError(f"biformer: param_attention={param_attention!r} must be qkvo or qkv")
    module = BiFormer(dim, num_heads, n_win, topk, qk_dim, side_dwconv, qk_scale or None)
    if param_attention == "qkv":
        module.proj = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
    names = {"": "", "qkv.qkv": "qkv", "lepe": "local", "wo": "proj"}
    return OnChannelsLast(WholeRegions(module, auto_pad)), {
        their: f"mechanism.mechanism.{our}".rstrip(".") for their, our in names.items()
    }


@original("biformer_nchw", source="rayleizhu/BiFormer ops/bra_nchw.py nchwBRA")
def biformer_nchw(
    state: State,
    dim: int,
    num_heads: int = 8,
    n_win: int = 7,
    qk_scale: float | None = None,
    topk: int = 4,
    side_dwconv: int = 3,
    auto_pad: bool = False,  # not used
    attn_backend: str = "torch",
) -> Translation:
    module = BiFormer(dim, num_heads, n_win, topk, kernel_size=side_dwconv, scale=qk_scale or None)
    names = {"": "", "qkv_linear": "qkv", "lepe": "local", "output_linear": "proj"}
    return WholeRegions(module, padded=False), {
        their: f"mechanism.{our}".rstrip(".") for their, our in names.items()
    }
