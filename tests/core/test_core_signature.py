"""What mechanisms declare that they take and return, and what is said when they get another."""

import pytest
import torch
from torch import Tensor, nn

from foveal import (
    FovealError,
    Map,
    Maps,
    Points,
    Scores,
    Tokens,
    Video,
    attention_info,
    list_attentions,
    register_attention,
)
from foveal.core import registry
from foveal.core.signature import inputs_of, need, output_of


@pytest.fixture(autouse=True)
def scratch(monkeypatch):
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_cards", dict(registry._cards))


class Guided(nn.Module):
    def __init__(self, channels: int, context_channels: int | None = None):
        super().__init__()
        self.context_channels = context_channels or channels

    def forward(self, x: Tokens, context: Tokens, mask: Tensor | None = None) -> Tokens:
        return x + context.mean()


class Sampling(nn.Module):
    def __init__(self, channels: int):
        super().__init__()

    def forward(self, x: Tokens, points: Points, maps: Maps) -> Tokens:
        return x + points.mean() + maps[0].mean()


class Head(nn.Module):
    def __init__(self, channels: int):
        super().__init__()

    def forward(self, x: Map) -> Scores:
        return x.mean((2, 3))


class OverTime(nn.Module):
    def __init__(self, channels: int):
        super().__init__()

    def forward(self, x: Video) -> Video:
        return x


def card_of(cls, name="thing"):
    twin = type(cls.__name__, (cls,), {"__module__": __name__})
    register_attention(name, paper="Somebody, 2020", family="channel")(twin)
    return attention_info(name)


def test_inputs_are_those_without_a_default():
    assert inputs_of(Guided) == {"x": "tokens", "context": "tokens"}
    assert inputs_of(Sampling) == {"x": "tokens", "points": "points", "maps": "maps"}
    assert inputs_of(attention_info("mhsa").cls) == {"x": "tokens"}  # key and value have defaults


def test_what_is_returned():
    assert output_of(Head) == "scores"
    assert output_of(Guided) == "tokens"
    assert output_of(OverTime) == "video"


def test_only_one_input_of_kept_shape_is_a_drop_in():
    assert need(OverTime) is None
    assert "needs context, tokens (B, M, D), beside x" in need(Guided)
    assert "points, points (B, N, 2), and maps, a list of maps" in need(Sampling)
    assert "returns scores (B, K)" in need(Head)
    for cls in Guided, Head, OverTime:
        assert card_of(cls, cls.__name__.lower()).drop_in == (cls is OverTime)


def test_annotations_as_text():
    class Later(nn.Module):
        def forward(self, x: "Tokens", maps: "types.Maps") -> "Scores": ...

    assert inputs_of(Later) == {"x": "tokens", "maps": "maps"}
    assert output_of(Later) == "scores"


@pytest.mark.parametrize("annotation", [Tensor, Points, None])
def test_a_first_input_that_is_no_layout_is_refused(annotation):
    def forward(self, x): ...

    forward.__annotations__ = {"x": annotation}
    cls = type("Wrong", (nn.Module,), {"forward": forward})
    with pytest.raises(TypeError, match="must annotate its input as Map or Tokens"):
        inputs_of(cls)


def test_a_second_input_that_is_not_annotated_is_refused():
    class Silent(nn.Module):
        def forward(self, x: Map, other) -> Map: ...

    with pytest.raises(TypeError, match="must annotate its input other"):
        inputs_of(Silent)


def test_further_arguments_of_any_number_are_none():
    class Open(nn.Module):
        def forward(self, x: Map, *args, **kwargs) -> Map: ...

    assert inputs_of(Open) == {"x": "map"}


def test_listing_by_whether_a_mechanism_stands_anywhere():
    card_of(Guided, "guided")
    card_of(OverTime, "over_time")
    assert {"guided", "eca"} <= set(list_attentions())
    assert "guided" in list_attentions(drop_in=False)
    assert {"eca", "over_time"} <= set(list_attentions(drop_in=True))
    assert "guided" not in list_attentions(drop_in=True)
    assert "over_time" in list_attentions(layout="video")


def test_absent_inputs_are_named():
    module = card_of(Guided, "guided").cls(8)
    with pytest.raises(FovealError, match=r"guided needs context: tokens.*guided\(x, context\)"):
        module(torch.rand(1, 5, 8))
    assert module(x=torch.rand(1, 5, 8), context=torch.rand(1, 3, 8)).shape == (1, 5, 8)


def test_every_input_is_checked():
    module = card_of(Guided, "guided").cls(8, context_channels=6)
    x, context = torch.rand(1, 5, 8), torch.rand(1, 3, 6)
    assert module(x, context).shape == x.shape
    with pytest.raises(FovealError, match=r"guided: context was built for 6 channels, got 8"):
        module(x, x)
    with pytest.raises(FovealError, match=r"guided: x was built for 8 channels, got 6"):
        module(context, context)
    with pytest.raises(FovealError, match=r"guided: context takes tokens .* got shape \(3, 6\)"):
        module(x, context[0])
    with pytest.raises(FovealError, match=r"foveal\.OnMap"):
        module(x[..., None], context)
    with pytest.raises(TypeError, match="guided: context takes tokens"):
        module(x, None)


def test_a_list_of_maps_is_checked_one_by_one():
    module = card_of(Sampling, "sampling").cls(8)
    x, points, small = torch.rand(1, 5, 8), torch.rand(1, 5, 2), torch.rand(1, 8, 2, 3)
    assert module(x, points, [small, small[..., :1]]).shape == x.shape
    with pytest.raises(FovealError, match="sampling: maps was built for 8 channels, got 4"):
        module(x, points, [small, small[:, :4]])
    for wrong in (small, [], None):
        with pytest.raises(TypeError, match="sampling: maps takes a list of maps"):
            module(x, points, wrong)


def test_a_video_says_what_it_is():
    module = card_of(OverTime, "over_time").cls(8)
    with pytest.raises(FovealError, match=r"takes a video \(B, T, C, H, W\), got shape \(1, 8, 3"):
        module(torch.rand(1, 8, 3, 3))
    with pytest.raises(FovealError, match="built for 8 channels, got 4"):
        module(torch.rand(1, 8, 4, 3, 3))
    with pytest.raises(FovealError, match=r"foveal\.OnFrames"):
        attention_info("eca").cls(8)(torch.rand(1, 2, 8, 3, 3))
