"""Class-specific residual attention."""

from collections.abc import Sequence
from math import inf

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map, Scores

TEMPERATURES: dict[int, tuple[float, ...]] = {
    1: (1,),
    2: (1, inf),
    4: (1, 2, 4, inf),
    6: (1, 2, 3, 4, 5, inf),
    8: (1, 2, 3, 4, 5, 6, 7, inf),
}
"""The paper's temperatures, by the number of heads."""


@register_attention("csra", paper="Zhu and Wu, Residual Attention, ICCV 2021", arxiv="2108.02456")
class CSRA(nn.Module):
    r"""Score classes by the mean over the map, and once more by where each class is strongest.

    $$y_k = \sum_h \Big(\frac{1}{N}\sum_p s_{hkp} + \lambda \sum_p \mathrm{softmax}_p(T_h\, s_{hkp})
    \, s_{hkp}\Big), \quad s_{hkp} = \frac{w_{hk}^\top x_p}{\lVert w_{hk} \rVert}$$

    A head of a classifier for several labels at once, in place of a mean and a linear layer. Each
    class has a map of its own; the higher the temperature T, the smaller the part of it that counts
    twice, down to the one highest score at T = ∞.

    Placed: in place of the classifier at the end of a network.

    Shape: (B, C, H, W) → (B, num_classes). Parameters: num_heads·num_classes·C.
    Multiply-adds: num_classes·(num_heads·(C + 1) + 5·soft)·H·W + 3·num_heads·num_classes·C.

    Args:
        channels: channels C of the feature map.
        num_classes: K, classes to score.
        num_heads: classifiers whose scores are added up.
        temperature: T of each head, or of all. Default: the paper's for 1, 2, 4, 6 or 8 heads.
        weight: λ, of the second term.

    Raises:
        FovealError: for numbers that are not positive, or other numbers of heads without their
            temperatures.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int = 80,
        num_heads: int = 1,
        temperature: float | Sequence[float] | None = None,
        weight: float = 0.1,
    ):
        super().__init__()
        if num_heads < 1 or num_classes < 1:
            raise FovealError(f"num_heads={num_heads}, num_classes={num_classes} must be positive")
        if temperature is None:
            temperature = TEMPERATURES.get(num_heads, ())
        elif isinstance(temperature, int | float):
            temperature = (temperature,) * num_heads
        if len(temperature) != num_heads or min(temperature) <= 0:
            raise FovealError(
                f"temperature={tuple(temperature)} must have a positive number for each of "
                f"num_heads={num_heads}; the paper has some for {', '.join(map(str, TEMPERATURES))}"
            )
        self.num_classes, self.num_heads, self.weight = num_classes, num_heads, weight
        self.temperature = tuple(temperature)
        self.soft = sum(t != inf for t in temperature)
        self.classify = nn.Conv2d(channels, num_heads * num_classes, 1, bias=False)

    def _classifier(self) -> Tensor:
        return F.normalize(self.classify.weight, dim=1, eps=1e-6)

    def _scores(self, x: Map) -> list[Tensor]:
        """Of each head, for each class at each position: (B, K, N)."""
        scores = F.conv2d(x, self._classifier()).flatten(2)
        return list(scores.unflatten(1, (self.num_heads, -1)).unbind(1))

    def attention_map(self, x: Map) -> Float[Tensor, "b heads k n"]:
        """How much of a class's second term each position gives, per head; rows sum to 1."""
        pairs = zip(self._scores(x), self.temperature, strict=True)
        return torch.stack([_shares(scores, temperature) for scores, temperature in pairs], dim=1)

    def forward(self, x: Map) -> Scores:
        y = []
        for scores, temperature in zip(self._scores(x), self.temperature, strict=True):
            if temperature == inf:
                strongest = scores.amax(-1)
            else:
                strongest = (scores * _shares(scores, temperature)).sum(-1)
            y.append(scores.mean(-1) + self.weight * strongest)
        return sum(y[1:], y[0])


def _shares(scores: Tensor, temperature: float) -> Tensor:
    if temperature == inf:
        highest = scores == scores.amax(-1, keepdim=True)
        return highest.to(scores.dtype) / highest.sum(-1, keepdim=True)
    return (scores * temperature).softmax(-1)
