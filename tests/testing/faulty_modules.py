"""Modules with one fault each, most of them found in published code, and the law that sees it.

Each is a gate or an attention that is otherwise in order, so that nothing but the fault can be what
the law objects to. `also` names the cheap laws that the same fault rightly breaks too.
"""

from dataclasses import dataclass
from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foveal.core.types import Map, Tokens


class Honest(nn.Module):
    r"""Gate each channel by a layer over the channel means.

    $$y = x \odot \sigma(W \mathrm{mean}_{hw}\,x)$$

    Shape: (B, C, H, W) → (B, C, H, W). Parameters: C² + C. Multiply-adds: 2·C·H·W + C².

    Args:
        channels: channels C of the feature map.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.layer = nn.Linear(channels, channels)

    def scores(self, x: Map) -> Tensor:
        return self.layer(x.mean((2, 3)))[..., None, None]

    def attention_map(self, x: Map) -> Tensor:
        return self.scores(x).sigmoid()

    def forward(self, x: Map) -> Map:
        return x * self.attention_map(x)


class HonestTokens(nn.Module):
    """Self-attention with one head."""

    def __init__(self, channels: int):
        super().__init__()
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)

    def attention_map(self, x: Tokens) -> Tensor:
        q, k, _ = self.qkv(x).chunk(3, -1)
        return (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)

    def forward(self, x: Tokens) -> Tokens:
        q, k, v = (t[:, None] for t in self.qkv(x).chunk(3, -1))
        return x + F.scaled_dot_product_attention(q, k, v)[:, 0]


# shape -------------------------------------------------------------------------------------------


class SquareOnly(Honest):
    """Reshapes the positions to √N × √N."""

    def forward(self, x: Map) -> Map:
        side = isqrt(x.shape[2] * x.shape[3])
        return super().forward(x.reshape(*x.shape[:2], side, side)).reshape(x.shape)


class DividesByNothing(Honest):
    """SimAM's n = H·W − 1, which is 0 on a map of one position."""

    def scores(self, x: Map) -> Tensor:
        square = (x - x.mean((2, 3), keepdim=True)).square()
        n = x.shape[2] * x.shape[3] - 1
        return super().scores(x) + square / (4 * (square.sum((2, 3), keepdim=True) / n + 1e-4))


class TrainsInCrowdsOnly(Honest):
    """Batch normalisation of a pooled vector: no variance in a batch of one."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.norm = nn.BatchNorm1d(channels)

    def scores(self, x: Map) -> Tensor:
        return self.norm(self.layer(x.mean((2, 3))))[..., None, None]


class ShrinksByDilation(Honest):
    """BAM with dilation 4 and padding 1: the gate is smaller than the map."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.conv = nn.Conv2d(channels, 1, 3, padding=1, dilation=4)

    def scores(self, x: Map) -> Tensor:
        return super().scores(x) + self.conv(x)


class EvenOnly(Honest):
    """Pools by 2 and brings back twice the half: odd sizes come back smaller."""

    def forward(self, x: Map) -> Map:
        return F.interpolate(F.avg_pool2d(x, 2), scale_factor=2) * self.attention_map(x)


# channels ----------------------------------------------------------------------------------------


class HidesNothing(Honest):
    """hidden = C // 16 = 0 for eight channels: a constant gate of ½, without an error."""

    def __init__(self, channels: int):
        super().__init__(channels)
        hidden = channels // 16
        self.layer = nn.Sequential(nn.Linear(channels, hidden), nn.Linear(hidden, channels))


class DividesUnsaid(Honest):
    """timm: an assertion without a word."""

    def __init__(self, channels: int):
        assert channels % 16 == 0
        super().__init__(channels)


# isolation ---------------------------------------------------------------------------------------


class WritesThroughAView(Honest):
    """EPSA: the branches' results are written into a view of the input."""

    def forward(self, x: Map) -> Map:
        weights = self.attention_map(x)
        halves = x.unflatten(1, (2, -1))
        halves[:, 1] = halves[:, 1] * 0.5
        return halves.flatten(1, 2) * weights


class SoftmaxOverTheBatch(Honest):
    """A2: `F.softmax` without a dim takes the first axis of three."""

    def attention_map(self, x: Map) -> Tensor:
        return self.scores(x).softmax(0)


class HiddenSoftmaxOverTheBatch(SoftmaxOverTheBatch):
    """The same behind a scalar born 0, which makes an identity of it until it is stirred."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Map) -> Map:
        return x + self.gamma * (x * self.attention_map(x))


class BatchStatisticsInEval(Honest):
    """Batch normalisation that keeps no running statistics."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.norm = nn.BatchNorm2d(channels, track_running_stats=False)

    def scores(self, x: Map) -> Tensor:
        return super().scores(self.norm(x))


class KeepsItsMap(Honest):
    """Leaves the map on the module, for somebody to look at later."""

    def forward(self, x: Map) -> Map:
        self.last_map = self.attention_map(x)
        return x * self.last_map


class MakesItsParameterAnew(Honest):
    """MUSE: the optimiser holds a parameter that forward has replaced."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.mix = nn.Parameter(torch.rand(channels))

    def forward(self, x: Map) -> Map:
        self.mix = nn.Parameter(self.mix.softmax(0))
        return x * self.attention_map(x) + x * self.mix[:, None, None]


class DropsInEval(Honest):
    """`F.dropout` drops always, unless it is told."""

    def forward(self, x: Map) -> Map:
        return F.dropout(x * self.attention_map(x), 0.1)


class TokensWithAGrid(HonestTokens):
    """A tokens mechanism that looks at its neighbours in the order they come."""

    def forward(self, x: Tokens) -> Tokens:
        return super().forward(x + x.roll(1, dims=1))


class BiasByPosition(HonestTokens):
    """AFT's position bias, which belongs to a grid."""

    def forward(self, x: Tokens) -> Tokens:
        steps = torch.arange(x.shape[1], device=x.device, dtype=x.dtype)
        return super().forward(x + (steps / x.shape[1])[:, None])


# learning ----------------------------------------------------------------------------------------


class DeadLayer(Honest):
    """GFNet: a layer that is built and never called."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.unused = nn.Linear(channels, channels)


class CutGradient(Honest):
    """NAM: `.data` takes a weight out of the graph."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.weight = nn.Parameter(torch.rand(channels))

    def scores(self, x: Map) -> Tensor:
        return super().scores(x) + self.weight.data[:, None, None]


class HalfCutGradient(Honest):
    """The gate is cut out of the graph for the input alone: each gradient is there, one wrong."""

    def scores(self, x: Map) -> Tensor:
        return super().scores(x.detach())


class _WrongBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # pyright: ignore
        y = x.sigmoid()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # pyright: ignore
        (y,) = ctx.saved_tensors
        return gradient * y  # · (1 − y) is missing


class WrongBackward(Honest):
    """A backward pass written by hand, with a factor left out."""

    def attention_map(self, x: Map) -> Tensor:
        return _WrongBackward.apply(self.scores(x))  # pyright: ignore


class _AddsToACopy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x * 3

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        of_x = gradient * 2
        of_x.flatten(2).add_(gradient.flatten(2))  # flattening may copy, and then this is lost
        return of_x


class AddsToACopy(Honest):
    """A backward pass that is right where the gradient lies in memory as the map does."""

    def forward(self, x: Map) -> Map:
        return _AddsToACopy.apply(super().forward(x))  # pyright: ignore


# numbers -----------------------------------------------------------------------------------------


class HardCodedFloat32(Honest):
    """CrissCross: a matrix made in forward is float32, whatever x is."""

    def scores(self, x: Map) -> Tensor:
        return super().scores(x) + torch.eye(x.shape[2], device=x.device).sum(0).mean()[None]


class SpeaksDoubleOnly(Honest):
    """Computes in float32 and gives that back."""

    def forward(self, x: Map) -> Map:
        return x.float() * self.attention_map(x)


class OverflowingExp(Honest):
    """AFT: exp without the maximum taken off."""

    def attention_map(self, x: Map) -> Tensor:
        weights = (self.scores(x) * 10).exp()
        return weights / weights.sum(1, keepdim=True)


class NormOfNothing(Honest):
    """UFO: a division by a norm without a floor; a dead map gives 0 / 0."""

    def scores(self, x: Map) -> Tensor:
        return super().scores(x / x.flatten(2).norm(dim=-1)[..., None, None])


class RootOfNothing(Honest):
    """The standard deviation of a constant map is 0, and its gradient is not a number."""

    def scores(self, x: Map) -> Tensor:
        return super().scores(x) + x.flatten(2).var(-1, correction=0).sqrt()[..., None, None]


class ViewsMemory(Honest):
    """Shuffle, SGE: `view` across axes that a channels-last map does not hold side by side."""

    def scores(self, x: Map) -> Tensor:
        groups = x.view(x.shape[0] * 2, x.shape[1] // 2, *x.shape[2:])
        return self.layer(groups.mean((2, 3)).reshape(x.shape[0], -1))[..., None, None]


# copies ------------------------------------------------------------------------------------------


class PlainTensor(Honest):
    """AFT: a tensor that is no buffer, so neither moved, cast nor saved."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.bias = torch.rand(channels, 1, 1)

    def scores(self, x: Map) -> Tensor:
        return super().scores(x) + self.bias.to(x)


class LayersInAList(Honest):
    """EPSA: convolutions in a Python list, so there are no parameters."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.convs = [nn.Conv2d(channels, channels, 1) for _ in range(2)]

    def scores(self, x: Map) -> Tensor:
        y = x.float()
        for conv in self.convs:
            y = conv(y)
        return super().scores(y.to(x))


class UnsavedChance(Honest):
    """A random projection in a buffer that the state dict leaves out."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.register_buffer("projection", torch.rand(channels), persistent=False)

    def scores(self, x: Map) -> Tensor:
        return super().scores(x * self.projection[:, None, None])  # pyright: ignore


class NoPickle(Honest):
    """A lambda on the module."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.act = lambda t: t.relu() + 0.1 * t

    def scores(self, x: Map) -> Tensor:
        return self.act(super().scores(x))


class CpuTensorInForward(Honest):
    """CrissCross: a matrix made on the CPU, wherever x is."""

    def scores(self, x: Map) -> Tensor:
        rows = torch.arange(x.shape[2], dtype=x.dtype)
        return super().scores(x) + (x.mean((1, 3)) @ rows)[:, None, None, None] / x.shape[2]


class ReadsANumber(Honest):
    """DAT: a constructor that reads numbers from a tensor, for which memory is needed."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.rates = [rate.item() for rate in torch.linspace(0, 1, 3)]


# leaving Python ----------------------------------------------------------------------------------


class BranchesOnData(Honest):
    """A branch that depends on a value: no graph holds both ways."""

    def scores(self, x: Map) -> Tensor:
        scores = super().scores(x)
        return scores * 2 if scores.abs().max().item() > 0.1 else scores


class BakesItsSize(Honest):
    """`torch.linspace` over a height takes the traced one for a constant."""

    def scores(self, x: Map) -> Tensor:
        ramp = torch.linspace(-1, 1, x.shape[2], dtype=x.dtype, device=x.device)
        return super().scores(x * ramp[:, None])


class BakesItsPool(Honest):
    """Coordinate attention's pool: exports without an error, and is wrong at every other size."""

    def scores(self, x: Map) -> Tensor:
        rows = F.adaptive_avg_pool2d(x, (None, 1))  # pyright: ignore
        return super().scores(x) + rows


# attention_map -----------------------------------------------------------------------------------


class NoMap(nn.Module):
    """Computes, and explains nothing."""

    def __init__(self, channels: int):
        super().__init__()
        self.layer = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Map) -> Map:
        return x * self.layer(x).sigmoid()


class SharperMap(Honest):
    """Shows a sharper gate than the one that forward used."""

    def attention_map(self, x: Map) -> Tensor:
        return (self.scores(x) * 3).sigmoid()

    def forward(self, x: Map) -> Map:
        return x * self.scores(x).sigmoid()


class ShowsScores(Honest):
    """Shows the scores before the gate."""

    def attention_map(self, x: Map) -> Tensor:
        return self.scores(x)

    def forward(self, x: Map) -> Map:
        return x * self.scores(x).sigmoid()


class ConstantMap(Honest):
    """Shows ones, whatever was computed."""

    def attention_map(self, x: Map) -> Tensor:
        return torch.ones_like(x)

    def forward(self, x: Map) -> Map:
        return x * self.scores(x).sigmoid()


class MapKeepsState(Honest):
    """`attention_map` counts its calls, and forward looks at the count."""

    calls = 0

    def attention_map(self, x: Map) -> Tensor:
        self.calls += 1
        return self.scores(x).sigmoid()

    def forward(self, x: Map) -> Map:
        return x * self.scores(x).sigmoid()


class TransposedMap(HonestTokens):
    """Shows what each token gives, where what it takes was computed."""

    def attention_map(self, x: Tokens) -> Tensor:
        return super().attention_map(x).mT


class UnscaledMap(HonestTokens):
    """Shows the softmax without the division by the root of the width."""

    def attention_map(self, x: Tokens) -> Tensor:
        q, k, _ = self.qkv(x).chunk(3, -1)
        return (q @ k.mT).softmax(-1)


class InvertedMask(HonestTokens):
    """HaloNet: the mask hides what it should leave, in forward and not in the map."""

    def forward(self, x: Tokens) -> Tokens:
        q, k, v = (t[:, None] for t in self.qkv(x).chunk(3, -1))
        centred = x - x.mean(1, keepdim=True)
        near = (centred @ centred.mT)[:, None] > 0
        return x + F.scaled_dot_product_attention(q, k, v, near.logical_not())[:, 0]


# the rest ----------------------------------------------------------------------------------------


class ReluInPlace(Honest):
    """An in-place activation on what the host handed over."""

    def forward(self, x: Map) -> Map:
        return x.relu_() * self.attention_map(x)


class NeverLearns(Honest):
    """Gives back what no gradient goes through."""

    def forward(self, x: Map) -> Map:
        return x + (x * self.attention_map(x)).detach()


class Undocumented(Honest):
    """A gate"""

    def __init__(self, channels: int, heads: int = 1):
        super().__init__(channels)


class LyingParameters(Honest):
    __doc__ = (Honest.__doc__ or "").replace("Parameters: C² + C", "Parameters: C²")


class LyingCost(Honest):
    __doc__ = (Honest.__doc__ or "").replace("2·C·H·W + C²", "C·H·W + C²")


class CostAtOneSize(Honest):
    """A formula that is right for 6×9 alone."""

    __doc__ = (Honest.__doc__ or "").replace("2·C·H·W + C²", "108·C + C²")


@dataclass(frozen=True)
class Fault:
    law: str
    cls: type[nn.Module]
    also: str = ""

    @property
    def id(self) -> str:
        return f"{self.cls.__name__}-{self.law}"


FAULTS = [
    Fault("shape", SquareOnly),
    Fault("shape", DividesByNothing),
    Fault("shape", TrainsInCrowdsOnly),
    Fault("shape", ShrinksByDilation),
    Fault("shape", EvenOnly),
    Fault("channels", HidesNothing),
    Fault("channels", DividesUnsaid),
    Fault(
        "input_untouched",
        WritesThroughAView,
        "independent deterministic gradcheck precision channels_last copies insertion "
        "attention_map",
    ),
    Fault("independent", SoftmaxOverTheBatch, "learning attention_map"),
    Fault("independent", HiddenSoftmaxOverTheBatch, "learning attention_map"),
    Fault("independent", BatchStatisticsInEval, "shape attention_map"),
    Fault("stateless", KeepsItsMap),
    Fault(
        "stateless",
        MakesItsParameterAnew,
        "independent deterministic learning gradcheck channels_last copies attention_map insertion",
    ),
    Fault(
        "deterministic",
        DropsInEval,
        "independent gradcheck precision channels_last copies attention_map",
    ),
    Fault("set", TokensWithAGrid, "attention_map"),
    Fault("set", BiasByPosition, "attention_map"),
    Fault("learning", DeadLayer, "insertion"),
    Fault("learning", CutGradient, "gradcheck insertion"),
    Fault("gradcheck", HalfCutGradient),
    Fault("gradcheck", WrongBackward),
    Fault("gradient_order", AddsToACopy),
    Fault("precision", HardCodedFloat32),
    Fault("precision", SpeaksDoubleOnly, "gradcheck"),
    Fault("finite", OverflowingExp),
    Fault("finite", NormOfNothing),
    Fault("finite", RootOfNothing),
    Fault("channels_last", ViewsMemory),
    Fault("copies", PlainTensor),
    Fault("copies", LayersInAList, "gradcheck"),
    Fault("copies", UnsavedChance),
    Fault("copies", NoPickle),
    Fault("meta", CpuTensorInForward),
    Fault("meta", ReadsANumber),
    Fault("compile", BranchesOnData, "meta"),
    Fault("export", BranchesOnData, "meta"),
    Fault("export", BakesItsSize),
    Fault("onnx", BakesItsPool),
    Fault("attention_map", NoMap),
    Fault("attention_map", SharperMap),
    Fault("attention_map", ShowsScores),
    Fault("attention_map", ConstantMap),
    Fault("attention_map", MapKeepsState),
    Fault("attention_map", TransposedMap),
    Fault("attention_map", UnscaledMap),
    Fault("attention_map", InvertedMask),
    Fault("insertion", ReluInPlace, "input_untouched gradcheck"),
    Fault("insertion", NeverLearns, "learning gradcheck"),
]
REGISTERED_FAULTS = [
    Fault("card", Undocumented, "cost"),
    Fault("cost", LyingParameters),
    Fault("cost", LyingCost),
    Fault("cost", CostAtOneSize),
]
