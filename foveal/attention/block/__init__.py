"""Blocks that hold a convolution or a transformer inside, beside their attention."""

from foveal.attention.block.aifi import AIFI
from foveal.attention.block.coatnet import CoAtNet
from foveal.attention.block.irmb import IRMB
from foveal.attention.block.mhca_next import MHCANext
from foveal.attention.block.mobilevit import MobileViT
from foveal.attention.block.parnet import ParNet
from foveal.attention.block.psa_yolo import PartialSelfAttention

__all__ = ["AIFI", "IRMB", "CoAtNet", "MHCANext", "MobileViT", "ParNet", "PartialSelfAttention"]
