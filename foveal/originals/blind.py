"""Originals that never learn how many channels they serve."""

from typing import TypeVar

from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def any_channels(module: Module) -> Module:
    """Let a mechanism none of whose parameters depends on the channels take any number of them."""
    module.channels = None  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]
    return module
