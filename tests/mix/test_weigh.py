"""Weightings: what they give, what moves them, and their temperature."""

import pytest
import torch
from torch import nn

from foveal import FovealError
from foveal.mix.feedback import Feedback
from foveal.mix.weigh import (
    WEIGHTINGS,
    Dynamic,
    Fixed,
    Learned,
    Preset,
    Quality,
    Weighting,
    anneal,
)

SHAPES = (2, 8, 5, 7), (2, 6, 8), (2, 3, 8, 5, 7)


def built(word: str) -> Weighting:
    torch.manual_seed(0)
    given = {"fixed": (3, 2, 1), "preset": ("classification",)}.get(word, ())
    kinds = {"kinds": ("channel", "both", "spatial")} if word == "preset" else {}
    weighting = WEIGHTINGS[word](8, 3, *given, **kinds)
    for parameter in weighting.parameters():
        nn.init.normal_(parameter)
    return weighting


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("word", WEIGHTINGS)
def test_weights_fit_the_stacked_outputs_and_sum_to_one(word, shape):
    x, *outputs = torch.randn(4, *shape)
    weights = built(word)(x, outputs)
    stacked = torch.stack(outputs, 1)
    assert weights.ndim == stacked.ndim
    assert torch.broadcast_shapes(weights.shape, stacked.shape) == stacked.shape
    torch.testing.assert_close(weights.sum(1), torch.ones_like(weights.sum(1)))


@pytest.mark.parametrize("word", WEIGHTINGS)
def test_temperature_evens_the_weights_out_or_sharpens_them(word):
    x, *outputs = torch.randn(4, *SHAPES[0])
    weighting = built(word)
    spread = []
    for temperature in (0.1, 1.0, 100.0):
        assert anneal(weighting, temperature) == 1
        weights = weighting(x, outputs)
        spread.append((weights.amax(1) - weights.amin(1)).mean().item())
    assert spread == sorted(spread, reverse=True)
    assert "temperature" in weighting.state_dict()


def test_fixed_numbers_are_divided_by_their_sum_and_may_be_zero():
    weights = Fixed(8, 3, 1, 0, 3)(torch.rand(1, 8, 2, 2))
    torch.testing.assert_close(weights.flatten(), torch.tensor([0.25, 0, 0.75]))


def test_presets_lean_as_they_say():
    kinds = ("channel", "spatial")
    shares = {
        task: Preset(8, 2, task, kinds=kinds).shares
        for task in ("classification", "segmentation", "detection")
    }
    assert shares["classification"] == (0.75, 0.25)
    assert shares["segmentation"] == (0.25, 0.75)
    assert shares["detection"] == (0.5, 0.5)


def test_sigmoid_weights_do_not_depend_on_the_others_but_by_their_sum():
    weighting = Learned(8, 2, "sigmoid")
    nn.init.constant_(weighting.scores, 0.3)
    with torch.no_grad():
        weighting.scores[0] = -1.0
    gates = weighting.scores.sigmoid()
    torch.testing.assert_close(weighting(torch.rand(1, 8, 2, 2)).flatten(), (gates / gates.sum()))


def test_dynamic_weights_are_born_even_and_follow_the_image():
    x = torch.randn(*SHAPES[0])
    weighting = Dynamic(8, 3)
    torch.testing.assert_close(weighting(x), torch.full((2, 3, 1, 1, 1), 1 / 3))
    nn.init.normal_(weighting.score.layer.weight)
    weights = weighting(x)
    assert not torch.allclose(weights[0], weights[1])
    assert Dynamic(8, 3, per="position")(x).shape == (2, 3, 1, 5, 7)
    assert Dynamic(8, 3, per="position")(x.flatten(2).mT).shape == (2, 3, 35, 1)
    assert Dynamic(8, 3, per="position")(x[:, None]).shape == (2, 3, 1, 1, 5, 7)


def test_quality_takes_from_the_branch_that_is_judged_worse():
    x, good, bad = torch.ones(3, 1, 8, 4, 4)
    weighting = Quality(8, 2)
    nn.init.constant_(weighting.judge.weight, 1.0)
    nn.init.zeros_(weighting.judge.bias)
    weights = weighting(x, [good, -2 * bad]).flatten()
    judged = torch.tensor([8 + 8.0, -16 + 16.0]).sigmoid()
    torch.testing.assert_close(weights, judged / judged.sum())


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Fixed(8, 3, 1, 2), "2 numbers for 3 branches"),
        (lambda: Fixed(8, 2, 1, -1), "none negative"),
        (lambda: Fixed(8, 2, 0, 0), "not all 0"),
        (lambda: Learned(8, 2, "tanh"), "softmax"),
        (lambda: Dynamic(8, 2, per="pixel"), "position"),
        (lambda: Dynamic(8, 2, temperature=0), "positive"),
        (lambda: Preset(8, 2, "detectio", kinds=("both",) * 2), "did you mean detection"),
        (lambda: anneal(nn.Identity(), -1), "positive"),
    ],
)
def test_mistakes_are_named(make, says):
    with pytest.raises(FovealError, match=says):
        make()


@pytest.mark.parametrize("metric", [0.3, 0.4, 0.9, 1 / 3])
def test_a_metric_that_stays_the_same_takes_no_trial_back(metric):
    weighting = Feedback(8, 2, rate=0.5)
    for _ in range(2):
        weighting.feedback(metric)
    assert weighting.shares.tolist() == pytest.approx([0.5, 0.5])  # each was raised once
