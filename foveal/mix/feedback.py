"""Weights that a validation metric moves."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from foveal.core.errors import FovealError
from foveal.mix.weigh import WEIGHTINGS, Weighting

CAPACITY = 256
"""How many steps of its history a weighting keeps."""
LEAST = 1e-3
"""The share below which no branch falls, lest it never come back."""


class Feedback(Weighting):
    """Weights that gradients do not move, but a metric of the whole model does, step by step.

    With a metric for each branch a share grows by the factor exp(rate · (metric − mean)). With one
    metric for the model the branches are tried in turn: a share grows by exp(rate), and if the
    metric then falls, shrinks by that factor instead. The weights and all that led to them are
    buffers, saved and restored with the model.

    Parameters: 0. Multiply-adds: 0.

    Args:
        rate: size of a step.

    >>> weighting = Feedback(8, 2, rate=1.0)
    >>> weighting.feedback([0.9, 0.4]); weighting(torch.rand(1, 8, 2, 2)).flatten()
    tensor([0.6225, 0.3775])
    """

    shares: Tensor
    history: Tensor
    steps: Tensor

    def __init__(
        self, channels: int, branches: int, *, rate: float = 0.1, temperature: float = 1.0
    ):
        super().__init__(channels, branches, temperature=temperature)
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf:
            raise FovealError(f"rate={rate!r} must be a positive number")
        self.rate = rate
        self.register_buffer("shares", torch.full((branches,), 1 / branches))
        self.register_buffer("history", torch.zeros(CAPACITY, branches + 1))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def logits(self, x: Tensor, outputs: Sequence[Tensor]) -> Tensor:
        return self.alike(self.shares.log(), x)

    @torch.no_grad()
    def feedback(self, metric: float | Sequence[float]) -> None:
        """Move the weights by what they led to; larger is better.

        Args:
            metric: of the whole model, or one for each branch.

        Raises:
            FovealError: if it is not finite, or there are not as many as branches.
        """
        metrics = [float(metric)] if isinstance(metric, int | float) else [float(m) for m in metric]
        if len(metrics) not in (1, self.branches) or not all(map(math.isfinite, metrics)):
            raise FovealError(
                f"metric={metric!r} must be a finite number, or one for each of the "
                f"{self.branches} branches"
            )
        mean = sum(metrics) / len(metrics)
        if len(metrics) > 1:
            move = self.rate * (self.shares.new_tensor(metrics) - mean)
        else:
            move = self._next_trial(mean)
        self._keep(mean)
        shares = (self.shares * move.exp()).clamp_min(LEAST)
        self.shares.copy_(shares / shares.sum())

    def past(self) -> list[tuple[float, list[float]]]:
        """Every metric that came, with the weights that had led to it, oldest first."""
        rows = self.history[: min(int(self.steps), CAPACITY)].tolist()
        return [(metric, shares) for metric, *shares in rows]

    def _next_trial(self, metric: float) -> Tensor:
        """Take the last trial back and the other way, if it made things worse; try the next."""
        step = int(self.steps)
        move = torch.zeros_like(self.shares)
        before = self.history[min(step, CAPACITY) - 1, 0]
        if step and before.new_tensor(metric) < before:  # rounded alike: equal is not worse
            move[(step - 1) % self.branches] -= 2 * self.rate
        move[step % self.branches] += self.rate
        return move

    def _keep(self, metric: float) -> None:
        step = int(self.steps)
        if step >= CAPACITY:
            self.history.copy_(self.history.roll(-1, 0))
        row = self.history[min(step, CAPACITY - 1)]
        row[0], row[1:] = metric, self.shares
        self.steps += 1


WEIGHTINGS["feedback"] = Feedback
