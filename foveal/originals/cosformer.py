"""cosFormer attention as its authors wrote it: over a sequence, which may be causal."""

from torch import Tensor, nn

from foveal.attention.linear.cosformer import CosFormer
from foveal.core.errors import FovealError
from foveal.core.types import Map
from foveal.originals.calls import OnSequence
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


class CausalCosFormer(CosFormer):
    """Each position takes from itself and those before it. Forms N × N."""

    def attention_map(self, x: Map) -> Tensor:
        q, k, _ = self._features(x)
        scores = (q @ k.mT).tril()
        return scores / scores.sum(-1, keepdim=True).clamp_min(self.eps)

    def forward(self, x: Map) -> Map:
        heads = self.attention_map(x) @ self._features(x)[2]
        return self.proj(heads.transpose(1, 2).flatten(2)).mT.unflatten(2, x.shape[2:])


@original("cosformer", source="OpenNLPLab/cosFormer cosformer.py CosformerAttention")
def cosformer(
    state: State,
    embed_dim: int,
    num_heads: int,
    kdim: int | None = None,
    vdim: int | None = None,
    dropout_rate: float = 0.0,  # never used
    causal: bool = False,
    has_outproj: bool = True,
    act_fun: str = "relu",
) -> Translation:
    """Its `vdim` has no effect without `kdim`, and its `act_fun="elu"` fails."""
    for name, width in ("kdim", kdim), ("vdim", vdim if kdim is not None else None):
        if width not in (None, embed_dim):
            raise FovealError(
                f"cosformer: {name}={width} must be embed_dim={embed_dim}, for queries, keys and "
                "values are one sequence here"
            )
    if act_fun not in ("relu", "elu"):
        raise FovealError(f"cosformer: act_fun={act_fun!r} must be 'relu' or 'elu'")
    kind = CausalCosFormer if causal else CosFormer
    module = kind(embed_dim, num_heads, feature=act_fun)
    for part in "weight", "bias":
        state.join(f"qkv.{part}", [f"{name}_proj.{part}" for name in "qkv"])
    if not has_outproj:  # the original makes the layer all the same
        module.proj = nn.Identity()
        state.drop("out_proj.weight", "out_proj.bias")
    return OnSequence(module), {"": "mechanism", "out_proj": "mechanism.proj"}
