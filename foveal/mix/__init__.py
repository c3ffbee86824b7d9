"""Mixed attention: mechanisms arranged, joined and weighted, written in a small notation.

`create_attention("eca > coord", channels=256)` builds a mix wherever a name works.
"""

from foveal.core.registry import register_notation
from foveal.mix.card import MixCard, mix_card
from foveal.mix.cross_modal import CrossModal, Modality
from foveal.mix.fault import NotationError
from foveal.mix.feedback import Feedback
from foveal.mix.mixture import Mix
from foveal.mix.read import read
from foveal.mix.weigh import Weighting, anneal

__all__ = [
    "CrossModal",
    "Feedback",
    "Mix",
    "MixCard",
    "Modality",
    "NotationError",
    "Weighting",
    "anneal",
    "mix_card",
    "read",
]

register_notation(mix_card)
