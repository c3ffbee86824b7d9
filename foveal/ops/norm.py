"""Batch normalisation that survives a batch of one."""

from torch import Tensor, nn
from torch.nn import functional as F


class _OneValueTolerant:
    """One value per channel has no variance: torch refuses to train on it. Here the running
    statistics stand in, so that a module whose gate is a pooled vector trains at batch size 1."""

    def forward(self: nn.BatchNorm2d, input: Tensor) -> Tensor:  # type: ignore[misc]
        if self.training and input.numel() == input.shape[1] and self.running_mean is not None:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)  # type: ignore[misc]


class BatchNorm1d(_OneValueTolerant, nn.BatchNorm1d):
    """`nn.BatchNorm1d` that uses its running statistics when a channel has a single value."""


class BatchNorm2d(_OneValueTolerant, nn.BatchNorm2d):
    """`nn.BatchNorm2d` that uses its running statistics when a channel has a single value."""
