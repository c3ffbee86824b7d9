"""Originals that never learn how many channels they serve."""

from torch import nn


def any_channels(module: nn.Module) -> nn.Module:
    """Let a mechanism none of whose parameters depends on the channels take any number of them."""
    module.channels = None  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]
    return module
