"""Sequences filled up, with keys that nobody sees."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from foveal.ops.window import is_open


def pad_sequence(x: Float[Tensor, "*b n d"], multiple: int) -> Float[Tensor, "*b m d"]:
    """Zeros after the last position, until their number is a multiple.

    >>> pad_sequence(torch.rand(2, 5, 3), 4).shape
    torch.Size([2, 8, 3])
    """
    missing = -x.shape[-2] % multiple
    return F.pad(x, (0, 0, 0, missing)) if is_open(missing) or missing else x


def cut_sequence(x: Float[Tensor, "*b m d"], positions: int) -> Float[Tensor, "*b n d"]:
    """The first so many positions; what `pad_sequence` added is gone."""
    excess = x.shape[-2] - positions
    return F.pad(x, (0, 0, 0, -excess)) if is_open(excess) or excess else x


def hide_padding(q: Tensor, k: Tensor, positions: int) -> tuple[Tensor, Tensor]:
    """Queries and keys (…, M, D) with one more number, by which keys after the first so many
    positions score so low that they get no weight; as they are, where there are none.

    A query whose keys are padding all of them has all alike, so that no row of weights is empty;
    and attention needs no mask.

    >>> q, k = torch.rand(2, 4, 3), torch.rand(2, 4, 3)
    >>> longer_q, longer_k = hide_padding(q, k, 3)
    >>> (longer_q @ longer_k.mT).softmax(-1)[..., 3].max()
    tensor(0.)
    """
    size = k.shape[-2]
    if not is_open(size) and not is_open(positions) and size == positions:
        return q, k
    padding = torch.arange(size, device=k.device) >= positions
    low = k.new_zeros(padding.shape).masked_fill(padding, torch.finfo(k.dtype).min / 2)
    low = low[:, None].expand(*k.shape[:-1], -1)
    return F.pad(q, (0, 1), value=1.0), torch.cat((k, low), -1)
