"""One weight per pair of positions within a window, a strip or a neighbourhood."""

from foveal.attention.window.axial import Axial
from foveal.attention.window.axial_deeplab import AxialDeepLab
from foveal.attention.window.biformer import BiFormer
from foveal.attention.window.cloformer import CloFormer
from foveal.attention.window.cot import CoT
from foveal.attention.window.crisscross import CrissCross
from foveal.attention.window.crossformer import CrossFormer
from foveal.attention.window.cswin import CSWin
from foveal.attention.window.dilated_window import DilatedWindow
from foveal.attention.window.halo import Halo
from foveal.attention.window.hilo import HiLo
from foveal.attention.window.involution import Involution
from foveal.attention.window.maxvit_grid import MaxViTGrid
from foveal.attention.window.mca_cross_axis import CrossAxisAttention
from foveal.attention.window.moa import MOA
from foveal.attention.window.neighborhood import Neighborhood
from foveal.attention.window.outlook import Outlook
from foveal.attention.window.san_pairwise import SANPairwise
from foveal.attention.window.sasa import SASA
from foveal.attention.window.swin import Swin
from foveal.attention.window.swin_v2 import SwinV2

__all__ = [
    "MOA",
    "SASA",
    "Axial",
    "AxialDeepLab",
    "BiFormer",
    "CSWin",
    "CloFormer",
    "CoT",
    "CrissCross",
    "CrossAxisAttention",
    "CrossFormer",
    "DilatedWindow",
    "Halo",
    "HiLo",
    "Involution",
    "MaxViTGrid",
    "Neighborhood",
    "Outlook",
    "SANPairwise",
    "Swin",
    "SwinV2",
]
