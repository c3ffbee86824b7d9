"""MobileViT's block."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from foveal.attention.self_attention.mhsa import MHSA
from foveal.core.errors import FovealError
from foveal.core.registry import register_attention
from foveal.core.types import Map, Tokens
from foveal.ops.activation import activation
from foveal.ops.heads import heads_for
from foveal.ops.norm import BatchNorm2d
from foveal.ops.resize import between
from foveal.ops.width import hidden_width
from foveal.ops.window import Size, is_open, pair


def _conv(
    read: int, write: int, size: int, act: str, groups: int = 1, dilation: int = 1
) -> nn.Sequential:
    conv = nn.Conv2d(read, write, size, 1, dilation * (size // 2), dilation, groups, bias=False)
    return nn.Sequential(conv, BatchNorm2d(write), activation(act))


class _Layer(nn.Module):
    """A transformer's layer: attention and perceptron, each normalised before and added after."""

    def __init__(self, width: int, hidden: int, act: str, dropout: float, **attention: float):
        super().__init__()
        self.attn_norm = nn.LayerNorm(width)
        self.attn = MHSA(width, qkv_bias=True, proj_bias=True, dropout=dropout, **attention)  # pyright: ignore
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden),
            activation(act),
            nn.Dropout(dropout),
            nn.Linear(hidden, width),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tokens) -> Tokens:
        x = x + self.attn(self.attn_norm(x))
        return x + self.mlp(self.mlp_norm(x))


@register_attention(
    "mobilevit", paper="Mehta & Rastegari, MobileViT, ICLR 2022", arxiv="2110.02178"
)
class MobileViT(nn.Module):
    r"""Convolve, let like places of all patches attend to each other, and convolve with the input.

    $$y = \mathrm{conv}\big([x;\; \mathrm{conv}_{1\times1}(\mathrm{fold}(\mathrm{transformer}(
    \mathrm{unfold}(\mathrm{conv}_{1\times1}(\mathrm{conv}_k(x))))))]\big)$$

    The map is cut into small patches. Position p of each patch attends to position p of every other
    patch, so a transformer of few layers sees the whole map at the cost of 1/P of its pairs, and
    the convolution before it has told each position of those in its own patch. A map that patches
    do not divide is interpolated to one that they do, and back.

    Placed: in the last three stages of MobileViT, after an inverted residual block.

    Shape: (B, C, H, W) → (B, C, H, W).
    Parameters: taps·C²/groups + 2·C·width + depth·(4·width² + 2·width·hidden + hidden + 9·width)
    + 2·width + 4·C + fusion·(2·taps·C² + 2·C).
    Multiply-adds: N·(taps·C²/groups + 2·C·width + 2·C + fusion·(2·taps·C² + C))
    + ceil(H/rows)·rows·ceil(W/columns)·columns·(depth·(4·width² + 2·width·hidden + 10·width
    + 2·width·ceil(H/rows)·ceil(W/columns)) + 4·width)
    + min(1, H % rows)·2·ceil(H/rows)·rows·N·width
    + min(1, W % columns)·2·ceil(W/columns)·columns·ceil(H/rows)·rows·W·width.

    Args:
        channels: channels C of the feature map.
        kernel_size: of the first and the last convolution, odd.
        width: channels of the transformer. Default: 1.5 · C, as in MobileViT-S.
        depth: layers of the transformer.
        num_heads: heads of each. Default: the paper's 4, or the most below it that divide `width`.
        mlp_ratio: width of the hidden layers over `width`.
        patch_size: height and width of a patch, or one number for both.
        groups, dilation: of the first convolution.
        fusion: end with a convolution of the result beside the input.
        act: activation, by name.
        attention_dropout: probability of dropping a weight in training.
        dropout: probability of dropping an output of a layer in training.

    Raises:
        FovealError: if the kernel is even, the heads do not divide the width, the groups not the
            channels, or a number is below 1.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        width: int | None = None,
        depth: int = 2,
        num_heads: int | None = None,
        mlp_ratio: float = 2.0,
        patch_size: int | Size = 2,
        groups: int = 1,
        dilation: int = 1,
        fusion: bool = True,
        act: str = "silu",
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise FovealError(f"kernel_size={kernel_size} must be odd, to keep the map's size")
        if groups < 1 or channels % groups:
            raise FovealError(f"channels={channels} do not divide into groups={groups}")
        if depth < 1 or dilation < 1:
            raise FovealError(f"depth={depth} and dilation={dilation} must be at least 1")
        width = max(1, 3 * channels // 2) if width is None else width
        self.width = hidden_width(channels, 1, hidden=width)
        self.hidden = hidden_width(channels, 1, hidden=int(mlp_ratio * width))
        self.patch = self.rows, self.columns = pair(patch_size, "patch_size")
        self.taps, self.depth, self.groups, self.fusion = kernel_size**2, depth, groups, fusion
        self.local = _conv(channels, channels, kernel_size, act, groups=groups, dilation=dilation)
        self.expand = nn.Conv2d(channels, width, 1, bias=False)
        self.layers = nn.Sequential(
            *(
                _Layer(
                    width,
                    self.hidden,
                    act,
                    dropout,
                    num_heads=heads_for(width, num_heads, usual=4),
                    attention_dropout=attention_dropout,
                )
                for _ in range(depth)
            )
        )
        self.norm = nn.LayerNorm(width)
        self.proj = _conv(width, channels, 1, act)
        self.fuse = _conv(2 * channels, channels, kernel_size, act) if fusion else None

    def _patches(self, x: Map) -> Tensor:
        """Like places of all patches as a sequence: (B · P, patches, width)."""
        x = self.expand(self.local(x))
        for axis, side in zip((2, 3), self.patch, strict=True):
            size = x.shape[axis]
            x = _resize(x, axis, (size + side - 1) // side * side)
        h, w = self.patch
        return rearrange(x, "b c (m h) (n w) -> (b h w) (m n) c", h=h, w=w)

    def attention_map(self, x: Map, layer: int = 0) -> Float[Tensor, "b places heads n n"]:
        """How much each patch takes from each at every place of a patch, in the first layer or
        another; rows sum to 1. Forms N × N."""
        tokens = self.layers[:layer](self._patches(x))
        chosen = self.layers[layer]
        weights = chosen.attn.attention_map(chosen.attn_norm(tokens))  # pyright: ignore
        return weights.unflatten(0, (-1, self.rows * self.columns))

    def forward(self, x: Map) -> Map:
        (height, width), (h, w) = x.shape[2:], self.patch
        tokens = self.norm(self.layers(self._patches(x)))
        m = (height + h - 1) // h
        y = rearrange(tokens, "(b h w) (m n) c -> b c (m h) (n w)", h=h, w=w, m=m)
        y = self.proj(_resize(_resize(y, 2, height), 3, width))
        return y if self.fuse is None else self.fuse(torch.cat((x, y), 1))


def _resize(x: Map, axis: int, size: int) -> Map:
    """The map interpolated along its rows (2) or columns (3). Where the size is open, in an
    export, always: equal sizes give the identity."""
    old = x.shape[axis]
    if not is_open(size) and not is_open(old) and old == size:
        return x
    matrix = between(old, size, x, align_corners=False)
    return matrix @ x if axis == 2 else x @ matrix.mT
