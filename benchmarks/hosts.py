"""The networks that papers put their attention into, as torchvision and timm have them.

A mechanism keeps the shape of its map. Where a paper's mechanism takes the place of a convolution
that also halves the map, the halving here stands before it, in a step without parameters.
"""

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn


class EverySecond(nn.Module):
    """Every second row and column, as a convolution of stride 2 leaves them."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, ::2, ::2]


def make_host(library: str, name: str, options: dict[str, Any], prepare: list[str]) -> nn.Module:
    """A host with all its parameters small and equal, which costs less than drawing them.

    Args:
        library: `torchvision` or `timm`.
        name: a model of the library, or `bottlenecks`: the library's ResNet of bottlenecks with
            `layers` among the options.
        options: the host's own.
        prepare: names of functions in this file, which change the host.
    """
    with torch.device("meta"):
        host = _create(library, name, options)
        for step in prepare:
            PREPARATIONS[step](host)
    host.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in [*host.parameters(), *host.buffers()]:
            tensor.fill_(0.01 if tensor.is_floating_point() else 0)
    return host.eval()


def _create(library: str, name: str, options: dict[str, Any]) -> nn.Module:
    if library == "torchvision":
        from torchvision.models import get_model, resnet

        if name == "bottlenecks":
            return resnet.ResNet(resnet.Bottleneck, **options)
        return get_model(name, weights=None, **options)
    import timm
    from timm.models import resnet as timm_resnet

    if name == "bottlenecks":
        block: Any = timm_resnet.Bottleneck  # annotated as an instance of it
        return timm_resnet.ResNet(block, **options)
    return timm.create_model(name, pretrained=False, **options)


def stride_first(host: nn.Module) -> None:
    """ResNet as first published: the first convolution of a bottleneck halves the map."""
    for block in _bottlenecks(host):
        block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride


def free_convolution(host: nn.Module) -> None:
    """The 3 × 3 convolution of a bottleneck as `conv2.free`, of stride 1; the halving before it."""
    _free(host, EverySecond(), with_norm=False)


def free_normed(host: nn.Module) -> None:
    """The same, with its batch normalisation inside `conv2.free`."""
    _free(host, EverySecond(), with_norm=True)


def free_pooled(host: nn.Module) -> None:
    """The same as `free_normed`, where a 3 × 3 mean halves the map."""
    _free(host, nn.AvgPool2d(3, 2, padding=1), with_norm=True)


def _free(host: nn.Module, halve: nn.Module, with_norm: bool) -> None:
    for block in _bottlenecks(host):
        step = halve if block.conv2.stride == (2, 2) else nn.Identity()
        block.conv2.stride = (1, 1)
        free = block.conv2
        if with_norm:
            free, block.bn2 = nn.Sequential(block.conv2, block.bn2), nn.Identity()
        block.conv2 = nn.Sequential(OrderedDict(halve=step, free=free))


def _bottlenecks(host: nn.Module) -> list[Any]:
    return [m for m in host.modules() if all(hasattr(m, f"conv{i}") for i in (1, 2, 3))]


PREPARATIONS = {f.__name__: f for f in (stride_first, free_convolution, free_normed, free_pooled)}
