"""Pyramids and wavelet bands around a mechanism."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from foveal import FovealError, attention_info, create_attention, insert
from foveal.core.types import Map
from foveal.measure import count_multiply_adds, count_traffic
from foveal.mix.join import Concat, Gate, Max, Mean, Product, Select, Sum
from foveal.mix.pyramid import Pyramid
from foveal.mix.scales import Scales
from foveal.mix.wavelet import Wavelet
from foveal.mix.weigh import Dynamic, Fixed, Learned, Quality
from foveal.ops.pyramid import expand, reduce
from foveal.ops.wavelet import analyse, synthesise
from foveal.testing import check_attention

SIZES = [(1, 1), (1, 5), (2, 3), (7, 8), (13, 6)]
eca = partial(create_attention, "eca")


class Times(nn.Module):
    """Multiplies by a number of its own."""

    def __init__(self, channels: int):
        super().__init__()
        self.factor = nn.Parameter(torch.rand(()))

    def attention_map(self, x: Map) -> Tensor:
        return self.factor.expand(len(x), 1, 1, 1)

    def forward(self, x: Map) -> Map:
        return x * self.factor


def nothing(channels: int) -> nn.Module:
    return nn.Identity()


def shares(*numbers: float):
    return lambda channels, branches: Fixed(channels, branches, *numbers)


class FixedByOutputs(Fixed):
    """The same weights, by a weighting that says that it must see the outputs."""

    needs_outputs = True


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize(
    "make",
    [
        partial(Pyramid, levels=1),
        partial(Pyramid, levels=4),
        partial(Pyramid, levels=3, joiner=Sum, weighting=None),
        partial(Pyramid, levels=3, weighting=None),
        partial(Pyramid, levels=3, joiner=Sum, weighting=Dynamic),
        partial(Pyramid, levels=2, weighting=partial(Dynamic, per="position")),
        partial(Pyramid, levels=2, weighting=None, joiner=Select),
        partial(Wavelet, levels=1),
        partial(Wavelet, levels=3, wavelet="db2"),
        partial(Wavelet, levels=2, weighting=partial(Dynamic, per="position")),
    ],
)
def test_what_adds_up_gives_the_input_back(make, height, width):
    x = torch.randn(2, 4, height, width)
    module = make(4, nothing)
    if module.joiner is not None and isinstance(module.joiner, Select):
        nn.init.zeros_(module.joiner.selection.choose.weight)  # every channel takes equal shares
    assert torch.allclose(module(x), x, atol=1e-5)


def by_hand(pyramid: Pyramid, x: Tensor) -> list[Tensor]:
    """What each level comes to at full size, before it is weighted."""
    sizes, maps = [x.shape[2:]], [x]
    for _ in range(pyramid.scales - 1):
        maps.append(reduce(maps[-1], pyramid.kernel))
        sizes.append(maps[-1].shape[2:])
    if pyramid.kind == "laplacian":
        for level in range(pyramid.scales - 1):
            maps[level] = maps[level] - expand(maps[level + 1], pyramid.kernel, *sizes[level])
    drawn = []
    for level, (y, mechanism) in enumerate(zip(maps, pyramid.mechanisms, strict=True)):
        y = mechanism(y)
        for size in reversed(sizes[:level]):
            y = expand(y, pyramid.kernel, *size)
        drawn.append(y)
    return drawn


@pytest.mark.parametrize("kind", ["gaussian", "laplacian"])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_a_pyramid_by_hand(kind, height, width):
    x = torch.randn(2, 4, height, width)
    pyramid = Pyramid(4, Times, levels=3, kind=kind, weighting=shares(1, 2, 5))
    times = 3 if kind == "laplacian" else 1
    levels = by_hand(pyramid, x)
    wanted = sum(times * w / 8 * y for w, y in zip((1, 2, 5), levels, strict=True))
    assert torch.allclose(pyramid(x), wanted, atol=1e-5)
    assert pyramid.weights(x).flatten().tolist() == pytest.approx([1 / 8, 2 / 8, 5 / 8])
    largest = Pyramid(4, Times, levels=3, kind=kind, joiner=Max, weighting=None)
    largest.load_state_dict(pyramid.state_dict(), strict=False)
    assert torch.allclose(largest(x), torch.stack(levels).amax(0), atol=1e-5)
    plain = Pyramid(4, Times, levels=3, kind=kind, weighting=None)
    plain.load_state_dict(pyramid.state_dict(), strict=False)
    assert torch.allclose(plain(x), sum(levels) * times / 3, atol=1e-5)


def test_a_wavelet_by_hand():
    x = torch.randn(2, 4, 7, 6)
    wavelet = Wavelet(4, Times, levels=2, weighting=shares(1, 2, 3, 4, 5, 6, 7))
    means, *fine = analyse(x, wavelet.kernels)
    means, *coarse = analyse(means, wavelet.kernels)
    bands = [
        7 * w / 28 * mechanism(band)
        for w, mechanism, band in zip(
            range(1, 8), wavelet.mechanisms, (*fine, *coarse, means), strict=True
        )
    ]
    inner = synthesise([bands[6], *bands[3:6]], wavelet.kernels, 4, 3)
    wanted = synthesise([inner, *bands[:3]], wavelet.kernels, 7, 6)
    assert torch.allclose(wavelet(x), wanted, atol=1e-5)


@pytest.mark.parametrize("joiner", [Sum, Mean])
@pytest.mark.parametrize(
    "make", [partial(Pyramid, kind="gaussian", levels=4), partial(Pyramid, levels=4), Wavelet]
)
def test_weighting_before_drawing_out_is_the_same_as_after(make, joiner):
    x = torch.randn(2, 4, 9, 6)
    early = make(4, Times, joiner=joiner, weighting=shares(1, 2, 3, 4))
    late = make(4, Times, joiner=joiner, weighting=lambda c, b: FixedByOutputs(c, b, 1, 2, 3, 4))
    late.load_state_dict(early.state_dict())
    assert torch.allclose(early(x), late(x), atol=1e-5)
    assert torch.equal(early.weights(x), late.weights(x))


def test_one_mechanism_may_serve_all_scales():
    assert len(Pyramid(4, Times, levels=3, shared=True).mechanisms) == 1
    assert len(Wavelet(4, Times).mechanisms) == 4
    assert len(list(Wavelet(4, Times, shared=True, weighting=None).parameters())) == 1


@pytest.mark.parametrize(
    ("make", "numbers", "least"),
    [
        (partial(Pyramid, levels=3), (0.0, 1.0, 1.0), 0.4),
        (partial(Pyramid, kind="gaussian"), (0.0, 1.0, 1.0), 0.5),
        (Wavelet, (1e-4, 1e-4, 1e-4, 1.0), 0.35),
    ],
)
def test_negligible_scales_are_skipped_and_it_shows(make, numbers, least):
    """The saving is `least` of the bytes moved; the outputs differ by the weights left out."""
    cbam = partial(create_attention, "cbam")
    module = make(32, cbam, weighting=shares(*numbers)).eval()
    everything = make(32, cbam, weighting=shares(*numbers), negligible=0.0).eval()
    everything.load_state_dict(module.state_dict())
    x = torch.randn(2, 32, 32, 32)
    with torch.no_grad():
        assert torch.allclose(module(x), everything(x), atol=5e-3)
    saved = 1 - count_traffic(module, x).bytes_moved / count_traffic(everything, x).bytes_moved
    assert saved > least
    assert module.train()(x).shape == x.shape  # while something is learned nothing is skipped
    module(x).sum().backward()
    assert all(p.grad is not None for p in module.mechanisms.parameters())


def test_scales_are_skipped_by_what_the_weights_of_this_input_are():
    module = Pyramid(4, Times, levels=2, weighting=Dynamic, negligible=0.4).eval()
    calls = []
    for i, mechanism in enumerate(module.mechanisms):
        mechanism.register_forward_hook(lambda *_, i=i: calls.append(i))
    with torch.no_grad():
        module(torch.randn(1, 4, 8, 8))
        module.weighting.score.layer.bias.copy_(torch.tensor([0.0, 5.0]))
        module(torch.randn(1, 4, 8, 8))
    assert calls == [0, 1, 1]


def test_scales_left_out_for_good_are_not_exported():
    x = torch.randn(2, 4, 8, 8)
    module = Pyramid(4, Times, weighting=Learned).eval()
    with torch.no_grad():
        module.weighting.scores.copy_(torch.tensor([-20.0, 0.0, 0.0]))
    whole = torch.export.export(module, (x,)).graph
    assert module.skip_scales(below=1e-3) == (0,)
    part = torch.export.export(module, (x,))
    assert len(part.graph.nodes) < len(whole.nodes)
    with torch.no_grad():
        assert torch.allclose(part.module()(x), module(x), atol=1e-6)
    assert module.skip_scales(below=0) == ()


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: Pyramid(4, Times, levels=0), "levels=0 must be a positive whole number"),
        (lambda: Pyramid(4, Times, levels=True), "levels=True"),
        (lambda: Pyramid(4, Times, kind="gausian"), "did you mean gaussian"),
        (lambda: Wavelet(4, Times, wavelet="har"), "did you mean haar"),
        (lambda: Wavelet(4, Times, levels=-1), "levels=-1"),
        (lambda: Pyramid(4, Times, joiner=Product), "multiplies gates"),
        (lambda: Pyramid(4, Times, joiner=Select), "chooses its own"),
        (lambda: Pyramid(4, Times, negligible=1.0), "negligible=1.0"),
        (lambda: Pyramid(4, Times, weighting=shares(1, 2)), "2 numbers for 3 branches"),
        (lambda: Pyramid(4, Times, weighting=Dynamic).skip_scales(), "depend on the input"),
        (lambda: Pyramid(4, Times, weighting=None).skip_scales(), "weighted and added up"),
    ],
)
def test_refusals(build, says):
    with pytest.raises(FovealError, match=says):
        build()


def lap_eca(channels: int) -> Scales:
    return Pyramid(channels, eca)


def gauss_concat_quality(channels: int) -> Scales:
    return Pyramid(
        channels, eca, levels=2, kind="gaussian", joiner=Concat, weighting=Quality, shared=True
    )


def haar_cbam(channels: int) -> Scales:
    return Wavelet(channels, partial(create_attention, "cbam"), shared=True)


def db2_gated(channels: int) -> Scales:
    return Wavelet(channels, eca, wavelet="db2", joiner=Gate)


slowly = [pytest.param(make, marks=pytest.mark.slow) for make in (gauss_concat_quality, haar_cbam)]


@pytest.mark.parametrize("make", [lap_eca, db2_gated, *slowly])
def test_laws(make):
    check_attention(make)


@pytest.mark.parametrize(
    ("module", "size", "says"),
    [
        (Pyramid(4, nothing, levels=4), (8, 30), None),
        (Pyramid(4, nothing, levels=4), (30, 7), "levels=4: a map of 30 × 7 .* it has 3 levels"),
        (Wavelet(4, nothing, levels=2), (4, 4), None),
        (Wavelet(4, nothing, levels=2), (3, 9), "levels=2: a map of 3 × 9 .* it has 1 level"),
        (Wavelet(4, nothing, levels=1), (1, 9), "levels=1: .* it has no levels"),
    ],
)
def test_a_pyramid_smaller_than_its_levels_is_not_inserted(module, size, says):
    host = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    example, keys = torch.rand(1, 3, *size), list(host.state_dict())
    if says is None:
        assert insert(host, lambda channels: module, where="0", example_input=example).heard
        return
    with pytest.raises(FovealError, match=f"^0 .4 channels.: {says}"):
        insert(host, lambda channels: module, where="0", example_input=example)
    assert list(host.state_dict()) == keys


@pytest.mark.parametrize("join", ["mean", "max", "concat", "gate"])
@pytest.mark.parametrize("word", ["pyramid(sa_spatial", "wavelet(sa_spatial, wavelet=db2"])
def test_what_weighing_costs_is_on_the_card(word, join):
    mix, x = create_attention(f"{word}, join={join})", 8), torch.rand(1, 8, 10, 8)
    stated = attention_info(f"{word}, join={join})").cost(mix, 8, 10, 8)["multiply_adds"]
    assert stated == pytest.approx(count_multiply_adds(mix, x), rel=0.02)
