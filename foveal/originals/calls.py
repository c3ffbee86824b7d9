"""Modules called as the original code calls them, where that is not how ours are called."""

from torch import Tensor, nn

from foveal.core.layout import OnTokens


class SequenceFirst(nn.Module):
    """Let a mechanism over tokens take them with the sequence first, as torch's default has them.

    Shape: (N, B, C) → (N, B, C).
    """

    def __init__(self, mechanism: nn.Module):
        super().__init__()
        self.mechanism = mechanism

    def forward(self, *tokens: Tensor) -> Tensor:
        first = tokens[0].transpose(0, 1)
        others = (first if t is tokens[0] else t.transpose(0, 1) for t in tokens[1:])
        return self.mechanism(first, *others).transpose(0, 1)

    def attention_map(self, x: Tensor) -> Tensor:
        return self.mechanism.attention_map(x.transpose(0, 1))  # pyright: ignore


class OnGrid(nn.Module):
    """Let a mechanism over maps take tokens and, like many transformers' code, their grid beside
    them: `module(x, H, W)`; or `module(x)`, for the grid that it was built with.

    Shape: (B, P + H·W, C) → the same, for P prefix tokens.
    """

    def __init__(
        self, mechanism: nn.Module, grid: tuple[int, int] | None = None, prefix_tokens: int = 0
    ):
        super().__init__()
        self.mechanism = mechanism
        self.grid, self.prefix_tokens = grid, prefix_tokens

    def _on_tokens(self, height: int | None, width: int | None) -> OnTokens:
        grid = self.grid if height is None or width is None else (height, width)
        return OnTokens(self.mechanism, grid, self.prefix_tokens)

    def forward(self, x: Tensor, height: int | None = None, width: int | None = None) -> Tensor:
        return self._on_tokens(height, width)(x)

    def attention_map(
        self, x: Tensor, height: int | None = None, width: int | None = None
    ) -> Tensor:
        return self._on_tokens(height, width).attention_map(x)


class OnSequence(nn.Module):
    """Let a mechanism over maps take a sequence, which is a map of a single row.

    Shape: (N, B, C) → (N, B, C), or with `batch_first` (B, N, C) → (B, N, C).
    """

    def __init__(self, mechanism: nn.Module, batch_first: bool = False):
        super().__init__()
        self.mechanism = mechanism
        self.order = (0, 2, 1) if batch_first else (1, 2, 0)
        self.back = (0, 2, 1) if batch_first else (2, 0, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.mechanism(x.permute(self.order)[:, :, None])[:, :, 0].permute(self.back)

    def attention_map(self, x: Tensor) -> Tensor:
        return self.mechanism.attention_map(x.permute(self.order)[:, :, None])  # pyright: ignore
