"""The literature, one file per mechanism, foldered by what one weight belongs to."""

from foveal.attention.block import *
from foveal.attention.branch import *
from foveal.attention.channel import *
from foveal.attention.channel_spatial import *
from foveal.attention.cross import *
from foveal.attention.fusion import *
from foveal.attention.head import *
from foveal.attention.linear import *
from foveal.attention.self_attention import *
from foveal.attention.spatial import *
from foveal.attention.temporal import *
from foveal.attention.window import *
