"""Large kernel attention as others wrote it, whole and separable."""

from foveal.attention.spatial.lka import LKA
from foveal.attention.spatial.lska import LSKA
from foveal.core.errors import FovealError
from foveal.originals.registry import Translation, original
from foveal.originals.state import State

_KERNELS = {"conv0": "near", "conv_spatial": "far", "conv1": "mix"}
_STRIPS = {
    "conv0h": "near_row",
    "conv0v": "near_column",
    "conv_spatial_h": "far_row",
    "conv_spatial_v": "far_column",
    "conv1": "mix",
}
_SIZES = (7, 11, 23, 35, 41, 53)


def _framed(names: dict[str, str]) -> dict[str, str]:
    inside = {f"spatial_gating_unit.{their}": our for their, our in names.items()}
    return {"proj_1": "enter", "proj_2": "leave", **inside}


def _lska(dim: int, k_size: int, project: bool) -> LSKA:
    if k_size not in _SIZES:
        raise FovealError(f"k_size={k_size} must be one of {', '.join(map(str, _SIZES))}")
    return LSKA(dim, k_size, project=project)


@original("lka", source="Visual-Attention-Network/VAN-Classification models/van.py LKA")
def lka(state: State, dim: int) -> Translation:
    return LKA(dim), _KERNELS


@original("lka_attn", source="Visual-Attention-Network/VAN-Classification models/van.py Attention")
def lka_attn(state: State, d_model: int) -> Translation:
    return LKA(d_model, project=True), _framed(_KERNELS)


@original("lska", source="StevenLauHKHK/Large-Separable-Kernel-Attention models/van.py LSKA")
def lska(state: State, dim: int, k_size: int) -> Translation:
    return _lska(dim, k_size, project=False), _STRIPS


@original("lska_attn", source="StevenLauHKHK/Large-Separable-Kernel-Attention van.py Attention")
def lska_attn(state: State, d_model: int, k_size: int) -> Translation:
    return _lska(d_model, k_size, project=True), _framed(_STRIPS)
