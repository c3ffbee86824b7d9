"""Mixes over video: what frames, time, joint and factorised give their parts."""

from math import exp

import pytest
import torch
from mixes import mix_of, parts, refused
from torch import nn

import foveal
from foveal import FovealError, attention_info, create_attention
from foveal.core.layout import OnTime
from foveal.measure import count_multiply_adds, count_traffic
from foveal.mix import Mix, NotationError
from foveal.testing import check_attention

C = 8
X = torch.randn(2, 4, C, 3, 5, generator=torch.Generator().manual_seed(1))


def built(notation: str) -> Mix:
    return mix_of(notation, C)


def eca_by_hand(eca: nn.Module, columns: list[list[float]]) -> list[float]:
    """The gate of each channel, of which all values that it is judged by are given."""
    kernel = eca.conv.weight.flatten().tolist()
    means = [sum(column) / len(column) for column in columns]
    padded = [0.0] * (len(kernel) // 2) + means + [0.0] * (len(kernel) // 2)
    scores = [sum(k * padded[c + i] for i, k in enumerate(kernel)) for c in range(len(means))]
    return [1 / (1 + exp(-score)) for score in scores]


def test_three_ways_to_see_a_video_by_hand():
    """Gates from single frames, from single positions, and from the whole, weighed 5 : 2 : 1."""
    mix = built("sum(frames(eca) | time(eca) | joint(eca), weights=fixed(5, 2, 1))")
    of_frames, of_time, of_all = parts(mix)
    x = X[:1, :, :, :2, :3]
    y = mix(x)[0]
    _, frames, channels, height, width = x.shape
    values = x[0].tolist()
    places = [(i, j) for i in range(height) for j in range(width)]

    def column(c: int, times: range, where: list[tuple[int, int]]) -> list[float]:
        return [values[t][c][i][j] for t in times for i, j in where]

    def gates(eca: nn.Module, times: range, where: list[tuple[int, int]]) -> list[float]:
        return eca_by_hand(eca, [column(c, times, where) for c in range(channels)])

    always = range(frames)
    whole = gates(of_all, always, places)
    for t in always:
        frame = gates(of_frames, range(t, t + 1), places)
        for i, j in places:
            course = gates(of_time, always, [(i, j)])
            for c in range(channels):
                gate = (5 * frame[c] + 2 * course[c] + whole[c]) / 8
                assert y[t, c, i, j].item() == pytest.approx(values[t][c][i][j] * gate, abs=1e-5)


def test_factorised_by_hand():
    """Each frame by itself first; then at each position its values in all frames."""
    mix = built("factorised(eca, mhsa(num_heads=1))")
    eca, mhsa = parts(mix)
    y = mix(X)
    seen = torch.stack([eca(frame) for frame in X.unbind(1)], 1)
    weight, bias = mhsa.qkv.weight, mhsa.qkv.bias
    for i, j in ((0, 0), (2, 4)):
        course = seen[1, :, :, i, j]  # (T, C)
        q, k, v = (course @ weight.T + (0 if bias is None else bias)).split(C, dim=1)
        rows = []
        for t in range(4):
            e = [exp((q[t] @ k[s]).item() / C**0.5) for s in range(4)]
            rows.append(sum(e[s] / sum(e) * v[s] for s in range(4)))
        wanted = mhsa.proj(torch.stack(rows))
        torch.testing.assert_close(y[1, :, :, i, j], wanted)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("temporal", "time(mhsa(num_heads=2, qkv_bias=true, proj_bias=true))"),
        ("eca > temporal", "frames(eca) > temporal"),
        ("(eca > mhsa) | temporal", "frames(eca > mhsa) | temporal"),
        ("factorised(eca, mhsa)", "frames(eca) > time(mhsa)"),
        ("factorised(eca, mhsa, order=(time, space))", "time(mhsa) > frames(eca)"),
        ("factorised(se | eca)", "frames(se | eca) > time(se | eca)"),
        ("repeat(factorised(eca), 2)", "repeat(frames(eca) > time(eca), 2)"),
    ],
)
def test_two_ways_to_write_one_thing(one, other):
    if other.startswith("time(mhsa"):
        torch.manual_seed(0)
        first, second = create_attention(one, C).eval(), built(other)
    else:
        first, second = built(one), built(other)
    assert torch.equal(first(X), second(X))


@pytest.mark.parametrize(
    ("options", "notation"),
    [
        ({"order": ("space", "time")}, "residual(frames(mhsa)) > residual(time(mhsa))"),
        ({"order": ("time", "space")}, "residual(time(mhsa)) > residual(frames(mhsa))"),
        ({"mode": "joint"}, "residual(joint(mhsa))"),
    ],
)
def test_space_time_without_its_norms_is_a_mix(options, notation):
    notation = notation.replace("mhsa", "mhsa(num_heads=2, qkv_bias=true, proj_bias=true)")
    module = create_attention("space_time", C, **options).eval()
    for axis in module.norms:
        module.norms[axis] = nn.Identity()
    mix = built(notation)
    mix.load_state_dict(
        dict(zip(mix.state_dict(), module.attentions.state_dict().values(), strict=True))
    )
    torch.testing.assert_close(mix(X), module(X))


def test_layouts():
    for notation in ("frames(mhsa)", "time(eca)", "joint(mhsa | se)", "eca > factorised(mhsa)"):
        card = attention_info(notation)
        assert card.layout == built(notation).layout == "video"
        assert card.name == notation


def test_the_formula_says_what_comes_first():
    for notation, formula in {
        "factorised(eca, se)": r"\mathrm{time}\big(\mathrm{se}("
        r"\mathrm{frames}\big(\mathrm{eca}(x)\big))\big)",
        'factorised(se, order=("time", "space"))': r"\mathrm{frames}\big(\mathrm{se}("
        r"\mathrm{time}\big(\mathrm{se}(x)\big))\big)",
        "joint(eca | se)": r"\mathrm{joint}\big(\mathrm{mean}\big(\mathrm{eca}(x),\ \mathrm{se}(x)"
        r"\big)\big)",
    }.items():
        assert attention_info(notation).formula == f"y = {formula}"


def test_weights_of_single_frames_and_of_the_whole():
    """Weights by the input are for each frame inside `frames`, for each position inside `time`, and
    else for each video."""
    mean = "mean(eca | se, weights=dynamic)"
    shapes = {}
    for word in ("frames", "time", "joint"):
        shapes[word] = built(f"{word}({mean})").weights(X)[mean].shape
    whole = "mean(frames(eca) | se, weights=dynamic)"
    shapes["whole"] = built(whole).weights(X)[whole].shape
    assert shapes == {
        "frames": (8, 2, 1, 1, 1),
        "time": (30, 2, 1, 1, 1),
        "joint": (2, 2, 1, 1, 1),
        "whole": (2, 2, 1, 1, 1, 1),
    }


def test_a_task_leans_on_what_sees_one_kind_alone():
    task = "weights=preset(segmentation)"
    mix = built(f"mean(frames(se) | frames(sa_spatial) | time(mhsa), {task})")
    torch.testing.assert_close(mix.body.weighting(X).flatten(), torch.tensor([1, 3, 2]) / 6)
    with pytest.raises(NotationError, match="nothing to lean on"):
        built(f"mean(time(se) | time(sa_spatial), {task})")


@pytest.mark.parametrize(
    ("notation", "pointed", "says"),
    [
        ("frames()", "frames()", "given nothing"),
        ("frames(eca, se)", "se", "no more"),
        ("time(3)", "3", "a mechanism must stand here"),
        ("tme(eca)", "tme", "did you mean time"),
        ("frames(eca > temporal)", "temporal", "whole video, and frames gives it single frames"),
        ("time(frames(eca))", "frames(eca)", "time gives it the course of single positions"),
        ("joint(residual(time(eca)))", "time(eca)", "joint gives it all frames as one map"),
        ("factorised(eca, space_time)", "space_time", "factorised gives it frames, and then"),
        ("factorised()", "factorised()", "given nothing"),
        ("factorised(eca, se, mhsa)", "mhsa", "no more"),
        ("factorised(eca, order=(space, tme))", "(space, tme)", "must be .space, time. or"),
        ("factorised(eca, order=time)", "time", "must be .space, time. or"),
        ("factorised(eca, odrer=time)", "odrer", "did you mean order"),
        ("frames(eca, order=time)", "order", "no option 'order'"),
        ("time(cbam(kernel_size=4))", "cbam(kernel_size=4)", "kernel_size=4 must be odd"),
        ("product(frames(eca) | se)", "frames(eca)", "multiplies gates"),
    ],
)
def test_mistakes_are_pointed_at_before_anything_is_built(notation, pointed, says):
    error = refused(lambda: create_attention(notation, C), says)
    assert notation[error.start : error.end] == pointed


def test_a_picture_is_no_video():
    with pytest.raises(FovealError, match=r"takes a video \(B, T, C, H, W\), got shape"):
        built("time(eca)")(X[0])


def test_the_cost_of_time_and_of_the_whole():
    notation = "time(mhsa) | joint(mhsa)"
    mix, card = built(notation), attention_info(notation)
    stated = card.cost(mix, C, 3, 5, T=4)
    assert stated["parameters"] == sum(p.numel() for p in mix.parameters())
    counted = count_multiply_adds(mix, (X[:1],))
    assert stated["multiply_adds"] == pytest.approx(counted, rel=0.02)
    pairs = 2 * C * (15 * 4**2 + 60**2)  # over time, and over all
    assert stated["multiply_adds"] == 2 * 4 * 60 * C**2 + pairs + 60 * C


def test_a_mechanism_in_time_moves_no_more_than_one_written_for_it():
    """Courses are copied once, frames not at all."""
    heads = "num_heads=2, qkv_bias=true, proj_bias=true"
    for batch in (1, 2):
        x = torch.randn(batch, 4, C, 6, 5)
        one, other = (
            built(f"time(mhsa({heads}))"),
            create_attention("temporal", C, num_heads=2).eval(),
        )
        moved, wanted = count_traffic(one, x), count_traffic(other, x)
        assert moved.bytes_moved == wanted.bytes_moved
        assert moved.peak_memory == wanted.peak_memory
    eca = create_attention("eca", C).eval()
    assert count_traffic(built("frames(eca)"), X).bytes_moved == (
        count_traffic(eca, X.flatten(0, 1)).bytes_moved
    )


def test_longer_videos_than_the_exported_one():
    mix = built("time(mhsa) > joint(eca) > frames(cbam)")
    free = torch.export.Dim.DYNAMIC
    program = torch.export.export(mix, (X,), dynamic_shapes=(dict.fromkeys((0, 1, 3, 4), free),))
    x = torch.randn(1, 13, C, 6, 4)
    torch.testing.assert_close(program.module()(x), mix(x))


def test_in_a_video_network():
    torchvision = pytest.importorskip("torchvision")
    model = torchvision.models.video.r3d_18(num_classes=4).eval()
    clip = torch.rand(1, 3, 4, 16, 16)
    before, keys = model(clip), set(model.state_dict())
    notation = "frames(cbam) > residual(time(mhsa))"
    report = foveal.insert(model, notation, where="layer2.1", example_input=clip)
    assert report.places[0].layout == "clip"
    assert report.heard
    assert torch.equal(model(clip), before)
    assert keys < set(model.state_dict())
    (inserted,) = foveal.inserted_modules(model).values()
    assert inserted.mechanism.notation == notation
    assert any(isinstance(m, OnTime) for m in inserted.modules())


LAWFUL = "mean(factorised(cbam, mhsa) | joint(external), weights=dynamic)"
MORE = (
    "gate(frames(eca > coord) | time(se) | temporal)",
    "hierarchy(time(mhsa), frames(select(se | sa_spatial)), joint(xca))",
    "factorised(repeat(eca | coord, 2), order=(time, space)) > space_time",
    "residual(joint(external) > frames(cbam))",
)


def test_laws():
    check_attention(LAWFUL)


@pytest.mark.slow
@pytest.mark.parametrize("notation", MORE)
def test_more_laws(notation):
    check_attention(notation)
