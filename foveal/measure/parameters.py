"""How many parameters a model has."""

from torch import nn


def parameter_count(model: nn.Module, trainable: bool = False) -> int:
    """Number of parameters, each counted once however often it is shared.

    Args:
        trainable: count only those that an optimiser would move.

    Raises:
        ValueError: if a parameter of a lazy module has no shape yet.

    >>> parameter_count(nn.Linear(3, 4))
    16
    """
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable)
