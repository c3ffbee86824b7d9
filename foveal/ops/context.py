"""One context vector for all positions, gathered by attention and added to each."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from foveal.core.types import Map
from foveal.ops.eager import runs_eagerly
from foveal.ops.gate import where_wanted
from foveal.ops.reading import add_product
from foveal.ops.small import SmallNetwork

Network = Callable[[Tensor], Tensor]


def gather_context(x: Map, scorer: Float[Tensor, "1 c"]) -> Float[Tensor, "b c"]:
    """The mean of all positions, each weighed by the softmax of its score, scorer · x.

    >>> gather_context(torch.rand(2, 8, 5, 7), torch.rand(1, 8)).shape
    torch.Size([2, 8])
    """
    return _weighed_mean(x, _weights(x, scorer))


def add_context(
    x: Map, scorer: Float[Tensor, "1 c"], network: Network, parameters: Iterable[Tensor]
) -> Map:
    """x + network(`gather_context`(x, scorer)), trained in few passes over the map.

    Args:
        x: a map (B, C, H, W).
        scorer: what the score of a position is the product with.
        network: from the context (B, C) to what is added (B, C).
        parameters: what the network learns, for the backward pass.

    >>> add_context(torch.rand(2, 8, 5, 7), torch.rand(1, 8), torch.relu, ()).shape
    torch.Size([2, 8, 5, 7])
    """
    if torch.is_grad_enabled() and runs_eagerly():
        return _AddContext.apply(network, x, scorer, *parameters)  # pyright: ignore
    return x + network(gather_context(x, scorer))[..., None, None]


def _weights(x: Tensor, scorer: Tensor) -> Tensor:
    """How much each position gives: (B, 1, N)."""
    scorers = scorer.to(x.dtype).expand(x.shape[0], 1, -1)  # one for each, or torch copies the map
    return (scorers @ x.flatten(2)).softmax(-1)


def _weighed_mean(x: Tensor, weights: Tensor) -> Tensor:
    tokens = x.flatten(2)
    if x.is_contiguous():
        return (tokens @ weights.mT)[..., 0]
    return (weights @ tokens.mT)[:, 0]  # a tenth of the time with the channels last


class _AddContext(torch.autograd.Function):
    """The backward pass adds both ways through the attention, by the values and by the scores, in
    one product of rank 2; the general one writes a map for each, and for their sums."""

    @staticmethod
    def forward(ctx: Any, network: Network, x: Tensor, scorer: Tensor, *parameters: Tensor):
        ctx.network, ctx.weights = network, _weights(x, scorer)
        ctx.small = SmallNetwork(network, (_weighed_mean(x, ctx.weights),))
        ctx.save_for_backward(x, scorer, *parameters)
        return x + ctx.small.outputs[0][..., None, None]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        x, scorer, *parameters = ctx.saved_tensors
        wants = ctx.needs_input_grad[3:]
        wanted = [p for p, wanted in zip(parameters, wants, strict=True) if wanted]
        if torch.is_grad_enabled():  # somebody differentiates twice: leave it all to autograd
            y = x + ctx.network(gather_context(x, scorer))[..., None, None]
            found = torch.autograd.grad(y, [x, scorer, *wanted], gradient, create_graph=True)
            return None, *found[:2], *where_wanted(wants, found[2:])
        (of_context,), learnt = ctx.small.back((gradient.sum((2, 3)),), wanted)
        of_weights = of_context[:, None] @ x.flatten(2)  # (B, 1, N)
        mean = (of_weights * ctx.weights).sum(-1, keepdim=True)
        of_scores = ctx.weights * (of_weights - mean)
        of_scorer = _weighed_mean(x, of_scores).sum(0)[None]
        by_channel = torch.stack((of_context, scorer.to(x.dtype).expand_as(of_context)), dim=-1)
        by_position = torch.cat((ctx.weights, of_scores), dim=1)
        of_x = add_product(gradient.flatten(2), by_channel, by_position)
        found = where_wanted(wants, learnt)
        return None, of_x.view_as(x), of_scorer.to(scorer.dtype), *found
