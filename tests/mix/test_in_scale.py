"""Pyramids, wavelets and coarse-to-fine in the notation."""

import pytest
import torch
from mixes import refused

from foveal import create_attention
from foveal.mix.coarse_to_fine import CoarseToFine
from foveal.mix.join import Max, Sum
from foveal.mix.pyramid import Pyramid
from foveal.mix.wavelet import Wavelet
from foveal.mix.weigh import Dynamic, Fixed, Learned

C = 16
X = torch.randn(2, C, 9, 7, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("notation", "cls", "has"),
    [
        ("pyramid(eca)", Pyramid, {"scales": 3, "kind": "laplacian", "shared": False}),
        ("pyramid(eca, kind=gaussian, shared=true)", Pyramid, {"kind": "gaussian", "shared": True}),
        ("wavelet(eca, levels=2, wavelet=db2)", Wavelet, {"scales": 7, "wavelet": "db2"}),
        ("coarse_to_fine(eca, simam, window_size=3)", CoarseToFine, {"window_size": 3}),
    ],
)
def test_options_reach_what_is_built(notation, cls, has):
    mix = create_attention(notation, C)
    assert type(mix.body) is cls
    assert {name: getattr(mix.body, name) for name in has} == has
    assert mix.notation == notation
    assert mix(X).shape == X.shape


def test_joiners_and_weightings_reach_what_is_built():
    given = {
        "": Learned,
        ", join=max, weights=dynamic": Dynamic,
        ", join=sum, weights=fixed(1, 2)": Fixed,
    }
    for options, weighting in given.items():
        body = create_attention(f"pyramid(eca, levels=2{options})", C).body
        assert type(body.weighting) is weighting
    assert type(body.joiner) is Sum
    body = create_attention("pyramid(eca, join=max, weights=none)", C).body
    assert (type(body.joiner), body.weighting) == (Max, None)
    assert create_attention("pyramid(eca, join=select(reduction=2))", C).body.weighting is None


def test_parts_may_be_mixes_and_the_whole_a_part():
    notation = "pyramid(se | mhsa > eca, levels=2) > coord"
    mix = create_attention(notation, C)
    assert mix(X).shape == X.shape
    assert list(mix.weights(X)) == ["pyramid(se | mhsa > eca, levels=2)"]
    video = torch.randn(2, 3, C, 9, 7)
    mix = create_attention("temporal > wavelet(sa_spatial)", C).eval()
    frames = torch.stack([mix.body.parts[1].mechanism(f) for f in video.unbind(1)], 1)
    torch.testing.assert_close(mix.body.parts[1](video), frames)


@pytest.mark.parametrize(
    ("notation", "pointed", "says"),
    [
        ("pyramid(eca, se)", "se", "no more"),
        ("pyramid(eca, levels=0)", "pyramid(eca, levels=0)", "levels=0"),
        ("pyramid(eca, level=2)", "level", "did you mean levels"),
        ("pyramid(eca, kind=laplace)", "pyramid(eca, kind=laplace)", "did you mean laplacian"),
        ("pyramid(eca, join=product)", "product", "not scales"),
        ("pyramid(eca, join=maxi)", "maxi", "did you mean max"),
        ("pyramid(eca, join=select, weights=learned)", "select", "weighs by itself"),
        ("pyramid(eca, weights=fixed(1, 2))", "fixed(1, 2)", "2 numbers for 3 branches"),
        ("wavelet(eca, shared=(eca > se))", "eca > se", "a number, a word or a list"),
        ("wavelet(temporal)", "temporal", "takes a video"),
        ("coarse_to_fine(eca)", "coarse_to_fine(eca)", "takes two"),
        ("coarse_to_fine(eca, se, share=2)", "coarse_to_fine(eca, se, share=2)", "share=2"),
    ],
)
def test_mistakes_are_pointed_at(notation, pointed, says):
    error = refused(lambda: create_attention(notation, C), says)
    assert notation[error.start : error.end] == pointed
