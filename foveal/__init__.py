"""Foveal: does attention help my model on my data, which kind, where, and can I ship it?"""

from foveal import attention as attention  # registers the literature
from foveal.core.card import Card
from foveal.core.errors import FovealError, MissingExtraError
from foveal.core.layout import OnChannelsLast, OnMap, OnTokens
from foveal.core.registry import (
    attention_info,
    create_attention,
    list_attentions,
    register_attention,
)
from foveal.core.types import Map, Tokens
from foveal.originals import from_original

__version__ = "0.1.0"

__all__ = [
    "Card",
    "FovealError",
    "Map",
    "MissingExtraError",
    "OnChannelsLast",
    "OnMap",
    "OnTokens",
    "Tokens",
    "attention_info",
    "create_attention",
    "from_original",
    "list_attentions",
    "register_attention",
]
