"""Laws about `attention_map`: it shows what forward used."""

from collections.abc import Iterator
from itertools import permutations

import torch
from torch import Tensor, nn

from foveal.core.explained import attention_range
from foveal.testing.attending import ExplicitAttention, Recorder
from foveal.testing.law import BrokenLawError, difference, law, require_close, require_finite
from foveal.testing.subject import Subject

TOLERANCE = 5e-5
UNIT = (0.0, 1.0)


@law("attention_map", catches="maps out of range, not normalised, or not what forward used")
def map_is_true(subject: Subject) -> None:
    """Weights lie in [0, 1], or in the range that the docstring of `attention_map` states (such as
    `in [-1, 1]`); weights of pairs sum to 1 over an axis, unless a range is stated. And forward
    used them: among all that it computes (fused attention opened up) are the weights themselves,
    or something multiplied by them.
    """
    module = subject.module()
    if not callable(getattr(module, "attention_map", None)):
        raise BrokenLawError("there is no attention_map(x)")
    x = subject.input()
    with torch.no_grad():
        before = module(x)
        weights = _weights(module, x)
        if not torch.equal(module(x), before):
            raise BrokenLawError("forward gives another result after attention_map was called")
        _require_range(module, weights, x)
        _require_used(module, weights, x)
        _require_alive(subject, x)
        _require_independent(module, weights, x)


def _weights(module: nn.Module, x: Tensor) -> Tensor:
    untouched = x.clone()
    held = [(part, dict(vars(part))) for part in module.modules()]
    weights = module.attention_map(x)  # pyright: ignore[reportCallIssue]
    if not isinstance(weights, Tensor):
        raise BrokenLawError(f"attention_map gives a {type(weights).__name__}, not a tensor")
    if not torch.equal(x, untouched):
        raise BrokenLawError("attention_map changes its input")
    for part, attributes in held:
        for key, value in vars(part).items():
            if attributes.get(key, part) is not value:
                raise BrokenLawError(f"attention_map keeps {key}")
    require_finite(weights, "the map")
    return weights


def _require_range(module: nn.Module, weights: Tensor, x: Tensor) -> None:
    stated = attention_range(Subject.mechanism(module))
    low, high = stated or UNIT
    least, most = weights.min().item(), weights.max().item()
    if least < low - 1e-5 or most > high + 1e-5:
        raise BrokenLawError(
            f"the map's values reach from {least:.3g} to {most:.3g}, not [{low}, {high}]"
        )
    if stated or _broadcasts(weights, x):
        return
    pairs = weights.ndim > 1 and min(weights.shape[-2:]) > 1
    axes = (-1,) if pairs else range(weights.ndim)
    if not any(_sums_to_one(weights, axis) for axis in axes):
        raise BrokenLawError(
            f"the map {tuple(weights.shape)} is no gate on {tuple(x.shape)}, and its "
            f"{'rows' if pairs else 'weights'} do not sum to 1"
        )


def _require_used(module: nn.Module, weights: Tensor, x: Tensor) -> None:
    recorder = Recorder()
    with ExplicitAttention(), recorder:
        y = module(x)
    tensors = [tensor for tensor in (x, y, *recorder.tensors) if tensor.isfinite().all()]
    computed = [(tensor, _Marks(tensor)) for tensor in tensors]
    if _is_met(weights, computed):
        return
    by_head = weights.ndim == 4 and weights.shape[1] > 1 and min(weights.shape[-2:]) > 1
    if by_head and all(_is_met(head, computed) for head in weights.unbind(1)):
        return  # heads that are computed one after the other
    raise BrokenLawError(
        "forward computes neither this map nor anything multiplied by it, so it is not what "
        "forward used"
    )


def _is_met(weights: Tensor, computed: list[tuple[Tensor, "_Marks"]]) -> bool:
    for candidate, in_order in _candidates(weights, [tensor for tensor, _ in computed]):
        marks = _Marks(candidate)
        for tensor, others in computed:
            if marks.like(others) and (
                _same(candidate, tensor) if in_order else marks.same_values(others)
            ):
                return True
    return False


def _candidates(weights: Tensor, computed: list[Tensor]) -> Iterator[tuple[Tensor, bool]]:
    """The map itself, and the map applied to each thing that forward computes; and whether it must
    be met in its order. What is gated may be shuffled afterwards, value by value."""
    yield weights, True
    for tensor in computed:
        if _is_constant(tensor):  # times that, any order of the weights' values would do
            continue
        if _broadcasts(weights, tensor):
            yield weights * tensor, False
        if weights.ndim >= 2 and tensor.ndim >= 2:
            for factor in (tensor, tensor.mT):
                if weights.shape[-1] == factor.shape[-2] and _broadcasts(
                    weights[..., 0, 0], factor[..., 0, 0]
                ):
                    yield weights @ factor, True


def _is_constant(tensor: Tensor) -> bool:
    """Whether each image has a single value there."""
    images = tensor.reshape(len(tensor), -1) if tensor.ndim > 1 else tensor.reshape(1, -1)
    return bool((images == images[:, :1]).all())


class _Marks:
    """The values of a tensor in any order, compared quickly."""

    def __init__(self, tensor: Tensor):
        self.values = tensor.detach().flatten().double()
        self.mean = self.values.mean().item()
        self.size = self.values.square().mean().sqrt().item()
        self.allowed = TOLERANCE * max(self.values.abs().max().item(), 1e-12)

    def like(self, other: "_Marks") -> bool:
        apart = max(abs(self.mean - other.mean), abs(self.size - other.size))
        return self.values.numel() == other.values.numel() and apart <= self.allowed

    def same_values(self, other: "_Marks") -> bool:
        apart = self.values.sort().values - other.values.sort().values
        return apart.abs().max().item() <= self.allowed


def _same(weights: Tensor, other: Tensor) -> bool:
    """Equal, but for axes of one, for axes split or joined, and for the axes' order where the
    shapes differ. Tensors of one shape must agree value by value: a map turned on its side is
    another map."""
    ours, theirs = weights.squeeze(), other.squeeze()
    if ours.shape == theirs.shape:
        return difference(ours, theirs) <= TOLERANCE
    return any(
        difference(ours.permute(order).flatten(), theirs.flatten()) <= TOLERANCE
        for order in permutations(range(ours.ndim))
    )


def _require_alive(subject: Subject, x: Tensor) -> None:
    """The map answers to the input or to the parameters: it is no constant. Seen in float64, where
    an answer may be small, as after several attentions with nothing added to what they average."""
    this, other = (subject.module(seed=seed).double() for seed in (0, 11))
    weights = this.attention_map(x.double())  # pyright: ignore[reportCallIssue]
    for module, image in ((this, x + subject.input(seed=9)), (other, x)):
        again = module.attention_map(image.double())  # pyright: ignore[reportCallIssue]
        if again.shape == weights.shape and not torch.allclose(again, weights, rtol=1e-9, atol=0):
            return
    raise BrokenLawError("the map changes neither with the input nor with the parameters")


def _require_independent(module: nn.Module, weights: Tensor, x: Tensor) -> None:
    if weights.ndim and weights.shape[0] % len(x) == 0 and weights.shape[0]:
        alone = module.attention_map(x[:1])  # pyright: ignore[reportCallIssue]
        share = weights.shape[0] // len(x)
        if alone.shape[0] == share:
            require_close(alone, weights[:share], TOLERANCE, "an image alone has another map")


def _sums_to_one(weights: Tensor, axis: int) -> bool:
    sums = weights.sum(axis)
    return weights.shape[axis] > 1 and torch.allclose(sums, torch.ones_like(sums), atol=1e-4)


def _broadcasts(small: Tensor, large: Tensor) -> bool:
    try:
        return torch.broadcast_shapes(small.shape, large.shape) == large.shape
    except RuntimeError:
        return False
