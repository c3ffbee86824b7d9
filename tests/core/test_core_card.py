"""What a card reads from a class."""

import json

import pytest
import torch
from torch import nn

from foveal import Card, FovealError, Map, attention_info, create_attention, list_attentions


class Documented(nn.Module):
    r"""Scale each channel.

    $$y = s
      \odot x$$

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: C·(1 + depth).
    Multiply-adds: 0.5·C·H·W
    + C².

    Args:
        channels: channels C.
        depth: how deep.

    Placed: at the end of each
    block.

    Departs: Nowhere that matters, though it
    runs over two lines.

    A last paragraph.
    """

    def __init__(self, channels: int, depth: int = 2, sizes: tuple[int, ...] = (1, 2), act=nn.ReLU):
        super().__init__()
        self.depth = depth

    def forward(self, x: Map) -> Map:
        return x


class Bare(nn.Module):
    def forward(self, x: Map) -> Map:
        return x


def card_of(cls: type[nn.Module], **facts) -> Card:
    facts = {"paper": "Somebody, 2020", "arxiv": None, "family": "channel"} | facts
    return Card(name="it", cls=cls, layout="map", **facts)


def test_everything_is_read_from_the_docstring():
    card = card_of(Documented, arxiv="2001.00001")
    assert card.summary == "Scale each channel."
    assert card.formula == r"y = s \odot x"
    assert card.shape == "(B, C, H, W) → (B, C, H, W)"
    assert card.parameters == "C·(1 + depth)"
    assert card.multiply_adds == "0.5·C·H·W + C²"
    assert card.departs == "Nowhere that matters, though it runs over two lines."
    assert card.placed == "at the end of each block."
    assert card.url == "https://arxiv.org/abs/2001.00001"
    assert card.options == {"depth": 2, "sizes": (1, 2), "act": nn.ReLU}


def test_cost_is_computed_for_the_built_module():
    cost = card_of(Documented).cost(Documented(6, depth=4), 6, 4, 5)
    assert cost == {"parameters": 30, "multiply_adds": 96}


def test_class_without_a_docstring_of_its_own():
    card = card_of(Bare)
    assert card.formula is card.shape is card.parameters is card.departs is card.placed is None
    assert card.url is None
    assert card.cost(Bare(), 4, 4, 4) == {}


def test_formula_that_names_what_is_not_there():
    with pytest.raises(FovealError, match=r"cannot compute 'depth'.*attributes of Identity"):
        card_of(Documented).cost(nn.Identity(), 4, 4, 4)


def test_as_dict_is_json():
    data = json.loads(json.dumps(card_of(Documented, limits={"shape": "why"}).as_dict()))
    assert data["limits"] == {"shape": "why"}
    assert data["options"] == {"depth": 2, "sizes": [1, 2], "act": repr(nn.ReLU)}
    assert data["module"].endswith("test_core_card.Documented")


@pytest.mark.parametrize("name", list_attentions())
def test_every_registered_card_is_plain_data(name):
    card = attention_info(name)
    data = card.as_dict()
    assert json.loads(json.dumps(data)) == data
    with torch.device("meta"):
        module = create_attention(name, 64)
    assert card.cost(module, 64, 14, 14).keys() == {"parameters", "multiply_adds"}
