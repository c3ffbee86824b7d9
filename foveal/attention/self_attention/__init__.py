"""One weight per pair of positions, over every pair."""

from foveal.attention.self_attention.aft import AFT
from foveal.attention.self_attention.area_attn import AreaAttention
from foveal.attention.self_attention.botnet import BoTNet
from foveal.attention.self_attention.cga import CGA
from foveal.attention.self_attention.danet_position import DANetPosition
from foveal.attention.self_attention.dat import DAT
from foveal.attention.self_attention.emsa import EMSA
from foveal.attention.self_attention.gen_attn import GeneralizedAttention
from foveal.attention.self_attention.gfnet import GFNet
from foveal.attention.self_attention.mhsa import MHSA
from foveal.attention.self_attention.muse import MUSE
from foveal.attention.self_attention.nonlocal_block import NonLocal
from foveal.attention.self_attention.psanet import PSANet
from foveal.attention.self_attention.shsa import SHSA
from foveal.attention.self_attention.simplified_sa import SimplifiedSA
from foveal.attention.self_attention.sparse_attn import SparseAttention
from foveal.attention.self_attention.sra import SRA

__all__ = [
    "AFT",
    "CGA",
    "DAT",
    "EMSA",
    "MHSA",
    "MUSE",
    "SHSA",
    "SRA",
    "AreaAttention",
    "BoTNet",
    "DANetPosition",
    "GFNet",
    "GeneralizedAttention",
    "NonLocal",
    "PSANet",
    "SimplifiedSA",
    "SparseAttention",
]
