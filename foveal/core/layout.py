"""Adapters that let a mechanism stand where the other layout is spoken."""

from math import isqrt

import torch
from einops import rearrange
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.core.types import Map, Tokens, Video


class OnMap(nn.Module):
    """Let a mechanism over tokens take a map: every position becomes a token.

    Shape: (B, C, H, W) → (B, C, H, W).

    >>> OnMap(nn.Identity())(torch.rand(2, 8, 5, 7)).shape
    torch.Size([2, 8, 5, 7])
    """

    def __init__(self, mechanism: nn.Module):
        super().__init__()
        self.mechanism = mechanism

    def forward(self, x: Map) -> Map:
        _check_rank(x, 4, "OnMap takes a map (B, C, H, W)")
        # Copied once: a linear layer would copy a view for itself and add its bias in a pass of its
        # own, and fused attention would take the way that forms N × N.
        tokens = self.mechanism(x.flatten(2).mT.contiguous())
        return tokens.mT.reshape(x.shape)  # einops' numbers would be constants to torch.jit.trace

    def attention_map(self, x: Map) -> Tensor:
        return self.mechanism.attention_map(rearrange(x, "b c h w -> b (h w) c"))  # pyright: ignore


class OnTokens(nn.Module):
    """Let a mechanism over maps take tokens that are the positions of a grid.

    Class and register tokens stand before the grid and pass by untouched.

    Shape: (B, P + H·W, C) → the same, for P prefix tokens.

    Args:
        mechanism: a module over maps (B, C, H, W).
        grid: height and width of the grid that the tokens come from. Another number of tokens is
            taken as a grid of the same proportions. Default: square.
        prefix_tokens: how many class and register tokens stand first.

    Raises:
        FovealError: if `grid` or `prefix_tokens` makes no sense, and when called with a number of
            tokens that no such grid has.

    >>> OnTokens(nn.Identity(), grid=(14, 14), prefix_tokens=1)(torch.rand(2, 197, 8)).shape
    torch.Size([2, 197, 8])
    """

    def __init__(
        self,
        mechanism: nn.Module,
        grid: tuple[int, int] | None = None,
        prefix_tokens: int = 0,
    ):
        super().__init__()
        if prefix_tokens < 0:
            raise FovealError(f"prefix_tokens={prefix_tokens} must not be negative")
        if grid is not None and not (len(grid) == 2 and all(_is_size(side) for side in grid)):
            raise FovealError(f"grid={grid} must be a height and a width, both positive and whole")
        self.mechanism = mechanism
        self.grid = grid
        self.prefix_tokens = prefix_tokens

    def forward(self, x: Tokens) -> Tokens:
        prefix, image = self._split(x)
        y = rearrange(self.mechanism(image), "b c h w -> b (h w) c")
        return torch.cat((prefix, y), dim=1) if self.prefix_tokens else y

    def attention_map(self, x: Tokens) -> Tensor:
        return self.mechanism.attention_map(self._split(x)[1])  # pyright: ignore

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        _check_rank(x, 3, "OnTokens takes tokens (B, N, C)")
        prefix, image = x[:, : self.prefix_tokens], x[:, self.prefix_tokens :]
        height, width = self._size(image.shape[1])
        return prefix, rearrange(image, "b (h w) c -> b c h w", h=height, w=width)

    def _size(self, tokens: int) -> tuple[int, int]:
        height, width = self.grid or (1, 1)
        if self.grid and tokens == height * width:
            return height, width
        scaled = isqrt(tokens * height // width)
        if scaled == 0 or tokens % scaled or scaled * width != tokens // scaled * height:
            shape = f"{height}×{width}" if self.grid else "square"
            raise FovealError(
                f"{tokens} tokens (after {self.prefix_tokens} prefix tokens) make no grid with "
                f"the proportions of {shape}; give OnTokens the grid=(height, width) they come "
                "from, and prefix_tokens= for class and register tokens"
            )
        return scaled, tokens // scaled


class OnChannelsLast(nn.Module):
    """Let a mechanism over maps take maps with the channels last, as Swin's blocks have them.

    Shape: (B, H, W, C) → (B, H, W, C).
    """

    def __init__(self, mechanism: nn.Module):
        super().__init__()
        self.mechanism = mechanism

    def forward(self, x: Tensor) -> Tensor:
        _check_rank(x, 4, "OnChannelsLast takes a map (B, H, W, C)")
        return rearrange(self.mechanism(rearrange(x, "b h w c -> b c h w")), "b c h w -> b h w c")

    def attention_map(self, x: Tensor) -> Tensor:
        return self.mechanism.attention_map(rearrange(x, "b h w c -> b c h w"))  # pyright: ignore


class OnFrames(nn.Module):
    """Let a mechanism over maps take a video: every frame becomes a map of its own.

    Shape: (B, T, C, H, W) → (B, T, C, H, W).

    >>> OnFrames(nn.Identity())(torch.rand(2, 3, 8, 5, 7)).shape
    torch.Size([2, 3, 8, 5, 7])
    """

    def __init__(self, mechanism: nn.Module):
        super().__init__()
        self.mechanism = mechanism

    def forward(self, x: Video) -> Video:
        _check_rank(x, 5, "OnFrames takes a video (B, T, C, H, W)")
        return self.mechanism(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def attention_map(self, x: Video) -> Tensor:
        """The mechanism's weights for B · T frames, one after the other."""
        return self.mechanism.attention_map(x.flatten(0, 1))  # pyright: ignore


class OnTime(nn.Module):
    """Let a mechanism over maps take a video: the course of every position over time becomes a map
    of its own, T high and 1 wide.

    Of a mechanism over tokens, in `OnMap`, every frame thus becomes a token; a convolution sees the
    frames before and after.

    Shape: (B, T, C, H, W) → (B, T, C, H, W).

    >>> OnTime(nn.Identity())(torch.rand(2, 3, 8, 5, 7)).shape
    torch.Size([2, 3, 8, 5, 7])
    """

    def __init__(self, mechanism: nn.Module):
        super().__init__()
        self.mechanism = mechanism

    def forward(self, x: Video) -> Video:
        courses = self.mechanism(self._courses(x))[..., 0].mT
        return courses.unflatten(0, (x.shape[0], *x.shape[3:])).permute(0, 3, 4, 1, 2)

    def attention_map(self, x: Video) -> Tensor:
        """The mechanism's weights for B · H · W positions, one after the other."""
        return self.mechanism.attention_map(self._courses(x))  # pyright: ignore

    @staticmethod
    def _courses(x: Tensor) -> Tensor:
        """(B · H · W, C, T, 1), with the channels last in memory, so that tokens lie as they are
        read."""
        _check_rank(x, 5, "OnTime takes a video (B, T, C, H, W)")
        return x.permute(0, 3, 4, 1, 2).flatten(0, 2).contiguous().mT[..., None]


class OnVolume(nn.Module):
    """Let a mechanism over maps take a video: its frames become one map, each below the last.

    A mechanism over tokens, in `OnMap`, thus sees every position of every frame, and one that
    weighs channels the video as a whole. A convolution sees the first row of a frame beside the
    last row of the one before.

    Shape: (B, T, C, H, W) → (B, T, C, H, W).

    >>> OnVolume(nn.Identity())(torch.rand(2, 3, 8, 5, 7)).shape
    torch.Size([2, 3, 8, 5, 7])
    """

    def __init__(self, mechanism: nn.Module):
        super().__init__()
        self.mechanism = mechanism

    def forward(self, x: Video) -> Video:
        y = self.mechanism(self._one(x))
        return y.unflatten(2, (x.shape[1], x.shape[3])).transpose(1, 2)

    def attention_map(self, x: Video) -> Tensor:
        """The mechanism's weights for the one map."""
        return self.mechanism.attention_map(self._one(x))  # pyright: ignore

    @staticmethod
    def _one(x: Tensor) -> Tensor:
        _check_rank(x, 5, "OnVolume takes a video (B, T, C, H, W)")
        return x.transpose(1, 2).flatten(2, 3)


class OnClips(nn.Module):
    """Let a mechanism over video take it with the channels before the time, as 3-D convolutions
    have it.

    Shape: (B, C, T, H, W) → (B, C, T, H, W).

    >>> OnClips(nn.Identity())(torch.rand(2, 8, 3, 5, 7)).shape
    torch.Size([2, 8, 3, 5, 7])
    """

    def __init__(self, mechanism: nn.Module):
        super().__init__()
        self.mechanism = mechanism

    def forward(self, x: Tensor) -> Tensor:
        _check_rank(x, 5, "OnClips takes a clip (B, C, T, H, W)")
        return self.mechanism(x.transpose(1, 2)).transpose(1, 2)

    def attention_map(self, x: Tensor) -> Tensor:
        return self.mechanism.attention_map(x.transpose(1, 2))  # pyright: ignore


class OnTwoMaps(nn.Module):
    """Let a mechanism over two sets of tokens take two maps, of any sizes.

    Shape: (B, C, H, W) and (B, D, h, w) → (B, C, H, W).

    Args:
        mechanism: a module over tokens (B, N, C) and other tokens (B, M, D).
    """

    def __init__(self, mechanism: nn.Module):
        super().__init__()
        self.mechanism = mechanism

    def forward(self, x: Map, context: Map) -> Map:
        tokens = self.mechanism(*self._tokens(x, context))
        return rearrange(tokens, "b (h w) c -> b c h w", h=x.shape[2])

    def attention_map(self, x: Map, context: Map) -> Tensor:
        return self.mechanism.attention_map(*self._tokens(x, context))  # pyright: ignore

    def _tokens(self, *maps: Tensor) -> list[Tensor]:
        for one in maps:
            _check_rank(one, 4, "OnTwoMaps takes maps (B, C, H, W)")
        return [rearrange(one, "b c h w -> b (h w) c") for one in maps]


def _is_size(side: object) -> bool:
    return isinstance(side, int) and side > 0


def _check_rank(x: Tensor, rank: int, rule: str) -> None:
    if x.ndim != rank:
        raise FovealError(f"{rule}, got shape {tuple(x.shape)}")
