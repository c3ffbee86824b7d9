"""The laws on mechanisms over video, with several inputs, and on heads."""

import pytest
import torch.nn.functional as F
from torch import Tensor, nn

from foveal import FovealError, Map, Maps, Points, Scores, Tokens, Video, register_attention
from foveal.core import registry
from foveal.testing import LAWS, ConformanceError, check_attention, examine
from foveal.testing.subject import Subject


class Asking(nn.Module):
    """Attention with one head from tokens to others, of 6 channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.context_channels = 6
        self.query = nn.Linear(channels, 4)
        self.key = nn.Linear(6, 4, bias=False)
        self.value = nn.Linear(6, channels)

    def attention_map(self, x: Tokens, context: Tokens) -> Tensor:
        return (self.query(x) @ self.key(context).mT / 2).softmax(-1)

    def forward(self, x: Tokens, context: Tokens) -> Tokens:
        return x + self.attention_map(x, context) @ self.value(context)


class Deaf(Asking):
    def forward(self, x: Tokens, context: Tokens) -> Tokens:
        return super().forward(x, context.detach())


class Overwriting(Asking):
    def forward(self, x: Tokens, context: Tokens) -> Tokens:
        y = super().forward(x, context)
        context.data.mul_(2)
        return y


class Gating(nn.Module):
    """A map gated by another of its size."""

    def __init__(self, channels: int):
        super().__init__()
        self.layer = nn.Conv2d(channels, channels, 1)

    def attention_map(self, x: Map, other: Map) -> Tensor:
        return self.layer(other).sigmoid()

    def forward(self, x: Map, other: Map) -> Map:
        if x.shape != other.shape:
            raise FovealError("x and other must be of one size")
        return x * self.attention_map(x, other)


class Sampling(nn.Module):
    """Each token gated by what lies at its point, in each of several maps."""

    def __init__(self, channels: int):
        super().__init__()
        self.layer = nn.Linear(channels, channels)

    def attention_map(self, x: Tokens, points: Points, maps: Maps) -> Tensor:
        grid = 2 * points[:, :, None] - 1
        found = sum(F.grid_sample(one, grid, align_corners=False) for one in maps)
        return self.layer(found[..., 0].mT).sigmoid()  # pyright: ignore

    def forward(self, x: Tokens, points: Points, maps: Maps) -> Tokens:
        return x * self.attention_map(x, points, maps)


class Head(nn.Module):
    """Classes from means."""

    def __init__(self, channels: int, num_classes: int = 7):
        super().__init__()
        self.num_classes = num_classes
        self.layer = nn.Conv2d(channels, num_classes, 1)

    def attention_map(self, x: Map) -> Tensor:
        return self.layer(x).flatten(2).softmax(-1)

    def forward(self, x: Map) -> Scores:
        return (self.layer(x).flatten(2) * self.attention_map(x)).sum(-1)


class Stretching(Head):
    def forward(self, x: Map) -> Scores:
        return super().forward(x)[:, :-1]


class Frames(nn.Module):
    """A gate for each frame from the mean of all frames."""

    def __init__(self, channels: int):
        super().__init__()
        self.layer = nn.Linear(channels, channels)

    def attention_map(self, x: Video) -> Tensor:
        return self.layer(x.mean((1, 3, 4))).sigmoid()[:, None, :, None, None]

    def forward(self, x: Video) -> Video:
        return x * self.attention_map(x)


UNCHECKED = {"card", "cost", "refusal", "fused"}  # no card, nothing fused


@pytest.mark.parametrize("cls", [Asking, Gating, Sampling, Head, Frames])
def test_honest_modules_keep_every_law(cls):
    results = {r.check: r.status for r in check_attention(cls)}
    assert {law for law, status in results.items() if status == "skipped"} <= UNCHECKED
    assert ("inputs" in results) == (cls in (Asking, Gating, Sampling))
    assert ("insertion" in results) == (cls is Frames)
    assert ("set" in results) == (cls in (Asking, Sampling))


@pytest.mark.parametrize(
    ("cls", "law", "reason"),
    [
        (Deaf, "inputs", "context gets no gradient"),
        (Overwriting, "inputs", "forward changes one of its inputs"),
        (Stretching, "shape", r"shape \(2, 6\) from"),
    ],
)
def test_faults_are_seen(cls, law, reason):
    with pytest.raises(ConformanceError, match=reason):
        check_attention(cls, laws=[law])


def test_sizes_tied_together_are_seen():
    class Tied(Asking):
        def forward(self, x: Tokens, context: Tokens) -> Tokens:
            return super().forward(x, context) + context[:, 1:, :1]

    with pytest.raises(ConformanceError, match="context in another size: RuntimeError"):
        check_attention(Tied, laws=["inputs"])


def test_a_registered_one_refuses_wrong_and_absent_inputs(monkeypatch):
    monkeypatch.setattr(registry, "_cards", dict(registry._cards))
    twin = type("Asking", (Asking,), {"__module__": __name__})
    register_attention("asking", paper="Somebody, 2020", family="cross")(twin)
    results = {r.check: r.status for r in examine("asking", laws=["refusal", "inputs"])}
    assert results == {"refusal": "passed", "inputs": "passed"}


def test_cost_formulas_may_name_the_other_input():
    subject = Subject(Asking, {})
    module = subject.module()
    example = subject.example(module, subject.input((3, 4)))
    assert [t.shape for t in example] == [(2, 12, 64), (2, 13, 6)]
    assert subject.sizes_of(example) == {"M": 13}
    video = Subject(Frames, {})
    assert video.sizes_of((video.input((4, 5)),)) == {"T": 3}
    sampling = Subject(Sampling, {})
    example = sampling.example(sampling.module(), sampling.input((3, 4)))
    assert sampling.sizes_of(example) == {"M": 5 * 7 + 3 * 4}


def test_laws_say_whom_they_concern():
    names = {law.name for law in LAWS.values() if law.concerns(Subject(Head, {}))}
    assert not names & {"inputs", "insertion", "set"}
