"""Mixes built from their notation: what they compute, print, weigh, keep and refuse."""

import copy
import pickle

import pytest
import torch
from mixes import mix_of, parts, refused
from torch import nn

from foveal import FovealError, attention_info, create_attention
from foveal.core.layout import OnFrames, OnMap
from foveal.mix import Mix, anneal
from foveal.mix.feedback import CAPACITY, Feedback

C = 16


def built(notation: str) -> Mix:
    return mix_of(notation, C)


X = torch.randn(2, C, 5, 7, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("notation", "by_hand"),
    [
        ("eca > coord", lambda x, a, b: b(a(x))),
        ("eca | coord", lambda x, a, b: (a(x) + b(x)) / 2),
        ("sum(eca | coord)", lambda x, a, b: a(x) + b(x)),
        ("max(eca | coord)", lambda x, a, b: torch.maximum(a(x), b(x))),
        (
            "product(eca | coord)",
            lambda x, a, b: x * a.attention_map(x) * b.attention_map(x),
        ),
        ("gate(eca | coord)", lambda x, a, b: x * (a(x) + b(x)).sigmoid()),
        ("(eca | coord) > se", lambda x, a, b, c: c((a(x) + b(x)) / 2)),
        ("eca | coord > se", lambda x, a, b, c: (a(x) + c(b(x))) / 2),
        ("sum(eca | coord, weights=fixed(3, 1))", lambda x, a, b: 0.75 * a(x) + 0.25 * b(x)),
        (
            "mean(eca | sa_spatial, weights=preset(segmentation))",
            lambda x, a, b: 0.25 * a(x) + 0.75 * b(x),
        ),
        ("residual(eca > coord)", lambda x, a, b: x + b(a(x))),
        ("repeat(eca, 2)", lambda x, a, b: b(a(x))),
        ("repeat(eca, 3, shared=true)", lambda x, a: a(a(a(x)))),
        ("hierarchy(eca, coord)", lambda x, a, b: (a(x) + b(a(x))) / 2),
        ("mhsa | eca", lambda x, a, b: (OnMap(a)(x) + b(x)) / 2),
        ("se(reduction=2)", lambda x, a: a(x)),
    ],
)
def test_what_is_computed(notation, by_hand):
    mix = built(notation)
    torch.testing.assert_close(mix(X), by_hand(X, *parts(mix)))
    assert str(mix.expression) == mix.notation == notation


def test_layouts_are_adapted_to_the_widest():
    layouts = {"eca > mhsa": "map", "xca | mhsa": "tokens", "temporal > eca | mhsa": "video"}
    for notation, layout in layouts.items():
        assert attention_info(notation).layout == built(notation).layout == layout
    video = torch.randn(2, 3, C, 5, 7)
    mix = built("product(eca | coord) > temporal")
    gated = mix.body.parts[0](video)
    wanted = torch.stack([create_attention_like(mix, frame) for frame in video.unbind(1)], 1)
    torch.testing.assert_close(gated, wanted)


def create_attention_like(mix: nn.Module, frame: torch.Tensor) -> torch.Tensor:
    """Both gates on one frame."""
    eca, coord, *_ = (m.mechanism for m in mix.modules() if isinstance(m, OnFrames))
    return frame * eca.attention_map(frame) * coord.attention_map(frame)


def test_building_draws_random_numbers_once():
    torch.manual_seed(0)
    mix = create_attention("coord > se", C)
    torch.manual_seed(0)
    coord, se = create_attention("coord", C), create_attention("se", C)
    wanted = [*coord.parameters(), *se.parameters()]
    assert all(map(torch.equal, mix.parameters(), wanted))


def test_weights_are_read_off_without_a_trace():
    mix = built("mean(eca | coord, weights=dynamic) > repeat(select(se | simam), 2, shared=true)")
    hooks = [len(m._forward_hooks) for m in mix.modules()]
    weights = mix.weights(X)
    assert list(weights) == [
        "mean(eca | coord, weights=dynamic)",
        "select(se | simam)",
        "select(se | simam) (2)",
    ]
    for one in weights.values():
        torch.testing.assert_close(one.sum(1), torch.ones_like(one.sum(1)))
    assert hooks == [len(m._forward_hooks) for m in mix.modules()]
    assert torch.equal(
        weights["mean(eca | coord, weights=dynamic)"], mix.body.parts[0].weighting(X)
    )


@pytest.mark.parametrize(
    "notation", ["mean(eca | coord, weights=learned)", "hierarchy(eca, coord)"]
)
def test_the_map_is_the_weights_where_they_can_learn(notation):
    mix = built(notation)
    assert torch.equal(mix.attention_map(X), mix.weights(X)[notation])
    assert mix.attention_range() == (0, 1)


def test_the_map_is_else_that_of_the_part_that_counts_most():
    mix = built("mean(eca | coord, weights=fixed(1, 2))")
    assert torch.equal(mix.attention_map(X), parts(mix)[1].attention_map(X))
    mix = built("eca > coord")
    eca, coord = parts(mix)
    assert torch.equal(mix.attention_map(X), coord.attention_map(eca(X)))


def test_copies_and_temperature():
    mix = built("mean(eca | coord, weights=learned(sigmoid)) > select(se | simam)")
    for other in (copy.deepcopy(mix), pickle.loads(pickle.dumps(mix))):
        assert other.notation == mix.notation
        assert torch.equal(other(X), mix(X))
    assert anneal(mix, 0.25) == 2
    fresh = built(mix.notation)
    fresh.load_state_dict(mix.state_dict())
    assert fresh.body.parts[0].weighting.temperature == 0.25


def test_feedback_for_each_branch_is_kept_with_the_model():
    mix = built("sum(eca | coord, weights=feedback(rate=1.0))")
    weighting = mix.body.weighting
    weighting.feedback([0.9, 0.4])
    weighting.feedback([0.9, 0.4])
    first, second = weighting(X).flatten()
    torch.testing.assert_close(first / second, torch.tensor(1.0).exp())
    assert [metric for metric, _ in weighting.past()] == pytest.approx([0.65, 0.65])
    assert weighting.past()[0][1] == [0.5, 0.5]
    fresh = built(mix.notation)
    fresh.load_state_dict(mix.state_dict())
    assert fresh.body.weighting.past() == weighting.past()
    assert torch.equal(fresh(X), mix(X))


def test_one_metric_finds_the_branch_that_helps():
    weighting = Feedback(C, 3, rate=0.2)
    for _ in range(CAPACITY + 50):
        weighting.feedback(float(weighting.shares[1] - weighting.shares[2]))
    assert weighting.shares[1] > 0.9
    assert len(weighting.past()) == CAPACITY
    with pytest.raises(FovealError, match="finite"):
        weighting.feedback(float("nan"))


@pytest.mark.parametrize(
    ("notation", "pointed", "says"),
    [
        ("eca > cord", "cord", "did you mean coord"),
        ("eca > meen(se | eca)", "meen", "did you mean mean"),
        ("eca > sa", "sa", "several mechanisms"),
        ("se(kernal_size=3) > eca", "kernal_size", "no option 'kernal_size'"),
        ("se(16) > eca", "16", "options by name"),
        ("se(reduction=(eca > se))", "eca > se", "a number, a word or a list"),
        ("aff > eca", "aff", "cannot be part of a mix"),
        ("dynamic | eca", "dynamic", "is a weighting"),
        ("mean(eca)", "eca", "joins branches"),
        ("mean()", "mean()", "given nothing"),
        ("mean(eca | se, coord)", "coord", "no more"),
        ("mean(eca | se, weight=fixed(1, 2))", "weight", "did you mean weights"),
        ("mean(eca | se, weights=fixed(1, 2, 3))", "fixed(1, 2, 3)", "3 numbers for 2 branches"),
        ("mean(eca | se, weights=fixed(1, a))", "fixed(1, a)", "must be numbers"),
        ("mean(eca | se, weights=eca)", "eca", "no weighting"),
        ("mean(eca | se, weights=3)", "3", "no weighting"),
        ("mean(eca | se, weights=learned(softmax, 3))", "3", "learned takes by"),
        ("mean(eca | se, weights=dynamic(at=image))", "at", "no option 'at'"),
        ("mean(eca | se, weights=dynamic(per=pixel))", "dynamic(per=pixel)", "position"),
        ("mean(eca | se, weights=learned(temperature=0))", "learned(temperature=0)", "positive"),
        ("mean(eca | se, weights=preset)", "preset", "needs task"),
        ("mean(eca | se, weights=preset(segmentation))", "preset(segmentation)", "lean on"),
        ("select(eca | se, weights=learned)", "weights", "chooses its own"),
        ("product(eca | mhsa)", "mhsa", "multiplies gates"),
        ("product(eca | (se > coord))", "se > coord", "multiplies gates"),
        ("repeat(eca)", "repeat(eca)", "how many times"),
        ("repeat(eca, 0)", "0", "whole number from 1"),
        ("repeat(eca, 3, shared=maybe)", "maybe", "true or false"),
        ("repeat(eca, 1000)", "1000", "at most"),
        ("residual(eca, se)", "se", "no more"),
        ("residual(3)", "3", "a mechanism must stand here"),
        ("hierarchy(eca)", "hierarchy(eca)", "joins levels"),
        ("eca > cbam(kernel_size=4)", "cbam(kernel_size=4)", "kernel_size=4 must be odd"),
        ("mhsa(num_heads=7) > se", "mhsa(num_heads=7)", "num_heads=7"),
    ],
)
def test_mistakes_are_pointed_at_before_anything_is_built(notation, pointed, says):
    error = refused(lambda: create_attention(notation, C), says)
    assert notation[error.start : error.end] == pointed


def test_mistakes_around_the_notation():
    with pytest.raises(FovealError, match=r"write it in its place, such as eca\(kernel_size=5\)"):
        create_attention("eca > coord", C, kernel_size=5)
    with pytest.raises(FovealError, match="channels=0"):
        create_attention("eca > coord", 0)
    with pytest.raises(FovealError, match=r"eca > coord was built for 16 channels, got 8"):
        built("eca > coord")(torch.rand(1, 8, 4, 4))


def test_the_card_is_made_of_the_parts_cards():
    card = attention_info("eca>coord|eca")
    assert card.name == "eca > coord | eca"
    assert [part.name for part in card.parts] == ["eca", "coord"]
    assert "ECA-Net" in card.paper
    assert card.formula == (
        r"y = \mathrm{mean}\big(\mathrm{coord}(\mathrm{eca}(x)),\ \mathrm{eca}(x)\big)"
    )
    assert card.drop_in
    assert card.as_dict()["parts"] == ["eca", "coord"]
