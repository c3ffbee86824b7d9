"""Attention whose cost is linear in the number of positions: pairs are never formed."""

from foveal.attention.linear.a2 import DoubleAttention
from foveal.attention.linear.additive_swift import AdditiveSwift
from foveal.attention.linear.agent import Agent
from foveal.attention.linear.bat import BilinearAttentionalTransform
from foveal.attention.linear.cosformer import CosFormer
from foveal.attention.linear.efficient_attn import EfficientAttention
from foveal.attention.linear.emanet import EMAttention
from foveal.attention.linear.external import ExternalAttention
from foveal.attention.linear.external_mh import MultiHeadExternalAttention
from foveal.attention.linear.flatten import Flatten
from foveal.attention.linear.focal_mod import FocalModulation
from foveal.attention.linear.lambda_layer import LambdaLayer
from foveal.attention.linear.linear_elu import LinearELU
from foveal.attention.linear.linformer import Linformer
from foveal.attention.linear.litemla import LiteMLA
from foveal.attention.linear.mobilevitv2 import MobileViTv2
from foveal.attention.linear.nystrom import Nystrom
from foveal.attention.linear.performer import Performer
from foveal.attention.linear.ufo import UFO

__all__ = [
    "UFO",
    "AdditiveSwift",
    "Agent",
    "BilinearAttentionalTransform",
    "CosFormer",
    "DoubleAttention",
    "EMAttention",
    "EfficientAttention",
    "ExternalAttention",
    "Flatten",
    "FocalModulation",
    "LambdaLayer",
    "LinearELU",
    "Linformer",
    "LiteMLA",
    "MobileViTv2",
    "MultiHeadExternalAttention",
    "Nystrom",
    "Performer",
]
