"""Two modalities that ask one another, and what is left when one is absent."""

import copy
import pickle
from math import exp

import pytest
import torch
from mixes import refused
from torch import Tensor, nn

from foveal import FovealError, OnFrames, OnMap, attention_info, create_attention
from foveal.core.types import Map, Tokens, Video
from foveal.measure import count_multiply_adds
from foveal.mix import CrossModal, Modality
from foveal.testing import check_attention
from foveal.testing.subject import stir

IMAGE = Modality("image", "map", 16, "eca > coord")
TEXT = Modality("text", "tokens", 24, "mhsa")
CAMERA = Modality("camera", "map", 16, "cbam")
LIDAR = Modality("lidar", "map", 16, "coord | se")
VIDEO = Modality("video", "video", 16, "factorised(eca, mhsa)")
AUDIO = Modality("audio", "map", 8)

PAIRS = {
    "image and text": (IMAGE, TEXT, "cross_attention"),
    "camera and lidar": (CAMERA, LIDAR, "cross_attention(num_heads=2, qkv_bias=true)"),
    "camera and lidar, fused": (CAMERA, LIDAR, "aff"),
    "video and audio": (VIDEO, AUDIO, "cross_attention"),
}


def drawn(modality: Modality, batch: int = 3, long: bool = False) -> Tensor:
    height, width = (6, 5) if long else (3, 4)
    size = {"map": (height, width), "tokens": (), "video": (height, width)}[modality.layout]
    first = {"map": (), "tokens": (7,), "video": (4,)}[modality.layout]
    return torch.randn(batch, *first, modality.channels, *size)


def made(pair: str, **options: str) -> tuple[CrossModal, Tensor, Tensor]:
    first, second, across = PAIRS[pair]
    torch.manual_seed(0)
    model = stir(CrossModal(first, second, across=across, **options)).eval()
    return model, drawn(first), drawn(second)


def test_by_hand():
    """A map of two positions and three tokens, one head, nothing else."""
    torch.manual_seed(0)
    first, second = Modality("a", "map", 2), Modality("b", "tokens", 3)
    model = CrossModal(first, second, across="cross_attention(num_heads=1)")
    x, z = torch.randn(1, 2, 1, 2), torch.randn(1, 3, 3)
    y, w = model(x, z)
    positions = [[x[0, c, 0, i].item() for c in range(2)] for i in range(2)]
    tokens = z[0].tolist()
    for asked, asking, cross, found in (
        (tokens, positions, model.across["a"], y[0, :, 0].mT.tolist()),
        (positions, tokens, model.across["b"], w[0].tolist()),
    ):
        wq, wp, bias = (
            m.tolist() for m in (cross.query.weight, cross.proj.weight, cross.proj.bias)
        )
        wk, wv = (m.tolist() for m in cross.key_value.weight.chunk(2))

        def times(matrix: list[list[float]], vector: list[float]) -> list[float]:
            return [sum(m * v for m, v in zip(row, vector, strict=True)) for row in matrix]

        for number, one in enumerate(asking):
            q = times(wq, one)
            scores = [
                exp(sum(a * b for a, b in zip(q, times(wk, k), strict=True)) / len(q) ** 0.5)
                for k in asked
            ]
            taken = [
                sum(s / sum(scores) * times(wv, k)[d] for s, k in zip(scores, asked, strict=True))
                for d in range(len(q))
            ]
            wanted = [u + p + b for u, p, b in zip(one, times(wp, taken), bias, strict=True)]
            assert found[number] == pytest.approx(wanted, abs=1e-5)


def test_mixes_come_first_in_their_adapters():
    model, video, audio = made("video and audio")
    assert torch.equal(model(video, None)[0], create_like(model, "video")(video))
    own, other = model.own["video"](video), audio
    tokens = own.permute(0, 1, 3, 4, 2).flatten(1, 3)
    taken = model.across["video"](tokens, other.flatten(2).mT)
    wanted = own + taken.unflatten(1, (4, 3, 4)).permute(0, 1, 4, 2, 3)
    torch.testing.assert_close(model(video, audio)[0], wanted)
    tokens_alone = Modality("v", "video", 16, "mhsa").build()
    assert isinstance(tokens_alone, OnFrames)
    assert isinstance(tokens_alone.mechanism, OnMap)
    assert isinstance(Modality("v", "video", 16, "eca").build(), OnFrames)
    assert isinstance(Modality("i", "map", 16, "mhsa").build(), OnMap)


def create_like(model: CrossModal, name: str) -> nn.Module:
    (modality,) = (one for one in model.modalities if one.name == name)
    fresh = create_attention(modality.mix, modality.channels)
    fresh.load_state_dict(model.own[name].state_dict())
    return fresh.eval()


THERE = torch.tensor([[True, True], [True, False], [False, True]])


@pytest.mark.parametrize("pair", PAIRS)
def test_who_is_absent_contributes_nothing(pair):
    """The second example has no second modality, the third no first one."""
    model, x, z = made(pair)
    outputs, gradients = [], []
    for filling in (0.0, 1e30, float("nan"), float("inf")):
        first, second = x.clone(), z.clone()
        first[2], second[1] = filling, filling
        first.requires_grad_()
        second.requires_grad_()
        model.zero_grad()
        y = model(first, second, THERE)
        sum((one.square().sum() for one in y), torch.zeros(())).backward()
        outputs.append(y)
        gradients.append([first.grad, second.grad, *(p.grad for p in model.parameters())])
    for y, grads in zip(outputs[1:], gradients[1:], strict=True):
        assert all(map(torch.equal, y, outputs[0]))
        assert all(map(torch.equal, grads, gradients[0]))
    assert all(g.isfinite().all() for g in gradients[0])
    learning = [bool(g.any()) for g in gradients[0]]
    assert all(learning) or (pair.endswith("fused") and learning.count(False) <= 8)  # shut ReLUs
    assert not gradients[0][0][2].any()
    assert not gradients[0][1][1].any()


@pytest.mark.parametrize("pair", PAIRS)
def test_the_present_one_returns_what_it_does_alone(pair):
    model, x, z = made(pair)
    y, w = model(x, z, THERE)
    (alone_x, nothing), (nobody, alone_z) = model(x, None), model(None, z)
    assert nothing is nobody is None
    assert torch.equal(y[1], alone_x[1])
    assert torch.equal(w[2], alone_z[2])
    assert not y[2].any()
    assert not w[1].any()
    together = model(x, z)
    assert all(torch.allclose(a[0], b[0], atol=1e-6) for a, b in zip((y, w), together, strict=True))
    for alone, both in ((alone_x, together[0]), (alone_z, together[1])):
        assert (alone - both).abs().amax(tuple(range(1, both.ndim))).min() > 1e-3


@pytest.mark.parametrize("pair", PAIRS)
def test_a_mask_of_all_is_none(pair):
    model, x, z = made(pair)
    everything = torch.ones(3, 2, dtype=torch.bool)
    assert all(map(torch.equal, model(x, z, everything), model(x, z)))


def test_one_may_ask_and_the_other_not():
    model, x, z = made("image and text", asks="image")
    both = made("image and text")[0]
    assert list(model.across) == ["image"]
    own = sum(p.numel() for p in model.own.parameters())
    crossing = create_attention("cross_attention", 16, context_channels=24)
    assert sum(p.numel() for p in model.parameters()) == own + sum(
        p.numel() for p in crossing.parameters()
    )
    both.load_state_dict(model.state_dict(), strict=False)
    assert torch.equal(model(x, z)[0], both(x, z)[0])
    assert torch.equal(model(x, z)[1], model.own["text"](z))


def test_the_map_is_of_who_asks():
    model, x, z = made("image and text")
    maps = model.attention_map(x, z, THERE)
    assert {name: m.shape for name, m in maps.items()} == {
        "image": (3, 4, 12, 7),
        "text": (3, 6, 7, 12),
    }
    for weights in maps.values():
        torch.testing.assert_close(weights[0].sum(-1), torch.ones(weights.shape[1:3]))
        assert not weights[1:].any()
    fused, camera, lidar = made("camera and lidar, fused")
    assert fused.attention_map(camera, lidar)["camera"].shape == camera.shape


def test_the_cost_is_that_of_its_parts():
    model, x, z = made("image and text")
    own = {
        "image": (attention_info("eca > coord"), 16, 3, 4),
        "text": (attention_info("mhsa"), 24, 7, 1),
    }
    wanted = 12 * 16 + 7 * 24
    for (name, (card, *size)), others in zip(own.items(), (7, 12), strict=True):
        wanted += card.cost(model.own[name], *size)["multiply_adds"]
        crossing = attention_info("cross_attention")
        wanted += crossing.cost(model.across[name], *size, M=others)["multiply_adds"]
    assert count_multiply_adds(model, (x[:1], z[:1])) == pytest.approx(wanted, rel=0.02)


def test_copies():
    model, x, z = made("video and audio")
    fresh = CrossModal(VIDEO, AUDIO)
    fresh.load_state_dict(model.state_dict())
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), fresh.eval()):
        assert all(map(torch.equal, other(x, z), model(x, z)))
    assert "video=factorised(eca, mhsa), audio=None, across=cross_attention, asks=both" in repr(
        model
    )


@pytest.mark.parametrize(
    "pair", [pytest.param("image and text", marks=pytest.mark.slow), "video and audio"]
)
def test_leaves_python_for_any_sizes(pair):
    model, x, z = made(pair)
    free = torch.export.Dim.DYNAMIC
    shapes = [
        {i: free for i in range(one.ndim) if i != (1 if one.ndim == 4 else 2)} for one in (x, z)
    ]
    program = torch.export.export(model, (x, z, THERE), dynamic_shapes=(*shapes, {0: free}))
    first, second, _ = PAIRS[pair]
    given = drawn(first, 5, long=True), drawn(second, 5, long=True), torch.rand(5, 2) < 0.6
    wanted = model(*given)
    for y, by_hand in zip(program.module()(*given), wanted, strict=True):
        torch.testing.assert_close(y, by_hand)
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    exported = torch.onnx.export(program, dynamo=True, verbose=False)
    session = runtime.InferenceSession(exported.model_proto.SerializeToString())
    names = [one.name for one in session.get_inputs()]
    feed = {name: one.numpy() for name, one in zip(names, given, strict=True)}
    for y, by_hand in zip(session.run(None, feed), wanted, strict=True):
        torch.testing.assert_close(torch.from_numpy(y), by_hand, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda: Modality("image.one", "map", 8), "must be a word such as"),
        (lambda: Modality("keys", "map", 8), "must be a word such as"),
        (lambda: Modality("image", "maps", 8), "did you mean map"),
        (lambda: Modality("image", "map", 0), "image: channels=0"),
        (lambda: CrossModal(IMAGE, IMAGE), "both modalities are called 'image'"),
        (lambda: CrossModal(IMAGE, TEXT, asks="txt"), "did you mean text"),
        (lambda: CrossModal(IMAGE, Modality("t", "tokens", 8, "eca")), "t: eca takes a map"),
        (
            lambda: CrossModal(Modality("i", "map", 8, "temporal"), TEXT),
            "i: temporal takes a video",
        ),
        (lambda: CrossModal(Modality("i", "map", 8, "aff"), TEXT), "i: aff needs other"),
        (lambda: made("image and text")[0](None, None), "given neither"),
        (lambda: made("image and text")[0](torch.rand(2, 16, 3), None), "image takes a map"),
        (lambda: made("image and text")[0](None, torch.rand(2, 7, 8)), "built for 24 channels"),
        (
            lambda: made("image and text")[0](drawn(IMAGE), drawn(TEXT, 2)),
            "of one batch, got 3 and 2",
        ),
        (
            lambda: made("image and text")[0](drawn(IMAGE), drawn(TEXT), torch.ones(3, 2)),
            "whether image and text are there: booleans",
        ),
        (
            lambda: made("image and text")[0](drawn(IMAGE), drawn(TEXT), THERE[:2]),
            r"shape \(3, 2\), not torch.bool of \(2, 2\)",
        ),
    ],
)
def test_refusals(act, says):
    with pytest.raises(FovealError, match=says):
        act()


@pytest.mark.parametrize(
    ("modalities", "across", "pointed", "says"),
    [
        ((IMAGE, TEXT), "cros_attention", "cros_attention", "did you mean cross_attention"),
        ((IMAGE, TEXT), "cross_attention > mhsa", "cross_attention > mhsa", "one mechanism"),
        ((IMAGE, TEXT), "mean(aff | iaff)", "mean(aff | iaff)", "one mechanism"),
        ((IMAGE, TEXT), "eca", "eca", "takes map; what joins two"),
        ((IMAGE, TEXT), "ms_deform", "ms_deform", "takes tokens and points and maps"),
        ((IMAGE, TEXT), "aff(gain=1)", "aff", "takes two maps, and not map and tokens"),
        ((CAMERA, AUDIO), "aff", "aff", "as many channels, not 16 and 8"),
        ((IMAGE, TEXT), "cross_attention(num_head=2)", "num_head", "did you mean num_heads"),
        ((IMAGE, TEXT), "cross_attention(context_channels=8)", "context_channels", "leave it out"),
        (
            (IMAGE, TEXT),
            "cross_attention(num_heads=5)",
            "cross_attention(num_heads=5)",
            "num_heads=5",
        ),
        ((Modality("i", "map", 8, "eca > cord"), TEXT), "cross_attention", "cord", "mean coord"),
    ],
)
def test_mistakes_are_pointed_at_before_anything_is_built(modalities, across, pointed, says):
    error = refused(lambda: CrossModal(*modalities, across=across), says)
    assert error.notation[error.start : error.end] == pointed


class ImageAsks(nn.Module):
    """One direction of it, as a mechanism with two inputs."""

    def __init__(self, channels: int):
        super().__init__()
        self.context_channels = 24
        image = Modality("image", "map", channels, "eca > coord")
        self.both = CrossModal(image, TEXT, asks="image")

    def attention_map(self, x: Map, context: Tokens) -> Tensor:
        """Weights in [0, 1]."""
        return self.both.attention_map(x, context)["image"]

    def forward(self, x: Map, context: Tokens) -> Map:
        return self.both(x, context)[0]


class Everything(nn.Module):
    """Both directions in one result: a video, and a spectrogram made of it."""

    def __init__(self, channels: int):
        super().__init__()
        video = Modality("video", "video", channels, "factorised(eca, mhsa)")
        self.both = CrossModal(video, Modality("audio", "map", channels, "residual(mhsa)"))

    def _inputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x.mean(4).transpose(1, 2)

    def forward(self, x: Video) -> Video:
        there = torch.stack([one.flatten(1).mean(1) > -10 for one in self._inputs(x)], 1)
        video, sound = self.both(*self._inputs(x), there)
        return video + sound.transpose(1, 2)[..., None]

    def attention_map(self, x: Video) -> Tensor:
        """Weights in [0, 1]."""
        return self.both.attention_map(*self._inputs(x))["video"]


def test_laws():
    few = "shape channels independent learning precision copies export"
    check_attention(ImageAsks, laws=few.split())


@pytest.mark.slow
@pytest.mark.parametrize("module", [ImageAsks, Everything])
def test_more_laws(module):
    check_attention(module)
