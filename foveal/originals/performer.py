"""Performer attention as others wrote it."""

from typing import Any

from torch import Tensor

from foveal.attention.linear.performer import Performer
from foveal.core.errors import FovealError
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


class DetachedPerformer(Performer):
    """The original's gradients: none goes through the greatest score, although `eps` keeps it from
    cancelling altogether."""

    def _greatest(self, scores: Tensor, over: tuple[int, ...]) -> Tensor:
        return scores.detach().amax(over, keepdim=True)


class Unprojected(Performer):
    """The original's `no_projection`: softmaxes over the channels of queries and over the tokens of
    keys stand in for random features."""

    def _features(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part in self.qkv(x).chunk(3, dim=-1)
        )
        return q.softmax(-1), k.softmax(-2), v


@original(
    "performer",
    source="lucidrains/performer-pytorch performer_pytorch/performer_pytorch.py Attention",
)
def performer(
    state: State,
    dim: int,
    causal: bool = False,
    heads: int = 8,
    dim_head: int | None = 64,
    local_heads: int = 0,
    local_window_size: int = 256,  # of the local heads
    nb_features: int | None = None,
    feature_redraw_interval: int | None = 1000,  # never used by the layer
    generalized_attention: bool = False,
    kernel_fn: Any = None,
    dropout: float = 0.0,
    no_projection: bool = False,
    qkv_bias: bool = False,
    attn_out_bias: bool = True,
) -> Translation:
    if causal or local_heads:
        raise FovealError(
            f"performer: causal={causal} and local_heads={local_heads} cannot be loaded, for they "
            "need the order of the tokens; use causal=False and local_heads=0"
        )
    for part in ("weight", "bias") if qkv_bias else ("weight",):
        state.join(f"qkv.{part}", [f"to_{name}.{part}" for name in "qkv"])
    state.drop("fast_attention.calls_since_last_redraw")
    relu = generalized_attention and not no_projection
    module = (Unprojected if no_projection else DetachedPerformer)(
        dim,
        heads,
        dim // heads if dim_head is None else dim_head,
        nb_features,
        feature="relu" if relu else "softmax",
        eps=1e-3 if relu else 1e-4,
        qkv_bias=qkv_bias,
        proj_bias=attn_out_bias,
        dropout=dropout,
    )
    if relu and kernel_fn is not None:
        module.feature = kernel_fn
    return module, {"to_out": "proj", "fast_attention.projection_matrix": "projection"}
