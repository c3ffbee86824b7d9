"""Running a host once without leaving a trace on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from foveal.core.errors import FovealError


def default_example(model: nn.Module) -> Tensor:
    """Two random images of the size that the host says it takes; else 3 × 224 × 224.

    The size is read from a vision transformer's `img_size` or `image_size`, or from timm's
    configuration; the channels from the first convolution.

    >>> default_example(nn.Sequential(nn.Conv2d(1, 8, 3))).shape
    torch.Size([2, 1, 224, 224])
    """
    config = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None) or {}
    channels, height, width = dict(config).get("input_size") or (3, 224, 224)
    convolution = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    if convolution is not None:
        channels = convolution.in_channels
    for owner in (getattr(model, "patch_embed", None), model):
        size = getattr(owner, "img_size", None) or getattr(owner, "image_size", None)
        if isinstance(size, int):
            size = (size, size)
        if isinstance(size, tuple | list) and len(size) == 2:
            height, width = size
            break
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, channels, height, width, generator=generator)


def placed(model: nn.Module, example: Any) -> Any:
    """A copy of the example on the model's device, its floating-point numbers in its type."""
    home = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))

    def move(value: Any) -> Any:
        if isinstance(value, Tensor):
            dtype = home.dtype if value.is_floating_point() else value.dtype
            return value.detach().clone().to(home.device, dtype)
        if isinstance(value, dict):
            return {key: move(item) for key, item in value.items()}
        if isinstance(value, tuple | list):
            return type(value)(move(item) for item in value)
        return value

    return move(example)


def run_example(model: nn.Module, example: Any) -> Any:
    """Call the model: a tuple is its positional arguments, a dict its keyword arguments."""
    if isinstance(example, tuple):
        return model(*example)
    if isinstance(example, dict):
        return model(**example)
    return model(example)


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation without gradients; afterwards training flags, buffers and random numbers are as
    they were."""
    flags = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    with keep_random_state(model), torch.no_grad():
        try:
            for module, _ in flags:  # not .eval(), which some hosts override
                module.training = False
            yield
        finally:
            for module, flag in flags:
                module.training = flag
            for buffer, before in buffers:
                if not torch.equal(buffer, before):
                    buffer.copy_(before)


@contextmanager
def keep_random_state(model: nn.Module) -> Iterator[None]:
    """Random numbers drawn inside do not move the caller's generators."""
    cuda = {p.device.index or 0 for p in model.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=sorted(cuda)):
        yield


def check_host(model: Any) -> None:
    """Refuse what a mechanism could not be put into."""
    if not isinstance(model, nn.Module):
        raise FovealError(f"insertion takes a torch.nn.Module, not a {type(model).__name__}")
    too_late = {
        "OptimizedModule": "torch.compile",
        "DistributedDataParallel": "DistributedDataParallel",
        "FullyShardedDataParallel": "FullyShardedDataParallel",
    }
    for cls in type(model).__mro__:
        if cls.__name__ in too_late:
            raise FovealError(
                f"the model is wrapped by {too_late[cls.__name__]}, which would not see a new "
                "module; insert first, wrap after"
            )
    if isinstance(model, torch.jit.ScriptModule):
        raise FovealError("a scripted model takes no new module; insert first, script after")
    if any(p.is_meta for p in model.parameters()):
        raise FovealError(
            "the model lies on the meta device and has no values to compare; load its weights first"
        )
