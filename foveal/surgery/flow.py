"""Where the values of a forward pass come from, as far as insertion needs to know it.

Followed at the level of torch's Python functions, where the tensors that a model's own code
handles keep their identity. Each tensor that depends on the input carries a tag: how many
operations deep it lies, which axis holds its channels, and which module returned it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from foveal.surgery.trace import Call

_ADDITIONS = ("add", "add_", "__add__", "__radd__", "__iadd__")
_ATTENTION = ("scaled_dot_product_attention", "multi_head_attention_forward", "softmax")
_TRANSPOSED = ("T", "mT", "H", "mH")


@dataclass(eq=False)
class Tag:
    """What is known of one tensor."""

    depth: int
    """Length of the longest chain of operations from the input."""
    axis: int | None
    """The axis that holds the channels."""
    version: int
    source: Tag | None = None
    """The tensor that this one merely scales or permutes."""
    made_by: list[Call] = field(default_factory=list)
    """Calls of modules that returned this tensor anew, the innermost first."""
    passed_by: list[Call] = field(default_factory=list)
    """Calls that were given this very tensor and handed it back, as dropout does in evaluation."""


@dataclass(frozen=True)
class Addition:
    """A sum of two tensors of one shape, both of them computed from the input."""

    owner: Call
    branch: Tag
    """The operand that more operations lead to: the residual branch, if the other is a shortcut."""
    clear: bool
    """Whether one operand lies deeper than the other."""
    shape: tuple[int, ...]


class Flow(TorchFunctionMode):
    """Tags the tensors that are computed while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[Call] = []
        self.sizes: dict[tuple[int, int], None] = {}
        """Heights and widths of the maps seen so far, the latest last."""
        self.additions: list[Addition] = []
        self.attending: list[Call] = []
        """The calls in which a softmax over pairs was computed."""
        self.muted = 0
        """Above 0 inside an earlier insertion, whose additions are not the host's."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        inputs = [(t, tag) for t in tensors_in((args, kwargs)) if (tag := tag_of(t))]
        versions = {id(t): t._version for t, _ in inputs}
        result = func(*args, **kwargs)
        if not inputs or not isinstance(result, Tensor | tuple | list):
            return result
        name = getattr(func, "__name__", "")
        if name == "__get__":
            name = getattr(getattr(func, "__self__", None), "__name__", name)
        for output in tensors_in(result):
            if versions.get(id(output)) != output._version:  # new, or changed in place
                self._tag(output, name, args, kwargs, inputs)
        if name in _ADDITIONS and isinstance(result, Tensor):
            self._note_addition(inputs, tuple(result.shape))
        if any(word in name for word in _ATTENTION) and self.stack and not self.muted:
            self.attending.append(self.stack[-1])
        return result

    def _tag(
        self, output: Tensor, name: str, args: tuple, kwargs: dict, inputs: list[tuple[Tensor, Tag]]
    ) -> None:
        tensor, first = inputs[0]
        axis = _channel_axis(output, name, args, kwargs, inputs)
        scaled = name in ("mul", "__mul__", "__rmul__", "mul_", "permute", "clone", "contiguous")
        tag = Tag(
            depth=1 + max(tag.depth for _, tag in inputs),
            axis=axis,
            version=output._version,
            source=first if scaled and len(inputs) == 1 and tensor.ndim == output.ndim else None,
        )
        set_tag(output, tag)
        if output.ndim == 4 and axis is not None:
            height, width = (s for i, s in enumerate(output.shape) if i not in (0, axis))
            self.sizes.pop((height, width), None)
            self.sizes[height, width] = None

    def _note_addition(self, inputs: list[tuple[Tensor, Tag]], shape: tuple[int, ...]) -> None:
        if self.muted or not self.stack or len(inputs) != 2:
            return
        (a, tag_a), (b, tag_b) = inputs
        if a is not b and tuple(a.shape) == tuple(b.shape) == shape:
            branch = tag_a if tag_a.depth > tag_b.depth else tag_b
            clear = tag_a.depth != tag_b.depth
            self.additions.append(Addition(self.stack[-1], branch, clear, shape))


def _channel_axis(
    output: Tensor, name: str, args: tuple, kwargs: dict, inputs: list[tuple[Tensor, Tag]]
) -> int | None:
    """The axis that holds the channels of an operation's output, or None if that cannot be told."""
    rank = output.ndim
    if name in ("conv2d", "conv_transpose2d", "conv3d", "conv_transpose3d"):
        return 1
    if name == "linear":
        return rank - 1
    same_rank = [(t, tag) for t, tag in inputs if t.ndim == rank]
    known = [(t, tag) for t, tag in same_rank if tag.axis is not None]
    if name in ("permute", "transpose", "swapaxes", "movedim", *_TRANSPOSED):
        tensor, tag = inputs[0]
        return None if tag.axis is None else _moved(tag.axis, name, args, kwargs, rank)
    if name == "layer_norm" and not known:
        return rank - 1
    if name in ("view", "reshape", "flatten", "unflatten", "_unsafe_view") or not same_rank:
        tensor, tag = inputs[0]
        if tag.axis == 1 and output.shape[:2] == tensor.shape[:2]:
            return 1
        if tag.axis == tensor.ndim - 1 and output.shape[-1:] == tensor.shape[-1:]:
            return rank - 1
        return None
    return known[0][1].axis if known else None


def _moved(axis: int, name: str, args: tuple, kwargs: dict, rank: int) -> int | None:
    """Where an axis lies after the axes were permuted."""
    order = list(range(rank))
    if name in _TRANSPOSED:
        order[-2:] = order[:-3:-1]
    elif name == "permute":
        given = kwargs.get("dims", args[1:])
        given = given[0] if given and isinstance(given[0], tuple | list) else given
        order = [i % rank for i in given]
    elif name in ("transpose", "swapaxes"):
        numbers = [*args[1:], *kwargs.values()]
        if len(numbers) != 2 or not all(isinstance(i, int) for i in numbers):
            return None
        a, b = (i % rank for i in numbers)
        order[a], order[b] = order[b], order[a]
    else:
        return None
    return order.index(axis)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists, mappings and plain objects, in order.

    >>> [t.ndim for t in tensors_in({"out": torch.rand(1), "rest": [torch.rand(1, 1), None]})]
    [1, 2]
    """
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))


def tag_of(tensor: Tensor) -> Tag | None:
    return getattr(tensor, "_foveal_tag", None)


def set_tag(tensor: Tensor, tag: Tag) -> None:
    tensor._foveal_tag = tag  # pyright: ignore[reportAttributeAccessIssue]
