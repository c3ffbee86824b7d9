"""How the branches of a mix become one: joiners.

A joiner takes the input x, what the branches made of it, and the weights, one for each branch, or
None. Weights sum to 1 over the branches. Where a joiner is no weighted sum the weights are taken
times the number of branches, so that equal weights change nothing.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from foveal.mix.axes import Pointwise, channel_axis, means, per_channel
from foveal.mix.weigh import Weighting
from foveal.ops.width import hidden_width

Takes = Literal["outputs", "gates", "scores"]


class Joiner(nn.Module):
    """Joins what several branches made of one input.

    Args:
        channels: channels C of the input.
        branches: how many there are.
    """

    takes: ClassVar[Takes] = "outputs"
    """What of a branch it is given: its output; its gate, the factor on every value; or its scores,
    of which the gate is the sigmoid (the output of a branch that has none)."""
    weighable: ClassVar[bool] = True
    """Whether it takes weights from outside."""
    weighted: bool = False
    """Whether it is given any; for its cost."""

    def __init__(self, channels: int, branches: int):
        super().__init__()
        self.branches = branches

    def forward(self, x: Tensor, outputs: Iterable[Tensor], weights: Tensor | None) -> Tensor:
        """What is of the shape of x.

        Args:
            x: the input: a map (B, C, H, W), tokens (B, N, C) or a video (B, T, C, H, W).
            outputs: the branches' outputs, each of the shape of x. An iterator that makes them one
                by one is welcome: what only adds up holds two of them at a time.
            weights: broadcastable to the outputs stacked along axis 1, or None.
        """
        raise NotImplementedError

    def scaled(self, outputs: Iterable[Tensor], weights: Tensor | None) -> Iterable[Tensor]:
        """The outputs by their weights, times the number of branches."""
        if weights is None:
            return outputs
        weights = weights * self.branches
        return [y * weights[:, i].to(y.dtype) for i, y in enumerate(outputs)]


class Sum(Joiner):
    """Sum of the branches; with weights the weighted sum.

    Parameters: 0. Multiply-adds: (branches − 1 + weighted)·C·H·W.
    """

    def forward(self, x: Tensor, outputs: Iterable[Tensor], weights: Tensor | None) -> Tensor:
        if weights is not None:
            return weighted_sum(outputs, weights)
        branches = iter(outputs)
        y = next(branches) + next(branches)  # nobody else's: more may be added in place
        for other in branches:
            y += other
            del other  # before the next one is made
        return y


class Mean(Sum):
    """Mean of the branches; with weights the weighted mean.

    Without gradients it is a running mean, which has no pass to divide.

    Parameters: 0. Multiply-adds: (branches − 1 + weighted)·C·H·W.
    """

    def forward(self, x: Tensor, outputs: Iterable[Tensor], weights: Tensor | None) -> Tensor:
        if weights is not None:
            return weighted_sum(outputs, weights)
        if torch.is_grad_enabled() and self.branches > 2:  # one gradient for all, scaled once
            return super().forward(x, outputs, None).div_(self.branches)
        branches = iter(outputs)
        y = next(branches)
        y = torch.lerp(y, next(branches).to(y.dtype), 0.5)
        for number, other in enumerate(branches, start=3):
            y = y.lerp_(other.to(y.dtype), 1 / number)
            del other
        return y


class Max(Joiner):
    """The largest of the branches, value by value.

    Parameters: 0. Multiply-adds: weighted·branches·C·H·W.
    """

    def forward(self, x: Tensor, outputs: Iterable[Tensor], weights: Tensor | None) -> Tensor:
        branches = iter(self.scaled(outputs, weights))
        y = next(branches)
        for other in branches:
            y = torch.maximum(y, other)
            del other
        return y


class Product(Joiner):
    """The input by the product of the branches' gates.

    Each gate is multiplied as its mechanism would have done it, so that nothing is added.

    Parameters: 0. Multiply-adds: 0.
    """

    takes = "gates"
    weighable = False

    def gate(self, x: Tensor, gates: Iterable[Tensor], weights: Tensor | None = None) -> Tensor:
        """The product of the gates."""
        product = None
        for gate in gates:
            product = gate if product is None else product * gate
        assert product is not None
        return product

    def forward(self, x: Tensor, outputs: Iterable[Tensor], weights: Tensor | None) -> Tensor:
        y = x
        for gate in outputs:
            y = y * gate.to(x.dtype)
        return y


class Concat(Joiner):
    """The branches side by side, projected back to as many channels.

    Parameters: branches·C² + C. Multiply-adds: (branches·C + weighted·branches)·C·H·W.
    """

    def __init__(self, channels: int, branches: int):
        super().__init__(channels, branches)
        self.project = Pointwise(branches * channels, channels)

    def forward(self, x: Tensor, outputs: Iterable[Tensor], weights: Tensor | None) -> Tensor:
        branches = list(self.scaled(outputs, weights))
        return self.project(torch.cat(branches, channel_axis(x)))


class Gate(Joiner):
    r"""The input gated by all branches together.

    $$y = x \odot \sigma\Big(\sum_i W_i \odot A_i + b\Big)$$

    A is a branch's scores, if it is a gate made of scores, or else its output. W and b have a
    number for each channel, born 1 and 0, so that scores at first just add up.

    Parameters: (branches + 1)·C. Multiply-adds: (branches + 1 + weighted·branches)·C·H·W.
    """

    takes = "scores"

    def __init__(self, channels: int, branches: int):
        super().__init__(channels, branches)
        self.weight = nn.Parameter(torch.ones(branches, channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def gate(self, x: Tensor, outputs: Iterable[Tensor], weights: Tensor | None = None) -> Tensor:
        """The factor on every value, in (0, 1)."""
        scores = per_channel(self.bias, x)
        for i, y in enumerate(self.scaled(outputs, weights)):
            scores = torch.addcmul(
                scores.to(y.dtype), y, per_channel(self.weight[i], x).to(y.dtype)
            )
        return scores.sigmoid()

    def forward(self, x: Tensor, outputs: Iterable[Tensor], weights: Tensor | None) -> Tensor:
        return x * self.gate(x, outputs, weights)


class Selection(Weighting):
    """For each channel of each image a share of each branch, from the means of all of them.

    Parameters: C·hidden + hidden + branches·C·hidden.
    Multiply-adds: branches·C·H·W + (branches − 1)·C + (branches + 1)·C·hidden.

    Args:
        channels: channels C.
        branches: how many share a channel.
        reduction: r, by which the hidden layer is narrower, down to 8.
        temperature: of the softmax.
    """

    needs_outputs = True

    def __init__(
        self, channels: int, branches: int, *, reduction: int = 16, temperature: float = 1.0
    ):
        super().__init__(channels, branches, temperature=temperature)
        self.hidden = hidden_width(channels, reduction, least=8)
        self.fuse = nn.Linear(channels, self.hidden)
        self.choose = nn.Linear(self.hidden, branches * channels, bias=False)

    def logits(self, x: Tensor, outputs: Sequence[Tensor]) -> Tensor:
        # The mean of the sum is the sum of the means: the summed map is never written.
        pooled = sum((means(y) for y in outputs[1:]), means(outputs[0]))
        scores = self.choose(self.fuse(pooled).relu()).unflatten(1, (self.branches, -1))
        return per_channel(scores, x)


class Select(Joiner):
    """Soft selection: each channel of each image chooses its share of every branch.

    Parameters: 0. Multiply-adds: branches·C·H·W.

    Args:
        channels: channels C of the input.
        branches: how many there are.
        reduction: of the network that chooses, as in `Selection`.
        temperature: of its softmax.
    """

    weighable = False

    def __init__(self, channels: int, branches: int, reduction: int = 16, temperature: float = 1.0):
        super().__init__(channels, branches)
        self.selection = Selection(channels, branches, reduction=reduction, temperature=temperature)

    def forward(self, x: Tensor, outputs: Iterable[Tensor], weights: Tensor | None) -> Tensor:
        outputs = list(outputs)
        return weighted_sum(outputs, self.selection(x, outputs))


def weighted_sum(outputs: Iterable[Tensor], weights: Tensor) -> Tensor:
    """Each output by its weight, added up in one buffer.

    >>> weighted_sum([torch.ones(1, 2, 3)] * 2, torch.tensor([0.5, 2.0]).view(1, 2, 1, 1)).mean()
    tensor(2.5000)
    """
    y = None
    for i, output in enumerate(outputs):
        if y is None:
            y = output * weights[:, i].to(output.dtype)
        else:
            y = y.addcmul_(output.to(y.dtype), weights[:, i].to(y.dtype))
        del output  # before the next one is made
    assert y is not None
    return y


JOINERS: dict[str, type[Joiner]] = {
    "sum": Sum,
    "mean": Mean,
    "product": Product,
    "max": Max,
    "concat": Concat,
    "gate": Gate,
    "select": Select,
}
"""By the word that the notation has for each."""
