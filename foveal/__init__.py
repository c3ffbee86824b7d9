"""Foveal: does attention help my model on my data, which kind, where, and can I ship it?"""

from foveal import attention as attention  # registers the literature
from foveal import mix as mix  # lets a notation stand for a name
from foveal import yolo as yolo  # lets the surgery know ultralytics' models; imports none of it
from foveal.core.card import Card
from foveal.core.errors import FovealError, MissingExtraError
from foveal.core.layout import (
    OnChannelsLast,
    OnClips,
    OnFrames,
    OnMap,
    OnTime,
    OnTokens,
    OnTwoMaps,
    OnVolume,
)
from foveal.core.registry import (
    attention_info,
    create_attention,
    list_attentions,
    register_attention,
)
from foveal.core.types import Map, Maps, Points, Scores, Tokens, Video
from foveal.originals import from_original
from foveal.surgery.groups import param_groups
from foveal.surgery.insert import Insertion, insert
from foveal.surgery.levels import insert_levels
from foveal.surgery.maps import PyramidPlace, find_pyramids
from foveal.surgery.materialize import materialize
from foveal.surgery.remove import enable, inserted_modules, remove
from foveal.surgery.saved import load_insertion, save_insertion
from foveal.surgery.targets import Target, find_targets

__version__ = "0.1.0"

__all__ = [
    "Card",
    "FovealError",
    "Insertion",
    "Map",
    "Maps",
    "MissingExtraError",
    "OnChannelsLast",
    "OnClips",
    "OnFrames",
    "OnMap",
    "OnTime",
    "OnTokens",
    "OnTwoMaps",
    "OnVolume",
    "Points",
    "PyramidPlace",
    "Scores",
    "Target",
    "Tokens",
    "Video",
    "attention_info",
    "create_attention",
    "enable",
    "find_pyramids",
    "find_targets",
    "from_original",
    "insert",
    "insert_levels",
    "inserted_modules",
    "list_attentions",
    "load_insertion",
    "materialize",
    "param_groups",
    "register_attention",
    "remove",
    "save_insertion",
]
