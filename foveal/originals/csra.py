"""Class-specific residual attention as its authors and others wrote it."""

from math import inf

from torch import Tensor

from foveal.attention.head.csra import CSRA
from foveal.originals.registry import Translation, original
from foveal.originals.state import State

_MAXIMUM = 99
"""The temperature by which the authors' code means the maximum."""


@original("csra", source="Kevinz-code/CSRA pipeline/csra.py CSRA")
def csra(state: State, input_dim: int, num_classes: int, T: float, lam: float) -> Translation:
    temperature = inf if T == _MAXIMUM else T
    module = CSRA(input_dim, num_classes, temperature=temperature, weight=lam)
    return module, {"head": "classify"}


@original("csra_mha", source="Kevinz-code/CSRA pipeline/csra.py MHA")
def csra_mha(
    state: State, num_heads: int, lam: float, input_dim: int, num_classes: int
) -> Translation:
    module = CSRA(input_dim, num_classes, num_heads, weight=lam)
    state.join("classify.weight", [f"multi_head.{i}.head.weight" for i in range(num_heads)])
    return module, {}


class Unnormalised(CSRA):
    """The highest score counts again, and classifiers keep their lengths."""

    def _classifier(self) -> Tensor:
        return self.classify.weight


@original("csra_xmu", source="xmu-xiaoma666/External-Attention-pytorch ResidualAttention.py")
def csra_xmu(
    state: State, channel: int = 512, num_class: int = 1000, la: float = 0.2
) -> Translation:
    return Unnormalised(channel, num_class, temperature=inf, weight=la), {"fc": "classify"}
