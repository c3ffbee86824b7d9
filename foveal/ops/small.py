"""A small network inside a backward pass that is written by hand."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class SmallNetwork:
    """A function of a few numbers, computed once and differentiated once its gradient is known.

    Args:
        network: from the pooled tensors to one tensor or several.
        pooled: what it is given; its own graph begins there.
    """

    def __init__(
        self, network: Callable[..., Tensor | tuple[Tensor, ...]], pooled: Sequence[Tensor]
    ):
        self.pooled = [tensor.detach().requires_grad_() for tensor in pooled]
        with torch.enable_grad():
            outputs = network(*self.pooled)
        self._outputs = (outputs,) if isinstance(outputs, Tensor) else outputs

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        return tuple(output.detach() for output in self._outputs)

    def back(
        self, of_outputs: Sequence[Tensor], parameters: Sequence[Tensor]
    ) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """The gradients by what it was given and by its parameters; may be asked for again."""
        found = torch.autograd.grad(
            self._outputs,
            [*self.pooled, *parameters],
            [g.to(y.dtype) for g, y in zip(of_outputs, self._outputs, strict=True)],
            retain_graph=True,
            materialize_grads=True,
        )
        return found[: len(self.pooled)], found[len(self.pooled) :]
