"""What a mechanism moves and holds, in multiples of its input."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from foveal.core.errors import FovealError
from foveal.core.registry import attention_info, create_attention
from foveal.measure.traffic import Mode, count_traffic


@dataclass(frozen=True)
class Multiples:
    """Traffic in multiples of the bytes of the input, rounded to hundredths."""

    kernels: int
    moved: float
    peak: float
    saved: float

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def mechanism_input(name: str, shape: tuple[int, int, int, int]) -> Tensor:
    """Random numbers as the mechanism takes them: a map of that shape, or as many tokens.

    Raises:
        FovealError: if the mechanism takes neither, or more than one input.

    >>> mechanism_input("mhsa", (2, 8, 5, 7)).shape
    torch.Size([2, 35, 8])
    """
    card = attention_info(name)
    if not card.drop_in or card.layout not in ("map", "tokens"):
        raise FovealError(f"{name} is not put into a network as it stands; it takes {card.shape}")
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    return x if card.layout == "map" else x.flatten(2).mT.contiguous()


def mechanism_traffic(
    name: str,
    shape: tuple[int, int, int, int],
    mode: Mode,
    *,
    channels_last: bool = False,
    **options: Any,
) -> Multiples:
    """What one pass of a mechanism moves and holds.

    Args:
        name: one of `list_attentions()`.
        shape: batch, channels, height and width of the input.
        mode: "infer" for a forward pass; "train" for a forward and a backward pass.
        channels_last: lay the map out with the channels last; nothing to tokens.
        options: the mechanism's own; those left out take the paper's defaults.

    Raises:
        FovealError: if the mechanism does not take one map or one set of tokens.

    >>> mechanism_traffic("se", (2, 64, 16, 16), "infer").peak
    1.0
    """
    x = mechanism_input(name, shape)
    if channels_last and x.ndim == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    torch.manual_seed(0)
    traffic = count_traffic(
        create_attention(name, shape[1], **options), x.requires_grad_(mode == "train"), mode
    )
    unit = x.numel() * x.element_size()
    shares = (traffic.bytes_moved, traffic.peak_memory, traffic.saved)
    return Multiples(traffic.kernels, *(round(share / unit, 2) for share in shares))
