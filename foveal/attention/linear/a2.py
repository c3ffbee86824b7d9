"""Double attention."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from foveal.core.registry import register_attention
from foveal.core.types import Map
from foveal.ops.eager import runs_eagerly
from foveal.ops.width import hidden_width


@register_attention("a2", paper="Chen et al., A²-Nets: Double Attention Networks, NeurIPS 2018",
                    arxiv="1810.11579")  # fmt: skip
class DoubleAttention(nn.Module):
    r"""Gather the map into a few descriptors, and give each position its own mix of them.

    $$y = W_r\, W_a x\, B^\top V, \quad B = \mathrm{softmax}_{hw}(W_b x), \quad
    V = \mathrm{softmax}_n(W_v x)$$

    where $n$ counts the descriptors. The shares that gather sum to 1 over positions, those that
    give to each position sum to 1 over descriptors. As the layers $W_a$ and $W_r$ commute with
    both sums, they act on the descriptors or on the positions, whichever is less work. External
    attention has descriptors too, but the same for all images.

    Placed: in five extra blocks in the two middle stages of a ResNet-50.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: 2·C·num_tokens + num_tokens + 2·C·hidden + hidden + C.
    Multiply-adds: N·num_tokens·(2·C + 4)
    + 2·min(num_tokens·C·(N + hidden), hidden·N·(C + num_tokens)).

    Args:
        channels: channels C of the feature map.
        hidden: width of the descriptors. Default: C/4.
        num_tokens: descriptors, c_n. Default: C/4, at least 4.

    Raises:
        FovealError: if a width is below 1.

    Departs: The scores that gather have no bias, which their softmax would cancel. As in the ports,
    the input is not added; the paper's networks do that.
    """

    def __init__(self, channels: int, hidden: int | None = None, num_tokens: int | None = None):
        super().__init__()
        self.hidden = hidden_width(channels, 4, hidden=hidden)
        # A mix of a single descriptor would be the same at every position.
        self.num_tokens = hidden_width(channels, 4, least=4, hidden=num_tokens)
        self.gather = nn.Conv2d(channels, self.num_tokens, 1, bias=False)
        self.distribute = nn.Conv2d(channels, self.num_tokens, 1)
        self.value = nn.Linear(channels, self.hidden)
        self.proj: nn.Module = nn.Linear(self.hidden, channels)

    def attention_map(self, x: Map) -> Float[Tensor, "b tokens n"]:
        """How much each descriptor takes from each position; rows sum to 1."""
        return self.gather(x).flatten(2).softmax(-1)

    def forward(self, x: Map) -> Map:
        # Scores before weights: so the backward pass is done with both before it holds maps.
        to_gather, to_distribute = self.gather(x).flatten(2), self.distribute(x).flatten(2)
        values = _at_positions(self.value, x).flatten(2) if self._few(x) else None
        weights, shares = to_gather.softmax(-1), to_distribute.softmax(1)
        if values is not None:
            mixed = (values @ weights.mT) @ shares  # (B, hidden, N)
            return _at_positions(self.proj, mixed.unflatten(2, x.shape[2:]))
        descriptors = self.proj(self.value(weights @ x.flatten(2).mT))  # (B, T, C)
        return (descriptors.mT @ shares).unflatten(2, x.shape[2:])

    def _few(self, x: Map) -> bool:
        """Whether there are so few positions that layers on them are less work."""
        if not runs_eagerly():  # an export serves every size
            return False
        positions, channels = x.shape[2] * x.shape[3], x.shape[1]
        on_positions = self.hidden * positions * (channels + self.num_tokens)
        return on_positions < self.num_tokens * channels * (positions + self.hidden)


def _at_positions(layer: nn.Module, x: Map) -> Map:
    """A layer on the channels of each position; a port of the code may have none."""
    if isinstance(layer, nn.Linear):
        return F.conv2d(x, layer.weight[..., None, None], layer.bias)
    return layer(x)
