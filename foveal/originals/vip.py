"""The weighted permute-MLP as others wrote it."""

from foveal.attention.branch.vip import ViP
from foveal.core.layout import OnChannelsLast
from foveal.originals.registry import Translation, original
from foveal.originals.state import State


@original("vip", source="houqb/VisionPermutator models/vip.py WeightedPermuteMLP")
def vip(
    state: State,
    dim: int,
    segment_dim: int = 8,
    qkv_bias: bool = False,
    qk_scale: float | None = None,  # which it does not read
    attn_drop: float = 0.0,  # nor this
    proj_drop: float = 0.0,
) -> Translation:
    module = ViP(dim, segment_dim, hidden=dim // 4 or dim, qkv_bias=qkv_bias, dropout=proj_drop)
    for theirs, ours in ("mlp_h", "mix_column"), ("mlp_w", "mix_row"):
        weight = state.pop(f"{theirs}.weight").unflatten(0, (segment_dim, -1))
        weight = weight.unflatten(2, (segment_dim, -1))  # rows first, then channels
        state[f"mechanism.{ours}.weight"] = weight.permute(1, 0, 3, 2).reshape(dim, dim)
        if qkv_bias:
            bias = state.pop(f"{theirs}.bias").unflatten(0, (segment_dim, -1))
            state[f"mechanism.{ours}.bias"] = bias.T.flatten()
    names = {
        "mlp_c": "mechanism.mix_channels",
        "reweight.fc1": "mechanism.choose.0",
        "reweight.fc2": "mechanism.choose.2",
        "proj": "mechanism.proj",
    }
    return OnChannelsLast(module), names
