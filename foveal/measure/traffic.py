"""Bytes moved and memory held, counted from the tensors that the kernels take and give.

The counts are the same on every run and machine: what is counted is what each kernel must read and
write, not what a cache spares it, nor the workspace that it uses inside. A map much larger than the
cache costs time in proportion to the bytes moved.
"""

import math
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from foveal.core.errors import FovealError
from foveal.measure.state import ExampleInput, call, said_plainly, undisturbed

Mode = Literal["infer", "train"]


@dataclass(frozen=True)
class Traffic:
    """What one pass moves and holds."""

    kernels: int
    """Operations that read a tensor and computed or copied something; views are free."""
    bytes_moved: int
    """Sum over kernels of the bytes of their inputs and outputs."""
    peak_memory: int
    """Most bytes held at once beyond the parameters, the buffers and the input."""
    saved: int
    """Bytes of activations that the forward pass keeps for the backward pass."""


def count_traffic(model: nn.Module, example_input: ExampleInput, mode: Mode = "infer") -> Traffic:
    """Bytes moved and memory held by one pass.

    Args:
        model: any module. On the meta device nothing is computed, but scaled dot-product attention
            is counted as its unfused form, which moves far more than the kernel of a CPU or GPU.
        example_input: a tensor, or a tuple of positional or a dict of keyword arguments. An input
            that requires gradients gets them, as a map inside a network does.
        mode: "infer" for a forward pass in evaluation mode; "train" for a forward pass in training
            mode and the backward pass from ones.

    Raises:
        FovealError: if the model cannot run on the input, or "train" finds nothing to learn.

    >>> count_traffic(nn.ReLU(), torch.zeros(1000)).bytes_moved  # 4000 read, 4000 written
    8000
    """
    if mode not in ("infer", "train"):
        raise FovealError(f"mode={mode!r} must be 'infer' or 'train'")
    recorder = _Recorder()
    for tensor in (*model.parameters(), *model.buffers(), *_tensors(example_input)):
        recorder.known(tensor)
    saved: dict[Any, int] = {}
    with undisturbed(model, mode == "train"), torch.set_grad_enabled(mode == "train"), recorder:
        with _saved_tensors(model, saved):
            outputs = call(model, example_input)
        if mode == "train":
            _backward(model, outputs, _tensors(example_input))
    return Traffic(recorder.kernels.total(), recorder.moved, recorder.peak, sum(saved.values()))


class _Recorder(TorchDispatchMode):
    """Adds up what the kernels read and write, and which storages are alive."""

    def __init__(self):
        super().__init__()
        self.kernels: Counter[str] = Counter()
        self.moved = 0
        self.live = 0
        self.peak = 0
        self.storages: dict[int, weakref.ref] = {}

    def known(self, tensor: Tensor, size: int = 0) -> None:
        """Hold `size` bytes for the tensor's storage until it is freed."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self.storages:
            return

        def freed(_: Any) -> None:
            del self.storages[key]
            self.live -= size

        self.storages[key] = weakref.ref(storage, freed)
        self.live += size
        self.peak = max(self.peak, self.live)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        inputs = _tensors((args, kwargs))
        result = func(*args, **kwargs)
        outputs = _tensors(result)
        if not _only_looks(func, inputs, outputs):
            if name in PUTTING:
                read, written = _bytes_put(*args, **kwargs)
            else:
                read = _bytes_read(func, name, args, kwargs, outputs)
                written = _bytes(_distinct([*outputs, *_written(func, args, kwargs)]))
            self.kernels[name] += read > 0
            self.moved += read + written
        for tensor in outputs:
            self.known(tensor, tensor.untyped_storage().nbytes())
        return result


def _only_looks(func: Any, inputs: list[Tensor], outputs: list[Tensor]) -> bool:
    """Whether nothing is read or written: a view, a shape, memory without content."""
    if "empty" in func.overloadpacket.__name__ or torch.Tag.inplace_view in func.tags:
        return True
    if func._schema.is_mutable:
        return False
    there = {tensor.untyped_storage()._cdata for tensor in inputs}
    return all(tensor.untyped_storage()._cdata in there for tensor in outputs) and bool(inputs)


OVERWRITING = {"copy_", "fill_", "zero_", "bernoulli_", "uniform_", "normal_"}
"""In-place operations that do not read what they replace."""

PICKING = {"index", "index_select", "gather", "embedding", "take", "_unsafe_index"}
"""Operations that read from their first argument only as much as they return."""

PUTTING = {"index_put_", "_index_put_impl_"}
"""Operations that touch of their first argument only what they put there."""


def _bytes_put(
    x: Tensor, places: Any, values: Tensor, accumulate: bool = False, *_: Any
) -> tuple[int, int]:
    """Read and written: the places and the values, and what they are added to."""
    read = _bytes(_distinct(_tensors((places, values))))
    shape = torch.broadcast_shapes(*[p.shape for p in places if p is not None])
    put = math.prod(shape) * x.element_size()
    put *= math.prod(n for n, p in zip(x.shape, [*places, *[None] * x.ndim]) if p is None)  # noqa: B905
    return read + put * accumulate, put


def _bytes_read(func: Any, name: str, args: tuple, kwargs: dict, outputs: list[Tensor]) -> int:
    unread = set(map(id, _written(func, args, kwargs, only_out=name not in OVERWRITING)))
    read = _distinct([t for t in _tensors((args, kwargs)) if id(t) not in unread])
    if name.endswith("_like") or name.startswith("new_"):
        return 0  # the argument gives only its shape
    if name in PICKING:
        return _bytes(outputs) + _bytes(read[1:])
    return _bytes(read)


def _written(func: Any, args: tuple, kwargs: dict, only_out: bool = False) -> list[Tensor]:
    """The arguments that the operation writes to; with `only_out` those given as `out=`."""
    written = []
    for i, argument in enumerate(func._schema.arguments):
        if argument.alias_info is None or not argument.alias_info.is_write:
            continue
        if only_out and not argument.kwarg_only:
            continue
        value = args[i] if i < len(args) else kwargs.get(argument.name)
        written += _tensors(value)
    return written


def _distinct(tensors: list[Tensor]) -> list[Tensor]:
    seen = {
        (t.untyped_storage()._cdata, t.storage_offset(), t.shape, t.stride()): t for t in tensors
    }
    return list(seen.values())


def _bytes(tensors: list[Tensor]) -> int:
    """The bytes that tensors cover; an axis that repeats the same memory counts once."""
    total = 0
    for tensor in tensors:
        sizes = [n for n, s in zip(tensor.shape, tensor.stride(), strict=True) if s or not n]
        total += min(math.prod(sizes) * tensor.element_size(), tensor.untyped_storage().nbytes())
    return total


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


@contextmanager
def _saved_tensors(model: nn.Module, saved: dict[Any, int]) -> Iterator[None]:
    """Note the storages, other than the model's own, that autograd keeps."""
    own = {t.untyped_storage()._cdata for t in (*model.parameters(), *model.buffers())}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            saved[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield


def _backward(model: nn.Module, outputs: Any, inputs: list[Tensor]) -> None:
    roots = [tensor for tensor in _tensors(outputs) if tensor.requires_grad]
    if not roots:
        raise FovealError(
            f"{type(model).__name__}: nothing to train, for no output depends on a parameter that "
            "requires gradients; measure it with mode='infer'"
        )
    gradients = [(tensor, tensor.grad) for tensor in inputs]
    with said_plainly(f"{type(model).__name__} cannot be trained"):
        torch.autograd.backward(roots, [torch.ones_like(tensor) for tensor in roots])
    for tensor, gradient in gradients:
        if tensor.is_leaf:
            tensor.grad = gradient
