"""One weight per branch of several."""

from foveal.attention.branch.acmix import ACmix
from foveal.attention.branch.attn_aug import AttentionAugmented
from foveal.attention.branch.condconv import CondConv
from foveal.attention.branch.dynamic_conv import DynamicConv
from foveal.attention.branch.epsa import EPSA
from foveal.attention.branch.s2 import S2
from foveal.attention.branch.sk import SK
from foveal.attention.branch.split_attn import SplitAttention
from foveal.attention.branch.vip import ViP

__all__ = [
    "EPSA",
    "S2",
    "SK",
    "ACmix",
    "AttentionAugmented",
    "CondConv",
    "DynamicConv",
    "SplitAttention",
    "ViP",
]
