"""Contextual transformer attention as others wrote it."""

from jaxtyping import Float
from torch import Tensor, nn

from foveal.attention.window.cot import CoT
from foveal.core.errors import FovealError
from foveal.core.types import Map
from foveal.ops.neighbours import check_odd
from foveal.originals.registry import Translation, original
from foveal.originals.state import State

_NAMES = {
    "key_embed": "context",
    "embed.1": "weigh.0",
    "embed.3": "weigh.2",
    "embed.4": "weigh.3",
    "conv1x1": "value",
    "bn": "act.0",
    "se.0": "squeeze.0",
    "se.1": "squeeze.1",
    "se.3": "choose",
}


@original("cot", source="JDAI-CV/CoTNet models/cotnet.py CotLayer")
def cot(state: State, dim: int, kernel_size: int) -> Translation:
    _require_eights(dim, 8)
    embed = state.pop("embed.0.weight")
    state["embed_x.weight"], state["embed_context.weight"] = embed[:, :dim], embed[:, dim:]
    state.absorb_bias("se.0", "se.1")
    return CoT(dim, kernel_size, groups=4, share=8), _NAMES


@original("coxt", source="JDAI-CV/CoTNet models/cotnet.py CoXtLayer")
def coxt(state: State, dim: int, kernel_size: int) -> Translation:
    _require_eights(dim, 16)
    embed = state.pop("embed.0.weight")  # x and its context alternate, channel by channel
    state["embed_x.weight"], state["embed_context.weight"] = embed[:, ::2], embed[:, 1::2]
    state.absorb_bias("se.0", "se.1")
    return CoT(dim, kernel_size, groups=8, share=8, point_groups=2), _NAMES


def _require_eights(dim: int, divisor: int) -> None:
    if dim % divisor:
        raise FovealError(f"dim={dim} must be a multiple of {divisor}, or the original cannot run")


class XmuCoT(nn.Module):
    """What `CoTAttention` computes: the mean of the weights of all neighbours, by a softmax over
    the whole image, gates the values, and no neighbour is looked at."""

    def __init__(self, channels: int, kernel_size: int):
        super().__init__()
        check_odd(kernel_size)
        hidden, edge = 2 * channels // 4, kernel_size // 2
        self.context = nn.Sequential(
            nn.Conv2d(channels, channels, kernel_size, padding=edge, groups=4, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )
        self.value = nn.Sequential(
            nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels)
        )
        self.embed_context = nn.Conv2d(channels, hidden, 1, bias=False)
        self.embed_x = nn.Conv2d(channels, hidden, 1, bias=False)
        self.score = nn.Sequential(
            nn.BatchNorm2d(hidden), nn.ReLU(), nn.Conv2d(hidden, channels, 1, bias=False)
        )

    def _weights(self, x: Map, context: Map) -> Tensor:
        scores = self.score(self.embed_context(context) + self.embed_x(x))
        return scores.flatten(2).softmax(-1).view_as(scores)

    def attention_map(self, x: Map) -> Float[Tensor, "b c h w"]:
        """How much each position keeps of its value; over all positions it sums to 1."""
        return self._weights(x, self.context(x))

    def forward(self, x: Map) -> Map:
        context = self.context(x)
        return context + self._weights(x, context) * self.value(x)


@original("cot_xmu", source="xmu-xiaoma666/External-Attention-pytorch CoTAttention.py CoTAttention")
def cot_xmu(state: State, dim: int = 512, kernel_size: int = 3) -> Translation:
    embed = state.pop("attention_embed.0.weight")
    state["embed_context.weight"], state["embed_x.weight"] = embed[:, :dim], embed[:, dim:]
    # The mean over neighbours of a linear layer is the linear layer of the mean weights; its bias
    # is the same everywhere, and the softmax over the image cancels it.
    weights = state.pop("attention_embed.3.weight").unflatten(0, (dim, -1))
    state["score.2.weight"] = weights.mean(1)
    state.drop("attention_embed.3.bias")
    names = {"key_embed": "context", "value_embed": "value", "attention_embed.1": "score.0"}
    return XmuCoT(dim, kernel_size), names
