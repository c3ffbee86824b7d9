"""How the parts of a mix are arranged: one after the other, side by side, again and again."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from foveal.core.explained import Range, attention_range
from foveal.core.layout import OnFrames
from foveal.mix.axes import Pointwise, channel_axis
from foveal.mix.join import Joiner, Mean, Product, Sum, Takes, weighted_sum
from foveal.mix.weigh import Fixed, Weighting

Explained = Callable[[Tensor], Tensor]


class Arrangement(nn.Module):
    """Parts of a mix that together are one part.

    An arrangement explains itself by one of its parts, or by the weights of its branches.
    """

    notation = ""
    """How it is written; set where it is built."""

    def explaining(self, x: Tensor) -> tuple[nn.Module, Tensor]:
        """The part whose map tells most of what was done to x, and what that part is given."""
        raise NotImplementedError

    def speaker(self) -> nn.Module:
        """The part that `explaining` returns, without an input."""
        raise NotImplementedError

    def attention_map(self, x: Tensor) -> Tensor:
        """The map of the part that explains it."""
        part, given = self.explaining(x)
        return part.attention_map(given)  # pyright: ignore[reportCallIssue]

    def attention_range(self) -> Range | None:
        return attention_range(self.speaker())


class Chain(Arrangement):
    """Parts one after the other; the last one explains."""

    def __init__(self, parts: Iterable[nn.Module]):
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def explaining(self, x: Tensor) -> tuple[nn.Module, Tensor]:
        for part in self.parts[:-1]:
            x = part(x)
        return self.parts[-1], x

    def speaker(self) -> nn.Module:
        return self.parts[-1]

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x


class Recursion(Arrangement):
    """One part with the same parameters, several times; the last time explains."""

    def __init__(self, part: nn.Module, times: int):
        super().__init__()
        self.part, self.times = part, times

    def explaining(self, x: Tensor) -> tuple[nn.Module, Tensor]:
        for _ in range(self.times - 1):
            x = self.part(x)
        return self.part, x

    def speaker(self) -> nn.Module:
        return self.part

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.times):
            x = self.part(x)
        return x


class Residual(Arrangement):
    """The input plus what a part makes of it; the part explains."""

    def __init__(self, part: nn.Module):
        super().__init__()
        self.part = part

    def explaining(self, x: Tensor) -> tuple[nn.Module, Tensor]:
        return self.part, x

    def speaker(self) -> nn.Module:
        return self.part

    def forward(self, x: Tensor) -> Tensor:
        return x + self.part(x)


class Branches(Arrangement):
    """Parts side by side on the same input, joined into one.

    Weights that are learned, or come from the input, explain it. Without them the joint gate does,
    where there is one, and else the branch that counts most, the first of several.

    Args:
        branches: the parts.
        joiner, weighting: what makes one of them.
        small_gates: whether each branch multiplies its input by a number for each channel, or for
            each position. Then Σ w·x⊙g is computed as x ⊙ Σ w·g where no gradients are wanted: the
            map is multiplied once. With gradients the mechanisms' own backward passes move less.
    """

    def __init__(
        self,
        branches: Sequence[nn.Module],
        joiner: Joiner,
        weighting: Weighting | None,
        small_gates: bool = False,
    ):
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.joiner, self.weighting = joiner, weighting
        joiner.weighted = weighting is not None
        late = weighting is not None and weighting.needs_outputs
        self.gates_add_up = small_gates and isinstance(joiner, Sum) and not late

    def forward(self, x: Tensor) -> Tensor:
        if self.gates_add_up and not torch.is_grad_enabled():
            return x * self._joint_gate(x)
        outputs, weights = self._weighed(x)
        return self.joiner(x, outputs, weights)

    def _joint_gate(self, x: Tensor) -> Tensor:
        """The sum or the mean of the branches' gates; those of one kind first, lest each be spread
        over the map by itself. Channels' means that several need are computed once."""
        weights = None if self.weighting is None else self.weighting(x)
        share = 1 / len(self.branches) if isinstance(self.joiner, Mean) else 1.0
        sums: dict[bool, Tensor] = {}
        means = None
        for i, branch in enumerate(self.branches):
            if getattr(branch, "weighs_means", False):
                means = x.mean((2, 3)) if means is None else means
                gate = branch.weigh(means)[..., None, None]  # pyright: ignore
            else:
                gate = given(branch, x, "gates")
            gate = gate * (share if weights is None else weights[:, i].to(gate.dtype))
            by_channel = gate.shape[channel_axis(x)] > 1
            sums[by_channel] = sums[by_channel] + gate if by_channel in sums else gate
        first, *others = sums.values()
        return sum(others, first).to(x.dtype)

    def _weighed(self, x: Tensor) -> tuple[Iterable[Tensor], Tensor | None]:
        """What the branches give, each made when it is asked for if nobody needs all at once."""
        made = (given(branch, x, self.joiner.takes) for branch in self.branches)
        if self.weighting is None:
            return made, None
        if not self.weighting.needs_outputs:
            return made, self.weighting(x)
        outputs = list(made)
        return outputs, self.weighting(x, outputs)

    def attention_map(self, x: Tensor) -> Tensor:
        """The weights of the branches, (1 or B, branches, …), in [0, 1]; or as the class says."""
        if self._weights_explain():
            weights = self._weighed(x)[1]
            assert weights is not None
            return weights
        if hasattr(self.joiner, "selection"):
            return self.joiner.selection(x, list(self._weighed(x)[0]))  # pyright: ignore
        if hasattr(self.joiner, "gate"):
            return self.joiner.gate(x, *self._weighed(x))  # pyright: ignore
        return super().attention_map(x)

    def attention_range(self) -> Range | None:
        if self._weights_explain() or hasattr(self.joiner, "selection"):
            return 0.0, 1.0
        if isinstance(self.joiner, Product):
            return _product([attention_range(branch) for branch in self.branches])
        if hasattr(self.joiner, "gate"):
            return 0.0, 1.0
        return super().attention_range()

    def _weights_explain(self) -> bool:
        return self.weighting is not None and not self.weighting.constant

    def explaining(self, x: Tensor) -> tuple[nn.Module, Tensor]:
        return self.speaker(), x

    def speaker(self) -> nn.Module:
        shares = self.weighting.shares if isinstance(self.weighting, Fixed) else (1,)
        return self.branches[shares.index(max(shares))]


class Hierarchy(Arrangement):
    """Levels, each on what the level below it made; all of them weighted, added and projected.

    The projection is born an identity.

    Parameters: C² + C. Multiply-adds: (C + len(levels))·C·H·W.
    """

    def __init__(self, channels: int, levels: Iterable[nn.Module], weighting: Weighting):
        super().__init__()
        self.levels, self.weighting = nn.ModuleList(levels), weighting
        self.project = Pointwise(channels, channels)
        nn.init.eye_(self.project.layer.weight)
        nn.init.zeros_(self.project.layer.bias)

    def _weighed(self, x: Tensor) -> tuple[Iterable[Tensor], Tensor]:
        made = _climbed(self.levels, x)
        if not self.weighting.needs_outputs:
            return made, self.weighting(x)
        outputs = list(made)
        return outputs, self.weighting(x, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(weighted_sum(*self._weighed(x)))

    def attention_map(self, x: Tensor) -> Tensor:
        """The weights of the levels, (1 or B, levels, …), in [0, 1]; of levels whose weights are
        the user's own numbers, the map of the one that counts most."""
        return super().attention_map(x) if self.weighting.constant else self._weighed(x)[1]

    def attention_range(self) -> Range | None:
        return super().attention_range() if self.weighting.constant else (0.0, 1.0)

    def explaining(self, x: Tensor) -> tuple[nn.Module, Tensor]:
        for level in self.levels[: self._heaviest()]:
            x = level(x)
        return self.speaker(), x

    def speaker(self) -> nn.Module:
        return self.levels[self._heaviest()]

    def _heaviest(self) -> int:
        shares = self.weighting.shares if isinstance(self.weighting, Fixed) else (1,)
        return shares.index(max(shares))


def given(branch: nn.Module, x: Tensor, takes: Takes) -> Tensor:
    """What a joiner takes of a branch."""
    of_frames = isinstance(branch, OnFrames)
    inner = branch.mechanism if of_frames else branch
    if takes == "gates":
        read = inner.attention_map
    elif takes == "scores" and hasattr(inner, "scores"):
        read = inner.scores
    else:
        return branch(x)
    if of_frames:
        return read(x.flatten(0, 1)).unflatten(0, x.shape[:2])  # pyright: ignore
    return read(x)  # pyright: ignore[reportCallIssue]


def _climbed(levels: Iterable[nn.Module], x: Tensor) -> Iterator[Tensor]:
    for level in levels:
        x = level(x)
        yield x


def _product(ranges: Sequence[Range | None]) -> Range:
    """The range of a product of numbers from several ranges."""
    low, high = 1.0, 1.0
    for one in ranges:
        if one is None or float("inf") in map(abs, one):
            return float("-inf"), float("inf")
        corners = [a * b for a in (low, high) for b in one]
        low, high = min(corners), max(corners)
    return low, high
