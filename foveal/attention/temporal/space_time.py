"""Attention over space and time."""

from collections.abc import Sequence

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.attention.self_attention.mhsa import MHSA
from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Video
from foveal.ops.heads import heads_for

AXES = "time", "space"


@register_attention("space_time", paper="Bertasius et al., TimeSformer, ICML 2021",
                    arxiv="2102.05095")  # fmt: skip
class SpaceTime(nn.Module):
    r"""Attend over the frames at each position and then over the positions of each frame.

    $$x' = x + A_t(\mathrm{LN}(x)), \qquad y = x' + A_s(\mathrm{LN}(x'))$$

    $A_t$ and $A_s$ are self-attention along time and within a frame, each with weights of its own.
    Divided like this, a token meets T + H·W others, where joint attention, y = x + A(LN(x)) over
    all tokens of the video, meets T·H·W.

    Placed: in every block of TimeSformer, before the perceptron.

    Shape: (B, T, C, H, W) → (B, T, C, H, W).
    Parameters: parts·(4·C² + qkv_bias·3·C + proj_bias·C + 2·C).
    Multiply-adds: parts·T·N·(4·C² + 5·C) + 2·T·N·C·(joint·T·N + divided·(T + N)).

    Args:
        channels: channels C of the frames.
        num_heads: heads of each part. Default: 8, or the most below that divide the channels into
            four or more each.
        mode: `"divided"` or `"joint"`.
        order: the axes of divided attention, the first attended over first.
        qkv_bias: give queries, keys and values a bias. The keys' share of it has no effect, for
            the softmax cancels it.
        proj_bias: give each part's last layer a bias.
        attention_dropout: probability of dropping a weight in training.
        dropout: probability of dropping an output in training.

    Raises:
        FovealError: for another mode or order, or if `num_heads` does not divide the channels.

    Departs: There is no class token, and no second linear layer after attention over time, which
    the authors' code has and which the part's own last layer can stand for.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int | None = None,
        mode: str = "divided",
        order: Sequence[str] = AXES,
        qkv_bias: bool = True,
        proj_bias: bool = True,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        if mode not in ("divided", "joint"):
            raise FovealError(f"mode={mode!r} must be 'divided' or 'joint'")
        if sorted(order) != sorted(AXES):
            raise FovealError(f"order={order!r} must name 'time' and 'space', each once")
        self.num_heads = heads_for(channels, num_heads)
        self.qkv_bias, self.proj_bias = qkv_bias, proj_bias
        self.joint, self.divided = mode == "joint", mode == "divided"
        self.order = tuple(order) if self.divided else ("joint",)
        self.parts = len(self.order)
        self.norms = nn.ModuleDict({axis: nn.LayerNorm(channels) for axis in self.order})
        self.attentions = nn.ModuleDict()
        for axis in self.order:
            self.attentions[axis] = MHSA(
                channels,
                self.num_heads,
                qkv_bias=qkv_bias,
                proj_bias=proj_bias,
                attention_dropout=attention_dropout,
                dropout=dropout,
            )

    def attention_map(self, x: Video) -> Float[Tensor, "*b heads n n"]:
        """The weights of the part that comes last; rows sum to 1. Over space (B, T, heads, N, N),
        over time (B, N, heads, T, T), joint (B, heads, T·N, T·N)."""
        tokens = rearrange(x, "b t c h w -> b t (h w) c")
        for axis in self.order[:-1]:
            tokens = tokens + self._along(axis, tokens)
        last = self.order[-1]
        sets = _sets(last, self.norms[last](tokens))
        weights = self.attentions[last].attention_map(sets)  # pyright: ignore[reportCallIssue]
        return weights if self.joint else weights.unflatten(0, (len(x), -1))

    def forward(self, x: Video) -> Video:
        tokens = rearrange(x, "b t c h w -> b t (h w) c")
        for axis in self.order:
            tokens = tokens + self._along(axis, tokens)
        return rearrange(tokens, "b t (h w) c -> b t c h w", h=x.shape[3])

    def _along(self, axis: str, tokens: Tensor) -> Tensor:
        y = self.attentions[axis](_sets(axis, self.norms[axis](tokens)))
        return _unset(axis, y, tokens)


def _sets(axis: str, tokens: Tensor) -> Tensor:
    """Tokens (B, T, N, C) as sets of those that meet."""
    if axis == "joint":
        return tokens.flatten(1, 2)
    return (tokens.transpose(1, 2) if axis == "time" else tokens).flatten(0, 1)


def _unset(axis: str, sets: Tensor, like: Tensor) -> Tensor:
    """The way back."""
    if axis == "joint":
        return sets.unflatten(1, like.shape[1:3])
    if axis == "space":
        return sets.unflatten(0, like.shape[:2])
    return sets.unflatten(0, (like.shape[0], like.shape[2])).transpose(1, 2)
