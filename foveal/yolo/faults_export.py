"""Pooling that an exported file gets wrong at any other size, without a word."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from foveal.yolo.finding import Finding

SIZES = ((160, 192), (224, 160))
"""Two pictures that differ in both sides; RT-DETR needs some size to choose its queries from."""

ADAPTIVE = ("adaptive_avg_pool2d", "adaptive_max_pool2d", "adaptive_max_pool2d_with_indices")
WINDOWED = ("avg_pool2d", "max_pool2d", "lp_pool2d")


@dataclass(frozen=True)
class _Pool:
    """A call of a pooling function."""

    path: str
    number: int
    """Which call of its module it is."""
    function: str
    size: str
    """The output's size, or the window's."""
    fixed: bool
    """Whether a size other than 1 is asked for."""


def export_pooling(model: nn.Module) -> Iterator[Finding]:
    """Adaptive pooling to a size other than 1, and windows made from the size of the input."""
    first, second = (_pools(model, size) for size in SIZES)
    for pool in first:
        if pool.function in ADAPTIVE and pool.fixed:
            wrong = (
                "has no conversion to ONNX"
                if "max" in pool.function
                else ("is written with the window of the size traced, and is wrong at every other")
            )
            yield Finding(
                "export-pooling",
                pool.path,
                f"{pool.function} to {pool.size}",
                f"adaptive pooling to a size other than 1 {wrong}",
                "take means over rows and columns (x.mean(3, keepdim=True)) or pool to 1",
            )
    there = {(pool.path, pool.number): pool for pool in second}
    for pool in first:
        other = there.get((pool.path, pool.number))
        if pool.function in WINDOWED and other is not None and other.size != pool.size:
            yield Finding(
                "export-pooling",
                pool.path,
                f"{pool.function} with a window of {pool.size} here and {other.size} there",
                "the window follows the input's size; an exported file keeps the one traced",
                "take means or maxima over the dimensions (x.mean((2, 3)), x.amax((2, 3)))",
            )


def _pools(model: nn.Module, size: tuple[int, int]) -> list[_Pool]:
    content = getattr(model, "yaml", None) or {}
    picture = torch.zeros(1, content.get("channels", 3), *size)
    watch = _Watch()
    was = model.training
    with torch.no_grad(), _paths(model.eval(), watch), watch:
        model(picture)
    model.train(was)
    return watch.found


class _Watch(TorchFunctionMode):
    """Writes down every pooling, also where it is called as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = [""]
        self.found: list[_Pool] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in ADAPTIVE or name in WINDOWED:
            wanted = (
                args[1] if len(args) > 1 else kwargs.get("output_size", kwargs.get("kernel_size"))
            )
            sides = list(wanted) if isinstance(wanted, list | tuple | torch.Size) else [wanted]
            number = sum(pool.path == self.stack[-1] for pool in self.found)
            fixed = any(side is None or int(side) != 1 for side in sides)
            text = "×".join(map(str, sides))
            self.found.append(_Pool(self.stack[-1], number, name, text, fixed))
        return func(*args, **kwargs)


@contextmanager
def _paths(model: nn.Module, watch: _Watch) -> Iterator[None]:
    """Let the watch know which module is running."""
    hooks = []
    for path, module in model.named_modules():

        def enter(_: nn.Module, __: Any, path: str = path) -> None:
            watch.stack.append(path)

        def leave(_: nn.Module, __: Any, ___: Tensor) -> None:
            watch.stack.pop()

        hooks += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
